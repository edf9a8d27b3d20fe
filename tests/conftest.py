"""How property tests run: the same examples every time, except in the sweep, and never against the clock."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "perdure",
    deadline=None,
    derandomize=not os.environ.get("PERDURE_SWEEP"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("perdure")

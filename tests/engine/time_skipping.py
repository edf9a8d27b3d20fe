"""What tests of workflows that skip time share."""

from __future__ import annotations

from temporalio.api.common.v1 import TimeSkippingConfig
from tests.engine.driver import duration


def skipping(max_skips: int, *, fast_forward: float = 0) -> TimeSkippingConfig:
    """The config of a workflow that skips time, up to a fast-forward of so many seconds."""
    config = TimeSkippingConfig(enabled=True, max_session_skip_count=max_skips)
    if fast_forward:
        config.fast_forward_config.id = "forward"
        config.fast_forward_config.duration.CopyFrom(duration(fast_forward))
    return config

"""The tests of the example are tests of ours."""

from examples.subscription.test_subscription import *  # noqa: F403

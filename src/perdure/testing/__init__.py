"""Tests of workflows: a server in this process, a namespace for each test, time that moves as the test wants.

As a pytest plugin it gives the fixture `perdure`, an `Env`:

    async def test_trial(perdure):
        async with perdure.worker(Trial, activities=[perdure.mock(charge, returns="paid")]) as worker:
            assert await perdure.execute(Trial.run, "ann") == "paid"   # 30 days of sleep take no time

Without pytest, `open_env` gives the same. Everything is loaded on first use, so the plugin costs nothing where it is
not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.testing.env import Env as Env
    from perdure.testing.env import open_env as open_env
    from perdure.testing.history import History as History
    from perdure.testing.history import Step as Step
    from perdure.testing.mocks import Call as Call
    from perdure.testing.mocks import Mock as Mock
    from perdure.testing.replay import assert_replays as assert_replays
    from perdure.testing.watch import Stalled as Stalled
    from perdure.testing.watch import WorkflowTaskFailed as WorkflowTaskFailed

_HOME = {
    "Call": "mocks",
    "Env": "env",
    "History": "history",
    "Mock": "mocks",
    "Stalled": "watch",
    "Step": "history",
    "WorkflowTaskFailed": "watch",
    "assert_replays": "replay",
    "open_env": "env",
}
__all__ = [
    "Call",
    "Env",
    "History",
    "Mock",
    "Stalled",
    "Step",
    "WorkflowTaskFailed",
    "assert_replays",
    "open_env",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"perdure.testing.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Tests find the plugin also where Perdure is not installed, and a busy machine is not taken for a deadlock."""

from typing import Any

from temporalio.worker import _workflow

pytest_plugins = ["perdure.testing.plugin", "pytester", "tests.patterns.report"]

PATIENCE_S = 60
"""The SDK fails a workflow task that has not yielded for two seconds, such as the first of a process, which has to load
the sandbox. It has no setting for that but its debug mode, in which workflows run on another thread."""
_init = _workflow._WorkflowWorker.__init__


def _patient(self: Any, **options: Any) -> None:
    _init(self, **options)
    assert hasattr(self, "_deadlock_timeout_seconds")
    self._deadlock_timeout_seconds = PATIENCE_S


_workflow._WorkflowWorker.__init__ = _patient  # type: ignore[method-assign]

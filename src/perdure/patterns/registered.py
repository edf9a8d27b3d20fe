"""Whether workers of this process have the library's workflows, as far as it can be told."""

from __future__ import annotations

from temporalio import workflow

_told = False
"""Whether nothing is to be said any more."""


def registered() -> None:
    """They have: `PatternsPlugin` was given to one, or one runs such a workflow."""
    global _told
    _told = True


def expect(name: str, classes: str) -> None:
    """Before a workflow of the library is started: without a worker that has it nothing would ever come back.

    It is a hint in the log, once, since workers tell nobody what they have, and another process may have it.
    """
    global _told
    if not _told and not workflow.unsafe.is_replaying():
        _told = True
        workflow.logger.warning(
            "No worker of this process has PatternsPlugin. If workflow tasks fail with 'Workflow class %s is not"
            " registered on this worker', give the worker plugins=[PatternsPlugin()], or workflows=[..., %s]",
            name,
            classes,
        )

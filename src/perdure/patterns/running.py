"""The steps of a saga that run, in whichever task: a saga does not end before them, nor undoes beside them."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow

WAITS = "perdure-saga-waits"
"""The change by which sagas wait for steps that run: in runs that were begun before, the history has other commands."""


class Running:
    """Steps that have begun, and the tasks that began them."""

    def __init__(self) -> None:
        self._steps: dict[workflow.ActivityHandle[Any], asyncio.Task[Any]] = {}
        self._undoable: set[workflow.ActivityHandle[Any]] = set()

    def add(self, handle: workflow.ActivityHandle[Any], *, undoable: bool) -> None:
        """One more, begun by the current task."""
        self._steps[handle] = current_task()
        if undoable:
            self._undoable.add(handle)
        handle.add_done_callback(self._ended)

    def any(self) -> bool:
        """Whether there are some to be waited for."""
        return bool(self._steps) and workflow.patched(WAITS)

    def undoable(self) -> bool:
        """Whether one of them can be undone."""
        return any(not handle.done() for handle in self._undoable)

    async def failure(self) -> BaseException | None:
        """Wait until none runs; the error of the first task that fails meanwhile, or the cancellation that comes.

        A task may do a step after another, and may bear the failure of one. Conditions are looked at when nothing else
        can go on, so by then it has begun what it does next.
        """
        try:
            while self._steps:
                steps = dict(self._steps)
                await workflow.wait_condition(lambda steps=steps: any(each.done() for each in steps))  # type: ignore[misc]
                for handle, task in steps.items():
                    if handle.done() and task.done() and not task.cancelled() and (error := task.exception()):
                        return error
        except asyncio.CancelledError as cancelled:
            return cancelled
        return None

    async def end(self) -> asyncio.CancelledError | None:
        """Cancel them all and wait until they have ended; gives the cancellation that came meanwhile, if any."""
        cancelled = None
        while steps := [handle for handle in self._steps if not handle.done()]:
            for handle in steps:
                handle.cancel()
            try:
                await workflow.wait(steps)
            except asyncio.CancelledError as error:
                cancelled = error
        return cancelled

    def _ended(self, handle: Any) -> None:
        self._steps.pop(handle, None)
        self._undoable.discard(handle)


def current_task() -> asyncio.Task[Any]:
    """The one that runs."""
    task = asyncio.current_task()
    assert task is not None
    return task

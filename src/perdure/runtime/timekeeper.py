"""Time as the runtime sees it: what the clock of a namespace says, and which deadlines have come.

An ordinary server has one clock for all, `WallTime`. A server for tests has `SkippedTime` (see `skipping.py`): a clock
for each namespace, which jumps to the next deadline when nothing is in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from perdure.engine.transition import Decision
from perdure.errors import PerdureError
from perdure.runtime.deadlines import Act, Deadlines
from perdure.runtime.executor import Executor
from perdure.runtime.run import Run

Release = Callable[[], None]
Answered = Callable[[], bool]
"""Whether what somebody waits for is there, so that they wait no more, though they have not gone yet."""

Refuse = Callable[[PerdureError], None]
"""Tells those who wait that they wait in vain."""


class Timekeeper(Protocol):
    """What the runtime asks of either."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def published(self, run: Run, decision: Decision) -> None:
        """A decision is durable, or will be with the next: note its deadlines."""

    def reload(self) -> None:
        """Deadlines may have been lost from memory: read them again."""

    def hold(self, namespace_id: str, what: str) -> Release:
        """Time may not jump until the release: something volatile is under way, named by `what`."""

    def wait(
        self,
        namespace_id: str,
        answered: Answered | None = None,
        what: tuple[str, ...] = (),
        refuse: Refuse | None = None,
    ) -> Release:
        """Somebody waits for what happens next, until they are answered, if that can be said, or the release.

        `what` is that for which time may skip so often and no more; then `refuse` is called, each time."""


class WallTime:
    """The server's own clock for all namespaces; it never jumps, so nothing holds it."""

    def __init__(self, executor: Executor, act: Act) -> None:
        self._deadlines = Deadlines(executor.storage, executor.clock, executor.now_ns, act)

    def start(self) -> None:
        self._deadlines.start()

    async def stop(self) -> None:
        await self._deadlines.stop()

    def published(self, run: Run, decision: Decision) -> None:
        offset_ns = decision.core.offset_ns
        for kind, key, item in decision.changes:
            if item is not None and item.due_ns is not None:
                due_ns = item.due_ns - offset_ns
                self._deadlines.add(due_ns, run.run_key, kind, key, stored=decision.durable and not item.volatile)

    def reload(self) -> None:
        self._deadlines.reload()

    def hold(self, namespace_id: str, what: str) -> Release:
        return _nothing

    def wait(
        self,
        namespace_id: str,
        answered: Answered | None = None,
        what: tuple[str, ...] = (),
        refuse: Refuse | None = None,
    ) -> Release:
        return _nothing


def _nothing() -> None:
    pass

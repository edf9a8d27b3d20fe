"""A run in memory: its execution, the newest part of its history, and who waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from perdure.engine.execution import Core, Execution
from perdure.engine.transition import Decision
from perdure.storage.base import PendingKey, PendingRow, RunChange

if TYPE_CHECKING:
    from perdure.runtime.queries import Session
    from perdure.runtime.updates import Waiter

log = logging.getLogger(__name__)

BASE_BYTES = 2_500
"""What a cached run costs without its pending items and history, roughly."""
ITEM_BYTES = 900
MAX_TAIL_BYTES = 64 * 1024
"""A longer tail is cut to its newest batch that is needed; the rest is read from storage."""


class Run:
    """See the module's text. Owned by the executor.

    `tail` holds the newest batches of history, (first event id, serialized events); it reaches back to
    `tail_first_event_id`. `group` is the number of the last batch of commits that holds a change of the run.
    `unwritten` is the start of a workflow task that will be written with the run's next change. `warned` names what the
    log has been told of. `waiters` are those who wait for its updates, by id.
    """

    __slots__ = (
        "_large",
        "_waiting",
        "deleted",
        "execution",
        "group",
        "lost",
        "session",
        "size_bytes",
        "tail",
        "tail_bytes",
        "tail_first_event_id",
        "unwritten",
        "waiters",
        "warned",
    )

    def __init__(self, execution: Execution, pending: Iterable[tuple[PendingKey, PendingRow | None]] = ()) -> None:
        self.execution = execution
        self.group = 0
        self.unwritten: RunChange | None = None
        self.tail: list[tuple[int, bytes]] = []
        self.tail_first_event_id = execution.core.next_event_id
        self.tail_bytes = 0
        self.deleted = False
        self.lost = False
        self.session: Session | None = None
        self.waiters: dict[str, list[Waiter]] = {}
        self.warned: frozenset[str] = frozenset()
        self._waiting: list[Callable[[], None]] = []
        self._large: dict[PendingKey, int] = {}
        self._weigh(pending)
        self.size_bytes = self._state_bytes()

    @property
    def run_key(self) -> int:
        return self.execution.run_key

    @property
    def core(self) -> Core:
        return self.execution.core

    @property
    def pinned(self) -> bool:
        """Whether somebody waits for the run, or a worker has a task that only memory knows: it has to stay there."""
        if self._waiting or self.session is not None:
            return True
        task = self.execution.pending_workflow_task
        return task is not None and task.speculative and self.execution.running

    def _weigh(self, pending: Iterable[tuple[PendingKey, PendingRow | None]]) -> None:
        """Note the items that hold much: inputs and details may have megabytes."""
        for key, row in pending:
            if row is not None and len(row.blob) > ITEM_BYTES:
                self._large[key] = len(row.blob)
            else:
                self._large.pop(key, None)

    def _state_bytes(self) -> int:
        items = sum(map(len, self.execution.pending.values()))
        return BASE_BYTES + items * ITEM_BYTES + sum(self._large.values())

    def record(self, decision: Decision, change: RunChange | None) -> int:
        """Take note of a decision's history and of what it writes. Returns by how many bytes the run has grown."""
        if change is not None:
            self._weigh(change.pending.items())
        grown = self._state_bytes() + self.tail_bytes - self.size_bytes
        for first_event_id, data in decision.history:
            if not self.tail:
                self.tail_first_event_id = first_event_id
            self.tail.append((first_event_id, data))
            self.tail_bytes += len(data)
            grown += len(data)
        grown -= self._trim()
        self.size_bytes += grown
        return grown

    def _trim(self) -> int:
        """Cut what a sticky worker does not need any more, once the tail has become long."""
        if self.tail_bytes <= MAX_TAIL_BYTES or self.unwritten is not None:
            return 0
        needed = self.core.previous_started_event_id + 1
        count = 0
        while count + 1 < len(self.tail) and self.tail[count + 1][0] <= needed:
            count += 1
        cut = sum(len(data) for _, data in self.tail[:count])
        del self.tail[:count]
        self.tail_first_event_id = self.tail[0][0]
        self.tail_bytes -= cut
        return cut

    def tail_from(self, event_id: int) -> list[tuple[int, bytes]] | None:
        """The batches from the one that begins at or before `event_id`; None if the tail does not reach back so far."""
        if event_id < self.tail_first_event_id:
            return None
        start = len(self.tail)
        while start > 0 and self.tail[start - 1][0] >= event_id:
            start -= 1
        if start > 0 and (start == len(self.tail) or self.tail[start][0] > event_id):
            start -= 1
        return self.tail[start:]

    # Waiting for the run to change.

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back each time a change of the run is durable, or is lost, or its workflow task was started.

        Returns what ends that.
        """
        self._waiting.append(callback)

        def stop() -> None:
            if callback in self._waiting:
                self._waiting.remove(callback)

        return stop

    def hold(self) -> Callable[[], None]:
        """Keep the run in memory until what is returned is called."""
        return self.on_change(lambda: None)

    def wake(self) -> None:
        for callback in list(self._waiting):
            try:
                callback()
            except Exception:
                log.exception("one who waits for workflow %r could not be told", self.core.workflow_id)

    def lose(self) -> None:
        """Storage refused the run's last changes: this object is no longer the run."""
        self.lost = True
        self.wake()

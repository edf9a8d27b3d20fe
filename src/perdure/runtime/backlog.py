"""The tasks of a queue that memory holds: the head of what storage has, by priority, then by age."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from perdure.engine.execution import Key
from perdure.engine.queues import LEVELS, level, ready_ns
from perdure.storage.base import ReadyItem

MAX_IN_MEMORY = 5_000
"""Tasks of one queue in memory after it was read or cut; those beyond stay in storage until the head is served."""

Task = tuple[int, int, int, Key]
"""(order, run key, kind, key)"""
_Entry = tuple[int, int, int, str, Key]
"""A task with its key as text too, which is how storage sorts it: the first four are a `ReadyItem`."""


class Backlog:
    """Tasks up to `end`, to which memory is complete; None: there are no others.

    So a task with a high priority that comes late is in memory at once, and one behind the end waits in storage. Tasks
    that storage does not have are here wherever the end is.
    """

    __slots__ = ("_heaps", "_known", "_unstored", "end")

    def __init__(self) -> None:
        self._heaps: list[list[_Entry]] = [[] for _ in range(LEVELS)]
        self._known: set[Task] = set()
        self._unstored: set[Task] = set()
        self.end: ReadyItem | None = None

    def __len__(self) -> int:
        return len(self._known)

    def push(self, task: Task, *, stored: bool = True) -> None:
        """Take a task in, unless it is there or has its place behind the end."""
        if task in self._known:
            return
        order, run_key, kind, key = task
        entry = (order, run_key, kind, str(key), key)
        if not stored:
            self._unstored.add(task)
        elif self.end is not None and entry[:4] > self.end:
            return
        self._known.add(task)
        heapq.heappush(self._heaps[level(order) - 1], entry)
        if len(self._known) > 2 * MAX_IN_MEMORY:
            entries = sorted(entry for heap in self._heaps for entry in heap)[:MAX_IN_MEMORY]
            self._keep(entries, ReadyItem(*entries[-1][:4]))

    def put_back(self, task: Task) -> None:
        """A task that was popped is to be served after all, wherever the end is now."""
        end, self.end = self.end, None
        self.push(task)
        self.end = end if self.end is None else self.end

    def pop(self) -> Task:
        """The first task. Raises `IndexError` without one."""
        for heap in self._heaps:
            if heap:
                order, run_key, kind, _, key = heapq.heappop(heap)
                task = (order, run_key, kind, key)
                self._known.discard(task)
                self._unstored.discard(task)
                return task
        raise IndexError("no task")

    def finish_page(self, page: Iterable[Task], end: ReadyItem | None) -> None:
        """A page of storage was read up to `end` (None: to the end of the queue)."""
        for task in page:
            self.push(task)
        if end is not None and (self.end is None or end < self.end):
            self._keep([entry for heap in self._heaps for entry in heap if entry[:4] <= end], end)

    def _keep(self, entries: list[_Entry], end: ReadyItem) -> None:
        """Leave the others to storage, if it has them."""
        kept = {entry[:3] + entry[4:] for entry in entries}
        entries = entries + [
            (order, run_key, kind, str(key), key) for order, run_key, kind, key in self._unstored - kept
        ]
        self._heaps = [[] for _ in range(LEVELS)]
        self._known = {(order, run_key, kind, key) for order, run_key, kind, _, key in entries}
        self.end = end
        for entry in entries:
            heapq.heappush(self._heaps[level(entry[0]) - 1], entry)

    def counts(self) -> dict[int, int]:
        """How many tasks by priority, where there are any."""
        return {number: len(heap) for number, heap in enumerate(self._heaps, 1) if heap}

    def oldest_ns(self) -> dict[int, int]:
        """Since when the oldest task waits, by priority, where there are any."""
        return {number: ready_ns(heap[0][0]) for number, heap in enumerate(self._heaps, 1) if heap}

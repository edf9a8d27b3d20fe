"""Deadlines: the pending items whose time comes.

Storage has them all, in an index. Memory holds those of the next window, so a server with a million timers starts at
once and stays small. A deadline in memory is only a hint: when it comes, the engine looks whether it still stands.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Sequence

from perdure.clock import Clock, Timer
from perdure.engine.execution import Key
from perdure.errors import DataLoss
from perdure.runtime.rows import engine_key
from perdure.storage.base import DueItem, Storage

log = logging.getLogger(__name__)

WINDOW_NS = 60 * 1_000_000_000
"""How far ahead deadlines are held in memory."""
PAGE = 1_000
MAX_AT_ONCE = 200
"""Deadlines that are acted on before others get a turn."""
RETRY_NS = 1_000_000_000
"""After a failure to act on a deadline, when to try again."""

Due = tuple[int, int, int, Key]
"""(due, run key, kind, key)"""

Act = Callable[[int, int, Sequence[Key]], Awaitable[None]]
"""Given run key, kind and, in the order of their times, keys; must not raise but for reasons that pass."""


class Deadlines:
    """Holds the near deadlines and calls `act` for each when it comes, in order of their times."""

    def __init__(self, storage: Storage, clock: Clock, now_ns: Callable[[], int], act: Act) -> None:
        self._storage = storage
        self._clock = clock
        self._now_ns = now_ns
        self._act = act
        self._heap: list[tuple[int, int, int, str, Key]] = []
        self._known: set[Due] = set()
        self._horizon_ns = 0
        self._alarm: Timer | None = None
        self._alarm_ns = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="deadlines")

    async def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, due_ns: int, run_key: int, kind: int, key: Key, *, stored: bool = True) -> None:
        """A deadline was set. Far ones are left to storage, if they are `stored` there."""
        if stored and due_ns > self._horizon_ns:
            return
        due = (due_ns, run_key, kind, key)
        if due in self._known:
            return
        self._known.add(due)
        heapq.heappush(self._heap, (due_ns, run_key, kind, str(key), key))
        self._arm(due_ns)

    def reload(self) -> None:
        """Read the window again: deadlines may have been lost from memory."""
        self._horizon_ns = 0
        self._wake.set()

    def _arm(self, due_ns: int) -> None:
        if due_ns <= self._now_ns():
            self._wake.set()
        elif self._alarm is None or due_ns < self._alarm_ns:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_ns = due_ns
            self._alarm = self._clock.call_at(due_ns, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._fire_due()
                await self._extend()
            except Exception:
                log.exception("deadlines could not be handled; trying again in a second")
                self._clock.call_at(self._now_ns() + RETRY_NS, self._wake.set)
            if self._heap:
                self._arm(self._heap[0][0])
            await self._wake.wait()
            self._wake.clear()

    async def _fire_due(self) -> None:
        while self._heap and self._heap[0][0] <= self._now_ns():
            batch: dict[tuple[int, int], list[Due]] = {}
            for _ in range(MAX_AT_ONCE):
                if not self._heap or self._heap[0][0] > self._now_ns():
                    break
                due_ns, run_key, kind, _, key = heapq.heappop(self._heap)
                due = (due_ns, run_key, kind, key)
                self._known.discard(due)
                batch.setdefault((run_key, kind), []).append(due)
            for dues in batch.values():
                await self._act_on(dues)
            await asyncio.sleep(0)

    async def _act_on(self, dues: list[Due]) -> None:
        """Act on deadlines of one run and kind, which all have passed."""
        _, run_key, kind, _ = dues[0]
        try:
            await self._act(run_key, kind, [key for _, _, _, key in dues])
        except DataLoss as error:  # the next time would be no better
            log.error("a deadline can't be acted on: %s", error)
        except Exception:
            log.exception("a deadline could not be acted on; trying again in a second")
            self._clock.call_at(self._now_ns() + RETRY_NS, lambda: self._again(dues))
            self._known.update(dues)  # a reload, which the failure may bring about, must not be what tries again

    def _again(self, dues: list[Due]) -> None:
        for due_ns, run_key, kind, key in dues:
            heapq.heappush(self._heap, (due_ns, run_key, kind, str(key), key))
        self._wake.set()

    async def _extend(self) -> None:
        """Read the deadlines of the next window, a page at a time, once the present one is nearly over."""
        now_ns = self._now_ns()
        if self._horizon_ns - now_ns > WINDOW_NS // 2:
            return
        after: DueItem | None = None
        until_ns = now_ns + WINDOW_NS
        # New deadlines inside the window are held from now on, so that none falls between the pages and the writes.
        self._horizon_ns = until_ns
        try:
            while True:
                page = await self._storage.due(after, until_ns, PAGE)
                for item in page:
                    self.add(item.due_ns, item.run_key, item.kind, engine_key(item.kind, item.key))
                if len(page) < PAGE:
                    break
                after = page[-1]
                await self._fire_due()
        except Exception:
            self._horizon_ns = 0  # the window is not known, so the next turn reads it again
            raise
        self._clock.call_at(until_ns - WINDOW_NS // 2, self._wake.set)

"""Time and chance come in as arguments: a `Clock` and an `Ids` given at start, so that a test or a simulation decides.

All times are whole nanoseconds since the epoch. Callbacks run on the event loop's thread, never inside `call_at`, and
those of one clock in the order of their due times, ties in the order of the calls.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import random
import time
from collections.abc import Callable
from typing import Protocol

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
RECHECK_S = 30.0
"""The loop's clock knows nothing of the wall clock being set or the machine having slept: longest time to notice."""

CALLBACKS_PER_TURN = 128
"""Thousands may be overdue after a restart: requests are answered between this many."""


class Timer(Protocol):
    """What `Clock.call_at` gives back."""

    def cancel(self) -> None:
        """The callback will not run. After it has run, or twice: no effect."""


class Clock(Protocol):
    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""

    def call_at(self, due_ns: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` once `now_ns() >= due_ns`, at the next turn of the loop if that is so already."""


class Ids(Protocol):
    def uuid(self) -> str:
        """A new UUID (version 7, as the real server makes them), as text."""

    def random(self) -> float:
        """0 <= x < 1, for jitter."""


class _Due:
    """One callback in a heap; cancelling leaves it there, empty."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class _Heap:
    """Callbacks by due time, ties by order of arrival."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, _Due]] = []
        self._order = itertools.count()

    def push(self, due_ns: int, callback: Callable[[], None]) -> _Due:
        entry = _Due(callback)
        heapq.heappush(self._entries, (due_ns, next(self._order), entry))
        return entry

    def next_due_ns(self) -> int | None:
        while self._entries and self._entries[0][2].callback is None:
            heapq.heappop(self._entries)
        return self._entries[0][0] if self._entries else None

    def pop(self, now_ns: int) -> Callable[[], None] | None:
        """The earliest callback if it is due."""
        due_ns = self.next_due_ns()
        if due_ns is None or due_ns > now_ns:
            return None
        _, _, entry = heapq.heappop(self._entries)
        callback, entry.callback = entry.callback, None
        return callback


class RealClock:
    """The wall clock, on a running asyncio loop, as far as it does not go back.

    One that is set forward is noticed within `RECHECK_S`. When it is set back, time goes on from where it was at the
    pace of the monotonic clock until the wall clock has caught up or the process ends: so a timer of ten seconds takes
    ten seconds, however far the clock was set back.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._loop = loop
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._ahead_ns = wall_ns() - monotonic_ns()
        self._heap = _Heap()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due_ns = 0

    def now_ns(self) -> int:
        monotonic_ns = self._monotonic_ns()
        ahead_ns = self._wall_ns() - monotonic_ns
        if ahead_ns > self._ahead_ns:
            self._ahead_ns = ahead_ns
        return monotonic_ns + self._ahead_ns

    def call_at(self, due_ns: int, callback: Callable[[], None]) -> Timer:
        entry = self._heap.push(due_ns, callback)
        if self._alarm is None or due_ns < self._alarm_due_ns:
            self._set_alarm(due_ns)
        return entry

    def _set_alarm(self, due_ns: int) -> None:
        loop = self._loop = self._loop or asyncio.get_running_loop()
        if self._alarm is not None:
            self._alarm.cancel()
        # Rounded up: loops count in milliseconds, and one that rings early would be armed again until it is due.
        delay_ms = max(0, -((self.now_ns() - due_ns) // MILLISECOND_NS))
        self._alarm_due_ns = due_ns
        self._alarm = loop.call_later(min(delay_ms / 1000, RECHECK_S), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now_ns = self.now_ns()
        try:
            for _ in range(CALLBACKS_PER_TURN):
                if (callback := self._heap.pop(now_ns)) is None:
                    break
                callback()
        finally:
            due_ns = self._heap.next_due_ns()
            if due_ns is not None:
                self._set_alarm(due_ns)


class ManualClock:
    """Time that moves only by `advance`. Deterministic; needs no loop."""

    def __init__(self, now_ns: int = 1_700_000_000 * SECOND_NS) -> None:
        self._now_ns = now_ns
        self._heap = _Heap()

    def now_ns(self) -> int:
        return self._now_ns

    def call_at(self, due_ns: int, callback: Callable[[], None]) -> Timer:
        return self._heap.push(due_ns, callback)

    def next_due_ns(self) -> int | None:
        """When the earliest callback is due; None without one."""
        return self._heap.next_due_ns()

    def advance(self, by_ns: int) -> None:
        """Move on by `by_ns` (not negative), stopping at each due time on the way to run what is due there."""
        assert by_ns >= 0, "time does not run backwards"
        end_ns = self._now_ns + by_ns
        while (due_ns := self._heap.next_due_ns()) is not None and due_ns <= end_ns:
            self._now_ns = max(self._now_ns, due_ns)
            callback = self._heap.pop(self._now_ns)
            assert callback is not None
            callback()
        self._now_ns = end_ns


def _uuid7(time_ns: int, raw: bytes) -> str:
    """Version 7: milliseconds first, so that ids made one after another lie near each other in an index."""
    head = f"{time_ns // 1_000_000:012x}"
    tail = raw.hex()
    variant = "89ab"[raw[2] & 3]
    return f"{head[:8]}-{head[8:]}-7{tail[:3]}-{variant}{tail[5:8]}-{tail[8:20]}"


class RandomIds:
    """From the operating system, read in batches: one system call for 256 UUIDs."""

    _BATCH = 256
    _BYTES = 10

    def __init__(self) -> None:
        self._raw = b""
        self._used = 0
        self._random = random.Random()

    def uuid(self) -> str:
        if self._used == len(self._raw):
            self._raw, self._used = os.urandom(self._BYTES * self._BATCH), 0
        start, self._used = self._used, self._used + self._BYTES
        return _uuid7(time.time_ns(), self._raw[start : self._used])

    def random(self) -> float:
        return self._random.random()


class SeededIds:
    """The same ids and numbers for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._made = 0

    def uuid(self) -> str:
        self._made += 1
        return _uuid7(self._made * 1_000_000, self._random.randbytes(10))

    def random(self) -> float:
        return self._random.random()

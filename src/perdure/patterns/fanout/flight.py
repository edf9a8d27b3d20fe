"""Bounded concurrency: what is started, what has ended, and when to stop."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError, FailureError, is_cancelled_exception

from perdure.patterns.fanout.outcome import FanOutProgress, Outcome, State

T = TypeVar("T")
R = TypeVar("R")
RATE_S = 60
"""The rate is that of the last minute."""
BROKEN = "FanOutBroken"
"""The type of error with which a leaf or a tree fails, for the reason that is its cause."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """An item and what its call is known by."""

    index: int
    key: str
    item: T


@dataclass(eq=False)
class Call(Generic[R]):
    """One that is in flight. `cancel` asks it to end, which it tells by its future."""

    future: asyncio.Future[R]
    cancel: Callable[[], Any]


class Begin(Protocol):
    """Starts the call for an item, under its key."""

    def __call__(self, key: str, item: Any, /) -> Call[Any]: ...


class Rate:
    """How many a second, over the last minute."""

    def __init__(self) -> None:
        self._began = workflow.time()
        self._seconds: deque[list[int]] = deque()

    def count(self, number: int = 1) -> None:
        now = int(workflow.time())
        if not self._seconds or self._seconds[-1][0] != now:
            self._seconds.append([now, 0])
        self._seconds[-1][1] += number
        self._forget(now)

    def per_s(self) -> float:
        now = workflow.time()
        self._forget(int(now))
        return round(sum(count for _, count in self._seconds) / max(1.0, min(RATE_S, now - self._began)), 3)

    def _forget(self, now: int) -> None:
        while self._seconds and self._seconds[0][0] <= now - RATE_S:
            self._seconds.popleft()


class Flight(Generic[T, R]):
    """Starts entries while there is room, and gives each outcome once.

    Whatever ends, and whatever decides the end, is seen before anything is started: nothing starts after the end was
    decided. `borne` failures don't decide it; None: no number does. `hold` keeps entries back, for the next run.
    """

    def __init__(
        self,
        entries: Iterable[Entry[T]],
        begin: Begin,
        most: int,
        borne: int | None,
        hold: Callable[[], bool] = lambda: False,
    ) -> None:
        self.queue = deque(entries)
        self.total = len(self.queue)
        self.counts: Counter[State] = Counter()
        self.paused: Callable[[], bool] = lambda: False
        self.decided: Literal["", "failed", "cancelled"] = ""
        self.cause: BaseException | None = None
        """The failure that decided the end."""
        self.started = 0
        self.rate = Rate()
        self._begin = begin
        self._most = most
        self._borne = borne
        self._hold = hold
        self._flying: dict[asyncio.Future[R], tuple[Entry[T], Call[R]]] = {}
        self._landed: deque[Outcome[T, R]] = deque()
        self._called_back = False
        self._bug: BaseException | None = None

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    def stop(self) -> None:
        """Start nothing more, and cancel what is in flight."""
        self.decided = self.decided or "cancelled"

    async def next(self) -> Outcome[T, R] | None:
        """The outcome that comes next; None when there are no more."""
        while True:
            self._take_off()
            if self._bug is not None:
                raise self._bug
            if self._landed:
                return self._landed.popleft()
            if self.decided and self._flying and not self._called_back:
                await self._call_back()
            elif self.over:
                return None
            else:
                await workflow.wait_condition(self._awake)

    async def drain(self) -> list[Outcome[T, R]]:
        """Stop, wait until all has ended, and give the outcomes that were not given yet. Can't be cancelled."""
        self.stop()
        outcomes: list[Outcome[T, R]] = []
        while True:
            try:
                outcome = await self.next()
            except asyncio.CancelledError:
                continue
            if outcome is None:
                return outcomes
            outcomes.append(outcome)

    def progress(self, number: int) -> FanOutProgress:
        """For the query."""
        open_state: Literal["stopping", "paused", "running"]
        open_state = "stopping" if self.decided else "paused" if self.paused() else "running"
        return FanOutProgress(
            number=number,
            state=(self.decided or "completed") if self.over else open_state,
            total=self.total,
            in_flight=self.in_flight,
            rate_per_s=self.rate.per_s(),
            children=[],
            **{state: self.counts[state] for state in ("completed", "failed", "cancelled", "skipped")},
        )

    def _may_start(self) -> bool:
        return bool(
            self.queue
            and not self.decided
            and len(self._flying) < self._most
            and not self.paused()
            and not self._hold()
        )

    @property
    def over(self) -> bool:
        """Whether all outcomes were given."""
        return not self._flying and not self._landed and (not self.queue or (not self.decided and self._hold()))

    def _awake(self) -> bool:
        return bool(
            self._landed
            or self._bug is not None
            or (self.decided and (not self._called_back or not self._flying))
            or self._may_start()
            or self.over
        )

    def _take_off(self) -> None:
        while self._may_start():
            entry = self.queue.popleft()
            self.started += 1
            call = self._begin(entry.key, entry.item)
            self._flying[call.future] = entry, call
            call.future.add_done_callback(self._land)
        if self.decided and not self._flying:
            while self.queue:
                self._tell(self.queue.popleft(), "skipped")

    async def _call_back(self) -> None:
        # What has ended in this very activation lands first, as what it is.
        await workflow.wait_condition(lambda: True)
        self._called_back = True
        for _, call in list(self._flying.values()):
            call.cancel()

    def _land(self, future: asyncio.Future[R]) -> None:
        entry, _ = self._flying.pop(future)
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None:
            self._tell(entry, "completed", future.result())
        elif isinstance(error, asyncio.CancelledError | FailureError):
            cancelled = self._called_back and is_cancelled_exception(error)
            self._tell(entry, "cancelled" if cancelled else "failed", failure=error)
            if self._borne is not None and self.counts["failed"] > self._borne and not self.decided:
                self.decided, self.cause = "failed", error
        else:
            self._bug = error

    def _tell(
        self, entry: Entry[T], state: State, result: R | None = None, failure: BaseException | None = None
    ) -> None:
        self.counts[state] += 1
        outcome: Outcome[T, R] = Outcome(entry.index, entry.item, entry.key, state, result, told(failure))
        self._landed.append(outcome if failure is None else outcome.because(failure))
        if state in ("completed", "failed"):
            self.rate.count()


def told(failure: BaseException | None) -> str:
    """A failure in a line: what the code said that failed, in whatever child's activity that was."""
    if failure is None:
        return ""
    while _passes_on(failure) and failure.__cause__ is not None:
        failure = failure.__cause__
    kind = getattr(failure, "type", None) or type(failure).__name__
    text = failure.message if isinstance(failure, FailureError) else str(failure)
    return f"{kind}: {text}" if text else kind


def _passes_on(failure: BaseException) -> bool:
    """Whether it only says that something below has failed."""
    return isinstance(failure, ActivityError | ChildWorkflowError) or getattr(failure, "type", None) == BROKEN

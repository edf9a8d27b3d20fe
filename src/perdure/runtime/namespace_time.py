"""The clock of one namespace whose time skips, and what is known of it. `skipping.py` moves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from perdure.clock import Clock, Timer
from perdure.engine.execution import Item, Key, Kind
from perdure.errors import FailedPrecondition
from perdure.runtime.run import Run
from perdure.runtime.timekeeper import Answered, Refuse

PendingId = tuple[int, Kind, Key]
"""(run key, kind, key)"""

MAX_SKIPS = 100_000
"""Jumps that a namespace makes by itself, unless told otherwise."""
MAX_AWAITED = 10_000
"""Of so many things that clients wait for it is remembered that they had their budget."""
SPENT = (
    "The budget of skips is spent: time has skipped {} times, and what is waited for has not come. Does a schedule or a"
    " cron go on for ever? A larger budget: perdure test-server --skips, or PERDURE_SKIPS."
)


class Mode(Enum):
    """How the clock of a namespace moves, apart from `advance`."""

    SKIP = "skip"
    """By jumps, when it may."""
    MANUAL = "manual"
    """As real time does."""
    REAL = "real"
    """As real time does, and `advance` is refused."""


class SkippedClock:
    """Real time and an offset; it can stand still for a moment. Never goes back."""

    def __init__(self, clock: Clock, start_ns: int | None = None) -> None:
        self._clock = clock
        self._offset_ns = 0 if start_ns is None else start_ns - clock.now_ns()
        self._frozen_ns: int | None = None
        self._last_ns = 0

    def now_ns(self) -> int:
        if self._frozen_ns is not None:
            return self._frozen_ns
        self._last_ns = max(self._last_ns, self._clock.now_ns() + self._offset_ns)
        return self._last_ns

    def freeze_at(self, time_ns: int) -> None:
        """Stand still, at this time or, if it has passed, at the present one."""
        self._frozen_ns = self._last_ns = max(time_ns, self.now_ns())

    @property
    def frozen(self) -> bool:
        """Whether it stands still: what is due at this time is being done."""
        return self._frozen_ns is not None

    def thaw(self) -> None:
        """Go on from where it stood still."""
        if self._frozen_ns is not None:
            self._offset_ns = self._frozen_ns - self._clock.now_ns()
            self._frozen_ns = None

    def move_to(self, time_ns: int) -> None:
        """Be at this time, unless it has passed."""
        self.freeze_at(time_ns)
        self.thaw()

    def real_ns(self, time_ns: int) -> int:
        """When the server's clock will be there, if nothing jumps."""
        return time_ns - self._offset_ns


@dataclass(slots=True, eq=False)
class Advance:
    """An `advance` under way."""

    target_ns: int
    done: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class NamespaceTime:
    """The clock of one namespace, its deadlines, and what holds it."""

    clock: SkippedClock
    mode: Mode = Mode.SKIP
    skips_left: int = MAX_SKIPS
    budget: int = 0
    """What `skips_left` becomes when a client waits for what no client has waited for before; 0: nothing else."""
    awaited: set[tuple[str, ...]] = field(default_factory=set)
    """What clients have waited for."""
    refusals: dict[object, Refuse] = field(default_factory=dict)
    """How those who wait are told that the budget is spent."""
    skips: int = 0
    """Jumps made so far, by itself or by `advance`."""
    deadlines: list[tuple[int, int, PendingId]] = field(default_factory=list)
    due: dict[PendingId, int] = field(default_factory=dict)
    """The deadlines that stand: of the entries in `deadlines`, these alone count."""
    tasks: dict[PendingId, tuple[Run, Item]] = field(default_factory=dict)
    """Workflow and activity tasks that are ready or handed out."""
    holds: dict[object, str] = field(default_factory=dict)
    asked_since_ns: int = 0
    """When queries began to come, by the server's clock, one soon after the other and without progress; or 0."""
    asked_ns: int = 0
    """When the last one ended."""
    waits: dict[object, Answered | None] = field(default_factory=dict)
    advances: list[Advance] = field(default_factory=list)
    overlooked: set[object] = field(default_factory=set)
    """What does not hold the `advance` under way: it was there before, or takes too long."""
    blocking: dict[tuple[object, int], int] = field(default_factory=dict)
    """What holds it: a token and when it was started, to when it was first seen to, by the server's clock."""
    changed_ns: int = 0
    """When `blocking` changed last, by the server's clock."""
    outlasted: dict[PendingId, int] = field(default_factory=dict)
    """Tasks that took too long on its way, and how often."""
    progress_ns: int = 0
    """When something happened last, by the server's clock."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    alarm: Timer | None = None
    told: bool = False
    runner: asyncio.Task[None] | None = None
    expected: set[str] = field(default_factory=set)
    """Queues that are known to have a worker, even if it does not poll just now."""
    blocked: set[object] = field(default_factory=set)
    """What is known not to end by itself, so that `advance` does not wait for it; it holds time as always."""
    abandoned: set[tuple[PendingId, int]] = field(default_factory=set)
    """Tasks, by when they were started, that nobody will ever answer, so that they don't hold time."""
    gone: set[str] = field(default_factory=set)
    """Identities of workers that are gone without a word."""

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for what is not there yet."""
        return any(answered is None or not answered() for answered in self.waits.values())

    def allow(self, what: tuple[str, ...]) -> None:
        """A client waits for this: the first time, that has a budget of its own."""
        if self.budget and what not in self.awaited:
            if len(self.awaited) >= MAX_AWAITED:
                self.awaited.clear()
            self.awaited.add(what)
            self.skips_left = self.budget

    def refuse(self) -> None:
        """The budget is spent: tell those who wait, unless somebody watches the namespace who does."""
        if self.budget:
            for refuse in list(self.refusals.values()):
                refuse(FailedPrecondition(SPENT.format(self.budget)))

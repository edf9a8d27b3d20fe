"""One task queue in memory: what it holds for `matching`, which moves it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from perdure.clock import SECOND_NS, Timer
from perdure.engine.queues import level
from perdure.runtime.backlog import Backlog, Task
from perdure.runtime.rates import Limit, Rate


class Taken(Enum):
    """How it went when a poll took a task: it was served, the task was gone, or the worker was."""

    SERVED = auto()
    STALE = auto()
    GONE = auto()


@dataclass(slots=True, eq=False)
class Poll:
    """One worker's poll. `take(task)` tries to start a task for it; `take_query(query)` hands it a query, if it can.

    `per_second`: the limit that its worker sets for the whole queue; None: none. `since_ns` (when it came), `scaling`
    (how many polls more or fewer its worker should keep waiting) and `backlog` (tasks that wait behind the one it
    gets) are filled in by matching.
    """

    identity: str
    take: Callable[[Task], Awaitable[Taken]]
    take_query: Callable[[Any], bool] | None = None
    details: Any = None
    canceled: bool = False
    per_second: float | None = None
    since_ns: int = 0
    scaling: int = 0
    backlog: int = 0


@dataclass(slots=True)
class Poller:
    """Who polled a queue, and when last."""

    identity: str
    last_access_ns: int
    details: Any = None


@dataclass(slots=True, frozen=True)
class Scaling:
    """When workers are told to poll more or less: see the settings `matching.pollerScaling...`."""

    backlog_ns: int
    wait_ns: int
    decisions_per_second: float
    add_to_dispatch: float


@dataclass(slots=True, eq=False)
class Queue:
    """`loaded`: memory holds the head of the queue.

    `serving` counts the polls that are being given a task. `abandoned`: its worker has said that it leaves.
    `added` and `dispatched` measure tasks by priority, `held_back` how often a limit let a poll wait.
    """

    name: str
    tasks: Backlog = field(default_factory=Backlog)
    polls: deque[Poll] = field(default_factory=deque)
    queries: deque[Any] = field(default_factory=deque)
    pollers: dict[str, Poller] = field(default_factory=dict)
    last_poll_ns: int = 0
    loaded: bool = False
    loading: bool = False
    retrying: bool = False
    serving: int = 0
    abandoned: bool = False
    limit: Limit | None = None
    limit_of_worker: float | None = None
    alarm: Timer | None = None
    added: dict[int, Rate] = field(default_factory=dict)
    dispatched: dict[int, Rate] = field(default_factory=dict)
    held_back: Rate | None = None
    scaling: Limit | None = None

    @property
    def idle(self) -> bool:
        return not (self.polls or self.queries or self.serving or self.loading)

    def count_added(self, order: int, now_ns: int) -> None:
        """A task has come."""
        priority = level(order)
        rate = self.added.get(priority)
        if rate is None:
            rate = self.added[priority] = Rate(now_ns)
            self.dispatched[priority] = Rate(now_ns)
        rate.add(now_ns)

    def count_dispatched(self, order: int, now_ns: int) -> None:
        """A task has gone to a poll."""
        priority = level(order)
        rate = self.dispatched.get(priority)
        if rate is None:
            rate = self.dispatched[priority] = Rate(now_ns)
            self.added[priority] = Rate(now_ns)
        rate.add(now_ns)

    def set_limit(self, per_second: float | None, now_ns: int) -> None:
        """Let so many tasks a second through from now on; None: all."""
        if per_second is None:
            self.limit = None
        elif self.limit is None or self.limit.per_second != per_second:
            self.limit = Limit(per_second, before=self.limit, now_ns=now_ns)

    def serve(self, poll: Poll, now_ns: int, rules: Scaling) -> None:
        """Tell a poll that gets a task what its worker may want to know."""
        poll.backlog = len(self.tasks)
        poll.scaling = self.decide_scaling(poll, now_ns, rules)

    def decide_scaling(self, poll: Poll, now_ns: int, rules: Scaling) -> int:
        """How many polls more (1) or fewer (-1) the worker of a poll that gets a task should keep waiting."""
        if now_ns - poll.since_ns >= rules.wait_ns:
            return -1
        most = rules.decisions_per_second * max(1, len(self.pollers))
        if self.scaling is None or self.scaling.per_second != most:
            self.scaling = Limit(most, before=self.scaling, now_ns=now_ns)
        if self.scaling.ready_ns > now_ns:
            return 0
        self.scaling.take(now_ns)
        oldest_ns = self.tasks.oldest_ns()
        if oldest_ns and now_ns - min(oldest_ns.values()) > rules.backlog_ns:
            return 1
        added = sum(rate.per_second(now_ns) for rate in self.added.values())
        dispatched = sum(rate.per_second(now_ns) for rate in self.dispatched.values())
        return 1 if added > rules.add_to_dispatch * dispatched else 0

    def note_held_back(self, now_ns: int) -> None:
        """A limit lets a poll wait although there is a task."""
        if self.held_back is None or self.held_back.per_second(now_ns) == 0:
            self.held_back = Rate(now_ns - SECOND_NS)
        self.held_back.add(now_ns)

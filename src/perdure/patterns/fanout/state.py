"""What the workflows of a fan-out over pages hand to each other, and to their next runs.

Runs of older releases have these in their histories: fields are only added, with defaults. Annotations are no strings
here: inside a sandbox nobody could look them up.
"""

import asyncio
import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError

from perdure.patterns.compensation import activity_name
from perdure.patterns.fanout.flat import Child, begin_activity, is_workflow
from perdure.patterns.fanout.flight import BROKEN, Call, told
from perdure.patterns.options import Options

S = TypeVar("S")
ERRORS = 10
"""How many of the first errors are kept."""
STRETCHES = 5_000
"""How many stretches of what has not completed are kept."""
OPEN_END = -1


@dataclass
class CallSpec:
    """What to call: the name of an activity and its options (times in seconds), or a child workflow's."""

    name: str
    is_child: bool = False
    start_to_close_s: float = 0
    schedule_to_close_s: float = 0
    attempts: int = 1
    schedule_to_start_s: float | None = None
    heartbeat_s: float | None = None
    first_retry_s: float = 1
    backoff: float = 2
    longest_retry_s: float = 60
    never_retry: list[str] = field(default_factory=list)
    task_queue: str | None = None

    @classmethod
    def of(cls, fn: Callable[..., Any], options: Options) -> "CallSpec":
        """Of an activity, or the run method of a workflow."""
        if is_workflow(fn):
            return cls(getattr(fn, "__temporal_workflow_definition").name, is_child=True)
        return cls(
            activity_name(fn),
            start_to_close_s=options.start_to_close.total_seconds(),
            schedule_to_close_s=options.schedule_to_close.total_seconds(),
            attempts=options.attempts,
            schedule_to_start_s=_seconds(options.schedule_to_start),
            heartbeat_s=_seconds(options.heartbeat),
            first_retry_s=options.first_retry.total_seconds(),
            backoff=options.backoff,
            longest_retry_s=options.longest_retry.total_seconds(),
            never_retry=options.error_types(),
            task_queue=options.task_queue,
        )

    def options(self) -> Options:
        """Of the activity."""
        return Options(
            start_to_close=timedelta(seconds=self.start_to_close_s),
            schedule_to_close=timedelta(seconds=self.schedule_to_close_s),
            attempts=self.attempts,
            schedule_to_start=_time(self.schedule_to_start_s),
            heartbeat=_time(self.heartbeat_s),
            first_retry=timedelta(seconds=self.first_retry_s),
            backoff=self.backoff,
            longest_retry=timedelta(seconds=self.longest_retry_s),
            never_retry=tuple(self.never_retry),
            task_queue=self.task_queue,
        )

    def beginner(self) -> Callable[[str, Any], Call[Any]]:
        """What starts it for an item."""
        if self.is_child:
            return lambda key, item: Child(self.name, item, key).call()
        options = self.options()
        return lambda key, item: begin_activity(self.name, [item], key, options)


@dataclass
class Tally:
    """What has become of items: of a page, or of all."""

    pages: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)
    """The first ones, with their indexes."""
    left: list[list[int]] = field(default_factory=list)
    """What has not completed: first and last of each stretch."""
    left_known: bool = True
    folds: list[Any] = field(default_factory=list)
    """What was made of it, not merged yet."""

    def not_completed(self, index: int) -> None:
        """Indexes come in any order."""
        self._leave([index, index])

    def lost(self, stretches: list[list[int]], error: str) -> None:
        """Items of which nobody tells how they ended: they have failed."""
        for first, last in stretches:
            self.failed += last - first + 1
            self._leave([first, last])
            self.failed_with(first, error)

    def failed_with(self, index: int, error: str) -> None:
        self.errors = sorted([*self.errors, (index, error)])[:ERRORS]

    def add(self, other: "Tally") -> None:
        """That of one more page."""
        self.pages += other.pages
        self.completed += other.completed
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.skipped += other.skipped
        self.errors = sorted([*self.errors, *((index, error) for index, error in other.errors)])[:ERRORS]
        self.left_known = self.left_known and other.left_known
        self.folds.extend(other.folds)
        for stretch in other.left:
            self._leave(list(stretch))

    def _leave(self, stretch: list[int]) -> None:
        at = bisect.bisect(self.left, stretch)
        if at < len(self.left) and self.left[at][0] == stretch[1] + 1:
            stretch[1] = self.left.pop(at)[1]
        if at and self.left[at - 1][1] == stretch[0] - 1:
            self.left[at - 1][1] = stretch[1]
        elif len(self.left) < STRETCHES:
            self.left.insert(at, stretch)
        else:
            self.left_known = False


@dataclass
class PageRead:
    """What a leaf tells its tree as soon as it has read its page."""

    page: int
    items: int
    next: Any = None


@dataclass
class LeafResult:
    """What a leaf has done."""

    tally: Tally
    page: PageRead | None = None
    """None if it was stopped before it had read its page."""
    decided: str = ""
    """"failed" if it has failed too often, "cancelled" if it was stopped."""


@dataclass
class LeafState:
    """The work of one leaf: a page."""

    read: CallSpec
    call: CallSpec
    cursor: Any
    page: int
    first: int
    """The index of the page's first item."""
    key: str
    most: int
    """In flight at a time."""
    borne: int | None
    """How many failures don't end it."""
    fold: CallSpec | None = None
    only: list[list[int]] | None = None
    """Stretches of indexes that are to be done; None: all."""
    items_a_run: int = 1_000
    paused: bool = False
    version: int = 1
    told: PageRead | None = None
    rest: list[tuple[int, Any]] | None = None
    """What earlier runs have left, with indexes; None in the first."""
    tally: Tally = field(default_factory=Tally)


@dataclass
class TreeState:
    """The work of a tree: a leaf a page."""

    read: CallSpec
    call: CallSpec
    cursor: Any
    key: str
    most: int
    """In flight at a time, in all leaves."""
    leaves: int
    """At a time."""
    borne: int | None
    fold: CallSpec | None = None
    merge: CallSpec | None = None
    only: list[list[int]] | None = None
    items_a_run: int = 1_000
    leaves_a_run: int = 250
    merged_at_once: int = 50
    paused: bool = False
    version: int = 1
    page: int = 0
    """The next to read."""
    first: int = 0
    """The index of its first item."""
    more: bool = True
    """Whether there is a next page."""
    tally: Tally = field(default_factory=Tally)


@dataclass
class TreeResult:
    """What a tree has done."""

    tally: Tally
    read_all: bool
    decided: str = ""


def included(stretches: list[list[int]] | None, index: int) -> bool:
    """Whether the index is in one of the stretches."""
    if stretches is None:
        return True
    at = bisect.bisect(stretches, index, key=lambda each: each[0]) - 1
    return at >= 0 and (stretches[at][1] == OPEN_END or index <= stretches[at][1])


def within(stretches: list[list[int]] | None, first: int, last: int) -> list[list[int]]:
    """What the stretches have from the first index to the last."""
    if stretches is None:
        stretches = [[first, last]]
    cut = [[max(begin, first), last if end == OPEN_END else min(end, last)] for begin, end in stretches]
    return [each for each in cut if each[0] <= each[1]]


def from_index(stretches: list[list[int]] | None, index: int) -> list[list[int]] | None:
    """The stretches that have something at the index or after it."""
    if stretches is None:
        return None
    return [each for each in stretches if each[1] == OPEN_END or each[1] >= index]


async def settled(call: Call[Any]) -> bool:
    """Wait until a call has ended, whatever is cancelled; whether a cancellation came meanwhile."""
    cancelled = False
    while not call.future.done():
        try:
            await workflow.wait([call.future])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


def broken(error: BaseException, so_far: LeafResult | TreeResult) -> ApplicationError:
    """What a leaf or a tree raises, from what has broken it: it fails, and tells what was done until then."""
    return ApplicationError(told(error), so_far, type=BROKEN, non_retryable=True)


def done_before(failure: BaseException, kind: type[S]) -> S | None:
    """What a leaf or a tree had done that has failed; None if it could not tell, as when it was terminated."""
    cause = failure.__cause__ if isinstance(failure, ChildWorkflowError) else None
    if not isinstance(cause, ApplicationError) or cause.type != BROKEN:
        return None
    converter = workflow.payload_converter()
    result: S = converter.from_payload(converter.to_payload(cause.details[0]), kind)
    return result


def _seconds(time: timedelta | None) -> float | None:
    return None if time is None else time.total_seconds()


def _time(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)

"""Work for the tests of fan-outs, and the workflows that hand it out."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from perdure.patterns import (
        FanOut,
        FanOutFailed,
        FanOutPages,
        Fold,
        Outcome,
        Page,
        Pages,
        Summary,
        fan_out,
        idempotency_key,
        options,
        retry_failed,
    )

TWICE = options.quick.but(attempts=2, heartbeat=timedelta(seconds=5))


@dataclass
class Crowd:
    """What the outside sees."""

    effects: Counter = field(default_factory=Counter)
    """Attempts that acted, by key."""
    items: Counter = field(default_factory=Counter)
    running: int = 0
    most: int = 0
    """At the same time, ever."""
    ended: list = field(default_factory=list)
    fail: set = field(default_factory=set)
    """Items that fail for good."""
    block: set = field(default_factory=set)
    """Items that wait until they are cancelled, or no longer here."""
    cancelled: list = field(default_factory=list)
    reads: list = field(default_factory=list)
    unreadable: set = field(default_factory=set)
    unfoldable: set = field(default_factory=set)
    """Indexes whose pages can't be folded."""
    unmergeable: bool = False
    folded: Counter = field(default_factory=Counter)
    """How often an index was in a fold."""
    merges: int = 0


CROWD = Crowd()


def fresh():
    CROWD.__init__()
    return CROWD


@activity.defn
async def work(item: int) -> str:
    CROWD.running += 1
    CROWD.most = max(CROWD.most, CROWD.running)
    try:
        CROWD.effects[idempotency_key()] += 1
        CROWD.items[item] += 1
        while item in CROWD.block:
            activity.heartbeat()
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        if item in CROWD.fail:
            raise ApplicationError(f"no {item}", type="No", non_retryable=True)
        return f"done {item}"
    except asyncio.CancelledError:
        CROWD.cancelled.append(item)
        raise
    finally:
        CROWD.running -= 1
        CROWD.ended.append(item)


@workflow.defn
class Piece:
    """A child that does one."""

    @workflow.run
    async def run(self, item: int) -> str:
        return await workflow.execute_activity(work, item, **TWICE.config())


@dataclass
class Order:
    """What a test wants."""

    n: int
    most: int = 5
    on_error: Any = "fail_fast"
    children: bool = False
    stream: bool = False
    leave_after: int = 0
    """Leave the stream after so many."""
    again: bool = False
    sleep_between_s: int = 0


@dataclass
class Told:
    """An outcome, as a result of a workflow."""

    index: int
    state: str
    result: str | None
    error: str
    key: str


def tell(outcomes: list[Outcome[int, str]]) -> list[Told]:
    return [Told(each.index, each.state, each.result, each.error, each.key) for each in outcomes]


@workflow.defn
class Crowded:
    """One fan-out, as ordered."""

    def __init__(self) -> None:
        self.fan: FanOut[int, str] | None = None

    @workflow.run
    async def run(self, order: Order) -> list[Told]:
        if order.stream:
            return await self.streamed(order)
        fn = Piece.run if order.children else work
        opts = None if order.children else TWICE
        items = range(order.n)
        self.fan = fan_out(items, fn, max_in_flight=order.most, on_error=order.on_error, options=opts)
        try:
            outcomes = await self.fan
        except FanOutFailed as error:
            raise ApplicationError(error.message, tell(list(error.outcomes)), type=error.type) from error
        if order.again:
            await workflow.sleep(3600)
            outcomes = await retry_failed(outcomes, fn, on_error="collect", options=opts)
        return tell(outcomes)

    async def streamed(self, order: Order) -> list[Told]:
        told: list[Outcome[int, str]] = []
        stream = fan_out(
            range(order.n),
            work,
            max_in_flight=order.most,
            on_error=order.on_error,
            options=TWICE,
            as_completed=True,
        )
        self.fan = stream
        async with stream:
            async for outcome in stream:
                told.append(outcome)
                if order.sleep_between_s:
                    await workflow.sleep(order.sleep_between_s)
                if len(told) == order.leave_after:
                    break
        if order.leave_after:
            assert len(stream.outcomes) == order.n
            return tell(stream.outcomes)
        return tell(told)

    @workflow.query
    def outcomes(self) -> list[Told]:
        return tell(self.fan.outcomes) if self.fan else []


@activity.defn
async def shout(text: str) -> str:
    return text.upper()


@workflow.defn
class Spelled:
    """Gives a text for a list."""

    @workflow.run
    async def run(self, text: str) -> list[str]:
        return [each.unwrap() for each in await fan_out(text, shout)]


@workflow.defn
class Unordered:
    """Gives a set for a list."""

    @workflow.run
    async def run(self, texts: list[str]) -> list[str]:
        return [each.unwrap() for each in await fan_out(frozenset(texts), shout)]


WORKFLOWS = [Crowded, Piece, Spelled, Unordered]


# Over pages.


@dataclass
class At:
    """A cursor."""

    first: int
    n: int
    size: int


@activity.defn
async def read(at: At) -> Page[int, At]:
    CROWD.reads.append(at.first)
    if at.first in CROWD.unreadable:
        raise ApplicationError("no such page", type="Unreadable", non_retryable=True)
    end = min(at.n, at.first + at.size)
    return Page(list(range(at.first, end)), At(end, at.n, at.size) if end < at.n else None)


@dataclass
class Total:
    done: int = 0
    failed: int = 0
    sum: int = 0


@activity.defn
async def count(done: list[tuple[int, int, str]], failed: list[tuple[int, int, str]]) -> Total:
    assert all(result == f"done {item}" and index == item for index, item, result in done)
    assert all(error == f"No: no {item}" for _, item, error in failed)
    if CROWD.unfoldable & {index for index, _, _ in [*done, *failed]}:
        raise ApplicationError("no such fold", type="Unfoldable", non_retryable=True)
    CROWD.folded.update(index for index, _, _ in [*done, *failed])
    return Total(len(done), len(failed), sum(item for _, item, _ in done))


@activity.defn
async def add(totals: list[Total]) -> Total:
    CROWD.merges += 1
    if CROWD.unmergeable:
        raise ApplicationError("no such merge", type="Unmergeable", non_retryable=True)
    return Total(*(sum(getattr(each, name) for each in totals) for name in ("done", "failed", "sum")))


@dataclass
class Large:
    """What a test wants."""

    n: int
    size: int = 10
    most: int = 10
    children: int | None = None
    on_error: Any = "fail_fast"
    as_children: bool = False
    again: bool = False


@dataclass
class LargeTold:
    pages: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    read_all: bool
    errors: list[str]
    left: list[list[int]]
    folded: Total | None


def tell_large(summary: Summary[Total]) -> LargeTold:
    return LargeTold(
        summary.pages,
        summary.completed,
        summary.failed,
        summary.cancelled,
        summary.skipped,
        summary.read_all,
        [f"{each.index}: {each.error}" for each in summary.first_errors],
        summary.remaining.ranges,
        summary.folded,
    )


@workflow.defn
class CrowdedPages:
    """One fan-out over pages, as ordered."""

    @workflow.run
    async def run(self, order: Large) -> LargeTold:
        first = At(0, order.n, order.size)
        try:
            summary = await self.fan(order, Pages(read, first))
        except FanOutFailed as error:
            if error.summary is None or not order.again:
                details = [tell_large(error.summary)] if error.summary else []
                raise ApplicationError(error.message, *details, type=error.type) from error
            summary = error.summary
        if order.again:
            await workflow.sleep(3600)
            summary = await self.fan(order, Pages(read, first, only=summary.remaining))
        return tell_large(summary)

    def fan(self, order: Large, pages: Pages[int]) -> FanOutPages[Total]:
        fold = Fold(count, add)
        how: Any = {"max_in_flight": order.most, "on_error": order.on_error, "children": order.children}
        if order.as_children:
            return fan_out(pages, Piece.run, fold=fold, **how)
        return fan_out(pages, work, options=TWICE, fold=fold, **how)


LARGE = [CrowdedPages, Piece]
ACTIVITIES = [work, read, count, add]

"""Work for the tests of fan-outs, and the workflows that hand it out."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from perdure.patterns import FanOut, FanOutFailed, Outcome, fan_out, idempotency_key, options, retry_failed

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


WORKFLOWS = [Crowded, Piece]

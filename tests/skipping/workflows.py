"""What the programs run."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError
from temporalio.workflow import ActivityCancellationType

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MONTH = timedelta(days=30)
YEAR = timedelta(days=365)
STAGE = SearchAttributeKey.for_keyword("SkippedStage")
HOURLY = RetryPolicy(initial_interval=HOUR, backoff_coefficient=2)


class Outside:
    """What activities reach of the program that runs: its clock, and where to say that one hangs."""

    sleep: Callable[[timedelta], Awaitable[None]]
    hanging: asyncio.Queue[None]


@activity.defn
async def fails_until(attempt: int) -> int:
    if activity.info().attempt < attempt:
        raise ApplicationError("not yet")
    return activity.info().attempt


@activity.defn
async def hangs() -> None:
    Outside.hanging.put_nowait(None)
    await asyncio.Event().wait()


@activity.defn
async def takes(real_s: float) -> str:
    await asyncio.sleep(real_s)
    return "done"


@activity.defn
async def goes_quiet(quiet_s: float) -> int:
    """Beats once; the first attempt then lets so much time go by."""
    activity.heartbeat()
    if activity.info().attempt == 1:
        await Outside.sleep(timedelta(seconds=quiet_s))
    return activity.info().attempt


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, seconds: float) -> str:
        await workflow.sleep(seconds)
        return "awake"


@workflow.defn
class Timers:
    """So many timers, each an hour longer than the one before; tells in which order they fired."""

    @workflow.run
    async def run(self, number: int) -> list[int]:
        fired: list[int] = []

        async def wait(hours: int) -> None:
            await asyncio.sleep(hours * 3600)
            fired.append(hours)

        await asyncio.gather(*(wait(hours) for hours in range(number, 0, -1)))
        return fired


@workflow.defn
class Race:
    """A short timer against a long one, which is cancelled."""

    @workflow.run
    async def run(self) -> str:
        long = asyncio.create_task(asyncio.sleep(YEAR.total_seconds()))
        await asyncio.sleep(HOUR.total_seconds())
        long.cancel()
        return "short"


@workflow.defn
class Acts:
    """Runs an activity with the timeouts given, in seconds. Gives its result, or why there is none."""

    @workflow.run
    async def run(self, name: str, argument: Any, timeouts: dict[str, float], attempts: int, queue: str) -> str:
        options: dict[str, Any] = {key: timedelta(seconds=seconds) for key, seconds in timeouts.items()}
        policy = RetryPolicy(initial_interval=HOUR, backoff_coefficient=2, maximum_attempts=attempts)
        arguments = [] if argument is None else [argument]
        try:
            return str(
                await workflow.execute_activity(
                    name, args=arguments, task_queue=queue or None, retry_policy=policy, **options
                )
            )
        except ActivityError as error:
            cause = error.cause
            return cause.type.name if isinstance(cause, TimeoutError) and cause.type else str(cause)


@workflow.defn
class LocalActs:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_local_activity(
            fails_until, 3, start_to_close_timeout=timedelta(seconds=10), retry_policy=HOURLY
        )


@workflow.defn
class Deadline:
    """An activity that takes real time against a timer."""

    @workflow.run
    async def run(self) -> str:
        act = workflow.start_activity(takes, 0.3, start_to_close_timeout=DAY)
        try:
            return await asyncio.wait_for(act, HOUR.total_seconds())
        except builtins.TimeoutError:
            return "too late"


@workflow.defn
class Leaves:
    """Ends without waiting for its activity."""

    @workflow.run
    async def run(self) -> str:
        workflow.start_activity(hangs, start_to_close_timeout=DAY, cancellation_type=ActivityCancellationType.ABANDON)
        await workflow.sleep(0.01)
        return "left"


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, left: int) -> str:
        await workflow.sleep(MONTH)
        if left:
            workflow.continue_as_new(left - 1)
        return "end of the chain"


@workflow.defn
class Parent:
    """Has one child after the other, each a chain of two; between them continues as new if `renews`."""

    @workflow.run
    async def run(self, left: int, renews: bool) -> str:
        for _ in range(left):
            await workflow.execute_child_workflow(Chain.run, 1)
            if renews and left > 1:
                workflow.continue_as_new(args=[left - 1, renews])
        return "end of the line"


@workflow.defn
class Daily:
    @workflow.run
    async def run(self) -> str:
        return "a day"


@workflow.defn
class Flaky:
    @workflow.run
    async def run(self) -> int:
        if workflow.info().attempt < 3:
            raise ApplicationError("not yet")
        return workflow.info().attempt


@workflow.defn
class Box:
    """Waits for a signal; an update fills it, which takes a month."""

    def __init__(self) -> None:
        self.content = ""
        self.closed = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.closed)
        return self.content

    @workflow.signal
    def close(self, content: str) -> None:
        self.content += content
        self.closed = True

    @workflow.update
    async def fill(self, content: str) -> str:
        await workflow.sleep(MONTH)
        self.content += content
        return self.content


@workflow.defn
class Staged:
    @workflow.run
    async def run(self, name: str) -> None:
        workflow.upsert_search_attributes([STAGE.value_set(f"{name} early")])
        await workflow.sleep(YEAR)
        workflow.upsert_search_attributes([STAGE.value_set(f"{name} late")])


WORKFLOWS: list[type] = [
    Acts,
    Box,
    Chain,
    Daily,
    Deadline,
    Flaky,
    Leaves,
    LocalActs,
    Parent,
    Race,
    Sleeper,
    Staged,
    Timers,
]
ACTIVITIES: list[Callable[..., Any]] = [fails_until, goes_quiet, hangs, takes]

"""Every feature in skipped time: each deadline comes at its time, whatever made it, and takes none."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    WorkflowFailureError,
    WorkflowUpdateStage,
)
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType
from temporalio.worker import UnsandboxedWorkflowRunner

from perdure.testing import Env, Stalled

DAY = timedelta(days=1)
YEAR = timedelta(days=365)
SOON = timedelta(seconds=30)
"""What workers take, by the clock of the namespace, at most."""
ONCE = RetryPolicy(maximum_attempts=1)
STAGE = SearchAttributeKey.for_keyword("Stage")
PLAIN = UnsandboxedWorkflowRunner()


def about(duration: timedelta | None, expected: timedelta) -> bool:
    return duration is not None and expected <= duration < expected + SOON


@activity.defn
async def act(number: int) -> int:
    return number


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, seconds: float) -> datetime:
        await workflow.sleep(seconds)
        return workflow.now()


@workflow.defn
class Many:
    """So many timers of a year, each longer by so many seconds than the one before."""

    @workflow.run
    async def run(self, timers: int, apart: int) -> int:
        await asyncio.gather(*(asyncio.sleep(YEAR.total_seconds() + number * apart) for number in range(timers)))
        return timers


@workflow.defn
class Acts:
    """Runs an activity with the options given, in seconds."""

    @workflow.run
    async def run(self, options: dict[str, float], attempts: int = 0) -> str:
        timeouts: dict[str, Any] = {name: timedelta(seconds=seconds) for name, seconds in options.items()}
        policy = RetryPolicy(initial_interval=timedelta(hours=1), maximum_attempts=attempts)
        try:
            return str(await workflow.execute_activity(act, 1, retry_policy=policy, **timeouts))
        except ActivityError as error:
            cause = error.cause
            return str(cause.type.name if isinstance(cause, TimeoutError) and cause.type else cause)


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, left: int) -> int:
        await workflow.sleep(timedelta(days=30))
        if left:
            workflow.continue_as_new(left - 1)
        return left


@workflow.defn
class Parent:
    """Continues as new itself, too: each of its runs waits for a child that does."""

    @workflow.run
    async def run(self, left: int) -> None:
        await workflow.execute_child_workflow(Chain.run, 3, id=f"chain-{left}")
        if left:
            workflow.continue_as_new(left - 1)


@workflow.defn
class Counter:
    """Counts what it is told until it is closed."""

    def __init__(self) -> None:
        self.total = 0
        self.closed = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.total

    @workflow.signal
    async def close(self) -> None:
        self.closed = True

    @workflow.signal
    async def add(self, number: int) -> None:
        await workflow.sleep(DAY)
        self.total += number

    @workflow.update
    async def slowly(self, number: int) -> int:
        await workflow.sleep(30 * DAY)
        self.total += number
        return self.total

    @workflow.query
    def now_total(self) -> int:
        return self.total


@workflow.defn
class Staged:
    @workflow.run
    async def run(self) -> None:
        workflow.upsert_search_attributes([STAGE.value_set("early")])
        await workflow.sleep(YEAR)
        workflow.upsert_search_attributes([STAGE.value_set("late")])
        await workflow.sleep(YEAR)


def worker(perdure: Env, *activities: Any) -> Any:
    workflows = [Sleeper, Acts, Chain, Parent, Counter, Staged]
    return perdure.worker(*workflows, activities=activities or [act], workflow_runner=PLAIN)


@pytest.mark.perdure(replay=False)
@pytest.mark.parametrize(("number", "apart"), [(1_000, 0), (1_000, 1)])
async def test_a_thousand_timers_of_a_year(perdure: Env, number: int, apart: int) -> None:
    began = perdure.now()
    async with perdure.worker(Many, workflow_runner=PLAIN):
        handle = await perdure.start(Many.run, number, apart)
        assert await handle.result() == number
    timers = (await perdure.history(handle)).timers
    assert len(timers) == number and all(timer.duration == timer.delay for timer in timers)
    assert perdure.now() - began >= YEAR + timedelta(seconds=apart * (number - 1))


async def test_retries_of_activities_come_when_the_policy_says(perdure: Env) -> None:
    flaky = perdure.mock(act, raises=[ApplicationError("no")] * 3, returns=5)
    async with worker(perdure, flaky):
        handle = await perdure.start(Acts.run, args=[{"start_to_close_timeout": 60.0}])
        assert await handle.result() == "5"
    assert [call.attempt for call in flaky.calls] == [1, 2, 3, 4]
    gaps = [
        after.info.current_attempt_scheduled_time - before.info.started_time
        for before, after in itertools.pairwise(flaky.calls)
    ]
    assert [about(gap, timedelta(hours=2**number)) for number, gap in enumerate(gaps)] == [True] * 3


@pytest.mark.parametrize(
    ("timeouts", "attempts", "kind", "after_s"),
    [
        ({"start_to_close_timeout": 7200.0}, 1, TimeoutType.START_TO_CLOSE, 7200),
        (
            {"start_to_close_timeout": 80000.0, "schedule_to_close_timeout": 86400.0},
            2,
            TimeoutType.SCHEDULE_TO_CLOSE,
            86400,
        ),
        ({"start_to_close_timeout": 7200.0, "heartbeat_timeout": 600.0}, 1, TimeoutType.HEARTBEAT, 600),
    ],
    ids=lambda value: value.name if isinstance(value, TimeoutType) else "",
)
async def test_timeouts_of_an_activity_that_hangs(
    perdure: Env, timeouts: dict[str, float], attempts: int, kind: TimeoutType, after_s: int
) -> None:
    stuck = perdure.mock(act, blocks=True)
    async with worker(perdure, stuck):
        handle = await perdure.start(Acts.run, args=[timeouts, attempts])
        await stuck.called()
        await perdure.advance(timedelta(days=2))
        assert await handle.result() == kind.name
    step = (await perdure.history(handle)).activity("act")
    assert (step.status, about(step.duration, timedelta(seconds=after_s))) == ("timed out", True)


async def test_an_activity_that_no_worker_takes_times_out(perdure: Env) -> None:
    async with perdure.worker(Acts, workflow_runner=PLAIN):
        timeouts = {"start_to_close_timeout": 60.0, "schedule_to_start_timeout": 86400.0}
        handle = await perdure.start(Acts.run, args=[timeouts])
        assert await handle.result() == TimeoutType.SCHEDULE_TO_START.name
    assert about((await perdure.history(handle)).activity("act").duration, DAY)


async def test_a_long_activity_sees_time_stand_until_it_sleeps(perdure: Env) -> None:
    seen: list[datetime] = []

    async def sleeps(number: int) -> int:
        seen.append(perdure.now())
        await asyncio.sleep(0.05)
        seen.append(perdure.now())
        await perdure.advance(timedelta(minutes=50))
        seen.append(perdure.now())
        return number

    async with worker(perdure, perdure.mock(act, side_effect=sleeps)):
        sleeper = await perdure.start(Sleeper.run, 600.0)
        assert await perdure.execute(Acts.run, args=[{"start_to_close_timeout": 3600.0}]) == "1"
        assert (await sleeper.describe()).close_time is not None
    assert seen[1] - seen[0] < timedelta(minutes=1) and about(seen[2] - seen[1], timedelta(minutes=50))


async def test_a_heartbeat_timeout_from_inside_an_activity(perdure: Env) -> None:
    async def beats(number: int) -> int:
        activity.heartbeat()
        if activity.info().attempt == 1:
            await perdure.advance(timedelta(minutes=30))
        return number

    mocked = perdure.mock(act, side_effect=beats)
    async with worker(perdure, mocked):
        timeouts = {"start_to_close_timeout": 86400.0, "heartbeat_timeout": 600.0}
        assert await perdure.execute(Acts.run, args=[timeouts]) == "1"
    assert [call.attempt for call in mocked.calls] == [1, 2]


async def test_start_delay(perdure: Env) -> None:
    began = perdure.now()
    async with worker(perdure):
        ended = await perdure.execute(Sleeper.run, 60.0, start_delay=YEAR)
    assert about(ended.replace(tzinfo=UTC) - began, YEAR + timedelta(minutes=1))


async def test_cron(perdure: Env) -> None:
    ran: list[datetime] = []
    mocked = perdure.mock(act, side_effect=lambda number: ran.append(perdure.now()) or number)
    async with worker(perdure, mocked):
        await perdure.start(Acts.run, args=[{"start_to_close_timeout": 60.0}], cron_schedule="0 12 * * *")
        await perdure.advance(30 * DAY)
    assert len(ran) == 30 and all((moment.hour, moment.minute) == (12, 0) for moment in ran)


@pytest.mark.parametrize("option", ["run_timeout", "execution_timeout"])
async def test_timeouts_of_workflows(perdure: Env, option: str) -> None:
    async with worker(perdure):
        handle = await perdure.start(Sleeper.run, YEAR.total_seconds(), **{option: 30 * DAY})
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, TimeoutError)
    history = await perdure.history(handle)
    assert history.ended is not None
    assert abs(history.ended - history.began - 30 * DAY) <= timedelta(milliseconds=1)


async def test_children_that_continue_as_new_under_parents_that_do(perdure: Env) -> None:
    began = perdure.now()
    async with worker(perdure):
        await perdure.execute(Parent.run, 2)
    assert about(perdure.now() - began, 3 * 4 * 30 * DAY)
    assert len(await perdure.histories("chain-0")) == 4


async def test_an_accepted_update_that_sleeps_lets_time_skip(perdure: Env) -> None:
    began = perdure.now()
    async with worker(perdure):
        handle = await perdure.start(Counter.run)
        assert await handle.execute_update(Counter.slowly, 5) == 5
        assert about(perdure.now() - began, 30 * DAY)
        later = await handle.start_update(Counter.slowly, 2, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        assert await later.result() == 7
        await handle.signal(Counter.close)
        assert await handle.result() == 7


@pytest.mark.perdure(stall_s=3)
async def test_an_update_that_nobody_accepts_holds_time(perdure: Env) -> None:
    handle = await perdure.start(Sleeper.run, 60.0, task_queue="nobody")
    update = asyncio.create_task(handle.execute_update(Counter.slowly, 1, id="lost"))
    with pytest.raises(Stalled, match=r"update lost of workflow .* is not accepted yet"):
        await handle.result()
    with pytest.raises(Stalled):
        await update


async def test_signals_and_queries(perdure: Env) -> None:
    async with worker(perdure):
        handle = await perdure.start(Counter.run)
        for number in range(3):
            await handle.signal(Counter.add, number)
        await perdure.advance(timedelta(hours=23))
        assert await handle.query(Counter.now_total) == 0
        await perdure.advance(timedelta(hours=2))
        assert await handle.query(Counter.now_total) == 3
        await handle.signal(Counter.close)
        assert await handle.result() == 3


@pytest.mark.perdure(search_attributes=[STAGE])
async def test_search_attributes_and_listings_at_the_time_that_was_jumped_to(perdure: Env) -> None:
    async with worker(perdure):
        began = perdure.now()
        handle = await perdure.start(Staged.run)
        await perdure.advance(timedelta(hours=1))
        assert await count(perdure.client, "Stage = 'early'") == 1
        await perdure.advance(YEAR)
        assert await count(perdure.client, "Stage = 'early'") == 0
        assert await count(perdure.client, "Stage = 'late' AND ExecutionStatus = 'Running'") == 1
        await handle.result()
    later = (began + 2 * YEAR).isoformat()
    assert await count(perdure.client, f"CloseTime >= '{later}'") == 1
    [found] = [run async for run in perdure.client.list_workflows(f"WorkflowId = '{handle.id}'")]
    assert found.close_time is not None and about(found.close_time - found.start_time, 2 * YEAR)


async def count(client: Client, query: str) -> int:
    return (await client.count_workflows(query)).count


async def test_a_schedule_over_a_year(perdure: Env) -> None:
    async with worker(perdure):
        action = ScheduleActionStartWorkflow(Sleeper.run, 60.0, id="backup", task_queue="queue-1")
        schedule = Schedule(
            action=action,
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=7 * DAY)]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
        )
        handle = await perdure.client.create_schedule("weekly", schedule)
        await perdure.advance(YEAR)
        info = (await handle.describe()).info
        await handle.delete()
    assert info.num_actions in (52, 53)
    runs = await perdure.histories()
    assert {run.status for run in runs} == {"completed"} and len(runs) == info.num_actions
    assert {after.began - before.began for before, after in itertools.pairwise(runs)} == {7 * DAY}


async def test_many_workflows_at_once_in_the_order_of_their_deadlines(perdure: Env) -> None:
    async with worker(perdure):
        handles = [await perdure.start(Sleeper.run, float(3600 * (50 - number))) for number in range(50)]
        ended = await asyncio.gather(*(handle.result() for handle in handles))
    assert ended == sorted(ended, reverse=True)


async def test_retention_attracts_no_jump_and_takes_no_history(perdure: Env) -> None:
    async with worker(perdure):
        first = await perdure.start(Sleeper.run, 1.0)
        await first.result()
        await perdure.execute(Sleeper.run, 50 * YEAR.total_seconds())
        assert (await perdure.history(first)).status == "completed"


async def test_one_namespace_neither_moves_nor_holds_another(perdure: Env, perdure_host: Any) -> None:
    other = Env(perdure_host, name="other")
    stuck = other.mock(act, blocks=True)
    began = other.now()
    async with worker(perdure), worker(other, stuck):
        await other.start(Acts.run, args=[{"start_to_close_timeout": 3600.0}])
        await stuck.called()
        await perdure.execute(Sleeper.run, YEAR.total_seconds())
        assert other.now() - began < timedelta(minutes=10)
        stuck.release()
    other.finish()

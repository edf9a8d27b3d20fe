"""Long activities: they go on where the last attempt was, hang for a short time only, and can be cancelled."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment

from perdure.patterns import options, progress

JOB = options.long_job.but(heartbeat=timedelta(seconds=3), first_retry=timedelta(milliseconds=10), attempts=3)
STALL = timedelta(seconds=1)


@dataclass
class Cursor:
    row: int


ROWS = []
"""(attempt, row) as they were done."""


@activity.defn(name="load")
async def load(total: int) -> int:
    async with progress(Cursor, stall_timeout=STALL) as p:
        cursor = p.cursor or Cursor(0)
        while cursor.row < total:
            cursor = Cursor(cursor.row + 1)
            ROWS.append((activity.info().attempt, cursor.row))
            p.save(cursor)
            if cursor.row == 3:
                await asyncio.Event().wait()
    return cursor.row


@activity.defn(name="load")
def load_sync(total: int) -> int:
    with progress(Cursor, stall_timeout=STALL) as p:
        cursor = p.cursor or Cursor(0)
        while cursor.row < total:
            cursor = Cursor(cursor.row + 1)
            ROWS.append((activity.info().attempt, cursor.row))
            p.save(cursor)
            if cursor.row == 3:
                activity.wait_for_cancelled_sync(30)
                p.alive()
    return cursor.row


@workflow.defn(sandboxed=False)
class Load:
    @workflow.run
    async def run(self, total: int) -> int:
        return await workflow.execute_activity(load, total, **JOB.config())


@pytest.mark.perdure(time="real")
@pytest.mark.parametrize("fn", [load, load_sync], ids=["async", "sync"])
async def test_work_that_hangs_is_taken_up_at_the_cursor(perdure, fn):
    ROWS.clear()
    at_once = timedelta(milliseconds=10)  # or the last row would be told only shortly before the heartbeat is missed
    async with perdure.worker(Load, activities=[fn], max_heartbeat_throttle_interval=at_once):
        assert await perdure.execute(Load.run, 5) == 5
    assert [row for _, row in ROWS] == [1, 2, 3, 4, 5]
    [hung] = [attempt for attempt, row in ROWS if row == 3]
    assert all(attempt > hung for attempt, row in ROWS if row > 3)


@workflow.defn(sandboxed=False)
class Bare:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(load, 1, **options.quick.config())


def environment(**info):
    env = ActivityEnvironment()
    env.info = replace(env.info, **{"heartbeat_timeout": timedelta(seconds=0.03), **info})
    return env


async def test_heartbeats_come_while_work_moves_and_stop_when_it_stalls():
    beats = []

    async def work():
        async with progress(Cursor, stall_timeout=timedelta(seconds=0.5)) as p:
            p.save(Cursor(1))
            await beats_by_itself(p)
            while not p.stalled:
                await asyncio.sleep(0.01)
            told = len(beats)
            await asyncio.sleep(0.05)
            assert len(beats) == told
            await beats_by_itself(p)

    async def beats_by_itself(p):
        """Until heartbeats come between two signs of life, which are heartbeats themselves."""
        while True:
            p.alive()
            told = len(beats)
            await asyncio.sleep(0.05)
            if len(beats) > told:
                return

    env = environment()
    env.on_heartbeat = lambda *details: beats.append(details)
    await env.run(work)
    assert beats[-1] == (Cursor(1),)


@pytest.mark.parametrize("details", [[], [{"row": 1}]])
async def test_what_is_changed_in_a_cursor_and_not_saved_is_not_told(details):
    beats = []

    async def work():
        async with progress(Cursor, stall_timeout=timedelta(minutes=1)) as p:
            cursor = p.cursor or Cursor(1)
            if not details:
                p.save(cursor)
            cursor.row = 2
            told = len(beats)
            while len(beats) < told + 2:
                await asyncio.sleep(0.01)
            p.save(cursor)

    env = environment(heartbeat_details=details)
    env.on_heartbeat = lambda *details: beats.append(details)
    await env.run(work)
    assert {cursor.row for beat in beats[:-1] for cursor in beat} == {1}
    assert beats[-1] == (Cursor(2),)


async def test_without_a_heartbeat_timeout_it_refuses_to_run():
    async def work():
        progress(Cursor, stall_timeout=STALL)

    with pytest.raises(ApplicationError, match="no heartbeat timeout") as raised:
        await environment(heartbeat_timeout=None).run(work)
    assert raised.value.non_retryable


async def test_a_cursor_of_another_type_is_refused():
    async def work():
        return progress(Cursor, stall_timeout=STALL).cursor

    assert await environment(heartbeat_details=[{"row": 7}]).run(work) == Cursor(7)
    with pytest.raises(ApplicationError, match="is no Cursor"):
        await environment(heartbeat_details=["seven"]).run(work)


async def test_a_cancellation_reaches_the_work():
    async def work():
        async with progress(Cursor, stall_timeout=timedelta(minutes=1)):
            env.cancel()
            await asyncio.Event().wait()

    env = environment()
    with pytest.raises(asyncio.CancelledError):
        await env.run(work)


def test_a_cancellation_reaches_sync_work_when_it_saves():
    def work():
        with progress(Cursor, stall_timeout=timedelta(minutes=1)) as p:
            p.save(Cursor(1))
            env.cancel()
            p.save(Cursor(2))

    env = environment()
    with pytest.raises(CancelledError):
        env.run(work)


async def test_a_workflow_without_the_timeout_is_told(perdure):
    async with perdure.worker(Bare, activities=[load]):
        with pytest.raises(WorkflowFailureError) as raised:
            await perdure.execute(Bare.run)
    assert "no heartbeat timeout" in str(raised.value.cause.cause)

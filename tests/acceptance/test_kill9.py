"""What the server acknowledged survives a SIGKILL; time that passes while it is away counts; a crowd is served.

PERDURE_SWEEP=1 runs the full sizes.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from examples.processes import ServerProcess, answering
from rich.console import Console
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, RetryConfig
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from tests.acceptance.kill9 import EXPECTED, LEAST_CALLS, differences, kill_and_compare

SWEEP = bool(os.environ.get("PERDURE_SWEEP"))
KILLS = 50 if SWEEP else 3
CROWD = 1000 if SWEEP else 200
DELAY = timedelta(seconds=4)
"""Long enough for the kill to come before it is over, on a busy machine too."""
TASK_QUEUE = "kill9-others"


@pytest.mark.timeout(1800 if SWEEP else 180)
async def test_what_was_acknowledged_survives_every_kill(server: ServerProcess, tmp_path: Path) -> None:
    outcome = await kill_and_compare(server, tmp_path, KILLS, seed=1)
    Console().print(*outcome.tables())
    assert outcome.problems == []
    assert len(outcome.kills) == KILLS
    assert all(kill.changes >= LEAST_CALLS for kill in outcome.kills)
    assert set(outcome.acknowledged) == {"start", "signal", "activity", "result"}
    assert outcome.acknowledged["start"] == outcome.acknowledged["result"] == outcome.workflows


def test_a_lost_and_a_doubled_call_are_found() -> None:
    noted, found = Counter(EXPECTED), Counter(EXPECTED)
    assert differences("w", noted, found) == []
    found["signal", "s1"] = 2
    del found["activity", "a0"]
    assert differences("w", noted, found) == [
        "activity 'a0' of w: 0 times in its history",
        "signal 's1' of w: 2 times in its history",
    ]


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(DELAY)
        return "awake"


@activity.defn
async def second_time_lucky() -> int:
    if activity.info().attempt == 1:
        raise ApplicationError("not yet")
    return activity.info().attempt


@workflow.defn
class Retrier:
    @workflow.run
    async def run(self) -> int:
        retry = RetryPolicy(initial_interval=DELAY)
        return await workflow.execute_activity(
            second_time_lucky, start_to_close_timeout=timedelta(seconds=10), retry_policy=retry
        )


@workflow.defn
class OneActivity:
    @workflow.run
    async def run(self, number: int) -> int:
        return await workflow.execute_activity(square, number, start_to_close_timeout=timedelta(minutes=5))


@activity.defn
async def square(number: int) -> int:
    return number * number


def worker(client: Client, sticky_timeout_s: float = 1) -> Worker:
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Sleeper, Retrier, OneActivity],
        activities=[second_time_lucky, square],
        workflow_runner=UnsandboxedWorkflowRunner(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=sticky_timeout_s),
    )


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():
        await asyncio.sleep(0.05)


async def event_counts(client: Client, workflow_id: str) -> Counter[int]:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return Counter(event.event_type for event in history.events)


async def test_timers_and_retries_that_fall_due_while_nobody_is_up_are_right_afterwards(server: ServerProcess) -> None:
    await server.start_and_wait()
    client = await answering(server.address, server)

    async def timer_started() -> bool:
        return (await event_counts(client, "sleeper"))[EventType.EVENT_TYPE_TIMER_STARTED] == 1

    async def waiting_for_second_attempt(retrier: str) -> bool | None:
        """None: it has got what it waited for, which a busy machine may miss."""
        described = await client.get_workflow_handle(retrier).describe()
        if described.close_time is not None:
            return None
        return [pending.attempt for pending in described.raw_description.pending_activities] == [2]

    async def one_that_waits() -> str:
        while True:
            retrier = f"retrier-{uuid.uuid4()}"
            await client.start_workflow(Retrier.run, id=retrier, task_queue=TASK_QUEUE)
            while (waits := await waiting_for_second_attempt(retrier)) is False:
                await asyncio.sleep(0.05)
            if waits:
                return retrier

    async def timer_fired() -> bool:
        return (await event_counts(client, "sleeper"))[EventType.EVENT_TYPE_TIMER_FIRED] == 1

    async with worker(client):
        await client.start_workflow(Sleeper.run, id="sleeper", task_queue=TASK_QUEUE)
        await until(timer_started)
        retrier = await one_that_waits()
    server.kill()
    due = time.monotonic() + DELAY.total_seconds()
    await asyncio.sleep(due - time.monotonic())

    await server.start_and_wait()
    client = await answering(server.address, server)
    await until(timer_fired)
    async with worker(client):
        assert await client.get_workflow_handle("sleeper").result() == "awake"
        assert await client.get_workflow_handle(retrier).result() == 2

    history = await client.get_workflow_handle("sleeper").fetch_history()
    at = {event.event_type: event.event_time.ToDatetime() for event in history.events}
    assert at[EventType.EVENT_TYPE_TIMER_FIRED] - at[EventType.EVENT_TYPE_TIMER_STARTED] >= DELAY
    assert (await event_counts(client, "sleeper"))[EventType.EVENT_TYPE_TIMER_FIRED] == 1
    attempts = await event_counts(client, retrier)
    assert attempts[EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED] == 1
    assert attempts[EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED] == 1


@pytest.mark.timeout(600 if SWEEP else 180)
async def test_a_crowd_that_starts_at_once_completes_without_a_failed_call(server: ServerProcess) -> None:
    await server.start_and_wait()
    await answering(server.address, server)
    client = await Client.connect(server.address, retry_config=RetryConfig(max_retries=1))

    async with worker(client, sticky_timeout_s=60):
        crowd = [
            client.execute_workflow(OneActivity.run, number, id=f"crowd-{number}", task_queue=TASK_QUEUE)
            for number in range(CROWD)
        ]
        assert await asyncio.gather(*crowd) == [number * number for number in range(CROWD)]

    timeouts = {EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT, EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT}
    for number in range(CROWD):
        assert not timeouts & (await event_counts(client, f"crowd-{number}")).keys()

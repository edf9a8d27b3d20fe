"""Time that skips, with the real SDK: what takes years there takes milliseconds here, and happens at its exact time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from temporalio import activity, workflow
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from perdure.config import Settings, Skipping
from perdure.runtime.skipping import SkippedTime
from perdure.server import Server

QUEUE = "skipped"
YEAR = timedelta(days=365)
RETRIES = RetryPolicy(initial_interval=timedelta(hours=1), backoff_coefficient=2)


@activity.defn
async def charge(month: int) -> int:
    if activity.info().attempt < 3:
        raise ApplicationError("declined")
    return month


@activity.defn
async def hang() -> None:
    await asyncio.Event().wait()


@workflow.defn
class Subscription:
    @workflow.run
    async def run(self) -> list[datetime]:
        charged = []
        for month in range(12):
            await workflow.sleep(timedelta(days=30))
            await workflow.execute_activity(
                charge, month, start_to_close_timeout=timedelta(minutes=1), retry_policy=RETRIES
            )
            charged.append(workflow.now())
        return charged


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, seconds: float) -> datetime:
        await workflow.sleep(seconds)
        return workflow.now()


@workflow.defn
class Patient:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(YEAR)

    @workflow.update
    async def ask(self, what: str) -> str:
        return what

    @ask.validator
    def validate_ask(self, what: str) -> None:
        if not what:
            raise ValueError("what?")


@workflow.defn
class Hanging:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            hang, start_to_close_timeout=timedelta(hours=6), retry_policy=RetryPolicy(maximum_attempts=1)
        )


@workflow.defn
class Chain:
    """Continues as new each month."""

    @workflow.run
    async def run(self, left: int) -> datetime:
        await workflow.sleep(timedelta(days=30))
        if left:
            workflow.continue_as_new(left - 1)
        return workflow.now()


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> datetime:
        return await workflow.execute_child_workflow(Chain.run, 11, id="chain")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(skipping=Skipping.UNLOCKED, namespaces=["other"]) as server:
        yield server


def times(server: Server) -> SkippedTime:
    assert server.time is not None
    return server.time


def now_ns(server: Server, namespace: str = "default") -> int:
    return times(server).of(server.namespace_id(namespace)).clock.now_ns()


def worker(client: Client) -> Worker:
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[Subscription, Sleeper, Patient, Hanging, Chain, Parent],
        activities=[charge, hang],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


async def first_event_time(handle: WorkflowHandle[Subscription, list[datetime]]) -> datetime:
    history = await handle.fetch_history()
    return history.events[0].event_time.ToDatetime()


async def test_a_year_with_retries_is_exact(server: Server) -> None:
    client = await server.client()
    async with worker(client):
        handle = await client.start_workflow(Subscription.run, id="year", task_queue=QUEUE)
        charged = await handle.result()
        began = await first_event_time(handle)
    month = timedelta(days=30, hours=3)  # a timer, and the two retries of the charge
    off = [abs(at.replace(tzinfo=None) - began - month * (number + 1)) for number, at in enumerate(charged)]
    assert max(off) < timedelta(seconds=30)


async def test_each_deadline_of_a_jump_comes_at_its_time(server: Server) -> None:
    client = await server.client()
    async with worker(client):
        handles = [
            await client.start_workflow(Sleeper.run, YEAR.total_seconds() + n, id=f"s{n}", task_queue=QUEUE)
            for n in range(20)
        ]
        await asyncio.gather(*(handle.result() for handle in handles))
        for handle in handles:
            events = (await handle.fetch_history()).events
            [started] = [e for e in events if e.HasField("timer_started_event_attributes")]
            [fired] = [e for e in events if e.HasField("timer_fired_event_attributes")]
            wait = started.timer_started_event_attributes.start_to_fire_timeout
            assert fired.event_time.ToNanoseconds() - started.event_time.ToNanoseconds() == wait.ToNanoseconds()


async def test_children_that_continue_as_new(server: Server) -> None:
    client = await server.client()
    async with worker(client):
        before = now_ns(server)
        await client.execute_workflow(Parent.run, id="parent", task_queue=QUEUE)
    assert now_ns(server) - before >= 12 * 30 * 86_400 * 1_000_000_000


async def test_a_namespace_does_not_move_another(server: Server) -> None:
    client, other = await server.client(), await server.client("other")
    async with worker(client), worker(other):
        stays = await other.start_workflow(Sleeper.run, 3600, id="stays", task_queue=QUEUE)
        await client.execute_workflow(Sleeper.run, YEAR.total_seconds(), id="goes", task_queue=QUEUE)
        assert now_ns(server) - now_ns(server, "other") > 300 * 86_400 * 1_000_000_000
        assert (await stays.describe()).close_time is None
        await times(server).advance(int(3600e9), server.namespace_id("other"))
        assert (await stays.describe()).close_time is not None


async def test_a_hanging_activity_holds_time_and_advance_fires_its_timeout(server: Server) -> None:
    client = await server.client()
    async with worker(client):
        handle = await client.start_workflow(Hanging.run, id="hangs", task_queue=QUEUE)
        result = asyncio.create_task(handle.result())
        namespace_id = server.namespace_id("default")
        while not any("activity hang" in why for why in times(server).holding(namespace_id)):
            await asyncio.sleep(0.01)
        before = now_ns(server)
        await times(server).advance(int(7 * 3600e9), namespace_id)
        with pytest.raises(WorkflowFailureError):
            await result
        assert now_ns(server) - before >= 7 * 3600e9


async def test_nothing_moves_while_locked_or_unwatched(server: Server) -> None:
    client = await server.client()
    async with worker(client):
        handle = await client.start_workflow(Sleeper.run, YEAR.total_seconds(), id="locked", task_queue=QUEUE)
        while "nobody waits for a workflow" not in times(server).holding(server.namespace_id("default")):
            await asyncio.sleep(0.01)
        times(server).lock()
        result = asyncio.create_task(handle.result())
        while "nobody waits for a workflow" in times(server).holding(server.namespace_id("default")):
            await asyncio.sleep(0.01)
        assert "time skipping is locked" in "".join(times(server).holding(server.namespace_id("default")))
        assert not result.done()
        times(server).unlock()
        await result


@pytest.mark.parametrize("what", ["", "something"], ids=["rejected", "completed"])
async def test_time_stands_once_an_update_is_answered(server: Server, what: str) -> None:
    client = await server.client()
    async with worker(client):
        handle = await client.start_workflow(Patient.run, id="patient", task_queue=QUEUE)
        before = now_ns(server)
        try:
            assert await handle.execute_update(Patient.ask, what) == what
        except WorkflowUpdateFailedError:
            assert not what
        assert now_ns(server) - before < 3600e9
        await handle.result()
        assert now_ns(server) - before > 364 * 86_400e9


async def test_time_stands_once_a_workflow_has_ended(server: Server) -> None:
    client = await server.client()
    async with worker(client):
        sleeps = await client.start_workflow(Sleeper.run, YEAR.total_seconds(), id="sleeps", task_queue=QUEUE)
        before = now_ns(server)
        await client.execute_workflow(Sleeper.run, 3600, id="short", task_queue=QUEUE)
        assert 3600e9 <= now_ns(server) - before < 7200e9
        assert (await sleeps.describe()).close_time is None


async def test_an_endless_cron_stops_at_the_budget(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    client = await server.client()
    time = times(server).of(server.namespace_id("default"))
    time.skips_left, time.budget = 5, 0
    async with worker(client):
        with caplog.at_level(logging.WARNING):
            handle = await client.start_workflow(Sleeper.run, 1.0, id="cron", task_queue=QUEUE, cron_schedule="@daily")
            result = asyncio.create_task(handle.result())
            while "budget of skips is spent" not in caplog.text:
                await asyncio.sleep(0.01)
            result.cancel()
    assert time.skips == 5


async def test_the_test_service_moves_clocks_that_nobody_has_looked_at(server: Server) -> None:
    client, day_ns = await server.client(), 86_400 * 1_000_000_000
    tests = client.service_client.test_service
    before = (await tests.get_current_time(Empty())).time.ToNanoseconds()
    await tests.sleep(SleepRequest(duration=Duration(seconds=86_400)))
    told = (await tests.get_current_time(Empty())).time.ToNanoseconds()
    assert day_ns <= told - before < day_ns + 3600e9
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace="new", workflow_execution_retention_period=Duration(seconds=86_400))
    )
    new = await server.client("new")
    async with worker(client), worker(new):
        for each in (client, new):
            handle = await each.start_workflow(Sleeper.run, 1.0, id="sleeps", task_queue=QUEUE)
            await handle.result()
            events = (await handle.fetch_history()).events
            assert told <= events[0].event_time.ToNanoseconds() < told + 3600e9


async def test_who_waits_is_told_that_the_budget_is_spent_and_the_next_has_one_again() -> None:
    async with Server(Settings(port=0, skipping=Skipping.UNLOCKED, skips=5)) as server:
        client = await server.client()
        async with worker(client):
            for number in range(3):
                await client.execute_workflow(Sleeper.run, YEAR.total_seconds(), id=f"s{number}", task_queue=QUEUE)
                with pytest.raises(RPCError, match="budget of skips is spent: time has skipped 5 times") as raised:
                    await client.execute_workflow(
                        Sleeper.run, 1.0, id=f"cron-{number}", task_queue=QUEUE, cron_schedule="@daily"
                    )
                assert raised.value.status is RPCStatusCode.FAILED_PRECONDITION
                await client.get_workflow_handle(f"cron-{number}").terminate()

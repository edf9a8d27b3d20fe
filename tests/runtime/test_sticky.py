"""Workflow tasks whose worker is away: in a sticky queue, or in a poll that broke at its reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice import v1 as api
from tests.engine.driver import schedule_activity, token
from tests.runtime.test_durable_answers import Answered, Edge
from tests.runtime.test_executor import PLENTY, World, turns, within

from perdure.clock import SECOND_NS, SeededIds
from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.queues import workflow_queue
from perdure.rpc.workflow.activity_tasks import ActivityTasks
from perdure.rpc.workflow.workflow_tasks import hint
from perdure.runtime.backlog import Task
from perdure.runtime.queue import Poll, Taken
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime
from perdure.runtime.sticky import RECONNECT_NS


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.open()
    yield world
    await world.runtime.stop()


async def _sticky_run(world: World) -> Run:
    """A run whose worker polled its sticky queue, and went."""
    run = await world.start("w")
    world.start_task(run)
    task = run.execution.pending_workflow_task
    assert task is not None
    sticky = StickyExecutionAttributes(
        worker_task_queue=TaskQueue(name="mine"), schedule_to_start_timeout=Duration(seconds=3600)
    )
    request = api.RespondWorkflowTaskCompletedRequest(identity="worker", sticky_attributes=sticky)
    world.executor.apply(run, inputs.CompleteWorkflowTask(*token(task), request=request))
    await world.executor.settled(run)
    return run


def _poll(world: World, name: str) -> asyncio.Queue[Task]:
    given: asyncio.Queue[Task] = asyncio.Queue()

    async def take(task: Task) -> Taken:
        given.put_nowait(task)
        return Taken.SERVED

    world.runtime.matching.poll(workflow_queue(world.namespace.id, name), Poll("worker", take))
    return given


def _leave(world: World, name: str) -> None:
    matching = world.runtime.matching
    queue = matching._queues[workflow_queue(world.namespace.id, name)]
    matching.withdraw(queue.name, queue.polls[0])


async def _restart(world: World) -> None:
    """The server is killed and comes up again on what is stored."""
    await world.executor.close()
    await world.runtime.sticky.stop()
    await world.runtime.time.stop()
    world.runtime.matching.stop()
    runtime = await Runtime.open(world.storage, world.clock, SeededIds(2), Dynamic(), cache_bytes=PLENTY)  # type: ignore[arg-type]
    world.runtime, world.executor = runtime, runtime.executor
    runtime.start()
    await turns()


async def test_a_task_for_a_worker_that_is_away_goes_to_the_normal_queue_even_if_nobody_polls_that(world: World):
    run = await _sticky_run(world)
    await world.signal("w")
    await world.executor.flushed()
    stored = await world.stored(run.run_key)
    assert stored is not None and stored.pending_workflow_task is not None
    assert stored.pending_workflow_task.queue == workflow_queue(world.namespace.id, "q")
    await _restart(world)
    assert (await within(world.poll().get()))[1] == run.run_key


async def test_after_a_restart_a_task_does_not_wait_for_a_worker_that_has_gone(world: World):
    _poll(world, "mine")
    run = await _sticky_run(world)
    _leave(world, "mine")
    await world.signal("w")
    await _restart(world)
    given = world.poll()
    await turns()
    assert given.empty()
    world.clock.advance(RECONNECT_NS)
    assert (await within(given.get()))[1] == run.run_key


async def test_after_a_restart_a_worker_that_comes_back_soon_gets_its_task(world: World):
    _poll(world, "mine")
    run = await _sticky_run(world)
    _leave(world, "mine")
    await world.signal("w")
    await _restart(world)
    assert (await within(_poll(world, "mine").get()))[1] == run.run_key
    given = world.poll()
    world.clock.advance(RECONNECT_NS)
    await turns()
    assert given.empty()


class Broken(Answered):
    """A call whose client is gone when the reply comes, and not before."""

    def reply(self, message: bytes) -> bool:
        self.done = True
        return False


async def test_a_workflow_task_whose_poll_broke_at_the_reply_is_handed_out_again_at_once(world: World):
    edge = Edge(world)
    broken = Broken()
    edge.poll_with(broken)
    run = await world.start("w")
    await turns()
    assert broken.done
    call = edge.poll()
    await within(call.answer)
    task = run.execution.pending_workflow_task
    assert task is not None and task.started_ns and task.attempt == 2
    assert world.clock.now_ns() < task.started_ns + SECOND_NS


async def test_a_workflow_task_that_could_not_be_read_is_handed_out_again(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    edge = Edge(world)

    whole, failures = edge.tasks.response, ["not now"]

    async def unreadable_once(*args: Any, **options: Any) -> bytes:
        if failures:
            raise OSError(failures.pop())
        return await whole(*args, **options)

    monkeypatch.setattr(edge.tasks, "response", unreadable_once)
    call = edge.poll()
    run = await world.start("w")
    await within(call.answer)
    task = run.execution.pending_workflow_task
    assert task is not None and task.attempt == 2


async def test_an_activity_whose_poll_broke_at_the_reply_is_handed_out_again_at_once(world: World):
    edge = Edge(world)
    tasks = ActivityTasks(world.runtime, edge.polls)
    request = api.PollActivityTaskQueueRequest(namespace="default", task_queue=TaskQueue(name="q"), identity="me")
    run = await world.start("w")
    world.start_task(run)
    await world.complete_task(run, schedule_activity("a", start_to_close=60))
    broken = Broken()
    tasks.poll_activity_task_queue(request, broken)
    await turns()
    await world.executor.flushed()
    assert broken.done
    call = Answered()
    tasks.poll_activity_task_queue(request, call)
    task = api.PollActivityTaskQueueResponse.FromString(await within(call.answer))
    assert (task.activity_id, task.attempt) == ("a", 1)


def test_a_sticky_poll_hears_of_no_backlog() -> None:
    """The Go SDK polls nothing but its sticky queue while that has a backlog, as far as it has heard."""
    poll = Poll("worker", lambda task: asyncio.sleep(0, Taken.SERVED))
    poll.backlog = 7
    for sticky, told in ((True, 0), (False, 7)):
        response = api.PollWorkflowTaskQueueResponse()
        hint(response, poll, sticky=sticky)
        assert response.backlog_count_hint == told

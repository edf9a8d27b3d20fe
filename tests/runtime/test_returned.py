"""Tasks that come with other replies, when nobody is there to take the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice import v1 as api
from tests.runtime.conversation import conversation
from tests.runtime.test_durable_answers import Answered, Edge, _task
from tests.runtime.test_executor import World

from perdure.rpc.workflow.executions import Executions


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.open()
    yield world
    await world.runtime.stop()


def _gone() -> Answered:
    """A call whose client is no longer there."""
    call = Answered()
    call.cancel()
    return call


async def test_an_eager_activity_that_nobody_took_is_there_for_others(world: World) -> None:
    edge = Edge(world)
    run = await world.start("w")
    task = await _task(edge.poll())
    command = Command(command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK)
    attributes = command.schedule_activity_task_command_attributes
    attributes.activity_id, attributes.request_eager_execution = "a", True
    attributes.activity_type.name, attributes.task_queue.name = "work", "q"
    attributes.start_to_close_timeout.seconds = 60
    completion = api.RespondWorkflowTaskCompletedRequest(task_token=task.task_token, commands=[command])
    await edge.tasks.respond_workflow_task_completed(completion, _gone())
    activity = run.execution.activity(5)
    assert not activity.started_ns
    assert activity.queue


async def test_a_new_workflow_task_that_nobody_took_is_there_for_others(world: World) -> None:
    edge = Edge(world)
    await world.start("w")
    task = await _task(edge.poll())
    completion = api.RespondWorkflowTaskCompletedRequest(
        task_token=task.task_token, return_new_workflow_task=True, force_create_new_workflow_task=True
    )
    await edge.tasks.respond_workflow_task_completed(completion, _gone())
    again = await _task(edge.poll())
    types = [event.event_type for event in again.history.events]
    assert EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT in types


async def test_the_task_of_an_eager_start_that_nobody_took_is_there_for_others(world: World) -> None:
    edge = Edge(world)
    handlers = Executions(world.runtime, edge.tasks)
    request = api.StartWorkflowExecutionRequest(
        namespace="default", workflow_id="w", task_queue=TaskQueue(name="q"), request_eager_execution=True
    )
    request.workflow_type.name = "order"
    await handlers.start_workflow_execution(request, _gone())
    assert (await _task(edge.poll())).workflow_execution.workflow_id == "w"


async def test_a_worker_that_has_shut_down_is_not_shown_among_the_pollers() -> None:
    config = {"frontend.enableCancelWorkerPollsOnShutdown": True}
    async with conversation(dynamic_config=config) as d:
        polls = [
            d.begin(f"Poll{kind}TaskQueue", task_queue=d.task_queue, identity="me", worker_instance_key="key")
            for kind in ("Workflow", "Activity")
        ]

        async def pollers(kind: str) -> list[str]:
            reply = await d.quietly("DescribeTaskQueue", task_queue=d.task_queue, task_queue_type=kind)
            return [poller.identity for poller in reply.pollers]

        async def both_poll() -> bool:
            return bool(await pollers("WORKFLOW")) and bool(await pollers("ACTIVITY"))

        await d.until(both_poll)
        fields = {"worker_instance_key": "key", "identity": "me", "task_queue": d.task_queue}
        await d.call("ShutdownWorker", task_queue_types=["ACTIVITY"], **fields)
        assert not any([(await poll).task_token for poll in polls])
        assert (await pollers("WORKFLOW"), await pollers("ACTIVITY")) == (["me"], [])
        await d.call("ShutdownWorker", **fields)
        assert await pollers("WORKFLOW") == []

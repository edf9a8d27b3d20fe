"""What leaves the server is durable, and who waits is told when it does not become so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import QueryResultType
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice import v1 as api
from tests.engine.driver import schedule_activity, start_child
from tests.runtime.test_executor import World, turns, within

from perdure.clock import SECOND_NS
from perdure.engine.queues import workflow_queue
from perdure.errors import PerdureError, Unavailable
from perdure.rpc import tokens
from perdure.rpc.transport.base import CallState
from perdure.rpc.workflow.history import Histories
from perdure.rpc.workflow.polls import Polls
from perdure.rpc.workflow.query import QueryHandlers
from perdure.rpc.workflow.workflow_tasks import WorkflowTasks
from perdure.runtime import history
from perdure.runtime.backlog import Task
from perdure.runtime.queries import Queries
from perdure.runtime.queue import Poll, Taken


class Answered(CallState):
    """A call of nobody; `answer` is what it was answered with."""

    metadata: Mapping[str, str | bytes] = {}
    timeout_s: float | None = 60.0

    def __init__(self) -> None:
        super().__init__("/test")
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def reply(self, message: bytes) -> bool:
        if self.done:
            return False
        self.done = True
        self.answer.set_result(message)
        return True

    def fail(self, error: PerdureError) -> None:
        if not self.done:
            self.done = True
            self.answer.set_exception(error)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.open()
    yield world
    await world.runtime.stop()


class Edge:
    """The handlers of polls and queries of a world."""

    def __init__(self, world: World) -> None:
        self.queries = Queries(world.runtime)
        self.polls = Polls(world.runtime)
        self.tasks = WorkflowTasks(world.runtime, self.polls, self.queries)
        self.asked = QueryHandlers(world.runtime, self.queries)

    def poll(self) -> Answered:
        call = Answered()
        self.poll_with(call)
        return call

    def poll_with(self, call: Answered) -> None:
        request = api.PollWorkflowTaskQueueRequest(namespace="default", task_queue=TaskQueue(name="q"), identity="me")
        self.tasks.poll_workflow_task_queue(request, call)

    def ask(self, workflow_id: str) -> asyncio.Task[api.QueryWorkflowResponse]:
        request = api.QueryWorkflowRequest(namespace="default", query=WorkflowQuery(query_type="state"))
        request.execution.workflow_id = workflow_id
        return asyncio.ensure_future(self.asked.query_workflow(request, Answered()))


async def _task(call: Answered) -> api.PollWorkflowTaskQueueResponse:
    return api.PollWorkflowTaskQueueResponse.FromString(await within(call.answer))


def _completion(task: api.PollWorkflowTaskQueueResponse) -> api.RespondWorkflowTaskCompletedRequest:
    answered = QueryResultType.QUERY_RESULT_TYPE_ANSWERED
    results = {query_id: WorkflowQueryResult(result_type=answered) for query_id in task.queries}
    return api.RespondWorkflowTaskCompletedRequest(
        namespace="default", task_token=task.task_token, identity="me", query_results=results
    )


@pytest.mark.parametrize("fails", [False, True])
async def test_a_query_on_a_task_is_answered_when_its_completion_is_durable(world: World, fails: bool):
    edge = Edge(world)
    await world.start("w")
    asked = edge.ask("w")
    await turns()
    task = await _task(edge.poll())
    assert len(task.queries) == 1
    world.storage.holds = True
    completed = asyncio.ensure_future(edge.tasks.respond_workflow_task_completed(_completion(task), Answered()))
    await turns()
    assert world.storage.waiting and not asked.done()
    world.storage.release(fails=fails)
    told = await within(asyncio.gather(asked, completed, return_exceptions=True))
    assert [isinstance(each, Unavailable) for each in told] == [fails, fails]


async def _asked_while_a_signal_is_written(world: World, edge: Edge) -> tuple[Any, Answered, Any]:
    """A query that a worker takes while a signal is on its way to storage: the query, the poll, the signal."""
    await world.start("w")
    await edge.tasks.respond_workflow_task_completed(_completion(await _task(edge.poll())), Answered())
    asked = edge.ask("w")
    await turns()
    world.storage.holds = True
    signaled = asyncio.ensure_future(world.signal("w"))
    await turns()
    call = edge.poll()
    await turns()
    assert world.storage.waiting and not call.done and not asked.done()
    return asked, call, signaled


async def test_a_worker_sees_with_a_query_what_is_durable(world: World):
    asked, call, signaled = await _asked_while_a_signal_is_written(world, Edge(world))
    world.storage.release()
    await within(signaled)
    assert len((await _task(call)).history.events) == 6
    asked.cancel()


async def test_a_query_on_what_could_not_be_stored_is_refused(world: World):
    asked, call, signaled = await _asked_while_a_signal_is_written(world, Edge(world))
    world.storage.release(fails=True)
    told = await within(asyncio.gather(asked, signaled, return_exceptions=True))
    assert [type(each) for each in told] == [Unavailable, Unavailable]
    assert await _task(call) == api.PollWorkflowTaskQueueResponse()


@pytest.mark.parametrize("close_event", [False, True])
async def test_who_waits_for_history_is_told_when_the_run_is_lost(world: World, close_event: bool):
    histories = Histories(world.runtime)
    run = await world.start("w")
    request = api.GetWorkflowExecutionHistoryRequest(namespace="default", wait_new_event=True)
    request.execution.workflow_id = "w"
    request.history_event_filter_type = 2 if close_event else 1
    if not close_event:
        token = tokens.HistoryToken(run.core.run_id, run.core.next_event_id + 100)
        request.next_page_token = tokens.encode(token)
    waiting = asyncio.ensure_future(histories.get_workflow_execution_history(request, Answered()))
    await turns()
    world.storage.fails = True
    with pytest.raises(Unavailable):
        await world.signal("w")
    await turns()
    assert waiting.done() and isinstance(waiting.exception(), Unavailable)


# Polls.


async def test_polls_that_come_while_the_server_stops_are_answered_at_once(world: World):
    edge = Edge(world)
    waiting = edge.poll()
    edge.polls.release_all()
    assert waiting.done and edge.poll().done


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_poll_whose_time_passes_while_it_is_served_is_not_left_behind(world: World, leaves: bool):
    polls, queue, going_on = Polls(world.runtime), workflow_queue(world.namespace.id, "q"), asyncio.Event()

    async def take(task: Task) -> Taken:
        await going_on.wait()
        return Taken.STALE

    await world.start("w")
    call = Answered()
    poll = Poll("me", take)
    polls.park(queue, poll, call, api.PollWorkflowTaskQueueResponse(), "")
    await turns()
    if leaves:
        call.done = True
    else:
        polls.release_all()
    going_on.set()
    await turns()
    assert call.done and not polls._waiting
    world.clock.advance(3600 * SECOND_NS)
    assert not world.runtime.matching.is_polled(queue)


async def test_a_sticky_worker_that_shuts_down_is_away_at_once(world: World):
    edge, call = Edge(world), Answered()
    request = api.PollWorkflowTaskQueueRequest(namespace="default", identity="me", worker_instance_key="me")
    request.task_queue.MergeFrom(TaskQueue(name="mine", kind=2, normal_name="q"))  # type: ignore[arg-type]
    edge.tasks.poll_workflow_task_queue(request, call)
    leave = api.ShutdownWorkerRequest(namespace="default", sticky_task_queue="mine", worker_instance_key="me")
    await edge.tasks.shutdown_worker(leave, Answered())
    edge.polls.release("me")
    assert call.done
    assert not world.runtime.matching.is_polled(workflow_queue(world.namespace.id, "mine"))


# Memory that is full.


async def test_a_child_is_started_once_when_memory_is_full():
    world = await World.open(cache_bytes=0)
    parent = await world.start("parent")
    world.start_task(parent)
    await world.complete_task(parent, start_child("child"))
    for _ in range(20):
        await turns()
        await world.executor.flushed()
    types = await world.event_types(parent.run_key)
    assert types[5:] == ["CHILD_WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED"], types
    await world.runtime.stop()


async def test_memory_is_bounded_when_inputs_are_large():
    world = await World.open(cache_bytes=1 << 20)
    large = Payloads(payloads=[Payload(data=b"x" * 100_000)])
    runs = []
    for number in range(40):
        run = await world.start(f"w{number}")
        world.start_task(run)
        await world.complete_task(run, schedule_activity("a", input=large, start_to_close=60))
        runs.append(run)
    for run in runs:
        await world.current(run.core.workflow_id)  # as storage has it, without any history
    assert sum(world.executor.cached(run.run_key) is not None for run in runs) <= 10
    await world.runtime.stop()


async def test_a_task_whose_start_a_failed_commit_took_back_goes_to_no_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    edge = Edge(world)
    await world.start("w")
    reading, go_on, read = asyncio.Event(), asyncio.Event(), history.read

    async def slowly(*arguments: Any) -> Any:
        reading.set()
        await go_on.wait()
        return await read(*arguments)

    monkeypatch.setattr(history, "read", slowly)
    call = edge.poll()
    await within(reading.wait())
    world.storage.fails = True
    with pytest.raises(Unavailable):
        await world.signal("w")
    go_on.set()
    await edge.tasks.respond_workflow_task_completed(_completion(await _task(call)), Answered())

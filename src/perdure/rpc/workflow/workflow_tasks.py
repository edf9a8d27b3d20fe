"""Workflow tasks: polled, completed, failed; and the workers that shut down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from temporalio.api.common.v1 import WorkerVersionStamp
from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.history.v1 import History
from temporalio.api.protocol.v1 import Message
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    ResetStickyTaskQueueRequest,
    ResetStickyTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
    ShutdownWorkerRequest,
    ShutdownWorkerResponse,
)

from perdure.engine import inputs
from perdure.engine.commands import Completed
from perdure.engine.execution import Core, WorkflowTask
from perdure.engine.machines.workflow_task import NOT_FOUND, materialise
from perdure.engine.queues import activity_queue, nexus_queue, workflow_queue
from perdure.engine.times import set_time
from perdure.errors import NotFound, PerdureError
from perdure.rpc import tokens, validate
from perdure.rpc.serialized import with_history
from perdure.rpc.transport import Call
from perdure.rpc.workflow.activity_tasks import activity_response
from perdure.rpc.workflow.polls import Polls, worker_version
from perdure.rpc.workflow.returned import give, release_workflow_task
from perdure.runtime import history
from perdure.runtime.backlog import Task
from perdure.runtime.queries import Queries, QueryTask
from perdure.runtime.queue import Poll, Taken
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

_QUEUES: dict[int, Callable[[str, str], str]] = {
    task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW: workflow_queue,
    task_queue_pb2.TASK_QUEUE_TYPE_ACTIVITY: activity_queue,
    task_queue_pb2.TASK_QUEUE_TYPE_NEXUS: nexus_queue,
}
_USUAL = (task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW, task_queue_pb2.TASK_QUEUE_TYPE_ACTIVITY)


class WorkflowTasks:
    def __init__(self, runtime: Runtime, polls: Polls, queries: Queries) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._polls = polls
        self._queries = queries

    # Polling.

    def poll_workflow_task_queue(self, request: PollWorkflowTaskQueueRequest, call: Call) -> None:
        config = self._runtime.config
        validate.namespace(request, config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.poll_workflow(request, call.timeout_s, config)
        sticky = request.task_queue.kind == task_queue_pb2.TASK_QUEUE_KIND_STICKY
        name = workflow_queue(namespace.id, request.task_queue.name)
        version = worker_version(request)

        async def take(task: Task) -> Taken:
            return await self._take(call, task, poll, sticky, version)

        def take_query(query: QueryTask) -> bool:
            if call.done:
                return False
            self._spawn(self._give_query(call, query, poll, sticky))
            return True

        poll = Poll(request.identity, take, take_query, details=request)
        self._polls.park(name, poll, call, PollWorkflowTaskQueueResponse(), request.worker_instance_key)

    def _spawn(self, coroutine: Any) -> None:
        self._polls.spawn(coroutine)

    async def _take(
        self, call: Call, task: Task, poll: Poll, sticky: bool, version: WorkerVersionStamp | None
    ) -> Taken:
        executor = self._executor
        run = executor.cached(task[1]) or await executor.by_key(task[1])
        if run is None:
            return Taken.STALE
        if call.done:
            return Taken.GONE
        waiting = run.execution.pending_workflow_task
        if waiting is None:
            return Taken.STALE
        start = inputs.StartWorkflowTask(
            waiting.scheduled_event_id,
            request_id=executor.ids.uuid(),
            identity=poll.identity,
            sticky=sticky,
            worker_version=version,
        )
        try:
            decision = executor.apply(run, start)
            if decision.error is not None:
                return Taken.STALE
        except NotFound:
            return Taken.STALE
        core, started = run.core, run.execution.pending_workflow_task
        assert started is not None
        try:
            if not executor.is_durable(run):
                await executor.settled(run)
            response = await self.response(run, core, started, sticky=sticky, poll=poll, messages=decision.messages)
            if not run.lost and call.reply(response):  # a start that a failed commit took back is of no use
                return Taken.SERVED
        except BaseException:
            await release_workflow_task(executor, run.run_key, started)
            raise
        await release_workflow_task(executor, run.run_key, started)
        return Taken.STALE

    async def response(
        self,
        run: Run,
        core: Core,
        task: WorkflowTask,
        *,
        sticky: bool,
        poll: Poll | None = None,
        messages: Iterable[Message] = (),
    ) -> bytes:
        """A started task as its worker gets it, with its `messages`; `sticky` workers need only what is new to them.

        `core` is that of the moment when the task was started: what came later may not be durable yet.
        """
        response = self._describe(run, task)
        if poll is not None:
            hint(response, poll, sticky=sticky)
        first = core.previous_started_event_id + 1 if sticky else 1
        page = await history.read(
            self._executor, run, first, core.next_event_id, self._runtime.config.history_max_page_size
        )
        data = page.data
        if page.next_event_id:
            token = tokens.HistoryToken(core.run_id, page.next_event_id)
            response.next_page_token = tokens.encode(token)
        else:
            suffix = materialise(core, task, task.identity)
            if suffix:
                data += History(events=suffix).SerializeToString()
        response.messages.extend(messages)
        self._queries.attach(run, response)
        return with_history(response, data)

    def _describe(self, run: Run, task: WorkflowTask) -> PollWorkflowTaskQueueResponse:
        core = run.core
        token = tokens.WorkflowTaskToken(
            core.namespace_id,
            core.workflow_id,
            core.run_id,
            task.scheduled_event_id,
            task.started_event_id,
            task.started_ns,
            task.attempt,
        )
        response = PollWorkflowTaskQueueResponse(
            task_token=tokens.encode(token),
            previous_started_event_id=core.previous_started_event_id,
            started_event_id=task.started_event_id,
            attempt=task.attempt,
        )
        self._name(run, response)
        set_time(response.scheduled_time, task.scheduled_ns)
        set_time(response.started_time, task.started_ns)
        return response

    @staticmethod
    def _name(run: Run, response: PollWorkflowTaskQueueResponse) -> None:
        core = run.core
        response.workflow_execution.workflow_id = core.workflow_id
        response.workflow_execution.run_id = core.run_id
        response.workflow_type.name = core.workflow_type
        response.workflow_execution_task_queue.name = core.task_queue
        response.workflow_execution_task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL

    async def _give_query(self, call: Call, query: QueryTask, poll: Poll, sticky: bool) -> None:
        try:
            response = await self._query_response(query, poll, sticky)
        except PerdureError as error:
            self._queries.fail(query, error)
            call.reply(b"")  # an empty response: poll again
            return
        if not call.reply(response):
            self._queries.dispatch_again(query)

    async def _query_response(self, query: QueryTask, poll: Poll, sticky: bool) -> bytes:
        """A query for a worker directly: with the whole history, unless the worker is the sticky one."""
        run = await self._executor.by_key(query.run.run_key)
        if run is None:
            raise NotFound("the workflow was deleted")
        core = run.core
        await self._executor.settled(run)
        token = tokens.QueryTaskToken(core.namespace_id, query.id)
        response = PollWorkflowTaskQueueResponse(
            task_token=tokens.encode(token),
            previous_started_event_id=core.previous_started_event_id,
            query=query.query,
            attempt=1,
        )
        hint(response, poll, sticky=sticky)
        self._name(run, response)
        data = b""
        if not sticky:
            page = await history.read(
                self._executor, run, 1, core.next_event_id, self._runtime.config.history_max_page_size
            )
            data = page.data
            if page.next_event_id:
                next_page = tokens.HistoryToken(core.run_id, page.next_event_id)
                response.next_page_token = tokens.encode(next_page)
        return with_history(response, data)

    # Answers.

    async def respond_workflow_task_completed(
        self, request: RespondWorkflowTaskCompletedRequest, call: Call
    ) -> RespondWorkflowTaskCompletedResponse | None:
        token = self._token(request)
        validate.workflow_task_completed(request, self._runtime.config)
        run = await self._find(token)
        complete = inputs.CompleteWorkflowTask(
            token.scheduled_event_id, token.started_event_id, token.started_ns, token.attempt, request
        )
        decision = self._executor.apply(run, complete)
        core = run.core
        completed: Completed = decision.reply
        self._queries.answer(run, request.query_results, task_created=completed.task_created)
        eager = [run.execution.activity(event_id) for event_id in completed.eager_activities]
        await self._executor.answered(run, decision)
        response = RespondWorkflowTaskCompletedResponse()
        namespace = self._runtime.namespaces.by_id(token.namespace_id)
        response.activity_tasks.extend(activity_response(run, each, namespace.name) for each in eager)
        if completed.discarded:
            response.reset_history_event_id = core.previous_started_event_id
        if completed.new_task is not None:
            # The worker that asks for it has just had the run in its cache.
            task = await self.response(run, core, completed.new_task, sticky=True, messages=decision.messages)
            response.workflow_task.MergeFromString(task)
        if not eager and completed.new_task is None:
            return response
        await give(self._executor, call, response.SerializeToString(), run.run_key, completed.new_task, eager)
        return None

    def _token(
        self, request: RespondWorkflowTaskCompletedRequest | RespondWorkflowTaskFailedRequest
    ) -> tokens.WorkflowTaskToken:
        runtime = self._runtime
        return tokens.of_answer(tokens.WorkflowTaskToken, request, runtime.config, runtime.namespaces)

    async def _find(self, token: tokens.WorkflowTaskToken) -> Run:
        try:
            return await self._executor.find(token.namespace_id, token.workflow_id, token.run_id)
        except NotFound as error:
            raise NotFound(NOT_FOUND) from error

    async def respond_workflow_task_failed(
        self, request: RespondWorkflowTaskFailedRequest, call: Call
    ) -> RespondWorkflowTaskFailedResponse:
        token = self._token(request)
        validate.workflow_task_failed(request, self._runtime.config)
        run = await self._find(token)
        fail = inputs.FailWorkflowTask(
            token.scheduled_event_id,
            token.started_event_id,
            token.started_ns,
            token.attempt,
            cause=request.cause,
            failure=request.failure if request.HasField("failure") else None,
            identity=request.identity,
            binary_checksum=request.binary_checksum,
        )
        decision = self._executor.apply(run, fail)
        self._queries.task_failed(run)
        await self._executor.answered(run, decision)
        return RespondWorkflowTaskFailedResponse()

    # Workers that leave.

    async def reset_sticky_task_queue(
        self, request: ResetStickyTaskQueueRequest, call: Call
    ) -> ResetStickyTaskQueueResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.describe(request)
        run = await self._executor.find(namespace.id, request.execution.workflow_id, request.execution.run_id)
        await self._executor.perform(run, inputs.ResetStickiness())
        return ResetStickyTaskQueueResponse()

    async def shutdown_worker(self, request: ShutdownWorkerRequest, call: Call) -> ShutdownWorkerResponse:
        """The worker leaves: its sticky queue is given up, and its polls are answered empty."""
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        if request.sticky_task_queue:
            self._runtime.matching.abandon(workflow_queue(namespace.id, request.sticky_task_queue))
        if request.worker_instance_key and self._runtime.config.enable_cancel_worker_polls_on_shutdown:
            self._polls.release(request.worker_instance_key)
            types = request.task_queue_types or _USUAL
            for queue in (_QUEUES[each](namespace.id, request.task_queue) for each in types if each in _QUEUES):
                self._runtime.matching.forget_poller(queue, request.identity)
        if request.HasField("worker_heartbeat") and self._runtime.config.worker_heartbeats_enabled:
            self._runtime.workers.record(namespace.id, [request.worker_heartbeat])
        await asyncio.sleep(0)
        return ShutdownWorkerResponse()


def hint(response: PollWorkflowTaskQueueResponse, poll: Poll, *, sticky: bool) -> None:
    """How much more there is to do, and how many polls the worker should keep waiting."""
    # The Go SDK polls nothing but its sticky queue from a hint of more there until a poll comes back empty.
    if not sticky:
        response.backlog_count_hint = poll.backlog
    if poll.scaling:
        response.poller_scaling_decision.poll_request_delta_suggestion = poll.scaling

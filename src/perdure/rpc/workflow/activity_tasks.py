"""Activity tasks: polled, heard of, and closed, by token or by id."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import Header, Payloads, WorkerVersionStamp
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatByIdResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCanceledByIdResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCanceledResponse,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedByIdResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedByIdResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
)

from perdure.engine import inputs
from perdure.engine.execution import Activity
from perdure.engine.messages import copy_present
from perdure.engine.queues import activity_queue
from perdure.engine.times import set_duration, set_time
from perdure.errors import InvalidArgument, NotFound
from perdure.rpc import tokens, validate
from perdure.rpc.transport import Call
from perdure.rpc.workflow.polls import Polls
from perdure.rpc.workflow.returned import release_activity
from perdure.runtime.backlog import Task
from perdure.runtime.namespaces import Namespace
from perdure.runtime.queue import Poll, Taken
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

Target = tuple[Run, int, int, str]
"""(run, scheduled event id or 0, attempt, activity id)"""


class ActivityTasks:
    def __init__(self, runtime: Runtime, polls: Polls) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._polls = polls

    # Polling.

    def poll_activity_task_queue(self, request: PollActivityTaskQueueRequest, call: Call) -> None:
        config = self._runtime.config
        validate.namespace(request, config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.poll_activity(request, call.timeout_s, config)
        name = activity_queue(namespace.id, request.task_queue.name)
        identity = request.identity

        async def take(task: Task) -> Taken:
            return await self._take(call, task, poll, namespace.name, name)

        metadata = request.task_queue_metadata
        limit = metadata.max_tasks_per_second.value if metadata.HasField("max_tasks_per_second") else None
        poll = Poll(identity, take, details=request, per_second=limit)
        self._polls.park(name, poll, call, PollActivityTaskQueueResponse(), request.worker_instance_key)

    async def _take(self, call: Call, task: Task, poll: Poll, namespace: str, queue: str) -> Taken:
        executor = self._executor
        run = executor.cached(task[1]) or await executor.by_key(task[1])
        if run is None:
            return Taken.STALE
        if call.done:
            return Taken.GONE
        scheduled_event_id = int(task[3])
        start = inputs.StartActivity(scheduled_event_id, executor.ids.uuid(), poll.identity, queue)
        try:
            activity: Activity = (await executor.perform(run, start)).reply
        except (NotFound, InvalidArgument):
            return Taken.STALE
        response = activity_response(run, activity, namespace)
        if poll.scaling:
            response.poller_scaling_decision.poll_request_delta_suggestion = poll.scaling
        if not call.reply(response.SerializeToString()):
            await release_activity(self._executor, run.run_key, activity)
            return Taken.STALE
        return Taken.SERVED

    # Answers by token.

    async def _by_token(self, request: Any) -> Target:
        runtime = self._runtime
        token = tokens.of_answer(tokens.ActivityTaskToken, request, runtime.config, runtime.namespaces)
        run = await self._executor.find(token.namespace_id, token.workflow_id, token.run_id)
        return run, token.scheduled_event_id, token.attempt, ""

    async def record_activity_task_heartbeat(
        self, request: RecordActivityTaskHeartbeatRequest, call: Call
    ) -> RecordActivityTaskHeartbeatResponse:
        target = await self._by_token(request)
        canceled, paused, reset = await self._heartbeat(target, request)
        return RecordActivityTaskHeartbeatResponse(
            cancel_requested=canceled, activity_paused=paused, activity_reset=reset
        )

    async def respond_activity_task_completed(
        self, request: RespondActivityTaskCompletedRequest, call: Call
    ) -> RespondActivityTaskCompletedResponse:
        await self._complete(await self._by_token(request), request)
        return RespondActivityTaskCompletedResponse()

    async def respond_activity_task_failed(
        self, request: RespondActivityTaskFailedRequest, call: Call
    ) -> RespondActivityTaskFailedResponse:
        target = await self._by_token(request)
        failures = validate.activity_failed(request, self._runtime.config)
        await self._fail(target, request)
        return RespondActivityTaskFailedResponse(failures=failures)

    async def respond_activity_task_canceled(
        self, request: RespondActivityTaskCanceledRequest, call: Call
    ) -> RespondActivityTaskCanceledResponse:
        await self._cancel(await self._by_token(request), request)
        return RespondActivityTaskCanceledResponse()

    # Answers by id.

    def _namespace(self, request: Any) -> Namespace:
        return self._runtime.namespaces.get(validate.namespace(request, self._runtime.config))

    async def _by_id(self, request: Any, namespace: Namespace) -> Target:
        run = await self._executor.find(namespace.id, request.workflow_id, request.run_id)
        return run, 0, 0, request.activity_id

    async def record_activity_task_heartbeat_by_id(
        self, request: RecordActivityTaskHeartbeatByIdRequest, call: Call
    ) -> RecordActivityTaskHeartbeatByIdResponse:
        namespace = self._namespace(request)
        validate.activity_heartbeat(request, self._runtime.config)
        canceled, paused, reset = await self._heartbeat(await self._by_id(request, namespace), request)
        return RecordActivityTaskHeartbeatByIdResponse(
            cancel_requested=canceled, activity_paused=paused, activity_reset=reset
        )

    async def respond_activity_task_completed_by_id(
        self, request: RespondActivityTaskCompletedByIdRequest, call: Call
    ) -> RespondActivityTaskCompletedByIdResponse:
        namespace = self._namespace(request)
        validate.activity_completed(request, self._runtime.config)
        await self._complete(await self._by_id(request, namespace), request)
        return RespondActivityTaskCompletedByIdResponse()

    async def respond_activity_task_failed_by_id(
        self, request: RespondActivityTaskFailedByIdRequest, call: Call
    ) -> RespondActivityTaskFailedByIdResponse:
        namespace = self._namespace(request)
        failures = validate.activity_failed_by_id(request, self._runtime.config)
        await self._fail(await self._by_id(request, namespace), request)
        return RespondActivityTaskFailedByIdResponse(failures=failures)

    async def respond_activity_task_canceled_by_id(
        self, request: RespondActivityTaskCanceledByIdRequest, call: Call
    ) -> RespondActivityTaskCanceledByIdResponse:
        namespace = self._namespace(request)
        validate.activity_canceled(request, self._runtime.config)
        await self._cancel(await self._by_id(request, namespace), request)
        return RespondActivityTaskCanceledByIdResponse()

    # What they have in common.

    async def _apply(self, run: Run, input: inputs.Input) -> Any:
        return (await self._executor.perform(run, input)).reply

    async def _heartbeat(self, target: Target, request: Any) -> tuple[bool, bool, bool]:
        """What the worker is told: whether the activity is asked to cancel, is paused, was reset."""
        run, scheduled_event_id, attempt, activity_id = target
        failure = validate.activity_heartbeat(request, self._runtime.config)
        if failure is not None:
            await self._fail_with(target, request, failure)
            return True, False, False
        beat = inputs.HeartbeatActivity(
            scheduled_event_id, attempt, activity_id, request.identity, _payloads(request, "details")
        )
        activity: Activity = await self._apply(run, beat)
        return activity.cancel_requested, activity.paused_ns > 0, activity.reset

    async def _fail_with(self, target: Target, request: Any, failure: Failure) -> None:
        """What the worker sent is too large to be kept: the attempt fails with that."""
        run, scheduled_event_id, attempt, activity_id = target
        version = _worker_version(request)
        fail = inputs.FailActivity(
            scheduled_event_id, attempt, activity_id, request.identity, failure, worker_version=version
        )
        await self._apply(run, fail)

    async def _complete(self, target: Target, request: Any) -> None:
        run, scheduled_event_id, attempt, activity_id = target
        failure = validate.activity_completed(request, self._runtime.config)
        if failure is not None:
            await self._fail_with(target, request, failure)
            return
        result = _payloads(request, "result")
        await self._apply(
            run,
            inputs.CompleteActivity(
                scheduled_event_id, attempt, activity_id, request.identity, result, _worker_version(request)
            ),
        )

    async def _fail(self, target: Target, request: Any) -> None:
        run, scheduled_event_id, attempt, activity_id = target
        failure = request.failure if request.HasField("failure") else None
        details = _payloads(request, "last_heartbeat_details")
        await self._apply(
            run,
            inputs.FailActivity(
                scheduled_event_id,
                attempt,
                activity_id,
                request.identity,
                failure,
                details,
                _worker_version(request),
            ),
        )

    async def _cancel(self, target: Target, request: Any) -> None:
        run, scheduled_event_id, attempt, activity_id = target
        failure = validate.activity_canceled(request, self._runtime.config)
        if failure is not None:
            await self._fail_with(target, request, failure)
            return
        details = _payloads(request, "details")
        await self._apply(
            run, inputs.CancelActivity(scheduled_event_id, attempt, activity_id, request.identity, details)
        )


def _worker_version(request: Message) -> WorkerVersionStamp | None:
    """The build that answers; an answer by id does not say."""
    known = "worker_version" in request.DESCRIPTOR.fields_by_name and request.HasField("worker_version")
    return request.worker_version if known else None  # type: ignore[attr-defined]


def _payloads(request: Message, name: str) -> Payloads | None:
    return getattr(request, name) if request.HasField(name) else None


def activity_response(run: Run, activity: Activity, namespace: str) -> PollActivityTaskQueueResponse:
    """A started activity as its worker gets it."""
    core = run.core
    token = tokens.ActivityTaskToken(
        core.namespace_id,
        core.workflow_id,
        core.run_id,
        activity.scheduled_event_id,
        activity.attempt,
        activity.activity_id,
    )
    response = PollActivityTaskQueueResponse(
        task_token=tokens.encode(token),
        workflow_namespace=namespace,
        activity_id=activity.activity_id,
        attempt=activity.attempt,
    )
    response.workflow_type.name = core.workflow_type
    response.workflow_execution.workflow_id = core.workflow_id
    response.workflow_execution.run_id = core.run_id
    response.activity_type.name = activity.activity_type
    if activity.header:
        response.header.CopyFrom(Header.FromString(activity.header))
    if activity.input:
        response.input.MergeFromString(activity.input)
    if activity.heartbeat_details:
        response.heartbeat_details.MergeFromString(activity.heartbeat_details)
    if activity.retry_policy:
        response.retry_policy.MergeFromString(activity.retry_policy)
    if activity.priority or core.priority:
        response.priority.MergeFromString(core.priority + activity.priority)
    set_time(response.scheduled_time, activity.first_scheduled_ns)
    set_time(response.current_attempt_scheduled_time, activity.scheduled_ns)
    set_time(response.started_time, activity.started_ns)
    set_duration(response.schedule_to_close_timeout, activity.schedule_to_close_ns)
    set_duration(response.start_to_close_timeout, activity.start_to_close_ns)
    set_duration(response.heartbeat_timeout, activity.heartbeat_ns)
    if activity.original_options:  # a worker is told of the timeouts that the command had, whatever became of them
        original = ActivityOptions.FromString(activity.original_options)
        copy_present(original, response, ("schedule_to_close_timeout", "start_to_close_timeout", "heartbeat_timeout"))
    return response

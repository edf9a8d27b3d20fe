"""A worker's answer to a workflow task: its commands become events, or the task fails.

A bad command undoes everything the answer did. The task's failure is committed instead (for a first attempt; a later
one just waits for its timeout, so that a broken worker can't make the history grow), sometimes together with the end
of the workflow, and the worker is told INVALID_ARGUMENT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Memo, SearchAttributes, WorkerVersionStamp
from temporalio.api.enums.v1 import CommandType, WorkflowTaskFailedCause
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.enums.v1 import failed_cause_pb2 as C
from temporalio.api.failure.v1 import Failure
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.update.v1 import Rejection
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.engine.apply import clear_stickiness
from perdure.engine.checks import BadCommand, CommandContext, check_command, check_sequence
from perdure.engine.execution import Kind, WorkflowTask
from perdure.engine.machines import activity, child, close, external, timer, update, workflow, workflow_task
from perdure.engine.messages import copy_present
from perdure.engine.times import NS, get_duration
from perdure.engine.transition import Namespace, Transition
from perdure.errors import FailedPrecondition, InvalidArgument, NotFound

INLINE_REQUEST_ID = "request-from-RespondWorkflowTaskCompleted"


@dataclass(slots=True)
class Completed:
    """What the worker gets back: the next task, if it is handed over at once, and activities to run eagerly."""

    new_task: WorkflowTask | None = None
    eager_activities: list[int] = field(default_factory=list)
    task_created: bool = False
    discarded: bool = False
    """The task was speculative and nothing came of it: the worker has to forget its events."""


@dataclass(slots=True)
class _Batch:
    """The commands of one answer, while they are handled."""

    t: Transition
    completed_event_id: int
    request: RespondWorkflowTaskCompletedRequest
    context: CommandContext
    messages: list[ProtocolMessage]
    """Those that have not been handled yet."""
    taken: set[str] = field(default_factory=set)
    """The ids of those that a command spoke of."""
    children: set[str] = field(default_factory=set)
    eager: list[int] = field(default_factory=list)
    canceled_unstarted: bool = False


def complete(
    make: Callable[[], Transition], request: RespondWorkflowTaskCompletedRequest
) -> tuple[Transition, Completed]:
    """Handle an answer. `make` begins a transition; it is called again to start over when the task fails."""
    t = make()
    task = t.workflow_task
    assert task is not None
    try:
        return t, _complete(t, task, request)
    except BadCommand as bad:
        if task.attempt > 1 and bad.cause != C.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND:
            return _keep_failing(make(), bad)
        t = make()
        update.task_failed(t)
        _fail(t, bad, request)
        t.error = InvalidArgument(bad.message)
        return t, Completed(task_created=t.running and not t.paused)


def _keep_failing(t: Transition, bad: BadCommand) -> tuple[Transition, Completed]:
    """A later attempt came back wrong: it waits for its timeout. Only the updates that it brought are over."""
    if not update.task_failed(t):
        raise InvalidArgument(bad.message) from bad
    t.volatile = True
    t.error = InvalidArgument(bad.message)
    return t, Completed(task_created=True)


def _complete(t: Transition, task: WorkflowTask, request: RespondWorkflowTaskCompletedRequest) -> Completed:
    if t.paused and request.force_create_new_workflow_task:
        raise FailedPrecondition("Workflow is paused and force create new workflow task is not allowed.")
    if request.intermediate_page or request.page_number > 0:
        name = t.env.namespace.name
        raise FailedPrecondition(f"workflow task completion pagination is disabled for this namespace {name}")
    check_sequence(request.commands)
    heartbeat = request.force_create_new_workflow_task and not request.commands and not request.messages
    if heartbeat and _too_many_heartbeats(t, task):
        workflow_task.heartbeat_timed_out(t)
        workflow_task.schedule(t)
        t.error = NotFound("workflow task heartbeat timeout")
        return Completed(task_created=True)
    buffered = t.has_buffered_events
    discarded = task.speculative and _discards(t, request)
    if discarded:
        workflow_task.discard(t)
        t.volatile = True
    completed_event_id = 0 if discarded else _record_completed(t, request)
    _set_stickiness(t, request)
    batch = _Batch(t, completed_event_id, request, _context(t, buffered), list(request.messages))
    for command in request.commands:
        _handle(batch, command)
        batch.context.has_buffered_events = batch.context.has_buffered_events and t.has_buffered_events
    for message in batch.messages:
        update.handle(t, message)
    if t.running and not request.force_create_new_workflow_task:
        update.reject_unprocessed(t)
    eager = [_start_eagerly(batch, event_id) for event_id in batch.eager if t.running]
    result = Completed(eager_activities=eager, discarded=discarded)
    wanted = request.force_create_new_workflow_task or batch.context.has_buffered_events or batch.canceled_unstarted
    if t.running and not t.paused and wanted:
        original_ns = task.original_scheduled_ns if heartbeat else 0
        workflow_task.schedule(t, original_scheduled_ns=original_ns)
    elif t.running and not t.paused and update.outgoing(t):
        _schedule_for_updates(t, request)
    if t.running and t.workflow_task is not None:
        result.task_created = True
        if request.return_new_workflow_task:
            result.new_task = _start_inline(t, request)
    return result


def _discards(t: Transition, request: RespondWorkflowTaskCompletedRequest) -> bool:
    """Whether a speculative task may vanish: the answer only rejects, and few events came with the task."""
    if request.commands or request.force_create_new_workflow_task:
        return False
    events = t.core.next_event_id - (t.core.previous_started_event_id + 2)
    allowed = t.env.config.discard_speculative_workflow_task_maximum_events_count
    if events > (allowed if request.capabilities.discard_speculative_workflow_task_with_events else 0):
        return False
    return all(message.body.Is(Rejection.DESCRIPTOR) for message in request.messages)


def _schedule_for_updates(t: Transition, request: RespondWorkflowTaskCompletedRequest) -> None:
    """Updates came while the task was with its worker."""
    if request.return_new_workflow_task:
        workflow_task.schedule_speculative(t)
    else:
        workflow_task.schedule(t)


def _too_many_heartbeats(t: Transition, task: WorkflowTask) -> bool:
    limit_ns = int(t.env.config.workflow_task_heartbeat_timeout_s * NS)
    return t.now_ns > task.original_scheduled_ns + limit_ns


def _record_completed(t: Transition, request: RespondWorkflowTaskCompletedRequest) -> int:
    scheduled_event_id, started_event_id = workflow_task.write_unwritten(t, request.identity, _worker_version(request))
    event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    a = event.workflow_task_completed_event_attributes
    a.scheduled_event_id, a.started_event_id = scheduled_event_id, started_event_id
    a.identity, a.binary_checksum = request.identity, request.binary_checksum
    copy_present(request, a, ("sdk_metadata", "metering_metadata"))
    if (version := _worker_version(request)) is not None:
        a.worker_version.CopyFrom(version)
    options = request.deployment_options
    a.worker_deployment_name = options.deployment_name
    if options.build_id:
        a.deployment_version.deployment_name = options.deployment_name
        a.deployment_version.build_id = options.build_id
    known = t.core.search_attributes, t.core.reported_problems
    t.record(event)
    t.visibility = t.visibility or known != (t.core.search_attributes, t.core.reported_problems)
    return event.event_id


def _worker_version(request: RespondWorkflowTaskCompletedRequest) -> WorkerVersionStamp | None:
    return request.worker_version_stamp if request.HasField("worker_version_stamp") else None


def _set_stickiness(t: Transition, request: RespondWorkflowTaskCompletedRequest) -> None:
    sticky = request.sticky_attributes
    if sticky.worker_task_queue.name:
        t.core.sticky_queue = sticky.worker_task_queue.name
        t.core.sticky_timeout_ns = get_duration(sticky.schedule_to_start_timeout)
    else:
        clear_stickiness(t)


def _context(t: Transition, buffered: bool) -> CommandContext:
    core = t.core
    return CommandContext(
        config=t.env.config,
        namespace=t.env.namespace.name,
        namespace_id=core.namespace_id,
        find_namespace_id=lambda name: t.env.find_namespace(name).id,
        rules=t.env.search_attribute_rules,
        workflow_type=core.workflow_type,
        task_queue=core.task_queue,
        execution_timeout_ns=core.execution_timeout_ns,
        run_timeout_ns=core.run_timeout_ns,
        task_timeout_ns=core.task_timeout_ns,
        has_buffered_events=buffered,
        pending_activities=len(t.items(Kind.ACTIVITY)),
        pending_children=len(t.items(Kind.CHILD)),
        pending_signals=len(t.items(Kind.EXTERNAL_SIGNAL)),
        pending_cancels=len(t.items(Kind.EXTERNAL_CANCEL)),
        memo=dict(Memo.FromString(core.memo).fields) if core.memo else {},
        search_attributes=(
            dict(SearchAttributes.FromString(core.search_attributes).indexed_fields) if core.search_attributes else {}
        ),
    )


def _start_eagerly(batch: _Batch, scheduled_event_id: int) -> int:
    t = batch.t
    activity.start(t, scheduled_event_id, request_id=t.env.ids.uuid(), identity=batch.request.identity)
    return scheduled_event_id


def _start_inline(t: Transition, request: RespondWorkflowTaskCompletedRequest) -> WorkflowTask:
    """Hand the next task to the worker with the reply; it is taken from the queue that the run is sticky to."""
    sticky = bool(t.core.sticky_queue)
    task = workflow_task.start(
        t,
        request_id=INLINE_REQUEST_ID,
        identity=request.identity,
        sticky=sticky,
        worker_version=_worker_version(request),
    )
    update.send(t, again=not request.force_create_new_workflow_task)
    return task


def _fail(t: Transition, bad: BadCommand, request: RespondWorkflowTaskCompletedRequest) -> None:
    failure = Failure(message=bad.message)
    failure.server_failure_info.SetInParent()
    workflow_task.fail(
        t,
        cause=bad.cause,
        failure=failure,
        identity=request.identity,
        binary_checksum=request.binary_checksum,
    )
    if bad.terminates:
        t.flush_buffer()
        workflow.terminate(t, reason=bad.message, identity=workflow_task.HISTORY_SERVICE)
        return
    workflow_task.ensure(t)


def _handle(batch: _Batch, command: Command) -> None:
    check_command(command, batch.context)
    name, cause, handler = _HANDLERS[command.command_type]
    batch.t.command = command
    try:
        handler(batch, getattr(command, name))
    except InvalidArgument as error:
        if cause is None:
            raise
        raise BadCommand(cause, error.message) from error
    batch.t.command = None


def _schedule_activity(b: _Batch, a: Any) -> None:
    eager = a.request_eager_execution and b.t.env.config.enable_activity_eager_execution and not b.t.paused
    event_id = activity.schedule(b.t, b.completed_event_id, a, eager=eager)
    b.context.pending_activities += 1
    if eager:
        b.eager.append(event_id)


def _cancel_activity(b: _Batch, a: Any) -> None:
    if activity.request_cancel(b.t, b.completed_event_id, a.scheduled_event_id, b.request.identity):
        b.canceled_unstarted = True
        b.context.pending_activities -= 1
        if a.scheduled_event_id in b.eager:
            b.eager.remove(a.scheduled_event_id)


def _start_timer(b: _Batch, a: Any) -> None:
    timer.start(b.t, b.completed_event_id, a)


def _cancel_timer(b: _Batch, a: Any) -> None:
    timer.cancel(b.t, b.completed_event_id, a, b.request.identity)


def _start_child(b: _Batch, a: Any) -> None:
    child.initiate(b.t, b.completed_event_id, a, _target(b, a.namespace))
    b.children.add(a.workflow_id)
    b.context.children_started = b.children
    b.context.pending_children += 1


def _signal_external(b: _Batch, a: Any) -> None:
    b.context.pending_signals += 1
    external.initiate_signal(b.t, b.completed_event_id, a, _target(b, a.namespace))


def _cancel_external(b: _Batch, a: Any) -> None:
    b.context.pending_cancels += 1
    external.initiate_cancel(b.t, b.completed_event_id, a, _target(b, a.namespace))


def _target(b: _Batch, namespace: str) -> Namespace:
    env = b.t.env
    return env.namespace if namespace in ("", env.namespace.name) else env.find_namespace(namespace)


def _record_marker(b: _Batch, a: Any) -> None:
    event = b.t.event(E.EVENT_TYPE_MARKER_RECORDED)
    marker = event.marker_recorded_event_attributes
    marker.marker_name = a.marker_name
    marker.workflow_task_completed_event_id = b.completed_event_id
    for key, payloads in a.details.items():
        marker.details[key].CopyFrom(payloads)
    copy_present(a, marker, ("header", "failure"))
    b.t.record(event)


def _upsert_search_attributes(b: _Batch, a: Any) -> None:
    event = b.t.event(E.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    upsert = event.upsert_workflow_search_attributes_event_attributes
    upsert.workflow_task_completed_event_id = b.completed_event_id
    upsert.search_attributes.CopyFrom(a.search_attributes)
    b.t.visibility = True
    b.t.record(event)
    b.context.search_attributes = dict(SearchAttributes.FromString(b.t.core.search_attributes).indexed_fields)


def _modify_properties(b: _Batch, a: Any) -> None:
    event = b.t.event(E.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED)
    modified = event.workflow_properties_modified_event_attributes
    modified.workflow_task_completed_event_id = b.completed_event_id
    if a.HasField("upserted_memo"):
        modified.upserted_memo.CopyFrom(a.upserted_memo)
    b.t.visibility = True
    b.t.record(event)
    b.context.memo = dict(Memo.FromString(b.t.core.memo).fields)


def _complete_workflow(b: _Batch, a: Any) -> None:
    close.complete(b.t, b.completed_event_id, a.result if a.HasField("result") else None)


def _fail_workflow(b: _Batch, a: Any) -> None:
    close.fail(b.t, b.completed_event_id, a.failure)


def _cancel_workflow(b: _Batch, a: Any) -> None:
    close.cancel(b.t, b.completed_event_id, a.details if a.HasField("details") else None)


def _continue_as_new(b: _Batch, a: Any) -> None:
    close.continue_as_new(b.t, b.completed_event_id, a)


def _protocol_message(b: _Batch, a: Any) -> None:
    found = (i for i, message in enumerate(b.messages) if message.id == a.message_id)
    index = next(found, None) if a.message_id not in b.taken else None
    if index is None:
        raise BadCommand(update.CAUSE, f"ProtocolMessageCommand referenced absent message ID {a.message_id}")
    b.taken.add(a.message_id)
    b.t.command = None  # its metadata is nobody's
    update.handle(b.t, b.messages.pop(index))


_Handler = Callable[[_Batch, Any], None]

_BY_NAME: dict[str, tuple[WorkflowTaskFailedCause.ValueType | None, _Handler]] = {
    "SCHEDULE_ACTIVITY_TASK": (C.WORKFLOW_TASK_FAILED_CAUSE_SCHEDULE_ACTIVITY_DUPLICATE_ID, _schedule_activity),
    "REQUEST_CANCEL_ACTIVITY_TASK": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES,
        _cancel_activity,
    ),
    "START_TIMER": (C.WORKFLOW_TASK_FAILED_CAUSE_START_TIMER_DUPLICATE_ID, _start_timer),
    "CANCEL_TIMER": (C.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_TIMER_ATTRIBUTES, _cancel_timer),
    "START_CHILD_WORKFLOW_EXECUTION": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES,
        _start_child,
    ),
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES,
        _signal_external,
    ),
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES,
        _cancel_external,
    ),
    "RECORD_MARKER": (C.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES, _record_marker),
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES,
        _upsert_search_attributes,
    ),
    "MODIFY_WORKFLOW_PROPERTIES": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES,
        _modify_properties,
    ),
    "COMPLETE_WORKFLOW_EXECUTION": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES,
        _complete_workflow,
    ),
    "FAIL_WORKFLOW_EXECUTION": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES,
        _fail_workflow,
    ),
    "CANCEL_WORKFLOW_EXECUTION": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES,
        _cancel_workflow,
    ),
    "CONTINUE_AS_NEW_WORKFLOW_EXECUTION": (
        C.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES,
        _continue_as_new,
    ),
    "PROTOCOL_MESSAGE": (None, _protocol_message),
}
"""Command -> the cause of the task's failure if the state does not allow it; None: the handler itself says so."""

_HANDLERS = {
    CommandType.Value(f"COMMAND_TYPE_{name}"): (f"{name.lower()}_command_attributes", cause, handler)
    for name, (cause, handler) in _BY_NAME.items()
}

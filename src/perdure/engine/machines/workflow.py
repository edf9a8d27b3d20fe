"""The life of a run: started, signalled, asked to cancel, and ended once.

A run ends by a command of its own (see `close`), by termination, or by a timeout. What it still owes to others at that
moment (`apply` keeps it as pending items) outlives it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from temporalio.api.common.v1 import Header, Link, Payloads, Priority, TimeSkippingStatePropagation, WorkflowExecution
from temporalio.api.enums.v1 import ContinueAsNewInitiator, RetryState
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Request
from temporalio.api.workflow.v1 import ResetPoints, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.engine.apply import remember_request
from perdure.engine.checks.options import merge_workflow_options
from perdure.engine.execution import Core, Execution, Kind, Scheduled
from perdure.engine.machines import own_time, workflow_task
from perdure.engine.messages import copy_present
from perdure.engine.own_time import config_of
from perdure.engine.payloads import drop_nulls
from perdure.engine.times import get_duration, set_duration, set_time
from perdure.engine.transition import Environment, Transition
from perdure.errors import InvalidArgument, NotFound, workflow_busy

COMPLETED_MESSAGE = "workflow execution already completed"
CLOSING_MESSAGE = "workflow operation can not be applied because workflow is closing"


@dataclass(slots=True)
class Parent:
    """Who started a child, and where in its history."""

    namespace: str
    namespace_id: str
    workflow_id: str
    run_id: str
    initiated_event_id: int


@dataclass(slots=True)
class StartOptions:
    """What a start needs beside the request. The defaults are those of a start by a client."""

    run_id: str
    first_run_id: str = ""
    continued_run_id: str = ""
    parent: Parent | None = None
    root: WorkflowExecution | None = None
    initiator: int = 0
    attempt: int = 1
    first_task_backoff_ns: int = 0
    execution_expiration_ns: int = 0
    """That of the chain of runs; a first run's is worked out."""
    last_completion_result: Payloads | None = None
    continued_failure: Failure | None = None
    reset_points: bytes = b""
    eager: bool = False
    """The first task is started with the run, for the worker that starts it."""
    scheduled: Scheduled | None = None
    """The schedule that started the chain of runs."""
    time_skipping: TimeSkippingStatePropagation | None = None
    """What of the clock of the run before, or of the parent, goes over to this one."""
    signal: Signal | None = None
    """For signal-with-start: delivered between the start and the first task."""
    update: Request | None = None
    """For update-with-start: it rides on the first task."""


@dataclass(slots=True)
class Signal:
    name: str
    input: Payloads | None = None
    header: Header | None = None
    identity: str = ""
    request_id: str = ""
    external: WorkflowExecution | None = None
    """The workflow that sent it, if one did."""
    links: list[Link] = field(default_factory=list)


def begin(run_key: int, env: Environment, request: StartWorkflowExecutionRequest, options: StartOptions) -> Transition:
    """A new run. Its first task is scheduled unless it has to wait (start delay, cron, retry)."""
    core = Core(namespace_id=env.namespace.id, workflow_id=request.workflow_id, run_id=options.run_id)
    t = Transition(Execution(run_key, core), env, created=True)
    if options.time_skipping is not None:
        t.now_ns += get_duration(options.time_skipping.initial_skipped_duration)
    if not options.continued_run_id:
        _complete_options(t, request, options)
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    _fill_started(event, request, options)
    t.record(event)
    t.core.start_request_id = request.request_id
    if request.request_id:
        remember_request(t, request.request_id, event)
    if options.scheduled is not None:
        t.items(Kind.SCHEDULED).put("", options.scheduled)
    if options.signal is not None:
        record_signal(t, options.signal)
    if not options.first_task_backoff_ns:
        workflow_task.schedule(t)
        if options.eager:
            workflow_task.start(t, request_id=request.request_id, identity=request.identity, sticky=False)
    own_time.settle(t)
    return t


def _complete_options(t: Transition, request: StartWorkflowExecutionRequest, options: StartOptions) -> None:
    """What follows for the first run of a chain. The wait before its first task counts for the execution timeout."""
    timeout_ns = get_duration(request.workflow_execution_timeout)
    if timeout_ns:
        options.execution_expiration_ns = round(t.now_ns + timeout_ns, -6)
    if request.cron_schedule:
        options.initiator = ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE


def _fill_started(event: HistoryEvent, request: StartWorkflowExecutionRequest, options: StartOptions) -> None:
    a = event.workflow_execution_started_event_attributes
    a.workflow_type.CopyFrom(request.workflow_type)
    a.task_queue.CopyFrom(request.task_queue)
    a.workflow_id = request.workflow_id
    a.identity = request.identity
    a.cron_schedule = request.cron_schedule
    a.attempt = options.attempt
    a.first_execution_run_id = options.first_run_id or options.run_id
    a.original_execution_run_id = options.run_id
    a.continued_execution_run_id = options.continued_run_id
    a.initiator = options.initiator  # type: ignore[assignment]
    a.eager_execution_accepted = options.eager
    copy_present(request, a, _SHARED_WITH_REQUEST)
    _fill_attributes(a, request)
    if options.first_task_backoff_ns or not options.continued_run_id:
        set_duration(a.first_workflow_task_backoff, options.first_task_backoff_ns)
    if options.execution_expiration_ns:
        set_time(a.workflow_execution_expiration_time, options.execution_expiration_ns)
    if options.last_completion_result is not None:
        a.last_completion_result.CopyFrom(options.last_completion_result)
    if options.continued_failure is not None:
        a.continued_failure.CopyFrom(options.continued_failure)
    if options.continued_run_id:
        a.prev_auto_reset_points.CopyFrom(ResetPoints.FromString(options.reset_points))
    if options.parent is not None:
        _fill_parent(a, options.parent)
    if options.time_skipping is not None:
        a.time_skipping_state_propagation.CopyFrom(options.time_skipping)
    if options.root is not None:
        a.root_workflow_execution.CopyFrom(options.root)
    a.completion_callbacks.extend(request.completion_callbacks)
    event.links.extend(request.links)
    if request.HasField("user_metadata"):
        event.user_metadata.CopyFrom(request.user_metadata)


_SHARED_WITH_REQUEST = (
    "header",
    "input",
    "retry_policy",
    "priority",
    "versioning_override",
    "time_skipping_config",
    "workflow_execution_timeout",
    "workflow_run_timeout",
    "workflow_task_timeout",
)


def _fill_attributes(a, request: StartWorkflowExecutionRequest) -> None:  # type: ignore[no-untyped-def]
    """Memo and search attributes."""
    for name in ("memo", "search_attributes"):
        if request.HasField(name):
            getattr(a, name).CopyFrom(getattr(request, name))
    drop_nulls(a)


def _fill_parent(a, parent: Parent) -> None:  # type: ignore[no-untyped-def]
    a.parent_workflow_namespace = parent.namespace
    a.parent_workflow_namespace_id = parent.namespace_id
    a.parent_workflow_execution.workflow_id = parent.workflow_id
    a.parent_workflow_execution.run_id = parent.run_id
    a.parent_initiated_event_id = parent.initiated_event_id


def require_running(t: Transition) -> None:
    if not t.running:
        raise NotFound(COMPLETED_MESSAGE)


def signal(t: Transition, signal: Signal, *, wake: bool) -> None:
    """Deliver a signal. A repeated request id does nothing, also after the close.

    `wake`: begin the first task now, although its time has not come."""
    if signal.request_id and signal.request_id in t.items(Kind.REQUEST):
        return
    require_running(t)
    limit = t.env.config.maximum_signals_per_execution
    if limit and t.core.signal_count >= limit:
        raise InvalidArgument("exceeded workflow execution limit for signal events")
    task = t.workflow_task
    if t.core.close_attempted and task is not None and task.started_ns:
        raise workflow_busy(CLOSING_MESSAGE)
    waiting = t.core.first_task_backoff_ns and not t.core.first_task_scheduled and not wake
    record_signal(t, signal)
    if not waiting:
        workflow_task.ensure(t)


def record_signal(t: Transition, signal: Signal) -> None:
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    a = event.workflow_execution_signaled_event_attributes
    a.signal_name, a.identity, a.request_id = signal.name, signal.identity, signal.request_id
    if signal.input is not None:
        a.input.CopyFrom(signal.input)
    if signal.header is not None:
        a.header.CopyFrom(signal.header)
    if signal.external is not None:
        a.external_workflow_execution.CopyFrom(signal.external)
    event.links.extend(signal.links)
    t.record(event)


@dataclass(slots=True)
class Cancel:
    """A request to cancel, from a client, or from the workflow `external` (event `initiated_event_id` there)."""

    reason: str = ""
    identity: str = ""
    request_id: str = ""
    external: WorkflowExecution | None = None
    initiated_event_id: int = 0
    links: list[Link] = field(default_factory=list)


def request_cancel(t: Transition, cancel: Cancel) -> None:
    """Ask the workflow to cancel. Asking again, or asking a closed one, succeeds and does nothing."""
    core = t.core
    if not t.running or core.cancel_requested:
        return
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
    a = event.workflow_execution_cancel_requested_event_attributes
    a.cause, a.identity = cancel.reason, cancel.identity
    if cancel.external is not None:
        a.external_workflow_execution.CopyFrom(cancel.external)
        a.external_initiated_event_id = cancel.initiated_event_id
    event.links.extend(cancel.links)
    t.record(event)
    core.cancel_request_id = cancel.request_id
    workflow_task.ensure(t)


def terminate(
    t: Transition,
    *,
    reason: str,
    details: Payloads | None = None,
    identity: str = "",
    links: Iterable[Link] = (),
) -> None:
    """End the run at once, whatever it is doing."""
    require_running(t)
    workflow_task.interrupt(t)
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
    a = event.workflow_execution_terminated_event_attributes
    a.reason, a.identity = reason, identity
    if details is not None:
        a.details.CopyFrom(details)
    event.links.extend(links)
    t.record(event)
    t.visibility = True


def first_task(t: Transition) -> None:
    """The wait before the first task is over; a paused run goes on to wait, until it is unpaused."""
    if t.paused:
        t.items(Kind.LIFETIME).edit("first-task").due_ns = None
        return
    t.items(Kind.LIFETIME).remove("first-task")
    workflow_task.ensure(t)


def record_timed_out(t: Transition, retry_state: RetryState.ValueType, new_run_id: str) -> None:
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT)
    a = event.workflow_execution_timed_out_event_attributes
    a.retry_state, a.new_execution_run_id = retry_state, new_run_id
    t.record(event)
    t.visibility = True


def attach_request(t: Transition, request: StartWorkflowExecutionRequest) -> None:
    """A start that uses this run may leave its request id, callbacks and links here."""
    require_running(t)
    options = request.on_conflict_options
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED)
    event.worker_may_ignore = True
    a = event.workflow_execution_options_updated_event_attributes
    if options.attach_request_id:
        a.attached_request_id = request.request_id
    if options.attach_completion_callbacks:
        a.attached_completion_callbacks.extend(request.completion_callbacks)
    if options.attach_links:
        event.links.extend(request.links)
    t.record(event)


def update_options(
    t: Transition, new: WorkflowExecutionOptions, fields: Collection[str], identity: str
) -> WorkflowExecutionOptions:
    """Change the options that `fields` name. Returns all of them; when nothing changes there is no event."""
    require_running(t)
    before = options(t.core)
    after = WorkflowExecutionOptions()
    after.CopyFrom(before)
    merge_workflow_options(after, new, fields)
    skipping = "timeSkippingConfig" in fields and (
        after.time_skipping_config != before.time_skipping_config
        or after.HasField("time_skipping_config") != before.HasField("time_skipping_config")
        or new.time_skipping_config.HasField("fast_forward_config")
    )
    if after == before and not skipping:
        return after
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED)
    event.worker_may_ignore = True
    a = event.workflow_execution_options_updated_event_attributes
    a.identity = identity
    a.unset_versioning_override = not after.HasField("versioning_override")
    a.time_skipping_config_updated = skipping
    copy_present(after, a, ("versioning_override", "priority", "time_skipping_config"))
    if a.versioning_override.behavior:  # in the deprecated form, which events do not have
        a.versioning_override.Clear()
        a.versioning_override.auto_upgrade = True
    t.record(event)
    t.visibility = True
    return after


def options(core: Core) -> WorkflowExecutionOptions:
    """The options that can be changed, as they are now."""
    result = WorkflowExecutionOptions()
    if core.versioning_override:
        result.versioning_override.MergeFromString(core.versioning_override)
    if core.has_priority:
        result.priority.CopyFrom(Priority.FromString(core.priority))
    if (config := config_of(core.clock)) is not None:
        result.time_skipping_config.CopyFrom(config)
    return result

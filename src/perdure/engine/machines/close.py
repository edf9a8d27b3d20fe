"""The ways a run ends by its own command or its own deadline, and the run that may continue it.

A run is continued by command (continue-as-new), by its retry policy, or by its cron schedule. The new run is part of
the same transition, so that there is always exactly one of the two that is open.
"""

from __future__ import annotations

from temporalio.api.command.v1 import ContinueAsNewWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import Payloads, RetryPolicy, WorkflowExecution
from temporalio.api.enums.v1 import ContinueAsNewInitiator, RetryState, TaskQueueKind, TimeoutType
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes
from temporalio.api.workflow.v1 import ResetPoints
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.engine.cron import next_backoff
from perdure.engine.execution import Kind
from perdure.engine.machines import own_time, workflow, workflow_task
from perdure.engine.machines.workflow import Parent, StartOptions
from perdure.engine.messages import copy_present
from perdure.engine.payloads import drop_nulls
from perdure.engine.retry import workflow_retry
from perdure.engine.times import NS, get_duration, set_duration, set_time
from perdure.engine.transition import Transition

Initiator = ContinueAsNewInitiator
NO_BACKOFF = -1


def complete(t: Transition, completed_event_id: int, result: Payloads | None) -> None:
    cron_ns = cron_backoff_ns(t)
    new_run_id = t.env.ids.uuid() if cron_ns != NO_BACKOFF else ""
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
    a = event.workflow_execution_completed_event_attributes
    a.workflow_task_completed_event_id = completed_event_id
    a.new_execution_run_id = new_run_id
    if result is not None:
        a.result.CopyFrom(result)
    started = _started(t)
    _end(t, event)
    if new_run_id:
        assert started is not None
        _again(t, started, new_run_id, cron_ns, Initiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE, result, None)


def fail(t: Transition, completed_event_id: int, failure: Failure) -> None:
    backoff_ns, retry_state = retry_backoff(t, failure)
    initiator = Initiator.CONTINUE_AS_NEW_INITIATOR_RETRY
    if backoff_ns == NO_BACKOFF:
        backoff_ns = cron_backoff_ns(t)
        initiator = Initiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    new_run_id = t.env.ids.uuid() if backoff_ns != NO_BACKOFF else ""
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED)
    a = event.workflow_execution_failed_event_attributes
    a.workflow_task_completed_event_id = completed_event_id
    a.retry_state, a.new_execution_run_id = retry_state, new_run_id
    a.failure.CopyFrom(failure)
    started = _started(t)
    _end(t, event)
    if new_run_id:
        assert started is not None
        a_started = started.workflow_execution_started_event_attributes
        cron = initiator == Initiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
        last = a_started.last_completion_result if cron and a_started.HasField("last_completion_result") else None
        _again(t, started, new_run_id, backoff_ns, initiator, last, failure)


def cancel(t: Transition, completed_event_id: int, details: Payloads | None) -> None:
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED)
    a = event.workflow_execution_canceled_event_attributes
    a.workflow_task_completed_event_id = completed_event_id
    if details is not None:
        a.details.CopyFrom(details)
    _end(t, event)


def time_out(t: Transition) -> None:
    """The run's deadline has passed: end it, or, unless the whole execution's has, retry it or wait for its cron."""
    failure = Failure(message="workflow timeout", source="Server")
    failure.timeout_failure_info.timeout_type = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
    backoff_ns, retry_state = NO_BACKOFF, RetryState.RETRY_STATE_TIMEOUT
    initiator = Initiator.CONTINUE_AS_NEW_INITIATOR_RETRY
    if not t.core.execution_expiration_ns or t.core.execution_expiration_ns > t.now_ns:
        backoff_ns, retry_state = retry_backoff(t, failure)
        if backoff_ns == NO_BACKOFF:
            backoff_ns = cron_backoff_ns(t)
            initiator = Initiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    new_run_id = t.env.ids.uuid() if backoff_ns != NO_BACKOFF else ""
    started = _started(t)
    workflow_task.interrupt(t)
    workflow.record_timed_out(t, retry_state, new_run_id)
    if new_run_id:
        assert started is not None
        a = started.workflow_execution_started_event_attributes
        last = a.last_completion_result if a.HasField("last_completion_result") else None
        _again(t, started, new_run_id, backoff_ns, initiator, last, failure)


def continue_as_new(
    t: Transition, completed_event_id: int, command: ContinueAsNewWorkflowExecutionCommandAttributes
) -> None:
    core = t.core
    new_run_id = t.env.ids.uuid()
    initiator = command.initiator or Initiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
    a = event.workflow_execution_continued_as_new_event_attributes
    a.workflow_task_completed_event_id = completed_event_id
    a.new_execution_run_id = new_run_id
    a.initiator = command.initiator
    a.inherit_build_id = command.inherit_build_id
    copy_present(command, a, _SHARED_MESSAGES)
    drop_nulls(a)
    started = _started(t)

    request = StartWorkflowExecutionRequest(request_id=t.env.ids.uuid(), workflow_id=core.workflow_id)
    request.workflow_type.name = command.workflow_type.name or core.workflow_type
    request.task_queue.name = command.task_queue.name or core.task_queue
    request.task_queue.kind = TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    set_duration(request.workflow_task_timeout, get_duration(command.workflow_task_timeout) or core.task_timeout_ns)
    request.cron_schedule = command.cron_schedule
    names = ("input", "header", "retry_policy", "memo", "search_attributes", "workflow_run_timeout")
    copy_present(command, request, names)
    if core.has_priority:
        request.priority.SetInParent()
        request.priority.MergeFromString(core.priority)
    if started is not None:
        request.links.extend(started.links)
    options = StartOptions(
        run_id=new_run_id,
        initiator=initiator,
        attempt=core.attempt + 1 if initiator == Initiator.CONTINUE_AS_NEW_INITIATOR_RETRY else 1,
        first_task_backoff_ns=_min_backoff_ns(t, get_duration(command.backoff_start_interval)),
        last_completion_result=command.last_completion_result if command.HasField("last_completion_result") else None,
        continued_failure=command.failure if command.HasField("failure") else None,
    )
    _end(t, event)
    _begin_next(t, request, options)


_SHARED_MESSAGES = (
    "workflow_type",
    "task_queue",
    "input",
    "backoff_start_interval",
    "failure",
    "last_completion_result",
    "header",
    "memo",
    "search_attributes",
    "workflow_run_timeout",
    "workflow_task_timeout",
)


def _end(t: Transition, event: HistoryEvent) -> None:
    t.record(event)
    t.visibility = True


def _started(t: Transition) -> HistoryEvent | None:
    """The event that began the run, if it was kept (it is where a later run may need it)."""
    item = t.items(Kind.START).get("")
    return HistoryEvent.FromString(item.event) if item is not None else None


def retry_backoff(t: Transition, failure: Failure) -> tuple[int, RetryState.ValueType]:
    """How long to wait before the next attempt of the workflow, or `NO_BACKOFF`, and in both cases why."""
    retry_state, interval_ns = workflow_retry(
        RetryPolicy.FromString(t.core.retry_policy) if t.core.retry_policy else None,
        attempt=t.core.attempt,
        failure=failure,
        now_ns=t.now_ns,
        expiration_ns=t.core.execution_expiration_ns,
    )
    return NO_BACKOFF if interval_ns is None else interval_ns, RetryState.ValueType(retry_state)


def cron_backoff_ns(t: Transition) -> int:
    backoff_ns = next_backoff(t.core.cron_schedule, t.core.execution_ns, t.now_ns)
    return NO_BACKOFF if backoff_ns is None else backoff_ns


def _min_backoff_ns(t: Transition, backoff_ns: int) -> int:
    """Runs of a chain that live shorter than the minimum are slowed down to it."""
    lifetime_ns = max(0, t.now_ns - t.core.start_ns)
    if t.now_ns - t.core.execution_ns >= 0:
        lifetime_ns = t.now_ns - t.core.execution_ns
    minimum_ns = int(t.env.config.workflow_id_reuse_minimal_interval_s * NS)
    if lifetime_ns + backoff_ns < minimum_ns:
        return minimum_ns - lifetime_ns
    return backoff_ns


def _again(
    t: Transition,
    started: HistoryEvent,
    new_run_id: str,
    backoff_ns: int,
    initiator: ContinueAsNewInitiator.ValueType,
    last_completion_result: Payloads | None,
    failure: Failure | None,
) -> None:
    """The next run of a retry policy or a cron schedule: as the first one was started."""
    a: WorkflowExecutionStartedEventAttributes = started.workflow_execution_started_event_attributes
    core = t.core
    retry = initiator == Initiator.CONTINUE_AS_NEW_INITIATOR_RETRY
    request = StartWorkflowExecutionRequest(request_id=t.env.ids.uuid(), workflow_id=core.workflow_id)
    request.workflow_type.CopyFrom(a.workflow_type)
    request.task_queue.name = a.task_queue.name
    request.task_queue.kind = TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    request.cron_schedule = a.cron_schedule
    copy_present(a, request, _SHARED_WITH_NEXT_RUN)
    request.links.extend(started.links)
    if retry:
        request.completion_callbacks.extend(a.completion_callbacks)
    options = StartOptions(
        run_id=new_run_id,
        initiator=initiator,
        attempt=core.attempt + 1 if retry else 1,
        first_task_backoff_ns=_min_backoff_ns(t, backoff_ns),
        last_completion_result=last_completion_result,
        continued_failure=failure,
    )
    _begin_next(t, request, options)


_SHARED_WITH_NEXT_RUN = (
    "input",
    "header",
    "retry_policy",
    "memo",
    "search_attributes",
    "priority",
    "workflow_run_timeout",
    "workflow_task_timeout",
)


def _expiring(t: Transition) -> bytes:
    """The reset points for the next run; those of this one can be used as long as it is kept."""
    points = ResetPoints.FromString(t.core.reset_points)
    for point in points.points:
        if point.run_id == t.core.run_id:
            set_time(point.expire_time, t.now_ns + t.env.namespace.retention_ns)
    return points.SerializeToString()


def _begin_next(t: Transition, request: StartWorkflowExecutionRequest, options: StartOptions) -> None:
    core = t.core
    if core.has_execution_timeout:
        set_duration(request.workflow_execution_timeout, core.execution_timeout_ns)
    request.namespace = t.env.namespace.name
    options.first_run_id = core.first_run_id
    options.continued_run_id = core.run_id
    options.execution_expiration_ns = core.execution_expiration_ns
    options.reset_points = _expiring(t)
    config, options.time_skipping = own_time.next_run(core)
    if config is not None:
        request.time_skipping_config.CopyFrom(config)
    options.scheduled = t.execution.pending[Kind.SCHEDULED].get("")
    if core.parent_workflow_id:
        options.parent = Parent(
            namespace=core.parent_namespace,
            namespace_id=core.parent_namespace_id,
            workflow_id=core.parent_workflow_id,
            run_id=core.parent_run_id,
            initiated_event_id=core.parent_initiated_event_id,
        )
        options.root = WorkflowExecution(workflow_id=core.root_workflow_id, run_id=core.root_run_id)
    t.new_run = workflow.begin(t.env.new_run_key(), t.env, request, options)

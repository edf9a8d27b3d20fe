"""`apply(state, event)`: the only function from events to state, live and on a rebuild.

An event acts when it arrives, also when it is buffered and has no id yet. What no event carries (attempts, heartbeats,
stickiness, ...) is changed by the machines and listed in `perdure.engine.rebuild.NOT_IN_EVENTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from temporalio.api.common.v1 import Memo, SearchAttributes
from temporalio.api.enums.v1 import (
    EventType,
    ParentClosePolicy,
    WorkflowExecutionStatus,
    WorkflowTaskFailedCause,
    workflow_pb2,
)
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import ResetPoints

from perdure.engine import attributes, own_time
from perdure.engine.execution import (
    PAUSED,
    RUNNING,
    Activity,
    Child,
    ExternalCancel,
    ExternalSignal,
    FollowUp,
    Kind,
    Lifetime,
    Request,
    Start,
    Timer,
    Update,
    UpdateState,
    WorkflowTask,
)
from perdure.engine.payloads import merge_payloads
from perdure.engine.queues import activity_queue, task_order, workflow_queue
from perdure.engine.times import get_duration, get_time

if TYPE_CHECKING:
    from perdure.engine.transition import State

RESETTER = "history-resetter"
"""Who ends the current run when another one is made by a reset. Its parent is told of that other one's end."""

S = WorkflowExecutionStatus
Cause = WorkflowTaskFailedCause


def apply(state: State, event: HistoryEvent) -> None:
    """Let `event` act on `state`."""
    name, handler = _HANDLERS[event.event_type]
    handler(state, event, getattr(event, name))


def _started(state: State, event: HistoryEvent, a: Any) -> None:
    core = state.core
    now = get_time(event.event_time)
    core.status = RUNNING
    core.workflow_type = a.workflow_type.name
    core.task_queue = a.task_queue.name
    core.start_ns = now
    core.first_run_id = a.first_execution_run_id
    core.original_run_id = a.original_execution_run_id
    core.execution_timeout_ns = get_duration(a.workflow_execution_timeout)
    core.has_execution_timeout = a.HasField("workflow_execution_timeout")
    core.run_timeout_ns = get_duration(a.workflow_run_timeout)
    core.has_run_timeout = a.HasField("workflow_run_timeout")
    core.task_timeout_ns = get_duration(a.workflow_task_timeout)
    core.execution_expiration_ns = get_time(a.workflow_execution_expiration_time)
    core.first_task_backoff_ns = get_duration(a.first_workflow_task_backoff)
    core.execution_ns = now + core.first_task_backoff_ns
    core.attempt = a.attempt
    core.cron_schedule = a.cron_schedule
    core.continued_run_id = a.continued_execution_run_id
    core.parent_namespace = a.parent_workflow_namespace
    core.parent_namespace_id = a.parent_workflow_namespace_id
    core.parent_workflow_id = a.parent_workflow_execution.workflow_id
    core.parent_run_id = a.parent_workflow_execution.run_id
    core.parent_initiated_event_id = a.parent_initiated_event_id
    core.root_workflow_id = a.root_workflow_execution.workflow_id or core.workflow_id
    core.root_run_id = a.root_workflow_execution.run_id or core.run_id
    if a.HasField("retry_policy"):
        core.retry_policy = a.retry_policy.SerializeToString(deterministic=True)
    if a.HasField("memo"):
        core.memo = a.memo.SerializeToString(deterministic=True)
    if a.HasField("search_attributes"):
        core.search_attributes = a.search_attributes.SerializeToString(deterministic=True)
    core.has_priority = a.HasField("priority")
    if core.has_priority:
        core.priority = a.priority.SerializeToString(deterministic=True)
    if a.HasField("versioning_override"):
        core.versioning_override = a.versioning_override.SerializeToString(deterministic=True)
    if a.HasField("prev_auto_reset_points"):
        core.reset_points = a.prev_auto_reset_points.SerializeToString(deterministic=True)
    if event.HasField("user_metadata"):
        core.user_metadata = event.user_metadata.SerializeToString(deterministic=True)
    if a.cron_schedule or core.retry_policy or event.links or a.completion_callbacks:
        state.items(Kind.START).put("", Start(event=event.SerializeToString(deterministic=True)))
    _expire(state, now)
    own_time.begin(state, a, now)


def _expire(state: State, now: int) -> None:
    """Set the deadlines of the run and of the chain of runs; the time before the first task does not count."""
    core, lifetimes = state.core, state.items(Kind.LIFETIME)
    if core.run_timeout_ns:
        core.run_expiration_ns = now + core.first_task_backoff_ns + core.run_timeout_ns
        if core.execution_expiration_ns:
            core.run_expiration_ns = min(core.run_expiration_ns, core.execution_expiration_ns)
        lifetimes.put("run-timeout", Lifetime(what="run-timeout", due_ns=core.run_expiration_ns))
    if core.execution_expiration_ns:
        lifetimes.put("execution-timeout", Lifetime(what="execution-timeout", due_ns=core.execution_expiration_ns))
    if core.first_task_backoff_ns:
        due = now + core.first_task_backoff_ns
        lifetimes.put("first-task", Lifetime(what="first-task", due_ns=due))


def _closed(status: int) -> Callable[[State, HistoryEvent, Any], None]:
    def close(state: State, event: HistoryEvent, a: Any) -> None:
        core = state.core
        core.status = status
        core.close_ns = get_time(event.event_time)
        core.new_run_id = getattr(a, "new_execution_run_id", "")
        for kind in _GONE_AT_CLOSE:
            state.items(kind).clear()
        for kind in _STAND_STILL_AT_CLOSE:
            items = state.items(kind)
            for key in list(items):
                item = items.edit(key)
                item.due_ns = item.queue = None
        _leave_children(state)
        _leave_schedule(state, event)
        if core.parent_workflow_id and not core.new_run_id and getattr(a, "identity", "") != RESETTER:
            report = FollowUp(close_event=event.SerializeToString(deterministic=True), due_ns=core.close_ns)
            state.items(Kind.FOLLOW_UP).put("report", report)

    return close


def _leave_schedule(state: State, event: HistoryEvent) -> None:
    """The schedule that started the chain of runs is told how its last run ends."""
    items = state.items(Kind.SCHEDULED)
    if "" in items and state.core.new_run_id:
        items.remove("")
    elif "" in items:
        item = items.edit("")
        item.close_event, item.due_ns = event.SerializeToString(deterministic=True), state.core.close_ns


_STAND_STILL_AT_CLOSE = (Kind.WORKFLOW_TASK, Kind.ACTIVITY)
"""What was under way stays visible in descriptions of the closed run, but nothing happens to it any more."""

_GONE_AT_CLOSE = (
    Kind.TIMER,
    Kind.EXTERNAL_SIGNAL,
    Kind.EXTERNAL_CANCEL,
    Kind.BUFFERED_EVENT,
    Kind.LIFETIME,
    Kind.START,
)
"""Signals and cancels to other workflows that have not been delivered yet are dropped, as by the real server."""


def _leave_children(state: State) -> None:
    """A started child is owed its close policy. One that has not been started never will be."""
    children = state.items(Kind.CHILD)
    for key in list(children):
        child = children.edit(key)
        abandoned = child.parent_close_policy == ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON
        child.due_ns = state.core.close_ns if child.started and not abandoned else None


def _task_scheduled(state: State, event: HistoryEvent, a: Any) -> None:
    put_workflow_task(
        state,
        scheduled_event_id=event.event_id,
        now_ns=get_time(event.event_time),
        timeout_ns=get_duration(a.start_to_close_timeout),
        attempt=a.attempt,
        task_queue=a.task_queue.name,
        sticky=bool(a.task_queue.normal_name),
    )


def put_workflow_task(
    state: State,
    *,
    scheduled_event_id: int,
    now_ns: int,
    timeout_ns: int,
    attempt: int,
    task_queue: str,
    sticky: bool,
    speculative: bool = False,
) -> WorkflowTask:
    """A task that waits for a worker, written or not. On a sticky queue it waits only so long."""
    core = state.core
    task = WorkflowTask(
        due_ns=now_ns + core.sticky_timeout_ns if sticky and core.sticky_timeout_ns else None,
        queue=workflow_queue(core.namespace_id, task_queue),
        order=task_order(now_ns, core.priority),
        scheduled_event_id=scheduled_event_id,
        scheduled_ns=now_ns,
        original_scheduled_ns=now_ns,
        timeout_ns=timeout_ns,
        attempt=attempt,
        task_queue=task_queue,
        sticky=sticky,
        stamp=core.stamp,
        speculative=speculative,
    )
    if not speculative:
        core.first_task_scheduled = True
        state.items(Kind.LIFETIME).remove("first-task")
    state.items(Kind.WORKFLOW_TASK).put("", task)
    return task


def _task_started(state: State, event: HistoryEvent, a: Any) -> None:
    task = state.items(Kind.WORKFLOW_TASK).edit("")
    start_workflow_task(
        task,
        started_event_id=event.event_id,
        now_ns=get_time(event.event_time),
        request_id=a.request_id,
        identity=a.identity,
    )
    task.suggest_continue_as_new = a.suggest_continue_as_new
    task.suggest_reasons = list(a.suggest_continue_as_new_reasons)
    task.history_size_bytes = a.history_size_bytes


def start_workflow_task(
    task: WorkflowTask, *, started_event_id: int, now_ns: int, request_id: str, identity: str
) -> None:
    """A worker has the task: it leaves the queue and must be back before its timeout."""
    task.started_event_id = started_event_id
    task.started_ns = now_ns
    task.request_id = request_id
    task.identity = identity
    task.queue = None
    task.due_ns = now_ns + task.timeout_ns


def _task_completed(state: State, event: HistoryEvent, a: Any) -> None:
    core = state.core
    core.previous_started_event_id = a.started_event_id
    core.workflow_task_attempt = 1
    core.completed_task_count += 1
    core.close_attempted = False
    core.last_task_failure_cause = 0
    core.last_task_timed_out = False
    core.failed_attempts = 0
    core.reported_problems = []
    core.last_worker_identity = a.identity
    worker_version = a.worker_version.SerializeToString(deterministic=True)
    if core.completed_task_count == 1 or a.binary_checksum or worker_version != core.most_recent_worker_version:
        core.search_attributes = attributes.with_build_id(core.search_attributes, a.worker_version)
        _add_reset_point(state, event, a)
    core.most_recent_worker_version = worker_version
    if a.sdk_metadata.sdk_name:
        core.sdk_name = a.sdk_metadata.sdk_name
    if a.sdk_metadata.sdk_version:
        core.sdk_version = a.sdk_metadata.sdk_version
    state.items(Kind.WORKFLOW_TASK).remove("")


def _add_reset_point(state: State, event: HistoryEvent, a: Any) -> None:
    """Remember the first task that each build completed: the places a bad deployment can be reset to."""
    checksum = a.binary_checksum
    build_id = a.worker_version.build_id
    points = ResetPoints.FromString(state.core.reset_points)
    if any(p.binary_checksum == checksum and p.build_id == build_id for p in points.points):
        return
    point = points.points.add(
        binary_checksum=checksum,
        build_id=build_id,
        run_id=state.core.run_id,
        first_workflow_task_completed_id=event.event_id,
        resettable=not any(len(state.items(kind)) for kind in _IN_THE_WAY_OF_RESET),
    )
    point.create_time.CopyFrom(event.event_time)
    del points.points[: -state.max_reset_points]
    state.core.reset_points = points.SerializeToString(deterministic=True)
    if checksum:
        checksums = [p.binary_checksum for p in points.points if p.binary_checksum]
        state.core.search_attributes = attributes.with_checksums(state.core.search_attributes, checksums)


_IN_THE_WAY_OF_RESET = (Kind.CHILD, Kind.EXTERNAL_CANCEL, Kind.EXTERNAL_SIGNAL)
"""What a reset point had better not find pending. (A reset to it is not refused for that.)"""


def _task_failed(state: State, event: HistoryEvent, a: Any) -> None:
    fail_workflow_task(state, increment=True)
    after_failure(state, a.cause)
    state.core.last_task_failure_cause = a.cause
    state.core.last_task_timed_out = False
    if a.cause == Cause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW and a.new_run_id == state.core.run_id:
        _begin_by_reset(state, event)


def _begin_by_reset(state: State, event: HistoryEvent) -> None:
    """All before was another run's life. This one begins here: its timeouts, and those of its activities, too."""
    core, now = state.core, get_time(event.event_time)
    core.reset_event_id = event.event_id
    core.original_start_ns, core.start_ns = core.start_ns, now
    core.execution_ns = now + core.first_task_backoff_ns
    lifetimes = state.items(Kind.LIFETIME)
    if core.execution_timeout_ns:
        core.execution_expiration_ns = now + core.execution_timeout_ns
        lifetimes.put("execution-timeout", Lifetime(what="execution-timeout", due_ns=core.execution_expiration_ns))
    if core.run_timeout_ns:
        core.run_expiration_ns = now + core.run_timeout_ns
        if core.execution_timeout_ns:
            core.run_expiration_ns = min(core.run_expiration_ns, core.execution_expiration_ns)
        lifetimes.put("run-timeout", Lifetime(what="run-timeout", due_ns=core.run_expiration_ns))
    activities = state.items(Kind.ACTIVITY)
    for key in list(activities):
        activity = activities.edit(key)
        activity.scheduled_ns = activity.first_scheduled_ns = activity.order = now
        activity.due_ns = activity_due_ns(activity)


def _task_timed_out(state: State, event: HistoryEvent, a: Any) -> None:
    started = a.timeout_type != workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START
    fail_workflow_task(state, increment=started)
    if started:
        state.core.last_task_timed_out = True
        state.core.last_task_failure_cause = 0


def fail_workflow_task(state: State, *, increment: bool) -> None:
    """End the task without progress. A sticky one is tried once more on the normal queue before attempts count."""
    core = state.core
    if core.sticky_queue:
        increment = False
        clear_stickiness(state)
    core.workflow_task_attempt = core.workflow_task_attempt + 1 if increment else 1
    core.failed_attempts += increment
    core.close_attempted = False
    state.items(Kind.WORKFLOW_TASK).remove("")


def after_failure(state: State, cause: int) -> None:
    """What the cause of a failed task means for the next one."""
    if cause in _NOT_THE_WORKERS_FAULT:
        state.core.workflow_task_attempt = 1
    state.core.close_attempted = cause == Cause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND


_NOT_THE_WORKERS_FAULT = (
    Cause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
    Cause.WORKFLOW_TASK_FAILED_CAUSE_FAILOVER_CLOSE_COMMAND,
    Cause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED,
)


def clear_stickiness(state: State) -> None:
    state.core.sticky_queue = ""
    state.core.sticky_timeout_ns = 0


def _activity_scheduled(state: State, event: HistoryEvent, a: Any) -> None:
    now = get_time(event.event_time)
    to_close, to_start = get_duration(a.schedule_to_close_timeout), get_duration(a.schedule_to_start_timeout)
    priority = a.priority.SerializeToString(deterministic=True) if a.HasField("priority") else b""
    activity = Activity(
        scheduled_event_id=event.event_id,
        activity_id=a.activity_id,
        activity_type=a.activity_type.name,
        task_queue=a.task_queue.name,
        scheduled_ns=now,
        first_scheduled_ns=now,
        schedule_to_close_ns=to_close,
        schedule_to_start_ns=to_start,
        start_to_close_ns=get_duration(a.start_to_close_timeout),
        heartbeat_ns=get_duration(a.heartbeat_timeout),
        has_retry_policy=a.HasField("retry_policy"),
        retry_policy=a.retry_policy.SerializeToString(deterministic=True) if a.HasField("retry_policy") else b"",
        retry_expiration_ns=now + to_close if to_close else 0,
        priority=priority,
        has_priority=a.HasField("priority"),
        input=a.input.SerializeToString(deterministic=True) if a.HasField("input") else b"",
        header=a.header.SerializeToString(deterministic=True) if a.HasField("header") else b"",
        queue=None if state.core.status == PAUSED else activity_queue(state.core.namespace_id, a.task_queue.name),
        held=state.core.status == PAUSED,
        # Activities of one moment go out in the order of their commands.
        order=task_order(now + event.event_id, state.core.priority, priority),
    )
    activity.due_ns = activity_due_ns(activity)
    state.items(Kind.ACTIVITY).put(event.event_id, activity)


def activity_due_ns(activity: Activity) -> int | None:
    """The first deadline of an activity as it is now: the end of its backoff, or the next of its timeouts.

    One that is paused has none; its timeouts are made up for when it is unpaused."""
    if activity.paused_ns:
        return None
    deadlines = [due_ns for due_ns, _ in activity_timeouts(activity)]
    if activity.next_attempt_ns:
        deadlines.append(activity.next_attempt_ns)
    return min(deadlines, default=None)


def activity_timeouts(activity: Activity) -> list[tuple[int, int]]:
    """The timeouts that apply to an activity as it is now: when, and the number of the `TimeoutType`."""
    timeouts: list[tuple[int, int]] = []
    if activity.schedule_to_close_ns:
        due_ns = activity.first_scheduled_ns + activity.schedule_to_close_ns
        timeouts.append((due_ns, workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE))
    if not activity.started_ns:
        if activity.schedule_to_start_ns:
            due_ns = activity.scheduled_ns + activity.schedule_to_start_ns
            timeouts.append((due_ns, workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START))
        return timeouts
    if activity.start_to_close_ns:
        timeouts.append((activity.started_ns + activity.start_to_close_ns, workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE))
    if activity.heartbeat_ns:
        due_ns = max(activity.started_ns, activity.last_heartbeat_ns) + activity.heartbeat_ns
        timeouts.append((due_ns, workflow_pb2.TIMEOUT_TYPE_HEARTBEAT))
    return timeouts


def _activity_cancel_requested(state: State, event: HistoryEvent, a: Any) -> None:
    activities = state.items(Kind.ACTIVITY)
    if a.scheduled_event_id in activities:
        activity = activities.edit(a.scheduled_event_id)
        activity.cancel_requested = True
        activity.cancel_request_event_id = event.event_id


def _activity_closed(state: State, event: HistoryEvent, a: Any) -> None:
    state.items(Kind.ACTIVITY).remove(a.scheduled_event_id)


def _timer_started(state: State, event: HistoryEvent, a: Any) -> None:
    due = get_time(event.event_time) + get_duration(a.start_to_fire_timeout)
    timer = Timer(timer_id=a.timer_id, started_event_id=event.event_id, due_ns=due)
    state.items(Kind.TIMER).put(a.timer_id, timer)


def _timer_ended(state: State, event: HistoryEvent, a: Any) -> None:
    state.items(Kind.TIMER).remove(a.timer_id)


def _child_initiated(state: State, event: HistoryEvent, a: Any) -> None:
    child = Child(
        initiated_event_id=event.event_id,
        namespace=a.namespace,
        namespace_id=a.namespace_id,
        workflow_id=a.workflow_id,
        workflow_type=a.workflow_type.name,
        parent_close_policy=a.parent_close_policy,
        create_request_id=f"{state.core.run_id}:{event.event_id}:0",
        initiated=event.SerializeToString(deterministic=True),
        due_ns=get_time(event.event_time),
    )
    state.items(Kind.CHILD).put(event.event_id, child)


def _child_started(state: State, event: HistoryEvent, a: Any) -> None:
    child = state.items(Kind.CHILD).edit(a.initiated_event_id)
    child.started = True
    child.started_event_id = event.event_id
    child.run_id = a.workflow_execution.run_id
    child.due_ns = None
    child.initiated = b""


def _child_closed(state: State, event: HistoryEvent, a: Any) -> None:
    state.items(Kind.CHILD).remove(a.initiated_event_id)


def _own_request_id(state: State, event: HistoryEvent) -> str:
    """What a request of this run to another one is known by there: the same whenever it is worked out."""
    return str(uuid5(NAMESPACE_OID, f"{state.core.run_id}/{event.event_id}"))


def _signal_initiated(state: State, event: HistoryEvent, a: Any) -> None:
    signal = ExternalSignal(
        initiated_event_id=event.event_id,
        request_id=_own_request_id(state, event),
        namespace=a.namespace,
        namespace_id=a.namespace_id,
        initiated=event.SerializeToString(deterministic=True),
        due_ns=get_time(event.event_time),
    )
    state.items(Kind.EXTERNAL_SIGNAL).put(event.event_id, signal)


def _signal_ended(state: State, event: HistoryEvent, a: Any) -> None:
    state.items(Kind.EXTERNAL_SIGNAL).remove(a.initiated_event_id)


def _cancel_initiated(state: State, event: HistoryEvent, a: Any) -> None:
    cancel = ExternalCancel(
        initiated_event_id=event.event_id,
        request_id=_own_request_id(state, event),
        namespace=a.namespace,
        namespace_id=a.namespace_id,
        initiated=event.SerializeToString(deterministic=True),
        due_ns=get_time(event.event_time),
    )
    state.items(Kind.EXTERNAL_CANCEL).put(event.event_id, cancel)


def _cancel_ended(state: State, event: HistoryEvent, a: Any) -> None:
    state.items(Kind.EXTERNAL_CANCEL).remove(a.initiated_event_id)


def _signaled(state: State, event: HistoryEvent, a: Any) -> None:
    state.core.signal_count += 1
    if a.request_id:
        remember_request(state, a.request_id, event)


def remember_request(state: State, request_id: str, event: HistoryEvent) -> None:
    request = Request(request_id=request_id, event_type=event.event_type, event_id=event.event_id)
    state.items(Kind.REQUEST).put(request_id, request)


def _cancel_requested(state: State, event: HistoryEvent, a: Any) -> None:
    state.core.cancel_requested = True


def _search_attributes_upserted(state: State, event: HistoryEvent, a: Any) -> None:
    merged = SearchAttributes.FromString(state.core.search_attributes)
    merge_payloads(merged.indexed_fields, a.search_attributes.indexed_fields)
    state.core.search_attributes = merged.SerializeToString(deterministic=True)


def _properties_modified(state: State, event: HistoryEvent, a: Any) -> None:
    if a.HasField("upserted_memo"):
        merged = Memo.FromString(state.core.memo)
        merge_payloads(merged.fields, a.upserted_memo.fields)
        state.core.memo = merged.SerializeToString(deterministic=True)


def _options_updated(state: State, event: HistoryEvent, a: Any) -> None:
    if a.attached_request_id:
        remember_request(state, a.attached_request_id, event)
    if a.unset_versioning_override:
        state.core.versioning_override = b""
    elif a.HasField("versioning_override"):
        state.core.versioning_override = a.versioning_override.SerializeToString(deterministic=True)
    if a.HasField("priority"):
        _set_priority(state, a.priority.SerializeToString(deterministic=True), get_time(event.event_time))
    if a.time_skipping_config_updated:
        config = a.time_skipping_config if a.HasField("time_skipping_config") else None
        own_time.reconfigure(state, config, get_time(event.event_time))


def _set_priority(state: State, priority: bytes, now_ns: int) -> None:
    """The workflow task that waits goes to the end of its new level. Activities have their own place."""
    core = state.core
    changed = priority != core.priority
    core.has_priority, core.priority = True, priority
    items = state.items(Kind.WORKFLOW_TASK)
    task = items.get("")
    if changed and task is not None and not task.started_ns:
        items.edit("").order = task_order(now_ns, priority)


def _time_skipped(state: State, event: HistoryEvent, a: Any) -> None:
    own_time.transitioned(state, a, get_time(event.event_time))


def _paused(state: State, event: HistoryEvent, a: Any) -> None:
    core = state.core
    core.status = PAUSED
    core.paused_ns = get_time(event.event_time)
    core.paused_by, core.pause_reason, core.pause_request_id = a.identity, a.reason, a.request_id


def _unpaused(state: State, event: HistoryEvent, a: Any) -> None:
    core = state.core
    core.status = RUNNING
    core.paused_ns = 0
    core.paused_by = core.pause_reason = core.pause_request_id = ""


def _update_admitted(state: State, event: HistoryEvent, a: Any) -> None:
    update_id = a.request.meta.update_id
    state.items(Kind.UPDATE).put(update_id, Update(update_id=update_id, in_history=True))
    if a.request.request_id:
        remember_request(state, a.request.request_id, event)


def _update_accepted(state: State, event: HistoryEvent, a: Any) -> None:
    update = Update(
        update_id=a.protocol_instance_id,
        state=UpdateState.ACCEPTED,
        accepted_event_id=event.event_id,
    )
    state.items(Kind.UPDATE).put(update.update_id, update)
    if a.accepted_request.request_id:
        remember_request(state, a.accepted_request.request_id, event)


def _update_completed(state: State, event: HistoryEvent, a: Any) -> None:
    update = state.items(Kind.UPDATE).edit(a.meta.update_id)
    update.state = UpdateState.COMPLETED
    update.completed_event_id = event.event_id


def _nothing(state: State, event: HistoryEvent, a: Any) -> None:
    """The event is for the workflow's code alone."""


_Handler = Callable[["State", HistoryEvent, Any], None]

_BY_NAME: dict[str, _Handler] = {
    "WORKFLOW_EXECUTION_STARTED": _started,
    "WORKFLOW_EXECUTION_COMPLETED": _closed(S.WORKFLOW_EXECUTION_STATUS_COMPLETED),
    "WORKFLOW_EXECUTION_FAILED": _closed(S.WORKFLOW_EXECUTION_STATUS_FAILED),
    "WORKFLOW_EXECUTION_TIMED_OUT": _closed(S.WORKFLOW_EXECUTION_STATUS_TIMED_OUT),
    "WORKFLOW_EXECUTION_CANCELED": _closed(S.WORKFLOW_EXECUTION_STATUS_CANCELED),
    "WORKFLOW_EXECUTION_TERMINATED": _closed(S.WORKFLOW_EXECUTION_STATUS_TERMINATED),
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW": _closed(S.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW),
    "WORKFLOW_TASK_SCHEDULED": _task_scheduled,
    "WORKFLOW_TASK_STARTED": _task_started,
    "WORKFLOW_TASK_COMPLETED": _task_completed,
    "WORKFLOW_TASK_FAILED": _task_failed,
    "WORKFLOW_TASK_TIMED_OUT": _task_timed_out,
    "ACTIVITY_TASK_SCHEDULED": _activity_scheduled,
    "ACTIVITY_TASK_STARTED": _nothing,
    "ACTIVITY_TASK_CANCEL_REQUESTED": _activity_cancel_requested,
    "ACTIVITY_TASK_COMPLETED": _activity_closed,
    "ACTIVITY_TASK_FAILED": _activity_closed,
    "ACTIVITY_TASK_TIMED_OUT": _activity_closed,
    "ACTIVITY_TASK_CANCELED": _activity_closed,
    "TIMER_STARTED": _timer_started,
    "TIMER_FIRED": _timer_ended,
    "TIMER_CANCELED": _timer_ended,
    "MARKER_RECORDED": _nothing,
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": _child_initiated,
    "START_CHILD_WORKFLOW_EXECUTION_FAILED": _child_closed,
    "CHILD_WORKFLOW_EXECUTION_STARTED": _child_started,
    "CHILD_WORKFLOW_EXECUTION_COMPLETED": _child_closed,
    "CHILD_WORKFLOW_EXECUTION_FAILED": _child_closed,
    "CHILD_WORKFLOW_EXECUTION_CANCELED": _child_closed,
    "CHILD_WORKFLOW_EXECUTION_TIMED_OUT": _child_closed,
    "CHILD_WORKFLOW_EXECUTION_TERMINATED": _child_closed,
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": _signal_initiated,
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": _signal_ended,
    "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED": _signal_ended,
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": _cancel_initiated,
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": _cancel_ended,
    "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED": _cancel_ended,
    "WORKFLOW_EXECUTION_SIGNALED": _signaled,
    "WORKFLOW_EXECUTION_CANCEL_REQUESTED": _cancel_requested,
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": _search_attributes_upserted,
    "WORKFLOW_PROPERTIES_MODIFIED": _properties_modified,
    "WORKFLOW_EXECUTION_OPTIONS_UPDATED": _options_updated,
    "WORKFLOW_EXECUTION_UPDATE_ADMITTED": _update_admitted,
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED": _update_accepted,
    "WORKFLOW_EXECUTION_UPDATE_COMPLETED": _update_completed,
    "WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED": _time_skipped,
    "WORKFLOW_EXECUTION_PAUSED": _paused,
    "WORKFLOW_EXECUTION_UNPAUSED": _unpaused,
}

_HANDLERS: dict[int, tuple[str, _Handler]] = {
    EventType.Value(f"EVENT_TYPE_{name}"): (f"{name.lower()}_event_attributes", handler)
    for name, handler in _BY_NAME.items()
}

APPLIED = frozenset(_HANDLERS)
"""The types of events that there are."""

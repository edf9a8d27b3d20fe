"""Activities: scheduled by command, started by a worker's poll, and then retried or closed.

Attempts leave no events. ActivityTaskStarted is written together with the close, with the time when the last attempt
was really started. While an activity waits for its next attempt, `next_attempt_ns` is set and no worker can have it.
"""

from __future__ import annotations

from typing import Any

from temporalio.api.command.v1 import ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import Payloads, RetryPolicy, WorkerVersionStamp
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure.engine.apply import activity_due_ns, activity_timeouts
from perdure.engine.checks.values import exceeds
from perdure.engine.execution import Activity, Kind
from perdure.engine.machines import workflow_task
from perdure.engine.machines.workflow import require_running
from perdure.engine.messages import copy_present
from perdure.engine.payloads import json_payloads
from perdure.engine.queues import activity_queue, task_order
from perdure.engine.retry import activity_retry, shortened
from perdure.engine.times import NS
from perdure.engine.transition import Transition, illegal
from perdure.errors import InvalidArgument, NotFound

NOT_FOUND = "invalid activityID or activity already timed out or invoking workflow is completed"
NOT_CANCEL_REQUESTED = "unable to mark activity as canceled without activity being request canceled first"
NOT_STARTED = "ACTIVITY_ID_NOT_STARTED"
NO_TIME_TO_RETRY = "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying"
TIMEOUT_NAMES = {1: "StartToClose", 2: "ScheduleToStart", 3: "ScheduleToClose", 4: "Heartbeat"}
T = TimeoutType
_BEGINNING = (
    T.TIMEOUT_TYPE_SCHEDULE_TO_START,
    T.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE,
    T.TIMEOUT_TYPE_START_TO_CLOSE,
    T.TIMEOUT_TYPE_HEARTBEAT,
)
"""In the order in which their counts begin."""


def by_id(t: Transition, activity_id: str) -> Activity | None:
    event_id = _event_ids(t).get(activity_id)
    activity: Activity | None = t.items(Kind.ACTIVITY).get(event_id) if event_id is not None else None
    return activity


def _event_ids(t: Transition) -> dict[str, int]:
    """Pending activities by their ids; made once a transition, so that hundreds of commands cost no search each."""
    if t.activity_ids is None:
        t.activity_ids = {a.activity_id: a.scheduled_event_id for a in t.items(Kind.ACTIVITY).values()}
    return t.activity_ids


def schedule(
    t: Transition, completed_event_id: int, command: ScheduleActivityTaskCommandAttributes, *, eager: bool
) -> int:
    """Schedule an activity; an eager one is not offered to pollers, it is started with the reply.

    Returns the id of its event."""
    if by_id(t, command.activity_id) is not None:
        raise illegal("add-activitytask-scheduled-event", f"ActivityID: {command.activity_id}")
    event = t.event(E.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    a = event.activity_task_scheduled_event_attributes
    a.activity_id = command.activity_id
    a.activity_type.CopyFrom(command.activity_type)
    a.task_queue.CopyFrom(command.task_queue)
    a.workflow_task_completed_event_id = completed_event_id
    a.use_workflow_build_id = command.use_workflow_build_id
    copy_present(command, a, _SHARED_MESSAGES)
    t.record(event)
    _event_ids(t)[a.activity_id] = event.event_id
    if eager:
        t.items(Kind.ACTIVITY).edit(event.event_id).queue = None
    return event.event_id


_SHARED_MESSAGES = (
    "header",
    "input",
    "retry_policy",
    "priority",
    "schedule_to_close_timeout",
    "schedule_to_start_timeout",
    "start_to_close_timeout",
    "heartbeat_timeout",
)


def start(t: Transition, scheduled_event_id: int, *, request_id: str, identity: str) -> Activity:
    """A worker takes the next attempt."""
    activity: Activity = t.items(Kind.ACTIVITY).edit(scheduled_event_id)
    assert not activity.started_ns
    activity.started_ns = t.now_ns
    activity.next_attempt_ns = 0
    activity.request_id = request_id
    activity.last_identity = identity
    activity.queue = None
    activity.due_ns = activity_due_ns(activity)
    return activity


def release(t: Transition, activity: Activity) -> None:
    """No worker got the attempt after all: it waits in its queue as before."""
    activity = t.items(Kind.ACTIVITY).edit(activity.scheduled_event_id)
    activity.started_ns = 0
    activity.request_id = ""
    waits = activity.paused_ns or t.paused
    activity.held = t.paused
    activity.queue = None if waits else activity_queue(t.core.namespace_id, activity.task_queue)
    activity.due_ns = activity_due_ns(activity)


def startable(t: Transition, scheduled_event_id: int, queue: str) -> bool:
    """Whether a task that was queued is still there to be started, in that queue if one is named."""
    activity = t.items(Kind.ACTIVITY).get(scheduled_event_id)
    return t.running and activity is not None and activity.queue is not None and queue in ("", activity.queue)


def wait_until(t: Transition, activity: Activity, time_ns: int) -> None:
    """The next attempt of an unstarted activity may begin at `time_ns`; if it is paused, not even then."""
    activity = t.items(Kind.ACTIVITY).edit(activity.scheduled_event_id)
    activity.scheduled_ns = time_ns
    activity.order = task_order(time_ns, t.core.priority, activity.priority)
    activity.held = False
    activity.next_attempt_ns = time_ns if time_ns > t.now_ns and not activity.paused_ns else 0
    waits = activity.next_attempt_ns or activity.paused_ns
    activity.queue = None if waits else activity_queue(t.core.namespace_id, activity.task_queue)
    activity.due_ns = activity_due_ns(activity)


def find(
    t: Transition, scheduled_event_id: int, attempt: int, activity_id: str = "", *, started: bool = True
) -> Activity:
    """The activity that a worker's token, or the caller's `activity_id`, means; refused when that has passed."""
    require_running(t)
    if not scheduled_event_id:
        if not activity_id:
            raise InvalidArgument("activityID cannot be empty")
        named = by_id(t, activity_id)
        if named is None:
            raise NotFound(
                f"cannot find pending activity with ActivityID {activity_id}, "
                "check workflow execution history for more details"
            )
        activity: Activity | None = named
    else:
        activity = t.items(Kind.ACTIVITY).get(scheduled_event_id)
        if activity is None or activity.attempt != attempt:
            raise NotFound(NOT_FOUND)
    assert activity is not None
    if started and not activity.started_ns:
        raise NotFound(NOT_FOUND)
    return activity


def complete(
    t: Transition,
    activity: Activity,
    result: Payloads | None,
    identity: str,
    worker_version: WorkerVersionStamp | None = None,
) -> None:
    if not activity.started_ns:
        activity = start(t, activity.scheduled_event_id, request_id="", identity=identity)
    event = t.event(E.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    a = event.activity_task_completed_event_attributes
    a.identity = identity
    if result is not None:
        a.result.CopyFrom(result)
    _record_close(t, activity, event, a, worker_version)
    workflow_task.ensure(t)


def fail(
    t: Transition,
    activity: Activity,
    failure: Failure | None,
    identity: str,
    last_heartbeat_details: Payloads | None,
    worker_version: WorkerVersionStamp | None = None,
) -> None:
    """An attempt failed: another one, if the retry policy and the failure allow it, else the end."""
    activity = t.items(Kind.ACTIVITY).edit(activity.scheduled_event_id)
    if last_heartbeat_details is not None:
        activity.heartbeat_details = last_heartbeat_details.SerializeToString()
        activity.last_heartbeat_ns = t.now_ns
    activity.last_attempt_complete_ns = t.now_ns
    retry_state = _retry(t, activity, failure if failure is not None else Failure())
    if retry_state == RetryState.RETRY_STATE_IN_PROGRESS:
        return
    event = t.event(E.EVENT_TYPE_ACTIVITY_TASK_FAILED)
    a = event.activity_task_failed_event_attributes
    if failure is not None:
        a.failure.CopyFrom(failure)
    a.retry_state, a.identity = retry_state, identity
    _record_close(t, activity, event, a, worker_version)
    workflow_task.ensure(t)


def cancel(t: Transition, activity: Activity, details: Payloads | None, identity: str) -> None:
    """The worker reports that it has cancelled the activity, as it was asked to."""
    if not activity.cancel_requested:
        raise InvalidArgument(NOT_CANCEL_REQUESTED)
    _record_canceled(t, activity, details, identity)
    workflow_task.ensure(t)


def _record_canceled(t: Transition, activity: Activity, details: Payloads | None, identity: str) -> None:
    event = t.event(E.EVENT_TYPE_ACTIVITY_TASK_CANCELED)
    a = event.activity_task_canceled_event_attributes
    a.latest_cancel_requested_event_id = activity.cancel_request_event_id
    a.identity = identity
    if details is not None:
        a.details.CopyFrom(details)
    _record_close(t, activity, event, a)


def request_cancel(t: Transition, completed_event_id: int, scheduled_event_id: int, identity: str) -> bool:
    """Ask for the cancellation. One that no worker has is cancelled at once: true, and the workflow has to be told."""
    activity: Activity | None = t.items(Kind.ACTIVITY).get(scheduled_event_id)
    closed = activity is None and t.has_closed_activity(scheduled_event_id)
    if (activity is None and not closed) or (activity is not None and activity.cancel_requested):
        raise illegal("add-activitytask-cancel-requested-event", f"ScheduledEventID: {scheduled_event_id}")
    event = t.event(E.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
    a = event.activity_task_cancel_requested_event_attributes
    a.scheduled_event_id = scheduled_event_id
    a.workflow_task_completed_event_id = completed_event_id
    t.record(event)
    if activity is None or activity.started_ns:
        return False
    details = json_payloads(NOT_STARTED)
    _record_canceled(t, t.items(Kind.ACTIVITY).get(scheduled_event_id), details, identity)
    return True


def heartbeat(t: Transition, activity: Activity, details: Payloads | None) -> Activity:
    """The worker is alive. `details` are kept for the next attempt."""
    activity = t.items(Kind.ACTIVITY).edit(activity.scheduled_event_id)
    activity.heartbeat_details = details.SerializeToString() if details is not None else b""
    activity.last_heartbeat_ns = t.now_ns
    activity.due_ns = activity_due_ns(activity)
    return activity


def deadline(t: Transition, scheduled_event_id: int) -> bool:
    """A deadline of the activity may have come: the end of its backoff, or one of its four timeouts.

    The caller sees to the workflow task if the activity is gone."""
    activity: Activity | None = t.items(Kind.ACTIVITY).get(scheduled_event_id)
    if activity is None or activity.due_ns is None or activity.due_ns > t.now_ns:
        return False
    activity = t.items(Kind.ACTIVITY).edit(scheduled_event_id)
    if activity.next_attempt_ns and activity.next_attempt_ns <= t.now_ns:
        wait_until(t, activity, activity.next_attempt_ns)
        return True
    due_ns, timeout_type = _first_timeout(activity, _least_ns(t))
    if due_ns > t.now_ns:
        activity.due_ns = due_ns
    else:
        _time_out(t, activity, timeout_type)
    return True


def _first_timeout(activity: Activity, least_ns: int) -> tuple[int, TimeoutType.ValueType]:
    """The earliest timeout and when it is told of: that of an attempt not before it has had `least_ns`.

    Of equals the one whose count began first: an attempt may start in the transition that schedules it."""
    told = [
        (max(due_ns, activity.started_ns + least_ns) if kind == T.TIMEOUT_TYPE_START_TO_CLOSE else due_ns, kind)
        for due_ns, kind in activity_timeouts(activity)
    ]
    due_ns, timeout_type = min(told, key=lambda each: (each[0], _BEGINNING.index(each[1])))
    return due_ns, T.ValueType(timeout_type)


def _least_ns(t: Transition) -> int:
    """What an attempt has at least, since its worker hears of it late and its answer is on its way for a while.

    A run that skips time by itself is exact: nothing is on its way while nothing is in flight."""
    return 0 if t.core.clock is not None else int(t.env.config.least_activity_start_to_close_s * NS)


def _time_out(t: Transition, activity: Activity, timeout_type: TimeoutType.ValueType) -> None:
    failure = timeout_failure(f"activity {TIMEOUT_NAMES[timeout_type]} timeout", timeout_type)
    retry_state = _retry(t, activity, failure)
    if retry_state == RetryState.RETRY_STATE_IN_PROGRESS:
        return
    if retry_state == RetryState.RETRY_STATE_TIMEOUT and timeout_type != T.TIMEOUT_TYPE_SCHEDULE_TO_START:
        failure = timeout_failure(NO_TIME_TO_RETRY, T.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE)
    if activity.heartbeat_details:
        failure.timeout_failure_info.last_heartbeat_details.MergeFromString(activity.heartbeat_details)
    if activity.last_failure:
        failure.cause.MergeFromString(activity.last_failure)
    event = t.event(E.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)
    a = event.activity_task_timed_out_event_attributes
    a.failure.CopyFrom(failure)
    a.retry_state = retry_state
    _record_close(t, activity, event, a)


def timeout_failure(message: str, timeout_type: TimeoutType.ValueType) -> Failure:
    failure = Failure(message=message, source="Server")
    failure.timeout_failure_info.timeout_type = timeout_type
    return failure


def _retry(t: Transition, activity: Activity, failure: Failure | None) -> RetryState.ValueType:
    """Let the activity wait for its next attempt, if there is to be one."""
    retry_state, interval_ns = activity_retry(
        RetryPolicy.FromString(activity.retry_policy) if activity.has_retry_policy else None,
        attempt=activity.attempt,
        failure=failure,
        now_ns=t.now_ns,
        expiration_ns=activity.retry_expiration_ns,
        cancel_requested=activity.cancel_requested,
        paused=activity.paused_ns > 0,
    )
    if interval_ns is None:
        return RetryState.ValueType(retry_state)
    activity.attempt += 1
    activity.started_ns = 0
    activity.request_id = ""
    activity.last_failure = _truncate(t, failure).SerializeToString() if failure is not None else b""
    if activity.paused_ns:
        activity.due_ns = None
        return RetryState.RETRY_STATE_IN_PROGRESS
    if activity.reset_heartbeat:
        activity.heartbeat_details = b""
        activity.last_heartbeat_ns = 0
    activity.reset = activity.reset_heartbeat = False
    activity.current_retry_interval_ns = interval_ns
    activity.next_attempt_ns = activity.scheduled_ns = t.now_ns + interval_ns
    activity.queue = None
    activity.due_ns = activity_due_ns(activity)
    return RetryState.RETRY_STATE_IN_PROGRESS


def _truncate(t: Transition, failure: Failure) -> Failure:
    """A failure kept between attempts is bounded, or state would grow with what workers report."""
    config = t.env.config
    limit = config.mutable_state_activity_failure_size_limit_error_bytes
    if exceeds(failure.ByteSize(), config.mutable_state_activity_failure_size_limit_warn_bytes, limit):
        return shortened(failure, limit)
    return failure


def _record_close(
    t: Transition,
    activity: Activity,
    event: HistoryEvent,
    attributes: Any,
    worker_version: WorkerVersionStamp | None = None,
) -> None:
    """Write the close, after the start of the last attempt if there was one; that names the build that answers."""
    attributes.scheduled_event_id = activity.scheduled_event_id
    if activity.started_ns:
        started = t.event(E.EVENT_TYPE_ACTIVITY_TASK_STARTED, activity.started_ns)
        a = started.activity_task_started_event_attributes
        a.scheduled_event_id = activity.scheduled_event_id
        a.identity, a.request_id, a.attempt = activity.last_identity, activity.request_id, activity.attempt
        if worker_version is not None:
            a.worker_version.CopyFrom(worker_version)
        if activity.last_failure:
            a.last_failure.MergeFromString(activity.last_failure)
        t.record(started)
    t.record(event)
    if t.activity_ids is not None:
        del t.activity_ids[activity.activity_id]

"""Pauses: of a whole workflow, by events, and of its activities, which leave none.

A paused workflow gets no workflow tasks: what happens meanwhile is written down and told with the task that comes when
it is unpaused. Its activities that no worker has are held until then; those that run go on, and so do timers, timeouts,
signals and cancel requests.

A paused activity is not handed out and does not time out. An attempt under way may end as if nothing was, but when it
fails there is no next one before the activity is unpaused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import Priority, RetryPolicy
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.enums.v1 import event_type_pb2 as E

from perdure.engine.apply import activity_due_ns, after_failure, fail_workflow_task
from perdure.engine.checks.options import check_activity_options, merge_activity_options
from perdure.engine.checks.values import check_retry_policy, duration_ns
from perdure.engine.execution import Activity, Kind
from perdure.engine.machines import workflow_task
from perdure.engine.machines.activity import by_id, wait_until
from perdure.engine.machines.workflow import require_running
from perdure.engine.retry import exponential_ns
from perdure.engine.times import get_duration, set_duration
from perdure.engine.transition import Transition
from perdure.errors import FailedPrecondition, InvalidArgument, NotFound

ACTIVITY_NOT_FOUND = "Can't find pending activity with such ID. Invalid activityID or activity already completed"
TASK_GIVEN_UP = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED


# Workflows.


def pause_workflow(t: Transition, *, identity: str, reason: str, request_id: str) -> None:
    """Pause the run. Repeating the request that paused it does nothing; any other one is refused."""
    require_running(t)
    if t.paused:
        if request_id and request_id == t.core.pause_request_id:
            return
        raise FailedPrecondition("workflow is already paused.")
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED)
    event.worker_may_ignore = True
    a = event.workflow_execution_paused_event_attributes
    a.identity, a.reason, a.request_id = identity, reason, request_id
    t.record(event)
    for key in list(t.items(Kind.ACTIVITY)):
        if not t.items(Kind.ACTIVITY).get(key).started_ns:
            _hold(t, key)
    _give_up_task(t)
    _show(t)
    t.visibility = True


def _hold(t: Transition, key: Any) -> None:
    """Keep the activity from workers until the workflow is unpaused. Its timeouts go on."""
    activity: Activity = t.items(Kind.ACTIVITY).edit(key)
    activity.held = True
    activity.queue = None
    activity.next_attempt_ns = 0
    activity.stamp += 1
    activity.due_ns = activity_due_ns(activity)


def _give_up_task(t: Transition) -> None:
    """A task that no worker has is taken back; one that is started may still come to its end."""
    if t.workflow_task is None or t.workflow_task.started_ns:
        return
    task = t.workflow_task
    if task.speculative:
        workflow_task.give_up_speculative(t, TASK_GIVEN_UP)
        return
    if task.attempt > 1:
        fail_workflow_task(t, increment=True)
        after_failure(t, TASK_GIVEN_UP)
        return
    event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_FAILED)
    a = event.workflow_task_failed_event_attributes
    a.scheduled_event_id = task.scheduled_event_id
    a.cause, a.identity = TASK_GIVEN_UP, workflow_task.HISTORY_SERVICE
    t.record(event)


def unpause_workflow(t: Transition, *, identity: str, reason: str, request_id: str) -> None:
    """Let the run go on, with a workflow task and the activities that were held."""
    require_running(t)
    if not t.paused:
        raise FailedPrecondition("workflow is not paused.")
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED)
    event.worker_may_ignore = True
    a = event.workflow_execution_unpaused_event_attributes
    a.identity, a.reason, a.request_id = identity, reason, request_id
    t.record(event)
    for key in list(t.items(Kind.ACTIVITY)):
        activity: Activity = t.items(Kind.ACTIVITY).get(key)
        if activity.held:
            wait_until(t, activity, activity.scheduled_ns)
    first_task = t.items(Kind.LIFETIME).get("first-task")
    if first_task is None or first_task.due_ns is None or t.core.cancel_requested:
        workflow_task.ensure(t)
    _show(t)
    t.visibility = True


def _show(t: Transition) -> None:
    """Tell in the search attribute TemporalPauseInfo what is paused."""
    core, shown = t.core, []
    if t.paused:
        shown.append(f"Workflow:{core.workflow_id}")
        if core.pause_reason:
            shown.append(f"Reason:{core.pause_reason}")
    types = {each.activity_type for each in t.items(Kind.ACTIVITY).values() if each.paused_ns}
    shown += [f"property:activityType={name}" for name in sorted(types)]
    if shown != core.pause_info:
        core.pause_info = shown
        t.visibility = True


# Activities.


@dataclass(slots=True)
class Selection:
    """Which pending activities are meant: one by its id, those of a type, or, with neither, all."""

    activity_id: str | None = None
    activity_type: str | None = None


def _selected(t: Transition, which: Selection) -> list[Activity]:
    """At least one; in the order in which they were scheduled."""
    require_running(t)
    if which.activity_id is not None:
        one = by_id(t, which.activity_id)
        found = [one] if one is not None else []
    else:
        pending: list[Activity] = list(t.items(Kind.ACTIVITY).values())
        found = [each for each in pending if which.activity_type in (None, each.activity_type)]
    if not found:
        raise NotFound(ACTIVITY_NOT_FOUND)
    return [t.items(Kind.ACTIVITY).edit(each.scheduled_event_id) for each in found]


def pause_activities(t: Transition, which: Selection, *, identity: str, reason: str, request_id: str) -> None:
    """Pause activities. Repeating the request that paused one does nothing; any other one is refused."""
    for activity in _selected(t, which):
        if activity.paused_ns:
            if activity.pause_request_id == request_id:
                continue
            raise FailedPrecondition("activity is already paused")
        activity.paused_ns = t.now_ns
        activity.paused_by, activity.pause_reason, activity.pause_request_id = identity, reason, request_id
        activity.queue = None
        activity.next_attempt_ns = 0
        activity.stamp += not activity.started_ns
        activity.due_ns = None
    _show(t)


def _clear_pause(activity: Activity) -> None:
    activity.paused_ns = 0
    activity.paused_by = activity.pause_reason = activity.pause_request_id = ""
    activity.stamp += 1
    activity.due_ns = activity_due_ns(activity)


def unpause_activities(
    t: Transition, which: Selection, *, reset_attempts: bool, reset_heartbeat: bool, jitter_ns: int
) -> None:
    """Let paused activities go on, at once or within `jitter_ns`; those that are not paused stay as they are."""
    for activity in _selected(t, which):
        if not activity.paused_ns:
            continue
        _clear_pause(activity)
        if reset_attempts:
            activity.attempt = 1
        if reset_heartbeat:
            _forget_heartbeat(activity)
        if _is_waiting(activity):
            _again(t, activity, _soon(t, jitter_ns))
    _show(t)


def _is_waiting(activity: Activity) -> bool:
    """For a worker, or for its next attempt."""
    return not activity.started_ns and not activity.cancel_requested


def _soon(t: Transition, jitter_ns: int) -> int:
    return t.now_ns + (int(t.env.ids.random() * jitter_ns) if jitter_ns > 0 else 0)


def _again(t: Transition, activity: Activity, time_ns: int) -> None:
    """The attempt that it waits for may begin at `time_ns`; why the one before failed is forgotten."""
    activity.last_failure = b""
    if activity.reset_heartbeat:
        _forget_heartbeat(activity)
    activity.reset = activity.reset_heartbeat = False
    wait_until(t, activity, time_ns)


def _forget_heartbeat(activity: Activity) -> None:
    activity.heartbeat_details = b""
    activity.last_heartbeat_ns = 0


def reset_activities(
    t: Transition,
    which: Selection,
    *,
    reset_heartbeat: bool,
    keep_paused: bool,
    restore_options: bool,
    jitter_ns: int,
) -> None:
    """Begin anew with attempt 1. An attempt under way goes on, but its answers are for one that counts no more."""
    for activity in _selected(t, which):
        activity.attempt = 1
        activity.reset = True
        activity.reset_heartbeat = activity.reset_heartbeat or reset_heartbeat
        if restore_options:
            _restore(activity, priority=False)
            activity.stamp += 1
        if activity.paused_ns and not keep_paused:
            _clear_pause(activity)
        activity.due_ns = activity_due_ns(activity)
        if _is_waiting(activity) and not activity.paused_ns:
            activity.stamp += 1
            _again(t, activity, _soon(t, jitter_ns))
    _show(t)


# Options of activities.


def options(activity: Activity) -> ActivityOptions:
    """The options that can be changed, as they are now."""
    result = ActivityOptions()
    result.task_queue.name = activity.task_queue
    set_duration(result.schedule_to_close_timeout, activity.schedule_to_close_ns)
    set_duration(result.schedule_to_start_timeout, activity.schedule_to_start_ns)
    set_duration(result.start_to_close_timeout, activity.start_to_close_ns)
    set_duration(result.heartbeat_timeout, activity.heartbeat_ns)
    result.retry_policy.CopyFrom(RetryPolicy.FromString(activity.retry_policy))
    if activity.priority:
        result.priority.CopyFrom(Priority.FromString(activity.priority))
    return result


def _set_options(activity: Activity, new: ActivityOptions) -> None:
    """Error types that are not retried are no option: they stay as the command said."""
    if not activity.original_options:
        activity.original_options = options(activity).SerializeToString(deterministic=True)
    activity.task_queue = new.task_queue.name
    activity.schedule_to_close_ns = get_duration(new.schedule_to_close_timeout)
    activity.schedule_to_start_ns = get_duration(new.schedule_to_start_timeout)
    activity.start_to_close_ns = get_duration(new.start_to_close_timeout)
    activity.heartbeat_ns = get_duration(new.heartbeat_timeout)
    policy = RetryPolicy()
    policy.CopyFrom(new.retry_policy)
    policy.ClearField("non_retryable_error_types")
    policy.non_retryable_error_types.extend(RetryPolicy.FromString(activity.retry_policy).non_retryable_error_types)
    activity.retry_policy = policy.SerializeToString(deterministic=True)
    activity.priority = new.priority.SerializeToString(deterministic=True) if new.HasField("priority") else b""


def _restore(activity: Activity, *, priority: bool) -> ActivityOptions:
    """The options of the command that scheduled it. Returns them."""
    if not activity.original_options:
        return options(activity)
    kept = activity.priority
    original = ActivityOptions.FromString(activity.original_options)
    _set_options(activity, original)
    if not priority:
        activity.priority = kept
    return original


def update_options(
    t: Transition, which: Selection, new: ActivityOptions, fields: Collection[str] | None
) -> ActivityOptions:
    """Change the options that `fields` name, of all that are selected or of none. Returns those of the last one."""
    changed = ActivityOptions()
    selected = _selected(t, which)
    if fields is None:
        raise InvalidArgument("UpdateMask is not provided")
    for activity in selected:
        changed = options(activity)
        changed.retry_policy.ClearField("non_retryable_error_types")
        merge_activity_options(changed, new, fields)
        if any(field.startswith("retryPolicy.") for field in fields):
            check_retry_policy(changed.retry_policy)
        check_activity_options(changed, t.env.config, t.core.task_queue, activity.activity_id, activity.activity_type)
        _change(t, activity, changed)
    return changed


def restore_options(t: Transition, which: Selection) -> ActivityOptions:
    """Undo all changes of options. Returns those of the last activity."""
    restored = ActivityOptions()
    for activity in _selected(t, which):
        restored = _restore(activity, priority=True)
        _change(t, activity, restored)
    return restored


def _change(t: Transition, activity: Activity, new: ActivityOptions) -> None:
    _set_options(activity, new)
    activity.stamp += 1
    activity.due_ns = activity_due_ns(activity)
    if _is_waiting(activity):
        _again(t, activity, _next_attempt_ns(activity))


def _next_attempt_ns(activity: Activity) -> int:
    """When the attempt that an activity waits for begins under its present retry policy."""
    policy = RetryPolicy.FromString(activity.retry_policy)
    if activity.attempt == 1:
        return activity.scheduled_ns
    interval_ns = exponential_ns(duration_ns(policy.initial_interval), policy.backoff_coefficient, activity.attempt)
    maximum_ns = duration_ns(policy.maximum_interval)
    if maximum_ns and not 0 < interval_ns <= maximum_ns:
        interval_ns = maximum_ns
    return activity.last_attempt_complete_ns + interval_ns if interval_ns > 0 else activity.scheduled_ns

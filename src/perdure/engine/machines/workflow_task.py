"""The workflow task: scheduled, started, and then completed, failed or timed out.

A run has at most one. The first attempt's events are written as they happen. Later attempts are *unwritten*: their
Scheduled and Started events get ids that stand in no history until the task completes, yet the worker that polls one
sees them (`materialise`). A failure or timeout of an unwritten task leaves no event, it only counts.

A task that is made for updates alone is *speculative*: unwritten, and in memory only, until something else of the run
is written. If its worker does nothing but reject them, it was never there.

A task on a sticky queue is tried once more on the normal queue before attempts count. From the fourth attempt on the
task's timeout grows, so that a workflow that can't progress costs ever less.
"""

from __future__ import annotations

import math

from temporalio.api.common.v1 import WorkerVersionStamp
from temporalio.api.enums.v1 import (
    SuggestContinueAsNewReason,
    TimeoutType,
    WorkflowTaskFailedCause,
    task_queue_pb2,
)
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure.engine import attributes
from perdure.engine.apply import (
    after_failure,
    clear_stickiness,
    fail_workflow_task,
    put_workflow_task,
    start_workflow_task,
)
from perdure.engine.execution import Core, Kind, WorkflowTask
from perdure.engine.queues import workflow_queue
from perdure.engine.times import NS, set_duration, set_time
from perdure.engine.transition import Transition
from perdure.errors import NotFound


def ensure(t: Transition) -> None:
    """Something came that the workflow's code should see: schedule a task unless one is pending, or it is paused."""
    if t.running and not t.paused and t.workflow_task is None:
        schedule(t)


def schedule(t: Transition, *, original_scheduled_ns: int = 0) -> WorkflowTask:
    """Schedule the task. `original_scheduled_ns` is carried over from the task that this one continues (heartbeats)."""
    core = t.core
    assert t.workflow_task is None
    if t.has_buffered_events:
        core.workflow_task_attempt = 1
        t.flush_buffer()
    attempt = core.workflow_task_attempt
    timeout_ns = _timeout_ns(t, attempt)
    if attempt == 1:
        event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
        _fill_scheduled(event, core, timeout_ns, attempt)
        t.record(event)
    else:
        put_workflow_task(
            t,
            scheduled_event_id=core.next_event_id,
            now_ns=t.now_ns,
            timeout_ns=timeout_ns,
            attempt=attempt,
            task_queue=core.sticky_queue or core.task_queue,
            sticky=bool(core.sticky_queue),
        )
    task: WorkflowTask = t.items(Kind.WORKFLOW_TASK).edit("")
    if original_scheduled_ns:
        task.original_scheduled_ns = original_scheduled_ns
    return task


def schedule_speculative(t: Transition) -> None:
    """Schedule a task for the updates that wait. It is given a limited time to be taken, then a written one follows."""
    if t.has_buffered_events:
        schedule(t)
        return
    core = t.core
    task = put_workflow_task(
        t,
        scheduled_event_id=core.next_event_id,
        now_ns=t.now_ns,
        timeout_ns=core.task_timeout_ns,
        attempt=1,
        task_queue=core.sticky_queue or core.task_queue,
        sticky=bool(core.sticky_queue),
        speculative=True,
    )
    if task.due_ns is None:
        task.due_ns = t.now_ns + int(t.env.config.speculative_workflow_task_schedule_to_start_timeout_s * NS)


def write_speculative(t: Transition, identity: str = "") -> None:
    """If the task is speculative, write its events, so that it becomes one like others."""
    task = t.workflow_task
    if task is None or not task.speculative:
        return
    scheduled = _write_scheduled(t, task)
    if task.started_ns:
        _write_started(t, task, scheduled.event_id, identity)
    written: WorkflowTask = t.items(Kind.WORKFLOW_TASK).edit("")
    written.due_ns = task.due_ns
    written.original_scheduled_ns = task.original_scheduled_ns


def give_up_speculative(t: Transition, cause: int) -> None:
    """The server takes a speculative task back that no worker has. As in the real server its history says that it was
    started all the same, by the server itself, so that it may be reset to."""
    write_speculative(t)
    task: WorkflowTask = t.items(Kind.WORKFLOW_TASK).edit("")
    start_workflow_task(task, started_event_id=0, now_ns=t.now_ns, request_id=NOBODYS_REQUEST, identity=HISTORY_SERVICE)
    _write_started(t, task, task.scheduled_event_id, HISTORY_SERVICE)
    fail(t, cause=cause, identity=HISTORY_SERVICE)


def settle_speculative(t: Transition) -> None:
    """At the end of a transition: a speculative task stays so only while nothing is written."""
    task, before = t.workflow_task, t.execution.pending_workflow_task
    if task is None or not task.speculative or (t.volatile and not t.batches and not t.batch):
        return
    if t.running and before is not None and before.speculative and before.scheduled_event_id == task.scheduled_event_id:
        write_speculative(t)


def discard(t: Transition) -> None:
    """Nothing came of a speculative task: it was never there."""
    t.core.close_attempted = False
    t.items(Kind.WORKFLOW_TASK).remove("")


def _fill_scheduled(event: HistoryEvent, core: Core, timeout_ns: int, attempt: int) -> None:
    a = event.workflow_task_scheduled_event_attributes
    if core.sticky_queue:
        a.task_queue.name = core.sticky_queue
        a.task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_STICKY
        a.task_queue.normal_name = core.task_queue
    else:
        a.task_queue.name = core.task_queue
        a.task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    set_duration(a.start_to_close_timeout, timeout_ns)
    a.attempt = attempt


def _timeout_ns(t: Transition, attempt: int) -> int:
    timeout_ns = t.core.task_timeout_ns
    config = t.env.config
    exponent = attempt - config.workflow_task_retry_backoff_min_attempts - 1
    if exponent < 0:
        return timeout_ns
    first_ns = int(config.workflow_task_retry_initial_interval_s * NS)
    ceiling_ns = int(config.workflow_task_retry_max_interval_s * NS)
    growth_ns = min(first_ns * 2 ** min(exponent, 40), ceiling_ns)
    jitter = 0.8 + 0.2 * t.env.ids.random()
    return timeout_ns + int(growth_ns * jitter)


def start(
    t: Transition, *, request_id: str, identity: str, sticky: bool, worker_version: WorkerVersionStamp | None = None
) -> WorkflowTask:
    """A worker takes the task. `sticky` tells which of its queues the worker polled."""
    core, task = t.core, t.workflow_task
    assert task is not None and not task.started_ns
    if core.sticky_queue and not sticky:
        clear_stickiness(t)
    task = t.items(Kind.WORKFLOW_TASK).edit("")
    if task.attempt > 1 and task.scheduled_event_id != core.next_event_id:
        task = _write_anew(t, task)
    reasons = _suggest_continue_as_new(t)
    if not task.unwritten:
        event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_STARTED)
        a = event.workflow_task_started_event_attributes
        a.scheduled_event_id = task.scheduled_event_id
        a.request_id, a.identity = request_id, identity
        a.history_size_bytes = core.history_size_bytes
        a.suggest_continue_as_new = bool(reasons)
        a.suggest_continue_as_new_reasons.extend(reasons)
        if worker_version is not None:
            a.worker_version.CopyFrom(worker_version)
        t.record(event)
        t.end_batch()
        return t.items(Kind.WORKFLOW_TASK).edit("")  # type: ignore[no-any-return]
    start_workflow_task(
        task,
        started_event_id=task.scheduled_event_id + 1,
        now_ns=t.now_ns,
        request_id=request_id,
        identity=identity,
    )
    task.history_size_bytes = core.history_size_bytes
    task.suggest_continue_as_new = bool(reasons)
    task.suggest_reasons = [int(reason) for reason in reasons]
    return task


def _suggest_continue_as_new(t: Transition) -> list[SuggestContinueAsNewReason.ValueType]:
    config, core = t.env.config, t.core
    reasons = []
    if core.history_size_bytes >= config.history_size_suggest_continue_as_new_bytes:
        reasons.append(SuggestContinueAsNewReason.SUGGEST_CONTINUE_AS_NEW_REASON_HISTORY_SIZE_TOO_LARGE)
    if core.next_event_id >= config.history_count_suggest_continue_as_new:
        reasons.append(SuggestContinueAsNewReason.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS)
    limit = math.ceil(config.max_total_updates * config.max_total_updates_suggest_continue_as_new_threshold)
    if limit and len(t.items(Kind.UPDATE)) >= limit:
        reasons.append(SuggestContinueAsNewReason.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_UPDATES)
    return reasons


def _write_anew(t: Transition, task: WorkflowTask) -> WorkflowTask:
    """Events took the ids that were meant for an unwritten task: it becomes a written first attempt."""
    t.core.workflow_task_attempt = 1
    event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
    _fill_scheduled(event, t.core, task.timeout_ns, 1)
    t.record(event)
    written: WorkflowTask = t.items(Kind.WORKFLOW_TASK).edit("")
    written.original_scheduled_ns = task.original_scheduled_ns
    return written


def _write_scheduled(t: Transition, task: WorkflowTask) -> HistoryEvent:
    """Write the Scheduled event of an unwritten task, at the time when it was scheduled."""
    event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, task.scheduled_ns)
    _fill_scheduled(event, t.core, task.timeout_ns, task.attempt)
    return t.record(event)


def _write_started(
    t: Transition,
    task: WorkflowTask,
    scheduled_event_id: int,
    identity: str,
    worker_version: WorkerVersionStamp | None = None,
) -> HistoryEvent:
    """Write the Started event of an unwritten task. `identity`, `worker_version`: of the worker that answers."""
    event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_STARTED, task.started_ns)
    _fill_started(event, task, identity)
    event.workflow_task_started_event_attributes.scheduled_event_id = scheduled_event_id
    if worker_version is not None:
        event.workflow_task_started_event_attributes.worker_version.CopyFrom(worker_version)
    t.record(event)
    t.end_batch()
    return event


def _fill_started(event: HistoryEvent, task: WorkflowTask, identity: str) -> None:
    a = event.workflow_task_started_event_attributes
    a.scheduled_event_id = task.scheduled_event_id
    a.request_id, a.identity = task.request_id, identity
    a.suggest_continue_as_new = task.suggest_continue_as_new
    a.suggest_continue_as_new_reasons.extend(SuggestContinueAsNewReason.ValueType(r) for r in task.suggest_reasons)
    a.history_size_bytes = task.history_size_bytes


def write_unwritten(t: Transition, identity: str, worker_version: WorkerVersionStamp | None = None) -> tuple[int, int]:
    """Before a task completes its events must stand in the history. Their ids: (scheduled, started)."""
    task = t.workflow_task
    assert task is not None
    if not task.unwritten:
        return task.scheduled_event_id, task.started_event_id
    scheduled = _write_scheduled(t, task)
    started = _write_started(t, task, scheduled.event_id, identity, worker_version)
    return scheduled.event_id, started.event_id


def materialise(core: Core, task: WorkflowTask | None, identity: str = "") -> list[HistoryEvent]:
    """The events of an unwritten task, as a suffix to the history that a worker or SDK is shown.

    `identity`: the worker that is given the task; others are not told whose it is."""
    if task is None or not task.unwritten:
        return []
    scheduled = HistoryEvent(event_type=E.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, event_id=task.scheduled_event_id)
    set_time(scheduled.event_time, task.scheduled_ns)
    _fill_scheduled(scheduled, core, task.timeout_ns, task.attempt)
    if not task.started_ns:
        return [scheduled]
    started = HistoryEvent(event_type=E.EVENT_TYPE_WORKFLOW_TASK_STARTED, event_id=task.started_event_id)
    set_time(started.event_time, task.started_ns)
    _fill_started(started, task, identity)
    return [scheduled, started]


def matches(t: Transition, *, scheduled_event_id: int, started_event_id: int, started_ns: int, attempt: int) -> bool:
    """Whether a worker's token is that of the task as it is started now. A task that was handed out again has another
    start time, so that an answer to the earlier one is refused."""
    task = t.workflow_task
    return (
        t.running
        and task is not None
        and task.started_ns != 0
        and task.scheduled_event_id == scheduled_event_id
        and (not started_event_id or task.started_event_id == started_event_id)
        and (not started_ns or task.started_ns == started_ns)
        and task.attempt == attempt
    )


NOT_FOUND = "Workflow task not found."
HISTORY_SERVICE = "history-service"
"""The identity under which the server itself acts."""
NOBODYS_REQUEST = "emptyUuid"
"""The request id of a start that no worker has asked for."""


def fail(
    t: Transition,
    *,
    cause: int,
    failure: Failure | None = None,
    identity: str = "",
    binary_checksum: str = "",
    base_run_id: str = "",
    new_run_id: str = "",
) -> None:
    """The started task made no progress. Only a first attempt leaves an event."""
    task = t.workflow_task
    if task is None or not task.started_ns:
        raise NotFound(NOT_FOUND)
    if task.attempt > 1:
        fail_workflow_task(t, increment=True)
        after_failure(t, cause)
        _report_problems(t)
        return
    write_speculative(t, identity)
    task = t.workflow_task
    assert task is not None
    event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_FAILED)
    a = event.workflow_task_failed_event_attributes
    a.scheduled_event_id, a.started_event_id = task.scheduled_event_id, task.started_event_id
    a.cause = cause  # type: ignore[assignment]
    if failure is not None:
        a.failure.CopyFrom(failure)
    a.identity, a.binary_checksum = identity, binary_checksum
    a.base_run_id, a.new_run_id = base_run_id, new_run_id
    t.record(event)
    _report_problems(t)


def time_out(t: Transition) -> bool:
    """The task's deadline may have passed: on a sticky queue that of being taken, else that of coming back."""
    task = t.workflow_task
    if task is None or task.due_ns is None or task.due_ns > t.now_ns:
        return False
    if task.started_ns:
        time_out_started(t)
        return True
    _time_out_waiting(t, task)
    _report_problems(t)
    ensure(t)
    return True


def time_out_started(t: Transition) -> None:
    """The worker does not answer: the task is to be had by another one."""
    task = t.workflow_task
    assert task is not None and task.started_ns
    if task.attempt > 1:
        fail_workflow_task(t, increment=True)
    else:
        _record_timed_out(t, TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE)
    _report_problems(t)
    ensure(t)


def leave_sticky_queue(t: Transition) -> bool:
    """Let the workers of the normal queue have the task; the run stays sticky until one takes it.

    False if it does not wait in a sticky queue.
    """
    core, task = t.core, t.workflow_task
    normal = workflow_queue(core.namespace_id, core.task_queue)
    if task is None or not task.sticky or task.queue in (None, normal):
        return False
    t.items(Kind.WORKFLOW_TASK).edit("").queue = normal
    t.volatile = task.speculative
    return True


def _report_problems(t: Transition) -> None:
    """A workflow whose task has failed time and again can be found by it."""
    limit = t.env.config.num_consecutive_workflow_task_problems_to_trigger_search_attribute
    if limit <= 0 or t.core.failed_attempts < limit:
        return
    problems = attributes.problem(t.core)
    if problems != t.core.reported_problems:
        t.core.reported_problems = problems
        t.visibility = True


def _time_out_waiting(t: Transition, task: WorkflowTask) -> None:
    if task.attempt > 1:
        fail_workflow_task(t, increment=False)
    else:
        _record_timed_out(t, TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START)


def _record_timed_out(t: Transition, timeout_type: TimeoutType.ValueType) -> None:
    write_speculative(t)
    task = t.workflow_task
    assert task is not None
    event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
    a = event.workflow_task_timed_out_event_attributes
    a.scheduled_event_id, a.started_event_id = task.scheduled_event_id, task.started_event_id
    a.timeout_type = timeout_type
    t.record(event)


def heartbeat_timed_out(t: Transition) -> None:
    """Heartbeats of local activities kept the task alive for too long: it times out although it came back."""
    task = t.workflow_task
    assert task is not None
    if task.attempt > 1:
        fail_workflow_task(t, increment=True)
    else:
        _record_timed_out(t, TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE)
    clear_stickiness(t)


def reset_stickiness(t: Transition) -> None:
    clear_stickiness(t)


def force_close(t: Transition) -> None:
    """Too much has been buffered behind the started task: give it up, so that the buffer can be flushed."""
    interrupt(t)
    ensure(t)


def interrupt(t: Transition) -> None:
    """The server itself takes the started task back, if there is one. Afterwards nothing is buffered."""
    task = t.workflow_task
    if task is not None and task.started_ns:
        cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND
        fail(t, cause=cause, identity=HISTORY_SERVICE)
    t.flush_buffer()

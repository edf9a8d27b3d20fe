"""What the options of an activity or a run promise: when it times out, how often it is tried, whose words it passes on.

Payloads name who they are from, as in `beat of a7, attempt 2`, so that none is lost or taken for another's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from temporalio.api.common.v1 import Payloads, RetryPolicy
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

if TYPE_CHECKING:
    from tests.simulation.records import Record

MAXIMUM = RetryState.Value("RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED")
FINAL = RetryState.Value("RETRY_STATE_NON_RETRYABLE_FAILURE")
START_TO_CLOSE = TimeoutType.Value("TIMEOUT_TYPE_START_TO_CLOSE")
SCHEDULE_TO_START = TimeoutType.Value("TIMEOUT_TYPE_SCHEDULE_TO_START")
SCHEDULE_TO_CLOSE = TimeoutType.Value("TIMEOUT_TYPE_SCHEDULE_TO_CLOSE")
HEARTBEAT = TimeoutType.Value("TIMEOUT_TYPE_HEARTBEAT")
_ATTEMPT = re.compile(r'"(.*) of (.*), attempt (\d+)"')


def words(what: str, activity_id: str, attempt: int) -> str:
    return f"{what} of {activity_id}, attempt {attempt}"


def interval_ns(policy: RetryPolicy, attempt: int) -> int:
    """What has to pass between this attempt and the next."""
    result = int(policy.initial_interval.ToNanoseconds() * policy.backoff_coefficient ** (attempt - 1))
    return min(result, policy.maximum_interval.ToNanoseconds() or result)


def check_payload(record: Record, payloads: Payloads, what: str, activity_id: str, most: int) -> None:
    """One that an attempt has sent, the latest or, by the activity's id, an earlier one."""
    texts = [each.data.decode() for each in payloads.payloads]
    found = _ATTEMPT.fullmatch(texts[0]) if len(texts) == 1 else None
    if found is None or (found[1], found[2]) != (what, activity_id) or int(found[3]) > most:
        record.complain(f"{what} of {activity_id}, attempt {most} at most, is {texts}")


def check_signal(record: Record, attributes: Any) -> None:
    texts = [each.data.decode() for each in attributes.input.payloads]
    if texts != [f'"{attributes.signal_name}"']:
        record.complain(f"signal {attributes.signal_name} brings {texts}")


def check_end(record: Record, scheduled: HistoryEvent, end: HistoryEvent, attributes: Any) -> None:
    """An activity has ended for good."""
    options = scheduled.activity_task_scheduled_event_attributes
    started = record.event(attributes.started_event_id) if attributes.started_event_id else None
    attempt = started.activity_task_started_event_attributes.attempt if started is not None else 0
    if end.HasField("activity_task_completed_event_attributes"):
        check_payload(record, attributes.result, "result", options.activity_id, attempt)
    if not (timed_out := end.HasField("activity_task_timed_out_event_attributes")) and not end.HasField(
        "activity_task_failed_event_attributes"
    ):
        return
    most = options.retry_policy.maximum_attempts
    if attributes.retry_state == MAXIMUM and attempt != most:
        record.complain(f"activity {options.activity_id} was given up at attempt {attempt} of {most}")
    if attributes.retry_state == FINAL and not timed_out and not _is_final(attributes.failure):
        record.complain(f"activity {options.activity_id} was given up after a failure that can be tried again")
    if timed_out:
        kind = attributes.failure.timeout_failure_info.timeout_type
        since = scheduled if kind in (SCHEDULE_TO_START, SCHEDULE_TO_CLOSE) or started is None else started
        after_ns = _timeout_ns(options, kind)
        early_ns = since.event_time.ToNanoseconds() + after_ns - end.event_time.ToNanoseconds()
        if kind == SCHEDULE_TO_CLOSE and started is not None:  # at once, where the next attempt would come too late
            early_ns -= interval_ns(options.retry_policy, attempt)
        _check_time(record, f"activity {options.activity_id}", kind, after_ns, early_ns)


def check_retry(record: Record, before: Any, after: Any) -> None:
    """An attempt was followed by the next. Both are the stored form of the activity."""
    if after.attempt != before.attempt + 1 or not before.started_ns or not after.next_attempt_ns:
        return
    ended_ns = after.next_attempt_ns - after.current_retry_interval_ns
    if after.current_retry_interval_ns < interval_ns(RetryPolicy.FromString(before.retry_policy), before.attempt):
        record.complain(f"activity {before.activity_id} waits {after.current_retry_interval_ns} ns only")
    failure = Failure.FromString(after.last_failure)
    if not failure.HasField("timeout_failure_info"):
        return
    kind = failure.timeout_failure_info.timeout_type
    after_ns = {START_TO_CLOSE: before.start_to_close_ns, HEARTBEAT: before.heartbeat_ns}.get(kind, 0)
    early_ns = before.started_ns + after_ns - ended_ns
    _check_time(record, f"attempt {before.attempt} of activity {before.activity_id}", kind, after_ns, early_ns)


def check_run_timeout(record: Record, end: HistoryEvent) -> None:
    first = record.first
    began_ns = record.event(1).event_time.ToNanoseconds()
    if not record.reset_from:  # else its life began behind that
        began_ns += first.first_workflow_task_backoff.ToNanoseconds()
    deadlines = []
    if first.workflow_run_timeout.ToNanoseconds():
        deadlines.append(began_ns + first.workflow_run_timeout.ToNanoseconds())
    if first.workflow_execution_expiration_time.ToNanoseconds():
        deadlines.append(first.workflow_execution_expiration_time.ToNanoseconds())
    if record.set_back():
        return
    if not deadlines or end.event_time.ToNanoseconds() < min(deadlines):
        record.complain("it timed out early")


def _check_time(record: Record, what: str, kind: int, after_ns: int, early_ns: int) -> None:
    if (not after_ns or early_ns > 0) and not record.set_back():
        record.complain(f"{what}: its {TimeoutType.Name(kind)} came {early_ns} ns early")  # type: ignore[arg-type]


def _timeout_ns(options: Any, kind: int) -> int:
    return {
        START_TO_CLOSE: options.start_to_close_timeout,
        SCHEDULE_TO_START: options.schedule_to_start_timeout,
        SCHEDULE_TO_CLOSE: options.schedule_to_close_timeout,
        HEARTBEAT: options.heartbeat_timeout,
    }[kind].ToNanoseconds()


def _is_final(failure: Failure) -> bool:
    return failure.application_failure_info.non_retryable or failure.server_failure_info.non_retryable

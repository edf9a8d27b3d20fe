"""Whether a failed attempt of an activity or a workflow is followed by another, and when. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure

from perdure.engine.checks.values import MAX_DURATION_S, NANOS, TIMEOUT_FAILURE_TYPE_PREFIX, duration_ns, short_name

MAX_NS = 2**63 - 1
_MAX_DELAY_NS = MAX_DURATION_S * NANOS

_TIMEOUTS_OF_ONE_ATTEMPT = (TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE, TimeoutType.TIMEOUT_TYPE_HEARTBEAT)
_TIMEOUTS_OF_ALL_ATTEMPTS = (TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START, TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE)

Retry = tuple[int, int | None]
"""A `RetryState` and, only with IN_PROGRESS, the nanoseconds to wait before the next attempt."""


def workflow_retry(
    policy: RetryPolicy | None, *, failure: Failure | None, attempt: int, now_ns: int, expiration_ns: int = 0
) -> Retry:
    """What follows when a run fails with `failure` (None: a timeout of the run, which may be retried).

    `attempt`: the run's own, counted from 1. `expiration_ns`: when the execution times out, 0 for never; an attempt
    that would only begin after it is not made. A delay that the worker asked for is cut to the policy's maximum.
    """
    if policy is None:
        return RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET, None
    if not is_retryable(failure, policy.non_retryable_error_types):
        return RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE, None
    delay_ns = requested_delay_ns(failure)
    maximum_ns = duration_ns(policy.maximum_interval)
    return _next_interval(policy, delay_ns, maximum_ns, attempt, now_ns, expiration_ns)


def activity_retry(
    policy: RetryPolicy | None,
    *,
    failure: Failure | None,
    attempt: int,
    now_ns: int,
    expiration_ns: int = 0,
    cancel_requested: bool = False,
    paused: bool = False,
) -> Retry:
    """What follows when an attempt of an activity fails.

    `expiration_ns`: when its schedule-to-close timeout ends, 0 for never. A delay that the worker asked for counts
    whatever the policy's maximum is. A schedule-to-start or schedule-to-close timeout ends all attempts: TIMEOUT.
    `paused`: the next attempt waits for somebody to unpause it, however many there were and however late it gets.
    """
    if policy is None:
        return RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET, None
    if cancel_requested:
        return RetryState.RETRY_STATE_CANCEL_REQUESTED, None
    if failure is not None and failure.timeout_failure_info.timeout_type in _TIMEOUTS_OF_ALL_ATTEMPTS:
        return RetryState.RETRY_STATE_TIMEOUT, None
    if not is_retryable(failure, policy.non_retryable_error_types):
        return RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE, None
    if paused:
        return RetryState.RETRY_STATE_IN_PROGRESS, 0
    delay_ns = requested_delay_ns(failure)
    maximum_ns = duration_ns(policy.maximum_interval) if delay_ns is None else delay_ns
    return _next_interval(policy, delay_ns, maximum_ns, attempt, now_ns, expiration_ns)


def is_retryable(failure: Failure | None, non_retryable_types: Sequence[str]) -> bool:
    """Whether a failure permits another attempt. None, and kinds of failure not named here, do."""
    if failure is None:
        return True
    if failure.HasField("terminated_failure_info") or failure.HasField("canceled_failure_info"):
        return False
    if failure.HasField("timeout_failure_info"):
        kind = failure.timeout_failure_info.timeout_type
        if kind not in _TIMEOUTS_OF_ONE_ATTEMPT:
            return False
        name = short_name(TimeoutType.Name(kind), "TIMEOUT_TYPE_")
        return TIMEOUT_FAILURE_TYPE_PREFIX + name not in non_retryable_types
    if failure.HasField("server_failure_info"):
        return not failure.server_failure_info.non_retryable
    if failure.HasField("application_failure_info"):
        info = failure.application_failure_info
        return not info.non_retryable and info.type not in non_retryable_types
    return True


def requested_delay_ns(failure: Failure | None) -> int | None:
    """The delay that the worker put into an application failure for the next attempt, if it did; a century at most,
    since nobody looks whether it makes sense."""
    if failure is not None and failure.application_failure_info.HasField("next_retry_delay"):
        delay_ns = duration_ns(failure.application_failure_info.next_retry_delay)
        return max(-_MAX_DELAY_NS, min(delay_ns, _MAX_DELAY_NS))
    return None


def exponential_ns(initial_ns: int, coefficient: float, attempt: int) -> int:
    """The interval after the given attempt (from 1), before any maximum; cut to what 64 bits hold."""
    try:
        interval = float(initial_ns) * math.pow(coefficient, attempt - 1)
    except OverflowError:
        return MAX_NS
    if math.isnan(interval):
        return 0
    return MAX_NS if interval >= MAX_NS else max(0, int(interval))


def _next_interval(
    policy: RetryPolicy, delay_ns: int | None, maximum_ns: int, attempt: int, now_ns: int, expiration_ns: int
) -> Retry:
    attempt = max(attempt, 1)
    if 0 < policy.maximum_attempts <= attempt:
        return RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, None
    interval = delay_ns
    if interval is None:
        interval = exponential_ns(duration_ns(policy.initial_interval), policy.backoff_coefficient, attempt)
    if maximum_ns == 0 and interval <= 0:
        return RetryState.RETRY_STATE_TIMEOUT, None
    if maximum_ns != 0 and not 0 < interval <= maximum_ns:
        interval = maximum_ns
    if expiration_ns and now_ns + interval > expiration_ns:
        return RetryState.RETRY_STATE_TIMEOUT, None
    return RetryState.RETRY_STATE_IN_PROGRESS, interval


def shortened(failure: Failure, limit_bytes: int) -> Failure:
    """What is kept of a failure that is too large: a note that it was, with the beginning of its texts as the cause."""
    note = Failure(message="Failure exceeds size limit.")
    note.server_failure_info.SetInParent()
    _fill_shortened(note.cause, failure, limit_bytes, _MAX_CAUSES)
    return note


_MAX_CAUSES = 20
_FIELD_OVERHEAD_BYTES = 4


def _fill_shortened(short: Failure, failure: Failure, left_bytes: int, depth: int) -> None:
    """The type first, then source, message and stack trace, then the cause, as far as the bytes go."""

    def cut(text: str) -> str:
        nonlocal left_bytes
        kept = text.encode()[: max(0, left_bytes)].decode(errors="ignore")
        left_bytes -= len(kept.encode()) + (_FIELD_OVERHEAD_BYTES if kept else 0)
        return kept

    if failure.HasField("application_failure_info"):
        info = short.application_failure_info
        info.non_retryable = failure.application_failure_info.non_retryable
        info.type = cut(failure.application_failure_info.type)
        left_bytes -= 2 * _FIELD_OVERHEAD_BYTES
    elif failure.HasField("server_failure_info"):
        short.server_failure_info.non_retryable = failure.server_failure_info.non_retryable
        left_bytes -= _FIELD_OVERHEAD_BYTES
    for name in ("source", "message", "stack_trace"):
        setattr(short, name, cut(getattr(failure, name)))
    if failure.HasField("cause") and left_bytes > _FIELD_OVERHEAD_BYTES and depth > 0:
        _fill_shortened(short.cause, failure.cause, left_bytes - _FIELD_OVERHEAD_BYTES, depth - 1)

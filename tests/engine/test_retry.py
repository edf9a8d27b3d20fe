"""When a failed attempt is followed by another, and how much later."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import RetryState as State
from temporalio.api.enums.v1 import TimeoutType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure, TimeoutFailureInfo

from perdure.engine.retry import (
    MAX_NS,
    Retry,
    activity_retry,
    exponential_ns,
    is_retryable,
    requested_delay_ns,
    workflow_retry,
)

S = 1_000_000_000


def policy(
    initial_s: int = 1, maximum_s: int = 100, coefficient: float = 2, attempts: int = 0, *types: str
) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=Duration(seconds=initial_s),
        maximum_interval=Duration(seconds=maximum_s),
        backoff_coefficient=coefficient,
        maximum_attempts=attempts,
        non_retryable_error_types=types,
    )


def application(kind: str = "T", delay_s: int | None = None, **fields: bool) -> Failure:
    delay = None if delay_s is None else Duration(seconds=delay_s)
    return Failure(application_failure_info=ApplicationFailureInfo(type=kind, next_retry_delay=delay, **fields))


def timeout(kind: TimeoutType.ValueType) -> Failure:
    return Failure(timeout_failure_info=TimeoutFailureInfo(timeout_type=kind))


def activity(rules: RetryPolicy | None, failure: Failure | None, attempt: int = 1, **more: int) -> Retry:
    return activity_retry(rules, failure=failure, attempt=attempt, now_ns=0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("attempt", "wait_s"), [(1, 1), (2, 2), (3, 4), (7, 64), (8, 100), (5000, 100)])
def test_intervals_grow_to_their_maximum(attempt: int, wait_s: int) -> None:
    assert activity(policy(), application(), attempt) == (State.RETRY_STATE_IN_PROGRESS, wait_s * S)
    retry = workflow_retry(policy(), failure=application(), attempt=attempt, now_ns=0)
    assert retry == (State.RETRY_STATE_IN_PROGRESS, wait_s * S)


def test_intervals_stay_within_64_bits() -> None:
    assert exponential_ns(S, 2.0, 10_000) == MAX_NS
    assert exponential_ns(S, float("inf"), 2) == MAX_NS
    assert exponential_ns(S, float("nan"), 2) == 0


def test_a_delay_that_a_worker_asks_for_is_cut_to_a_century_either_way() -> None:
    century_ns = 100 * 365 * 24 * 3600 * S
    for seconds, expected in ((10**11, century_ns), (-(10**11), -century_ns)):
        assert requested_delay_ns(application(delay_s=seconds)) == expected


def test_attempts_run_out() -> None:
    assert activity(policy(attempts=3), application(), 2)[0] == State.RETRY_STATE_IN_PROGRESS
    assert activity(policy(attempts=3), application(), 3) == (State.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, None)


def test_no_attempt_begins_after_the_expiration() -> None:
    assert activity(policy(), application(), expiration_ns=S) == (State.RETRY_STATE_IN_PROGRESS, S)
    assert activity(policy(), application(), expiration_ns=S - 1) == (State.RETRY_STATE_TIMEOUT, None)


def test_without_a_policy_there_is_no_retry() -> None:
    assert activity(None, application()) == (State.RETRY_STATE_RETRY_POLICY_NOT_SET, None)
    retry = workflow_retry(None, failure=None, attempt=1, now_ns=0)
    assert retry == (State.RETRY_STATE_RETRY_POLICY_NOT_SET, None)


def test_a_cancelled_activity_is_not_retried() -> None:
    retry = activity_retry(policy(), failure=application(), attempt=1, now_ns=0, cancel_requested=True)
    assert retry == (State.RETRY_STATE_CANCEL_REQUESTED, None)


@pytest.mark.parametrize(
    ("failure", "types", "expected"),
    [
        (None, [], True),
        (Failure(message="other"), [], True),
        (application(), [], True),
        (application(), ["T"], False),
        (application(non_retryable=True), [], False),
        (Failure(terminated_failure_info={}), [], False),
        (Failure(canceled_failure_info={}), [], False),
        (Failure(server_failure_info={"non_retryable": True}), [], False),
        (Failure(server_failure_info={}), ["T"], True),
        (timeout(TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE), [], True),
        (timeout(TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE), ["TemporalTimeout:StartToClose"], False),
        (timeout(TimeoutType.TIMEOUT_TYPE_HEARTBEAT), ["TemporalTimeout:StartToClose"], True),
        (timeout(TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE), [], False),
        (timeout(TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START), [], False),
    ],
)
def test_what_may_be_retried(failure: Failure | None, types: list[str], expected: bool) -> None:
    assert is_retryable(failure, types) is expected


def test_what_may_not_be_retried_says_so() -> None:
    assert activity(policy(1, 100, 2, 0, "T"), application()) == (State.RETRY_STATE_NON_RETRYABLE_FAILURE, None)


@pytest.mark.parametrize(
    "kind", [TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START, TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE]
)
def test_timeouts_of_all_attempts_end_an_activity(kind: TimeoutType.ValueType) -> None:
    assert activity(policy(), timeout(kind)) == (State.RETRY_STATE_TIMEOUT, None)


def test_an_activity_worker_may_ask_for_any_delay() -> None:
    assert activity(policy(), application(delay_s=500)) == (State.RETRY_STATE_IN_PROGRESS, 500 * S)
    assert activity(policy(attempts=1), application(delay_s=500))[0] == State.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED


def test_a_workflow_may_ask_for_a_delay_up_to_the_maximum() -> None:
    def wait_ns(delay_s: int) -> int | None:
        return workflow_retry(policy(), failure=application(delay_s=delay_s), attempt=1, now_ns=0)[1]

    assert wait_ns(7) == 7 * S
    assert wait_ns(500) == 100 * S


def test_a_delay_beyond_all_time_still_fits_a_deadline() -> None:
    wait_ns = activity(policy(), application(delay_s=10**15))[1]
    assert wait_ns is not None
    assert 2_000_000_000 * S + wait_ns < MAX_NS
    before_ns = activity(policy(), application(delay_s=-(10**15)))[1]
    assert before_ns is not None and -MAX_NS < before_ns < 0

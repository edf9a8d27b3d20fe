"""Activities: their attempts, their four timeouts, heartbeats, cancellation, eager starts."""

from __future__ import annotations

import pytest
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import TimeoutType
from tests.engine.driver import (
    WORKER,
    Conversation,
    S,
    application,
    cancel_activity,
    complete_workflow,
    duration,
    payloads,
    refusal,
    schedule_activity,
)

from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.apply import activity_timeouts
from perdure.engine.execution import Kind

RETRY = RetryPolicy(initial_interval=duration(1), backoff_coefficient=2, maximum_interval=duration(100))
NOT_FOUND = "NotFound: invalid activityID or activity already timed out or invoking workflow is completed"
NO_TIME = "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying"


def running(retry: RetryPolicy | None = None, **timeouts_s: float) -> Conversation:
    """A workflow with activity "a", which a worker has."""
    talk = Conversation()
    talk.work(schedule_activity("a", retry or RetryPolicy(maximum_attempts=1), **timeouts_s))
    talk.start_activity("a")
    return talk


def test_its_start_is_written_with_its_close_at_the_time_when_it_happened() -> None:
    talk = running()
    assert len(talk.written) == 5
    talk.advance(2)
    talk.complete_activity("a", "result")
    talk.expect(
        """
        5 ActivityTaskScheduled activity_id=a workflow_task_completed_event_id=4 start_to_close_timeout=60s
        6 ActivityTaskStarted scheduled_event_id=5 attempt=1 identity=worker event_time=+0s
        7 ActivityTaskCompleted scheduled_event_id=5 started_event_id=6 result=result event_time=+2s
        8 WorkflowTaskScheduled
        """,
        since=5,
    )


def test_attempts_wait_longer_each_time_and_the_last_one_tells_of_the_one_before() -> None:
    talk = running(RetryPolicy(initial_interval=duration(1), backoff_coefficient=2, maximum_attempts=3))
    waits = []
    for n in range(2):
        talk.fail_activity("a", application(f"fault {n + 1}"))
        activity = talk.activity("a")
        assert activity.queue is None and not activity.started_ns
        waits.append((activity.due_ns - talk.world.now_ns) / S)
        assert refusal(lambda: talk.start_activity("a")) == NOT_FOUND
        talk.advance(waits[-1])
        assert talk.activity("a").queue is not None
        talk.start_activity("a")
    assert waits == [1, 2]
    talk.fail_activity("a", application("fault 3"))
    talk.expect(
        """
        6 ActivityTaskStarted attempt=3 last_failure.message="fault 2" event_time=+3s
        7 ActivityTaskFailed failure.message="fault 3" retry_state=RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED
        8 WorkflowTaskScheduled
        """,
        since=6,
    )


def test_a_failure_marked_fatal_is_the_last() -> None:
    talk = running(RETRY)
    talk.fail_activity("a", application("fatal", non_retryable=True))
    assert talk.last("ActivityTaskFailed").retry_state == 2


def test_a_worker_chooses_its_next_delay_beyond_the_maximum_interval() -> None:
    talk = running(RETRY)
    talk.fail_activity("a", application("later", delay_s=500))
    assert talk.activity("a").next_attempt_ns == talk.world.now_ns + 500 * S


@pytest.mark.parametrize(
    ("timeouts_s", "started", "kind"),
    [
        ({"start_to_close": 5}, True, TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE),
        ({"start_to_close": 60, "heartbeat": 5}, True, TimeoutType.TIMEOUT_TYPE_HEARTBEAT),
        ({"start_to_close": 60, "schedule_to_start": 5}, False, TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START),
        # The others default to this one, and of equals the one that began to count first counts.
        ({"schedule_to_close": 5}, False, TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START),
        ({"schedule_to_close": 5}, True, TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE),
    ],
)
def test_timeouts_of_the_first_attempt(timeouts_s: dict[str, float], started: bool, kind: int) -> None:
    talk = Conversation()
    talk.work(schedule_activity("a", **timeouts_s))
    if started:
        talk.start_activity("a")
    talk.advance(4.999)
    assert len(talk.written) == 5
    talk.advance(0.001)
    a = talk.last("ActivityTaskTimedOut")
    assert a.failure.timeout_failure_info.timeout_type == kind
    assert a.started_event_id == (6 if started else 0)


LEAST = Dynamic(least_activity_start_to_close_s=0.5)


def test_an_attempt_has_half_a_second_at_least() -> None:
    talk = Conversation(config=LEAST)
    talk.work(schedule_activity("a", start_to_close=0.2, schedule_to_close=60))
    talk.start_activity("a")
    talk.advance(0.499)
    talk.complete_activity("a")
    assert talk.last("ActivityTaskCompleted").started_event_id == 6


@pytest.mark.parametrize("start_to_close_s", [0.2, 0.5, 5])
def test_after_that_its_timeout_comes_when_it_is_due(start_to_close_s: float) -> None:
    talk = Conversation(config=LEAST)
    retry = RetryPolicy(maximum_attempts=2)
    talk.work(schedule_activity("a", retry, start_to_close=start_to_close_s, schedule_to_close=60))
    talk.start_activity("a")
    talk.advance(max(start_to_close_s, 0.5) - 0.001)
    assert talk.activity("a").attempt == 1
    talk.advance(0.001)
    assert talk.activity("a").attempt == 2
    assert refusal(lambda: talk.complete_activity("a")) == NOT_FOUND


@pytest.mark.parametrize(
    ("timeouts_s", "kind"),
    [
        ({"start_to_close": 0.2, "schedule_to_close": 0.2}, TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE),
        ({"start_to_close": 0.2, "heartbeat": 0.2}, TimeoutType.TIMEOUT_TYPE_HEARTBEAT),
    ],
)
def test_other_timeouts_come_when_they_are_due(timeouts_s: dict[str, float], kind: int) -> None:
    talk = Conversation(config=LEAST)
    talk.work(schedule_activity("a", RetryPolicy(maximum_attempts=1), **timeouts_s))
    talk.start_activity("a")
    talk.advance(0.2)
    assert talk.last("ActivityTaskTimedOut").failure.timeout_failure_info.timeout_type == kind


def test_of_timeouts_at_one_moment_the_one_with_the_lowest_number_counts() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a", schedule_to_close=5, start_to_close=5, heartbeat=5))
    talk.start_activity("a")
    assert [kind for _, kind in sorted(activity_timeouts(talk.activity("a")))] == [1, 3, 4]


def test_a_timed_out_attempt_is_tried_again_and_says_so_in_the_end() -> None:
    talk = running(RetryPolicy(initial_interval=duration(1), maximum_attempts=2), start_to_close=5)
    talk.advance(6)
    assert talk.activity("a").attempt == 2
    talk.start_activity("a")
    talk.advance(5)
    talk.expect(
        """
        6 ActivityTaskStarted attempt=2 last_failure.message="activity StartToClose timeout"
        7 ActivityTaskTimedOut retry_state=RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED "failure.message=activity StartToClose timeout" "failure.cause.message=activity StartToClose timeout"
        8 WorkflowTaskScheduled
        """,  # noqa: E501
        since=6,
    )


def test_no_attempt_begins_that_would_come_after_the_schedule_to_close_timeout() -> None:
    talk = running(RETRY, schedule_to_close=10, start_to_close=4)
    talk.advance(4)  # attempt 2 at 5
    talk.advance(1)
    talk.start_activity("a")
    talk.advance(4)  # attempt 3 would be at 11
    talk.expect(
        f"""
        6 ActivityTaskStarted attempt=2
        7 ActivityTaskTimedOut retry_state=RETRY_STATE_TIMEOUT "failure.message={NO_TIME}"
        8 WorkflowTaskScheduled
        """,
        since=6,
    )
    assert talk.last("ActivityTaskTimedOut").failure.timeout_failure_info.timeout_type == 3


def test_a_failure_without_time_for_another_attempt_stays_a_failure() -> None:
    talk = running(RETRY, schedule_to_close=10, start_to_close=10)
    talk.advance(9.5)
    talk.fail_activity("a", application("late"))
    talk.expect(
        """
        6 ActivityTaskStarted
        7 ActivityTaskFailed failure.message=late retry_state=RETRY_STATE_TIMEOUT
        8 WorkflowTaskScheduled
        """,
        since=6,
    )


def test_waiting_for_a_worker_counts_anew_for_each_attempt_but_not_for_the_whole() -> None:
    talk = running(RETRY, schedule_to_close=20, schedule_to_start=5, start_to_close=5)
    talk.fail_activity("a")
    talk.advance(1 + 4.9)
    assert talk.activity("a").attempt == 2
    talk.advance(0.1)
    assert talk.last("ActivityTaskTimedOut").failure.timeout_failure_info.timeout_type == 2
    assert talk.last("ActivityTaskTimedOut").failure.cause.message == "oops"


def test_the_schedule_to_close_timeout_ends_an_activity_that_waits_for_a_worker_after_its_backoff() -> None:
    talk = running(RETRY, schedule_to_close=3, start_to_close=3)
    talk.fail_activity("a")
    talk.advance(2.9)
    assert talk.activity("a").queue is not None
    talk.advance(0.1)
    talk.expect(
        f"""
        6 ActivityTaskTimedOut started_event_id=0 retry_state=RETRY_STATE_TIMEOUT "failure.message={NO_TIME}" failure.cause.message=oops
        7 WorkflowTaskScheduled
        """,  # noqa: E501
        since=6,
    )


def test_heartbeats_keep_it_alive_and_their_details_reach_the_next_attempt_and_the_timeout() -> None:
    talk = running(RetryPolicy(initial_interval=duration(1), maximum_attempts=2), start_to_close=60, heartbeat=5)
    for n in range(4):
        talk.advance(4)
        talk.heartbeat("a", f"step {n}")
    talk.advance(5)
    assert talk.activity("a").attempt == 2
    talk.advance(1)
    assert talk.start_activity("a").heartbeat_details == payloads("step 3").SerializeToString()
    talk.advance(5)
    info = talk.last("ActivityTaskTimedOut").failure.timeout_failure_info
    assert info.timeout_type == 4
    assert info.last_heartbeat_details == payloads("step 3")


def test_the_last_words_of_a_failed_attempt_are_a_heartbeat() -> None:
    talk = running(RETRY)
    token = (5, 1, "a", WORKER)
    talk.tell(inputs.FailActivity(*token, application("oops"), payloads("last words")))
    assert talk.activity("a").heartbeat_details == payloads("last words").SerializeToString()


def test_a_cancel_is_seen_at_the_heartbeat_and_reported_by_the_worker() -> None:
    talk = running()
    talk.signal("go")
    talk.work(cancel_activity(5))
    assert talk.heartbeat("a", "half").cancel_requested
    talk.cancel_activity("a")
    talk.expect(
        """
        10 ActivityTaskCancelRequested scheduled_event_id=5 workflow_task_completed_event_id=9
        11 ActivityTaskStarted
        12 ActivityTaskCanceled latest_cancel_requested_event_id=10 started_event_id=11 scheduled_event_id=5
        13 WorkflowTaskScheduled
        """,
        since=10,
    )


def test_a_cancel_nobody_asked_for_is_refused() -> None:
    talk = running()
    assert refusal(lambda: talk.cancel_activity("a")).endswith("without activity being request canceled first")


def test_an_activity_that_no_worker_has_is_cancelled_at_once() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a"), force_create_new_workflow_task=True)
    talk.work(cancel_activity(5))
    talk.expect(
        """
        8 WorkflowTaskCompleted
        9 ActivityTaskCancelRequested
        10 ActivityTaskCanceled started_event_id=0 details=ACTIVITY_ID_NOT_STARTED identity=worker
        11 WorkflowTaskScheduled
        """,
        since=8,
    )


def test_an_activity_between_attempts_is_cancelled_at_once() -> None:
    talk = running(RETRY)
    talk.fail_activity("a")
    talk.signal("go")
    talk.work(cancel_activity(5))
    assert talk.last("ActivityTaskCanceled").started_event_id == 0
    assert not talk.execution.pending[Kind.ACTIVITY]


def test_a_cancelled_one_that_fails_is_not_tried_again() -> None:
    talk = running(RETRY)
    talk.signal("go")
    talk.work(cancel_activity(5))
    talk.fail_activity("a")
    assert talk.last("ActivityTaskFailed").retry_state == 7


def test_to_cancel_a_running_one_twice_fails_the_task() -> None:
    talk = running()
    talk.signal("go")
    talk.poll()
    assert refusal(lambda: talk.complete(cancel_activity(5), cancel_activity(5))) == (
        "InvalidArgument: BadRequestCancelActivityAttributes: invalid history builder state for action: "
        "add-activitytask-cancel-requested-event, ScheduledEventID: 5"
    )


def test_answers_of_an_earlier_attempt_are_refused() -> None:
    talk = running(RETRY)
    talk.fail_activity("a")
    late = inputs.CompleteActivity(5, 1, "a", WORKER, result=None)
    assert refusal(lambda: talk.tell(late)) == NOT_FOUND
    talk.advance(1)
    talk.start_activity("a")
    assert refusal(lambda: talk.tell(late)) == NOT_FOUND


@pytest.mark.parametrize("fails_first", [False, True])
def test_it_may_be_completed_by_its_id_before_a_worker_has_it(fails_first: bool) -> None:
    talk = Conversation()
    talk.work(schedule_activity("a", RETRY))
    if fails_first:
        talk.start_activity("a")
        talk.fail_activity("a")
    talk.tell(inputs.CompleteActivity(0, 0, "a", "outside", result=payloads("done")))
    attempt = 2 if fails_first else 1
    talk.expect(
        f"""
        6 ActivityTaskStarted attempt={attempt} identity=outside request_id=
        7 ActivityTaskCompleted identity=outside started_event_id=6
        8 WorkflowTaskScheduled
        """,
        since=6,
    )


def test_an_unknown_id_is_refused() -> None:
    talk = running()
    completion = inputs.CompleteActivity(0, 0, "b", WORKER, result=None)
    assert refusal(lambda: talk.tell(completion)).startswith("NotFound: cannot find pending activity with ActivityID b")


def test_an_attempt_that_reached_no_worker_goes_back_to_its_queue() -> None:
    talk = running(schedule_to_close=60, schedule_to_start=30)
    activity = talk.activity("a")
    talk.tell(inputs.ReleaseActivity(5, 1, activity.request_id))
    assert talk.activity("a").queue is not None and talk.activity("a").due_ns == talk.world.now_ns + 30 * S
    assert refusal(lambda: talk.tell(inputs.ReleaseActivity(5, 1, "another"))) == NOT_FOUND


def test_an_eager_activity_is_started_with_the_reply_and_never_queued() -> None:
    talk = Conversation()
    completed = talk.work(schedule_activity("a", RETRY, request_eager_execution=True), schedule_activity("b"))
    assert completed.eager_activities == [5]
    assert talk.activity("a").started_ns and talk.activity("a").queue is None
    assert talk.activity("b").queue is not None
    talk.fail_activity("a")
    talk.advance(1)
    assert talk.activity("a").queue is not None


def test_an_eager_activity_that_its_own_task_cancels_or_outlives_is_not_started() -> None:
    talk = Conversation()
    eager = schedule_activity("a", request_eager_execution=True)
    assert talk.work(eager, cancel_activity(5)).eager_activities == []
    closing = Conversation()
    assert closing.work(eager, complete_workflow()).eager_activities == []


def test_eager_starts_can_be_switched_off() -> None:
    talk = Conversation(config=Dynamic(enable_activity_eager_execution=False))
    assert talk.work(schedule_activity("a", request_eager_execution=True)).eager_activities == []
    assert talk.activity("a").queue is not None


def test_a_second_one_of_the_same_id_fails_the_task_until_the_first_has_closed() -> None:
    talk = running()
    talk.signal("go")
    talk.poll()
    twice = "InvalidArgument: ScheduleActivityDuplicateId: invalid history builder state for action: "
    assert refusal(lambda: talk.complete(schedule_activity("a"))).startswith(twice)
    talk.complete_activity("a")
    talk.work(schedule_activity("a"))
    assert talk.activity("a").queue is not None


def test_a_failure_kept_between_attempts_is_cut_to_its_limit() -> None:
    config = Dynamic(
        mutable_state_activity_failure_size_limit_error_bytes=200,
        mutable_state_activity_failure_size_limit_warn_bytes=100,
    )
    talk = Conversation(config=config)
    talk.work(schedule_activity("a", RETRY))
    talk.start_activity("a")
    failure = application("x" * 1000)
    talk.fail_activity("a", failure)
    kept = type(failure).FromString(talk.activity("a").last_failure)
    assert kept.message == "Failure exceeds size limit."
    assert kept.cause.application_failure_info.type == "x" * 200 and kept.cause.message == ""

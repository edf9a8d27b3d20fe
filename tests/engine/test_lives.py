"""How runs begin, go on in the next run, and end: continue-as-new, retries, cron, timeouts, termination."""

from __future__ import annotations

import pytest
from temporalio.api.common.v1 import Memo, RetryPolicy
from tests.engine.driver import (
    Conversation,
    S,
    application,
    attributes,
    complete_workflow,
    continue_as_new,
    duration,
    fail_workflow,
    payloads,
    refusal,
    schedule_activity,
    start_child,
    start_timer,
)

from perdure.engine import inputs
from perdure.engine.execution import Kind

RETRY = RetryPolicy(initial_interval=duration(2), backoff_coefficient=2, maximum_attempts=3)
EVERY_MINUTE = {"cron_schedule": "* * * * *", "backoff_s": 40.0}
"""The conversation's clock starts at 20 seconds past a minute."""


def next_run(talk: Conversation) -> Conversation:
    assert talk.next is not None, "no run followed"
    return talk.next


def test_a_start_writes_its_request_and_the_first_task_in_one_batch() -> None:
    talk = Conversation(input=payloads("in"), memo=Memo(fields={"key": payloads("kept").payloads[0]}))
    talk.expect(
        """
        1 WorkflowExecutionStarted workflow_id=w workflow_type.name=Flow input=in attempt=1 identity=client
        2 WorkflowTaskScheduled task_queue.name=q task_queue.kind=TASK_QUEUE_KIND_NORMAL start_to_close_timeout=10s
        """
    )
    a = attributes(talk.written[0])
    assert a.first_execution_run_id == a.original_execution_run_id == talk.execution.core.run_id
    assert not a.HasField("workflow_run_timeout") and not a.HasField("workflow_execution_timeout")
    assert a.HasField("first_workflow_task_backoff")
    assert talk.batch_ids == [[1, 2]]


def test_what_ends_a_run_also_ends_what_was_pending() -> None:
    talk = Conversation()
    talk.work(start_timer("t", 5), schedule_activity("a"), complete_workflow())
    talk.expect("7 WorkflowExecutionCompleted result=ok workflow_task_completed_event_id=4", since=7)
    talk.advance(100)
    assert len(talk.written) == 7
    assert refusal(lambda: talk.signal("late")) == "NotFound: workflow execution already completed"
    assert refusal(talk.terminate) == "NotFound: workflow execution already completed"
    talk.cancel()
    assert len(talk.written) == 7


# Continue-as-new.


def test_a_run_that_continues_as_new_hands_over_to_the_next_in_one_step() -> None:
    talk = Conversation(workflow_run_timeout=duration(100))
    talk.advance(5)
    talk.work(continue_as_new(input=payloads("next")))
    talk.expect("5 WorkflowExecutionContinuedAsNew input=next", since=5)
    new = next_run(talk)
    assert talk.last("WorkflowExecutionContinuedAsNew").new_execution_run_id == new.execution.core.run_id
    new.expect(
        """
        1 WorkflowExecutionStarted initiator=CONTINUE_AS_NEW_INITIATOR_WORKFLOW input=next attempt=1 identity=
        2 WorkflowTaskScheduled
        """
    )
    a = attributes(new.written[0])
    assert a.continued_execution_run_id == a.first_execution_run_id == talk.execution.core.run_id
    assert not a.HasField("first_workflow_task_backoff")
    assert [point.run_id for point in a.prev_auto_reset_points.points] == [talk.execution.core.run_id]


@pytest.mark.parametrize(("lived_s", "asked_s", "waits_s"), [(0.3, 0, 0.7), (0.3, 0.4, 0.7), (0.3, 5, 5), (2, 0, 0)])
def test_runs_that_follow_each_other_too_fast_are_slowed_down(lived_s: float, asked_s: float, waits_s: float) -> None:
    talk = Conversation()
    talk.advance(lived_s)
    talk.work(continue_as_new(backoff_start_interval=duration(asked_s)))
    core = next_run(talk).execution.core
    assert core.first_task_backoff_ns == round(waits_s * S)
    assert core.execution_ns == core.start_ns + core.first_task_backoff_ns


def test_a_close_over_a_signal_is_refused_but_the_next_task_may_continue_as_new() -> None:
    talk = Conversation()
    talk.advance(5)
    talk.poll()
    talk.signal("hello")
    refusal(lambda: talk.complete(continue_as_new()))
    assert talk.next is None
    talk.work(continue_as_new())
    assert next_run(talk).execution.running


# Retries of workflows.


def test_a_failed_run_is_tried_again_as_it_was_started() -> None:
    talk = Conversation(retry_policy=RETRY, input=payloads("in"))
    talk.advance(5)
    talk.work(fail_workflow())
    second = next_run(talk)
    assert talk.last("WorkflowExecutionFailed").new_execution_run_id == second.execution.core.run_id
    second.expect(
        """
        1 WorkflowExecutionStarted attempt=2 initiator=CONTINUE_AS_NEW_INITIATOR_RETRY input=in continued_failure.message=broken first_workflow_task_backoff=2s
        """  # noqa: E501
    )
    second.advance(1.9)
    assert len(second.written) == 1
    second.advance(0.1)
    second.work(fail_workflow())
    third = next_run(second)
    assert attributes(third.written[0]).first_workflow_task_backoff.seconds == 4
    third.advance(4)
    third.work(fail_workflow())
    assert third.next is None
    third.expect(
        "5 WorkflowExecutionFailed retry_state=RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED new_execution_run_id=", since=5
    )


def test_a_failure_marked_fatal_ends_the_chain() -> None:
    talk = Conversation(retry_policy=RETRY)
    talk.work(fail_workflow(application("fatal", non_retryable=True)))
    assert talk.next is None
    talk.expect("5 WorkflowExecutionFailed retry_state=RETRY_STATE_NON_RETRYABLE_FAILURE", since=5)


def test_a_run_that_times_out_is_tried_again_unless_the_whole_execution_has() -> None:
    talk = Conversation(retry_policy=RETRY, workflow_run_timeout=duration(10), workflow_execution_timeout=duration(15))
    talk.poll()
    talk.signal("unseen")
    talk.advance(10)
    talk.expect(
        """
        4 WorkflowTaskTimedOut
        5 WorkflowExecutionSignaled
        6 WorkflowTaskScheduled
        7 WorkflowExecutionTimedOut retry_state=RETRY_STATE_IN_PROGRESS
        """,
        since=4,
    )
    second = next_run(talk)
    second.advance(2)
    second.advance(3)
    second.expect(
        """
        2 WorkflowTaskScheduled
        3 WorkflowExecutionTimedOut retry_state=RETRY_STATE_TIMEOUT new_execution_run_id=
        """,
        since=2,
    )
    assert second.next is None


def test_a_run_timeout_takes_the_task_back_and_tells_what_was_buffered() -> None:
    talk = Conversation(workflow_run_timeout=duration(5))
    talk.poll()
    talk.signal("hello")
    talk.advance(5)
    talk.expect(
        """
        4 WorkflowTaskFailed cause=WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND identity=history-service
        5 WorkflowExecutionSignaled
        6 WorkflowExecutionTimedOut retry_state=RETRY_STATE_RETRY_POLICY_NOT_SET
        """,
        since=4,
    )


# Cron.


def test_cron_runs_begin_with_their_minute() -> None:
    talk = Conversation(**EVERY_MINUTE)
    talk.expect(
        """
        1 WorkflowExecutionStarted initiator=CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE first_workflow_task_backoff=40s
        """
    )
    talk.advance(40)
    talk.advance(10)
    talk.work(complete_workflow("first"))
    second = next_run(talk)
    second.expect(
        """
        1 WorkflowExecutionStarted initiator=CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE first_workflow_task_backoff=50s last_completion_result=first attempt=1
        """  # noqa: E501
    )
    second.advance(50)
    second.work(fail_workflow())
    second.expect("5 WorkflowExecutionFailed retry_state=RETRY_STATE_RETRY_POLICY_NOT_SET", since=5)
    third = next_run(second)
    third.expect(
        """
        1 WorkflowExecutionStarted last_completion_result=first continued_failure.message=broken first_workflow_task_backoff=60s
        """  # noqa: E501
    )


def test_a_cron_run_that_times_out_is_followed_by_the_next() -> None:
    talk = Conversation(**EVERY_MINUTE, workflow_run_timeout=duration(90))
    talk.advance(40 + 90)
    talk.expect("3 WorkflowExecutionTimedOut retry_state=RETRY_STATE_RETRY_POLICY_NOT_SET", since=3)
    assert attributes(next_run(talk).written[0]).first_workflow_task_backoff.seconds == 30


def test_a_cron_run_is_first_tried_again() -> None:
    talk = Conversation(**EVERY_MINUTE, retry_policy=RETRY)
    talk.advance(40)
    talk.work(fail_workflow())
    second = next_run(talk)
    assert second.execution.core.attempt == 2
    second.advance(2)
    second.work(complete_workflow())
    assert next_run(second).execution.core.attempt == 1


def test_a_cancelled_or_terminated_cron_run_is_the_last() -> None:
    talk = Conversation(**EVERY_MINUTE)
    talk.terminate()
    assert talk.next is None


# Timeouts and waits.


def test_the_wait_before_the_first_task_does_not_count_for_the_run_but_for_the_execution() -> None:
    talk = Conversation(backoff_s=10, workflow_run_timeout=duration(20), workflow_execution_timeout=duration(25))
    core = talk.execution.core
    assert core.run_expiration_ns == core.execution_expiration_ns == core.start_ns + 25 * S
    longer = Conversation(backoff_s=10, workflow_run_timeout=duration(20)).execution.core
    assert longer.run_expiration_ns == longer.start_ns + 30 * S


def test_an_execution_may_time_out_before_its_first_task() -> None:
    talk = Conversation(backoff_s=10, workflow_execution_timeout=duration(5))
    talk.advance(5)
    talk.expect("2 WorkflowExecutionTimedOut retry_state=RETRY_STATE_TIMEOUT", since=2)


def test_signals_during_the_first_wait_begin_no_task_but_a_cancel_does() -> None:
    talk = Conversation(backoff_s=10)
    talk.signal("hello")
    talk.expect(
        """
        1 WorkflowExecutionStarted first_workflow_task_backoff=10s
        2 WorkflowExecutionSignaled
        """
    )
    talk.cancel()
    talk.expect(
        """
        3 WorkflowExecutionCancelRequested cause=enough
        4 WorkflowTaskScheduled
        """,
        since=3,
    )
    assert "first-task" not in talk.execution.pending[Kind.LIFETIME]


def test_the_first_task_begins_when_its_wait_is_over() -> None:
    talk = Conversation(backoff_s=10)
    talk.signal("hello")
    talk.advance(10)
    talk.expect("3 WorkflowTaskScheduled event_time=+10s", since=3)


# Termination.


def test_termination_takes_the_task_back_and_tells_what_was_buffered() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a"), force_create_new_workflow_task=True)
    talk.start_activity("a")
    talk.poll()
    talk.complete_activity("a")
    talk.signal("hello")
    talk.terminate()
    talk.expect(
        """
        8 WorkflowTaskFailed cause=WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND identity=history-service
        9 ActivityTaskStarted
        10 WorkflowExecutionSignaled
        11 ActivityTaskCompleted started_event_id=9
        12 WorkflowExecutionTerminated reason=stop identity=client
        """,
        since=8,
    )
    assert talk.batch_ids[-1] == [8, 9, 10, 11, 12]


def test_termination_of_an_unwritten_task_leaves_no_trace_of_it() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail()
    talk.poll()
    talk.terminate()
    talk.expect("5 WorkflowExecutionTerminated", since=5)


# What a closed run owes.


def test_a_child_that_closes_owes_its_parent_a_report_and_one_that_goes_on_does_not() -> None:
    talk = Conversation(parent=True)
    talk.advance(5)
    talk.work(continue_as_new())
    assert not talk.execution.pending[Kind.FOLLOW_UP]
    last = next_run(talk)
    assert last.execution.core.parent_workflow_id == "parent"
    last.work(complete_workflow())
    assert "report" in last.execution.pending[Kind.FOLLOW_UP]


@pytest.mark.parametrize(("policy", "owed"), [(0, True), (1, True), (2, False), (3, True)])
def test_a_parent_that_closes_owes_its_started_children_their_close_policy(policy: int, owed: bool) -> None:
    talk = Conversation()
    talk.work(start_child("started", parent_close_policy=policy), start_child("not started"))
    talk.tell(inputs.ChildStarted(5, "child-run"))
    talk.terminate()
    children = talk.execution.pending[Kind.CHILD]
    assert (children[5].due_ns is not None) == owed
    assert children[6].due_ns is None

"""Events that arrive while a worker has the workflow task: they wait, are put in order, and get their ids then."""

from __future__ import annotations

from temporalio.api.common.v1 import RetryPolicy
from tests.engine.driver import (
    Conversation,
    application,
    cancel_activity,
    cancel_timer,
    complete_workflow,
    refusal,
    schedule_activity,
    start_timer,
)

from perdure.engine.execution import Kind


def test_events_wait_for_the_end_of_the_task_and_closes_of_activities_go_last() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a"), start_timer("t", 3), force_create_new_workflow_task=True)
    talk.start_activity("a")
    talk.poll()
    talk.complete_activity("a")
    talk.signal("hello")
    talk.advance(3)
    talk.expect(
        """
        8 WorkflowTaskStarted
        - ActivityTaskStarted scheduled_event_id=5
        - ActivityTaskCompleted scheduled_event_id=5 started_event_id=0
        - WorkflowExecutionSignaled
        - TimerFired started_event_id=6
        """,
        since=8,
    )
    talk.complete()
    talk.expect(
        """
        9 WorkflowTaskCompleted scheduled_event_id=7 started_event_id=8
        10 ActivityTaskStarted scheduled_event_id=5 event_time=+0s
        11 WorkflowExecutionSignaled
        12 TimerFired started_event_id=6 event_time=+3s
        13 ActivityTaskCompleted scheduled_event_id=5 started_event_id=10
        14 WorkflowTaskScheduled attempt=1
        """,
        since=9,
    )
    assert talk.batch_ids[-1] == [9, 10, 11, 12, 13, 14]


def test_an_activity_is_closed_at_once_although_its_close_is_buffered() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a"), force_create_new_workflow_task=True)
    talk.start_activity("a")
    talk.poll()
    talk.complete_activity("a")
    assert not talk.execution.pending[Kind.ACTIVITY]
    talk.complete(schedule_activity("a"))
    talk.expect(
        """
        8 WorkflowTaskCompleted
        9 ActivityTaskScheduled activity_id=a
        10 ActivityTaskStarted scheduled_event_id=5
        11 ActivityTaskCompleted scheduled_event_id=5 started_event_id=10
        12 WorkflowTaskScheduled
        """,
        since=8,
    )


def test_the_cancel_of_a_timer_that_has_fired_unseen_takes_the_firing_back() -> None:
    talk = Conversation()
    talk.work(start_timer("t", 3), force_create_new_workflow_task=True)
    talk.poll()
    talk.advance(3)
    assert len(talk.buffered) == 1
    talk.complete(cancel_timer("t"), complete_workflow())
    talk.expect(
        """
        8 WorkflowTaskCompleted
        9 TimerCanceled timer_id=t started_event_id=5 identity=worker
        10 WorkflowExecutionCompleted
        """,
        since=8,
    )


def test_the_cancel_of_an_activity_whose_close_is_buffered_is_recorded_and_nothing_else() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a"), force_create_new_workflow_task=True)
    talk.start_activity("a")
    talk.poll()
    talk.complete_activity("a")
    talk.complete(cancel_activity(5))
    talk.expect(
        """
        8 WorkflowTaskCompleted
        9 ActivityTaskCancelRequested scheduled_event_id=5
        10 ActivityTaskStarted
        11 ActivityTaskCompleted
        12 WorkflowTaskScheduled
        """,
        since=8,
    )


def test_a_close_over_events_that_the_workflow_has_not_seen_fails_the_task() -> None:
    talk = Conversation()
    talk.poll()
    talk.signal("hello")
    assert refusal(lambda: talk.complete(complete_workflow())) == "InvalidArgument: UnhandledCommand"
    talk.expect(
        """
        4 WorkflowTaskFailed cause=WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND failure.message=UnhandledCommand
        5 WorkflowExecutionSignaled
        6 WorkflowTaskScheduled attempt=1
        """,
        since=4,
    )


def test_signals_are_turned_away_while_a_workflow_tries_again_to_close() -> None:
    talk = Conversation()
    talk.poll()
    talk.signal("hello")
    refusal(lambda: talk.complete(complete_workflow()))
    talk.signal("the task is not started yet")
    talk.poll()
    assert refusal(lambda: talk.signal("too late")) == (
        "ResourceExhausted: workflow operation can not be applied because workflow is closing"
    )
    talk.complete()
    talk.signal("it did not close after all")
    talk.poll()
    talk.signal("and is open to signals again")


def test_a_close_needs_no_new_task_when_the_commands_before_it_end_an_unstarted_activity() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a"), force_create_new_workflow_task=True)
    talk.work(cancel_activity(5), complete_workflow())
    talk.expect(
        """
        8 WorkflowTaskCompleted
        9 ActivityTaskCancelRequested
        10 WorkflowExecutionCompleted
        """,
        since=8,
    )


def test_timers_of_one_moment_fire_together_in_the_order_of_their_times() -> None:
    talk = Conversation()
    talk.work(start_timer("b", 3), start_timer("a", 3), start_timer("c", 4))
    talk.advance(3)
    talk.expect(
        """
        8 TimerFired timer_id=b
        9 TimerFired timer_id=a
        10 WorkflowTaskScheduled
        """,
        since=8,
    )
    assert talk.batch_ids[-1] == [8, 9, 10]


def test_more_buffered_events_than_allowed_take_the_task_back() -> None:
    talk = Conversation()
    talk.poll()
    for n in range(100):
        talk.signal(f"{n}")
    assert talk.task.started_ns
    talk.signal("one too many")
    signals = "\n".join(f"{n} WorkflowExecutionSignaled signal_name={n - 5}" for n in range(5, 105))
    failed = "4 WorkflowTaskFailed cause=WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND identity=history-service"
    talk.expect(f"{failed}\n{signals}\n105 WorkflowExecutionSignaled", since=4)
    assert (talk.task.attempt, talk.task.scheduled_event_id, talk.task.started_ns) == (2, 106, 0)


def test_a_failed_attempt_of_an_activity_leaves_no_event() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a", RetryPolicy(maximum_attempts=2)), force_create_new_workflow_task=True)
    talk.start_activity("a")
    talk.poll()
    talk.fail_activity("a", application("first"))
    assert not talk.buffered

"""Pauses of workflows and activities, where the conformance scenarios do not reach."""

from __future__ import annotations

import pytest
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import EventType
from tests.engine.driver import Conversation, S, application, duration, schedule_activity

from perdure.engine import inputs
from perdure.engine.execution import Kind
from perdure.engine.machines.pause import Selection
from perdure.errors import NotFound

ALL = Selection()
RETRY = RetryPolicy(initial_interval=duration(60), backoff_coefficient=1)


def types(talk: Conversation) -> list[str]:
    return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in talk.written]


def test_first_task_of_a_delayed_workflow_waits_for_the_end_of_the_pause() -> None:
    talk = Conversation(backoff_s=5)
    talk.tell(inputs.PauseWorkflow())
    talk.advance(6)
    assert talk.execution.pending_workflow_task is None
    talk.tell(inputs.UnpauseWorkflow())
    assert talk.execution.pending_workflow_task is not None


def test_pause_that_ends_early_does_not_begin_a_delayed_workflow() -> None:
    talk = Conversation(backoff_s=5)
    talk.tell(inputs.PauseWorkflow())
    talk.tell(inputs.UnpauseWorkflow())
    assert talk.execution.pending_workflow_task is None
    talk.advance(6)
    assert talk.execution.pending_workflow_task is not None


def test_cancel_of_a_delayed_workflow_is_told_after_the_pause() -> None:
    talk = Conversation(backoff_s=5)
    talk.tell(inputs.PauseWorkflow())
    talk.cancel()
    talk.tell(inputs.UnpauseWorkflow())
    assert talk.execution.pending_workflow_task is not None


def test_task_in_a_queue_that_the_activity_has_left_is_refused() -> None:
    talk = Conversation()
    talk.poll()
    talk.complete(schedule_activity("a"))
    [activity] = talk.execution.pending[Kind.ACTIVITY].values()
    key, old = activity.scheduled_event_id, activity.queue
    moved = ActivityOptions()
    moved.task_queue.name = "elsewhere"
    talk.tell(inputs.UpdateActivityOptions(ALL, moved, ["taskQueue.name"]))
    new = talk.execution.activity(key).queue
    assert new != old
    with pytest.raises(NotFound):
        talk.tell(inputs.StartActivity(key, "poll", "worker", old))
    talk.tell(inputs.StartActivity(key, "poll", "worker", new))


def test_activity_that_waits_for_its_next_attempt_times_out_in_time() -> None:
    """Its schedule-to-close timeout may be shortened to before the next attempt."""
    talk = Conversation()
    talk.poll()
    talk.complete(schedule_activity("a", RETRY))
    [key] = talk.execution.pending[Kind.ACTIVITY]
    talk.tell(inputs.StartActivity(key, "poll", "worker"))
    talk.tell(inputs.FailActivity(key, 1, "a", "worker", application("oops")))
    options = ActivityOptions(schedule_to_close_timeout=duration(20))
    before = talk.execution.activity(key)
    talk.tell(inputs.UpdateActivityOptions(ALL, options, ["scheduleToCloseTimeout"]))
    after = talk.execution.activity(key)
    assert after.due_ns is not None and after.due_ns <= before.first_scheduled_ns + 20 * S


def test_jitter_spreads_the_next_attempts() -> None:
    talk = Conversation()
    talk.poll()
    talk.complete(schedule_activity("a"))
    talk.tell(inputs.PauseActivities(ALL))
    talk.tell(inputs.UnpauseActivities(ALL, jitter_ns=10 * S))
    [activity] = talk.execution.pending[Kind.ACTIVITY].values()
    assert activity.queue is None and activity.next_attempt_ns == talk.world.now_ns + 5 * S
    talk.advance(5)
    [activity] = talk.execution.pending[Kind.ACTIVITY].values()
    assert activity.queue is not None


def test_task_that_is_taken_back_by_a_pause_is_a_first_attempt_afterwards() -> None:
    talk = Conversation()
    for _ in range(3):
        talk.poll()
        talk.fail()
    talk.tell(inputs.PauseWorkflow())
    talk.tell(inputs.UnpauseWorkflow())
    task = talk.execution.pending_workflow_task
    assert task is not None and task.attempt == 1
    assert types(talk)[-1] == "WORKFLOW_TASK_SCHEDULED"


def test_update_behind_a_started_task_waits_for_the_end_of_the_pause() -> None:
    talk = Conversation()
    talk.poll()
    talk.update("u")
    talk.tell(inputs.PauseWorkflow())
    talk.complete()
    assert talk.execution.pending_workflow_task is None
    talk.tell(inputs.UnpauseWorkflow())
    assert talk.execution.pending_workflow_task is not None


def test_task_of_an_update_that_no_worker_has_is_started_and_failed_by_a_pause() -> None:
    talk = Conversation()
    talk.poll()
    talk.complete()
    talk.update("u")
    talk.tell(inputs.PauseWorkflow())
    assert types(talk)[4:] == [
        "WORKFLOW_TASK_SCHEDULED",
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_FAILED",
        "WORKFLOW_EXECUTION_PAUSED",
    ]
    assert talk.execution.pending_workflow_task is None

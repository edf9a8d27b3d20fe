"""Resets in the engine: the new run is what its history says, goes on, and ends; see `tests.engine.invariants`."""

from __future__ import annotations

import copy
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent
from tests.engine import driver as d
from tests.engine import test_properties as properties
from tests.engine.driver import Conversation, S

from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.decide import begin_by_reset
from perdure.engine.execution import Kind
from perdure.engine.machines.reset import Plan, applies_again
from perdure.engine.rebuild import Identity, beginning, replay
from perdure.errors import InvalidArgument

ON_A_TASK = (EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)


def reset(talk: Conversation, event_id: int, *, excluded: frozenset[int] = frozenset()) -> Conversation:
    """A run with the events of `talk` before `event_id`, which is left as it was."""
    core, run_id = talk.execution.core, talk.world.ids.uuid()
    batches = [(first, data) for first, data in talk.batches if first < event_id]
    events = list(History.FromString(b"".join(data for _, data in talk.batches)).events)
    state = beginning(Identity(core.namespace_id, core.workflow_id, run_id, 0), Dynamic())
    for event in events[: event_id - 1]:
        replay(state, event)
    behind = [event for event in events[event_id - 1 :] if applies_again(event, excluded, own=True)]
    plan = Plan(run_id, core.run_id, "because", "reset", core.start_request_id, batches, copy.deepcopy(behind))
    t, decision = begin_by_reset(talk.world.new_run_key(), talk.world.environment(), state, plan)
    t.commit()
    made = object.__new__(Conversation)
    made.world, made.answers = talk.world, []
    made._take_over(decision)
    return made


def test_the_new_run_begins_now_and_its_history_then() -> None:
    talk = Conversation(workflow_run_timeout=d.duration(60), workflow_execution_timeout=d.duration(100))
    began_ns = talk.world.now_ns
    talk.work(d.schedule_activity("a", schedule_to_start=20))
    talk.signal("hello")
    talk.advance(5)
    talk.work()
    new = reset(talk, 8)
    core = new.execution.core
    assert (core.original_start_ns, core.start_ns, core.execution_ns) == (began_ns, began_ns + 5 * S, began_ns + 5 * S)
    assert (core.run_expiration_ns, core.execution_expiration_ns) == (began_ns + 65 * S, began_ns + 105 * S)
    assert new.activity("a").due_ns == began_ns + 25 * S
    assert core.run_id != talk.execution.core.run_id == core.original_run_id == core.first_run_id


def test_the_task_fails_and_what_came_from_outside_follows() -> None:
    talk = Conversation()
    talk.work(d.start_timer("t", 5))
    talk.signal("one", request_id="r")
    talk.cancel()
    talk.advance(5)
    new = reset(talk, 4)
    new.expect(
        """
        1 WorkflowExecutionStarted
        2 WorkflowTaskScheduled
        3 WorkflowTaskStarted
        4 WorkflowTaskFailed cause=WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW failure.message=because
        5 WorkflowExecutionSignaled signal_name=one
        6 WorkflowTaskScheduled attempt=1
        """
    )
    new.signal("one", request_id="r")
    new.work(d.complete_workflow())
    assert not new.execution.running


def test_an_activity_that_was_started_is_as_new() -> None:
    talk = Conversation()
    talk.work(d.schedule_activity("a", retry=None, heartbeat=10))
    talk.start_activity("a")
    talk.heartbeat("a", "half")
    talk.fail_activity("a")
    talk.signal("wake")
    talk.work()
    new = reset(talk, 8)
    activity = new.activity("a")
    assert (activity.attempt, activity.started_ns, activity.heartbeat_details, activity.last_failure) == (
        1,
        0,
        b"",
        b"",
    )
    assert activity.queue
    new.start_activity("a")
    new.complete_activity("a")
    new.work(d.complete_workflow())


def test_children_of_the_base_are_left_to_the_new_run() -> None:
    talk = Conversation()
    talk.work(d.start_child("c"))
    talk.tell(inputs.ChildStarted(5, "child-run"))
    talk.work()
    talk.tell(inputs.GiveWayToReset("because", terminate=True, new_run_id="new"))
    assert talk.last("WorkflowExecutionTerminated").identity == "history-resetter"
    assert all(child.due_ns is None for child in talk.execution.pending[Kind.CHILD].values())
    assert talk.execution.core.reset_run_id == "new"


def test_children_of_a_run_that_is_only_in_the_way_get_its_close_policy() -> None:
    talk = Conversation()
    talk.work(d.start_child("c"))
    talk.tell(inputs.ChildStarted(5, "child-run"))
    talk.tell(inputs.GiveWayToReset("because", terminate=True))
    assert all(child.due_ns for child in talk.execution.pending[Kind.CHILD].values())


def test_a_child_that_ends_by_a_reset_does_not_report() -> None:
    talk = Conversation(parent=True)
    talk.tell(inputs.GiveWayToReset("because", terminate=True, new_run_id="new"))
    assert not talk.execution.pending[Kind.FOLLOW_UP]
    new = reset(talk, 3)
    new.work(d.complete_workflow())
    assert new.execution.pending[Kind.FOLLOW_UP]


def test_a_child_may_end_before_its_new_parent_has_found_it() -> None:
    talk = Conversation()
    talk.poll()
    talk.signal("wake")
    talk.complete(d.start_child("c"))
    new = reset(talk, 8)
    child = new.execution.pending[Kind.CHILD][5]
    assert child.due_ns and not child.started
    close = properties.CLOSE_EVENTS[0]
    new.tell(inputs.ChildClosed(5, "c", "second-run", close, "first-run"))
    assert new.last("ChildWorkflowExecutionStarted").workflow_execution.run_id == "first-run"
    assert new.last("ChildWorkflowExecutionCompleted").workflow_execution.run_id == "second-run"


def test_no_task_no_reset() -> None:
    talk = Conversation(backoff_s=60)
    talk.signal("early")
    with pytest.raises(InvalidArgument, match=r"in range \[WorkflowTaskScheduled \+1, WorkflowTaskStarted \+ 1\]: 2"):
        reset(talk, 2)


def places(talk: Conversation) -> list[int]:
    """The events that the run can be reset to: behind a batch that ends with a workflow task."""
    ends: list[HistoryEvent] = [History.FromString(data).events[-1] for _, data in talk.batches]
    task, found = False, []
    by_id = {event.event_id: event for event in talk.written}
    last = {event.event_id for event in ends}
    for event_id, event in by_id.items():
        if event.event_type in ON_A_TASK:
            task = True
        elif d.short(event.event_type).startswith("WorkflowTask"):
            task = False
        if task and event_id in last and event_id + 1 in by_id:
            found.append(event_id + 1)
    return found


@properties.SETTINGS
@given(st.sampled_from(sorted(properties.STARTS)), st.integers(0, 2**32), st.integers(10, 60))
def test_random_conversations_can_be_reset_anywhere(start: str, seed: int, length: int) -> None:
    """Wherever a conversation is reset to, the new run is what its history says, and can be gone on with and ended."""
    talk: Any = properties.Talk(start)
    for step in islice(properties.random_steps(seed), length):
        talk.step(step)
    old = talk.talk
    for event_id in places(old):
        note(f"reset to {event_id}")
        new = reset(old, event_id)
        talk.talk, talk.tokens = new, []
        for step in islice(properties.random_steps(seed + event_id), 6):
            note(f"{step}")
            talk.step(step)
        if talk.talk.execution.running:
            if talk.talk.execution.pending_workflow_task is None:
                talk.tell(inputs.EnsureWorkflowTask())
            talk.talk.terminate()

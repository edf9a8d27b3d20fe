"""Children, other workflows, signals, cancel requests, and what is remembered of requests."""

from __future__ import annotations

import pytest
from temporalio.api.common.v1 import Header
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from tests.engine.driver import (
    Conversation,
    cancel_other,
    cancel_timer,
    complete_workflow,
    modify,
    payloads,
    refusal,
    schedule_activity,
    short,
    signal_other,
    start_child,
    start_timer,
    upsert,
)

from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.execution import Kind, weight_bytes
from perdure.engine.machines.workflow import Signal, StartOptions
from perdure.errors import InvalidArgument

PAYLOAD = payloads("x").payloads[0]


def ended(name: str, **fields: object) -> HistoryEvent:
    event = HistoryEvent(event_type=EventType.Value(f"EVENT_TYPE_WORKFLOW_EXECUTION_{name}"))  # type: ignore[arg-type]
    a = getattr(event, f"workflow_execution_{name.lower()}_event_attributes")
    a.SetInParent()
    a.MergeFrom(type(a)(**fields))
    return event


# Children.


def test_a_child_is_initiated_started_and_closed() -> None:
    talk = Conversation()
    talk.work(start_child("kid", header=Header(fields={"h": PAYLOAD}), control="c"))
    assert talk.execution.pending[Kind.CHILD][5].due_ns == talk.world.now_ns
    talk.tell(inputs.ChildStarted(5, "child-run"))
    talk.work()
    talk.tell(inputs.ChildClosed(5, "kid", "later-run", ended("COMPLETED", result=payloads("fine"))))
    talk.expect(
        """
        5 StartChildWorkflowExecutionInitiated workflow_id=kid namespace=default parent_close_policy=PARENT_CLOSE_POLICY_TERMINATE
        6 ChildWorkflowExecutionStarted initiated_event_id=5 workflow_execution.run_id=child-run workflow_type.name=Child
        7 WorkflowTaskScheduled
        8 WorkflowTaskStarted
        9 WorkflowTaskCompleted
        10 ChildWorkflowExecutionCompleted initiated_event_id=5 started_event_id=6 workflow_execution.run_id=later-run result=fine
        11 WorkflowTaskScheduled
        """,  # noqa: E501
        since=5,
    )
    assert "h" in talk.last("ChildWorkflowExecutionStarted").header.fields


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELED", "TIMED_OUT", "TERMINATED"])
def test_the_end_of_a_child_behind_a_task_is_wired_to_its_start(end: str) -> None:
    talk = Conversation()
    talk.work(start_child("kid"), force_create_new_workflow_task=True)
    talk.poll()
    talk.tell(inputs.ChildStarted(5, "child-run"))
    talk.tell(inputs.ChildClosed(5, "kid", "child-run", ended(end)))
    talk.signal("between")
    talk.complete()
    name = "".join(part.capitalize() for part in end.split("_"))
    talk.expect(
        f"""
        8 WorkflowTaskCompleted
        9 ChildWorkflowExecutionStarted
        10 WorkflowExecutionSignaled
        11 ChildWorkflowExecution{name} started_event_id=9
        12 WorkflowTaskScheduled
        """,
        since=8,
    )


def test_a_child_that_can_not_be_started_is_told_of() -> None:
    talk = Conversation()
    talk.work(start_child("kid"))
    talk.tell(inputs.ChildStartFailed(5, 1))
    talk.expect(
        """
        6 StartChildWorkflowExecutionFailed initiated_event_id=5 workflow_task_completed_event_id=0 cause=START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS
        7 WorkflowTaskScheduled
        """,  # noqa: E501
        since=6,
    )


def test_reports_that_do_not_fit_are_refused() -> None:
    talk = Conversation()
    talk.work(start_child("kid"))
    report = inputs.ChildClosed(5, "kid", "child-run", ended("COMPLETED"))
    assert refusal(lambda: talk.tell(report)) == "NotFound: Pending child execution not found."
    talk.tell(inputs.ChildStarted(5, "child-run"))
    assert refusal(lambda: talk.tell(inputs.ChildStarted(5, "again"))) == "NotFound: Pending child execution not found."
    talk.tell(report)
    assert refusal(lambda: talk.tell(report)) == "NotFound: Pending child execution not found."


def test_metadata_of_a_command_is_on_its_event_and_reaches_the_child() -> None:
    talk = Conversation()
    command = start_child("kid")
    command.user_metadata.summary.CopyFrom(PAYLOAD)
    talk.work(command)
    assert talk.written[4].user_metadata.summary == PAYLOAD
    kept = HistoryEvent.FromString(talk.execution.pending[Kind.CHILD][5].initiated)
    assert kept.user_metadata.summary == PAYLOAD


# Other workflows.


def test_a_signal_to_another_workflow_arrives_or_fails() -> None:
    talk = Conversation()
    talk.work(signal_other("near"), signal_other("far"))
    talk.tell(inputs.ExternalSignaled(5))
    talk.tell(inputs.ExternalSignaled(6, 1))
    talk.expect(
        """
        5 SignalExternalWorkflowExecutionInitiated namespace= namespace_id=namespace-id signal_name=hello
        6 SignalExternalWorkflowExecutionInitiated
        7 ExternalWorkflowExecutionSignaled initiated_event_id=5 namespace=default workflow_execution.workflow_id=near
        8 WorkflowTaskScheduled
        9 SignalExternalWorkflowExecutionFailed initiated_event_id=6 workflow_task_completed_event_id=0
        """,
        since=5,
    )


def test_a_cancel_of_another_workflow_arrives_or_fails() -> None:
    talk = Conversation()
    talk.work(cancel_other("near"), cancel_other("far"))
    talk.tell(inputs.ExternalCanceled(5))
    talk.tell(inputs.ExternalCanceled(6, 1))
    talk.expect(
        """
        5 RequestCancelExternalWorkflowExecutionInitiated workflow_execution.workflow_id=near
        6 RequestCancelExternalWorkflowExecutionInitiated
        7 ExternalWorkflowExecutionCancelRequested initiated_event_id=5 namespace=default
        8 WorkflowTaskScheduled
        9 RequestCancelExternalWorkflowExecutionFailed initiated_event_id=6 workflow_task_completed_event_id=0
        """,
        since=5,
    )


def test_what_a_workflow_asks_of_another_has_one_request_id_whenever_it_is_tried() -> None:
    talk = Conversation()
    talk.work(signal_other("near"), signal_other("far"))
    first, second = talk.execution.pending[Kind.EXTERNAL_SIGNAL].values()
    assert first.request_id != second.request_id


# Signals and cancel requests.


def test_a_repeated_request_signals_once_also_after_the_close() -> None:
    talk = Conversation()
    talk.signal("hello", "r1")
    talk.signal("hello", "r1")
    talk.signal("hello", "r2")
    assert talk.execution.core.signal_count == 2
    talk.work(complete_workflow())
    talk.signal("hello", "r1")
    assert refusal(lambda: talk.signal("hello", "r3")) == "NotFound: workflow execution already completed"


def test_a_buffered_request_is_known_before_it_has_an_event() -> None:
    talk = Conversation()
    talk.poll()
    talk.signal("hello", "r1")
    talk.signal("hello", "r1")
    assert talk.execution.pending[Kind.REQUEST]["r1"].event_id == 0
    talk.complete()
    assert talk.execution.pending[Kind.REQUEST]["r1"].event_id == 5


def test_a_workflow_takes_only_so_many_signals() -> None:
    talk = Conversation(config=Dynamic(maximum_signals_per_execution=2))
    talk.signal("one")
    talk.signal("two")
    assert refusal(lambda: talk.signal("three")) == (
        "InvalidArgument: exceeded workflow execution limit for signal events"
    )


def test_a_signal_with_start_comes_before_the_first_task() -> None:
    talk = Conversation(options=StartOptions(run_id="run", signal=Signal(name="hello", request_id="start")))
    talk.expect(
        """
        1 WorkflowExecutionStarted
        2 WorkflowExecutionSignaled signal_name=hello
        3 WorkflowTaskScheduled
        """
    )


def test_a_signal_with_start_begins_the_first_task_of_a_run_that_waits() -> None:
    talk = Conversation(backoff_s=10)
    talk.tell(inputs.SignalWorkflow(Signal(name="hello"), with_start=True))
    talk.expect("3 WorkflowTaskScheduled", since=3)


def test_a_cancel_is_asked_for_once() -> None:
    talk = Conversation()
    talk.cancel()
    talk.cancel()
    talk.expect(
        """
        3 WorkflowExecutionCancelRequested cause=enough identity=client
        """,
        since=3,
    )


def test_a_start_that_uses_a_running_workflow_leaves_what_it_is_told_to() -> None:
    talk = Conversation()
    request = StartWorkflowExecutionRequest(request_id="attached")
    request.on_conflict_options.attach_request_id = True
    talk.tell(inputs.AttachRequest(request))
    talk.expect("3 WorkflowExecutionOptionsUpdated attached_request_id=attached", since=3)
    assert talk.written[-1].worker_may_ignore
    assert talk.execution.pending[Kind.REQUEST]["attached"].event_id == 3


def test_an_eager_start_has_its_first_task_started_in_the_same_step() -> None:
    talk = Conversation(options=StartOptions(run_id="run", eager=True))
    talk.expect(
        """
        1 WorkflowExecutionStarted eager_execution_accepted=True
        2 WorkflowTaskScheduled
        3 WorkflowTaskStarted request_id=start identity=client history_size_bytes=0
        """
    )
    assert talk.batch_ids == [[1, 2, 3]]


# Timers, attributes.


def test_a_timer_fires_when_it_is_due_and_can_be_cancelled_before() -> None:
    talk = Conversation()
    talk.work(start_timer("a", 5), start_timer("b", 5))
    talk.signal("go")
    talk.work(cancel_timer("b"))
    talk.advance(5)
    talk.expect(
        """
        11 TimerCanceled timer_id=b started_event_id=6
        12 TimerFired timer_id=a started_event_id=5 event_time=+5s
        13 WorkflowTaskScheduled
        """,
        since=11,
    )


def test_a_second_timer_of_the_same_id_and_the_cancel_of_none_fail_the_task() -> None:
    talk = Conversation()
    talk.poll()
    twice = refusal(lambda: talk.complete(start_timer("t", 5), start_timer("t", 5)))
    assert twice == (
        "InvalidArgument: StartTimerDuplicateId: invalid history builder state for action: "
        "add-timer-started-event, TimerID: t"
    )
    talk.poll()
    talk.advance(10)
    talk.signal("a first attempt again")
    talk.poll()
    assert refusal(lambda: talk.complete(cancel_timer("none"))) == (
        "InvalidArgument: BadCancelTimerAttributes: invalid history builder state for action: "
        "add-timer-canceled-event, TimerID: none"
    )


def test_attributes_and_memo_are_merged_and_null_removes() -> None:
    null = payloads("x").payloads[0]
    null.data = b"null"
    talk = Conversation()
    talk.work(upsert({"a": PAYLOAD, "b": PAYLOAD}), modify({"m": PAYLOAD, "n": PAYLOAD}))
    assert talk.decision.visibility
    talk.signal("go")
    talk.work(upsert({"a": null}), modify({"m": null}))
    core = talk.execution.core
    assert b"\n\x01b" in core.search_attributes and b"\n\x01a" not in core.search_attributes
    assert b"\n\x01n" in core.memo and b"\n\x01m" not in core.memo


# Limits of the whole.


def _types(talk: Conversation) -> list[str]:
    return [short(event.event_type) for event in talk.written]


def test_what_makes_a_history_too_long_is_dropped_and_ends_the_workflow() -> None:
    talk = Conversation(config=Dynamic(history_count_limit_error=5))
    talk.poll()
    with pytest.raises(InvalidArgument, match="Workflow history count exceeds limit"):
        talk.complete(start_timer("a", 1), start_timer("b", 1))
    talk.expect(
        """
        4 WorkflowTaskFailed cause=WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND identity=history-service
        5 WorkflowExecutionTerminated "reason=Workflow history count exceeds limit." identity=history-service
        """,
        since=4,
    )


def test_a_signal_that_a_history_has_no_room_for_is_refused() -> None:
    talk = Conversation(config=Dynamic(history_count_limit_error=4))
    talk.work()
    with pytest.raises(InvalidArgument, match="Workflow history count exceeds limit"):
        talk.signal("beyond")
    assert _types(talk)[4:] == ["WorkflowExecutionTerminated"]


def test_a_history_that_is_too_large_ends_the_workflow_at_the_next_change() -> None:
    talk = Conversation(config=Dynamic(history_size_limit_error_bytes=1000))
    talk.tell(inputs.SignalWorkflow(Signal(name="large", input=payloads("x" * 2000))))
    with pytest.raises(InvalidArgument, match="Workflow history size exceeds limit"):
        talk.poll()
    assert talk.last("WorkflowExecutionTerminated").reason == "Workflow history size exceeds limit."
    assert _types(talk)[1:] == ["WorkflowTaskScheduled", "WorkflowExecutionSignaled", "WorkflowExecutionTerminated"]


def test_a_state_that_is_too_large_ends_the_workflow() -> None:
    talk = Conversation(config=Dynamic(mutable_state_size_limit_error_bytes=5000))
    command = schedule_activity("a")
    command.schedule_activity_task_command_attributes.input.CopyFrom(payloads("x" * 9000))
    talk.work(command)
    assert talk.execution.running, "an input is in the history, and no state of its own"
    talk.start_activity("a")
    talk.heartbeat("a", "x" * 3000)
    with pytest.raises(InvalidArgument, match="Workflow mutable state size exceeds limit"):
        talk.heartbeat("a", "x" * 6000)
    assert talk.last("WorkflowExecutionTerminated").reason == "Workflow mutable state size exceeds limit."


def test_a_run_weighs_what_its_pending_items_do() -> None:
    talk = Conversation()
    talk.work(schedule_activity("a"), start_timer("t", 5), start_timer("u", 50))
    talk.signal("go", request_id="once")
    talk.advance(6)
    assert talk.execution.pending_bytes == sum(weight_bytes(item) for _, _, item in talk.execution.items()) > 0
    talk.terminate()
    assert talk.execution.pending_bytes == sum(weight_bytes(item) for _, _, item in talk.execution.items())


def test_a_child_that_runs_is_known_even_to_a_parent_that_ends_with_it() -> None:
    talk = Conversation(config=Dynamic(history_count_limit_error=6))
    talk.work(start_child("c"))
    with pytest.raises(InvalidArgument):
        talk.tell(inputs.ChildStarted(5, "run"))
    assert _types(talk)[-3:-1] == ["ChildWorkflowExecutionStarted", "WorkflowTaskScheduled"]
    assert [child.due_ns for child in talk.execution.pending[Kind.CHILD].values()] != [None]

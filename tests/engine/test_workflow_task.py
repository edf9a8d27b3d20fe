"""The workflow task: attempts, those that are not written, sticky queues, timeouts, heartbeats, bad answers."""

from __future__ import annotations

from temporalio.api.common.v1 import Priority
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest
from tests.engine.driver import (
    WORKER,
    Conversation,
    command,
    complete_workflow,
    payloads,
    refusal,
    schedule_activity,
    short,
    start_timer,
    token,
)

from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.attributes import shown
from perdure.engine.machines.workflow_task import materialise
from perdure.engine.queues import level, task_order

BAD = command("RECORD_MARKER", marker_name="")
BAD_MARKER = "BadRecordMarkerAttributes: MarkerName is not set on RecordMarkerCommand."


def suffix(talk: Conversation, identity: str = "") -> list[HistoryEvent]:
    return materialise(talk.execution.core, talk.execution.pending_workflow_task, identity)


def test_the_first_failure_is_written_and_the_second_attempt_is_not() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail()
    talk.expect(
        """
        1 WorkflowExecutionStarted
        2 WorkflowTaskScheduled attempt=1
        3 WorkflowTaskStarted scheduled_event_id=2
        4 WorkflowTaskFailed scheduled_event_id=2 started_event_id=3 failure.message=bug identity=worker
        """
    )
    assert (talk.task.attempt, talk.task.scheduled_event_id) == (2, 5)
    assert [(e.event_id, short(e.event_type)) for e in suffix(talk)] == [(5, "WorkflowTaskScheduled")]


def test_an_unwritten_task_is_shown_to_its_worker_as_if_it_were_written() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail()
    talk.advance(1)
    talk.poll()
    assert len(talk.written) == 4
    scheduled, started = suffix(talk, WORKER)
    assert (scheduled.event_id, scheduled.workflow_task_scheduled_event_attributes.attempt) == (5, 2)
    a = started.workflow_task_started_event_attributes
    assert (started.event_id, a.scheduled_event_id, a.identity) == (6, 5, WORKER)
    assert suffix(talk)[1].workflow_task_started_event_attributes.identity == ""
    talk.fail()
    assert len(talk.written) == 4 and talk.task.attempt == 3


def test_an_unwritten_task_is_written_when_it_completes_at_the_times_when_it_happened() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail()
    talk.advance(1)
    talk.poll()
    talk.advance(1)
    talk.complete(start_timer("t", 5))
    talk.expect(
        """
        5 WorkflowTaskScheduled attempt=2 event_time=+0s
        6 WorkflowTaskStarted scheduled_event_id=5 event_time=+1s
        7 WorkflowTaskCompleted scheduled_event_id=5 started_event_id=6 event_time=+2s
        8 TimerStarted workflow_task_completed_event_id=7
        """,
        since=5,
    )
    assert talk.batch_ids[-2:] == [[5, 6], [7, 8]]
    assert talk.execution.core.workflow_task_attempt == 1


def test_events_that_come_before_an_unwritten_task_starts_make_it_a_written_first_attempt() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail()
    talk.advance(1)
    talk.signal("hello")
    task = talk.poll()
    talk.expect(
        """
        5 WorkflowExecutionSignaled
        6 WorkflowTaskScheduled attempt=1 event_time=+1s
        7 WorkflowTaskStarted scheduled_event_id=6
        """,
        since=5,
    )
    assert (task.attempt, task.scheduled_event_id, task.started_event_id) == (1, 6, 7)


def test_events_that_come_while_an_unwritten_task_is_started_make_the_next_one_a_first_attempt() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail()
    talk.poll()
    talk.signal("hello")
    talk.fail()
    talk.expect(
        """
        5 WorkflowExecutionSignaled
        6 WorkflowTaskScheduled attempt=1
        """,
        since=5,
    )


def test_timeouts_grow_from_the_fourth_attempt_on_up_to_a_limit() -> None:
    talk = Conversation(config=Dynamic(workflow_task_retry_max_interval_s=60.0))
    timeouts = []
    for _ in range(10):
        timeouts.append(talk.task.timeout_ns / 1e9)
        talk.poll()
        talk.fail()
    assert timeouts == [10, 10, 10, 14.5, 19, 28, 46, 64, 64, 64]


def test_a_started_task_times_out_and_is_scheduled_again() -> None:
    talk = Conversation()
    talk.poll()
    talk.advance(9)
    assert len(talk.written) == 3
    talk.advance(1)
    talk.expect(
        "4 WorkflowTaskTimedOut timeout_type=TIMEOUT_TYPE_START_TO_CLOSE scheduled_event_id=2 started_event_id=3",
        since=4,
    )
    assert talk.task.attempt == 2
    talk.poll()
    talk.advance(10)
    assert len(talk.written) == 4 and talk.task.attempt == 3


def test_a_sticky_task_waits_only_so_long_for_its_worker() -> None:
    talk = Conversation()
    talk.work(start_timer("t", 1), sticky="sticky")
    talk.advance(1)
    talk.expect(
        """
        7 WorkflowTaskScheduled task_queue.name=sticky task_queue.kind=TASK_QUEUE_KIND_STICKY task_queue.normal_name=q
        """,
        since=7,
    )
    talk.advance(5)
    talk.expect(
        """
        8 WorkflowTaskTimedOut timeout_type=TIMEOUT_TYPE_SCHEDULE_TO_START started_event_id=0
        9 WorkflowTaskScheduled task_queue.name=q task_queue.kind=TASK_QUEUE_KIND_NORMAL attempt=1
        """,
        since=8,
    )


def test_a_failed_sticky_task_is_tried_on_the_normal_queue_before_attempts_count() -> None:
    talk = Conversation()
    talk.work(sticky="sticky", force_create_new_workflow_task=True)
    talk.poll(sticky=True)
    talk.fail()
    talk.expect(
        """
        7 WorkflowTaskFailed
        8 WorkflowTaskScheduled task_queue.name=q attempt=1
        """,
        since=7,
    )
    talk.poll()
    talk.fail()
    assert talk.task.attempt == 2


def test_stickiness_ends_when_another_worker_takes_the_task_and_stale_sticky_polls_are_refused() -> None:
    talk = Conversation()
    talk.work(sticky="sticky", force_create_new_workflow_task=True)
    event_id = talk.task.scheduled_event_id
    talk.poll(sticky=False)
    assert talk.execution.core.sticky_queue == ""
    talk.fail()
    poll = inputs.StartWorkflowTask(event_id, "poll", WORKER, sticky=True)
    assert refusal(lambda: talk.tell(poll)) == "NotFound: Workflow task not found."


def test_a_bad_command_fails_the_task_and_undoes_the_commands_before_it() -> None:
    talk = Conversation()
    talk.poll()
    assert refusal(lambda: talk.complete(start_timer("t", 5), BAD)) == f"InvalidArgument: {BAD_MARKER}"
    talk.expect(
        f"""
        4 WorkflowTaskFailed "failure.message={BAD_MARKER}"
        """,
        since=4,
    )
    cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES
    assert talk.last("WorkflowTaskFailed").cause == cause
    assert talk.task.attempt == 2


def test_a_bad_command_of_a_later_attempt_changes_nothing() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail()
    task = talk.poll()
    assert refusal(lambda: talk.complete(BAD)) == f"InvalidArgument: {BAD_MARKER}"
    assert talk.task == task and len(talk.written) == 4
    talk.advance(10)
    assert talk.task.attempt == 3


def test_a_later_attempt_that_closes_over_unseen_events_is_tried_again_at_once() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail()
    talk.poll()
    talk.signal("hello")
    assert refusal(lambda: talk.complete(complete_workflow())) == "InvalidArgument: UnhandledCommand"
    talk.expect(
        """
        5 WorkflowExecutionSignaled
        6 WorkflowTaskScheduled attempt=1
        """,
        since=5,
    )


def test_an_input_that_is_too_large_ends_the_workflow() -> None:
    talk = Conversation(config=Dynamic(blob_size_limit_error_bytes=1000, blob_size_limit_warn_bytes=100))
    talk.poll()
    message = "BadScheduleActivityAttributes: ScheduleActivityTaskCommandAttributes.Input exceeds size limit."
    large = schedule_activity("a", input=payloads("x" * 2000))
    assert refusal(lambda: talk.complete(large)) == f"InvalidArgument: {message}"
    talk.expect(
        f"""
        4 WorkflowTaskFailed cause=WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
        5 WorkflowExecutionTerminated "reason={message}" identity=history-service
        """,
        since=4,
    )


def test_an_answer_to_a_task_that_was_handed_out_again_is_refused() -> None:
    talk = Conversation()
    first = talk.poll()
    talk.advance(10)
    talk.poll()
    assert refusal(lambda: talk.complete(task=first)) == "NotFound: Workflow task not found."
    request = RespondWorkflowTaskCompletedRequest(identity=WORKER)
    earlier = inputs.CompleteWorkflowTask(*token(talk.task), request=request)
    earlier.started_ns -= 1
    assert refusal(lambda: talk.tell(earlier)) == "NotFound: Workflow task not found."
    talk.complete()
    assert refusal(lambda: talk.complete(task=first)) == "NotFound: Workflow task not found."


def test_a_forced_task_may_come_back_with_the_reply() -> None:
    talk = Conversation()
    talk.poll()
    completed = talk.complete(sticky="sticky", force_create_new_workflow_task=True, return_new_workflow_task=True)
    assert completed.new_task.started_event_id == 6
    talk.expect(
        """
        4 WorkflowTaskCompleted
        5 WorkflowTaskScheduled task_queue.name=sticky
        6 WorkflowTaskStarted request_id=request-from-RespondWorkflowTaskCompleted identity=worker
        """,
        since=4,
    )
    assert talk.batch_ids[-1] == [4, 5, 6]


def test_heartbeats_end_in_a_timeout_when_they_go_on_for_too_long() -> None:
    talk = Conversation(config=Dynamic(workflow_task_heartbeat_timeout_s=20.0))
    talk.poll()
    for _ in range(4):
        talk.advance(5)
        talk.complete(force_create_new_workflow_task=True, return_new_workflow_task=True)
    talk.advance(5)
    assert refusal(lambda: talk.complete(force_create_new_workflow_task=True)) == (
        "NotFound: workflow task heartbeat timeout"
    )
    talk.expect("16 WorkflowTaskTimedOut timeout_type=TIMEOUT_TYPE_START_TO_CLOSE", since=16)


def test_commands_with_a_heartbeat_are_progress() -> None:
    talk = Conversation(config=Dynamic(workflow_task_heartbeat_timeout_s=20.0))
    talk.poll()
    for n in range(8):
        talk.advance(5)
        talk.complete(
            *([start_timer(f"{n}", 1000)] if n == 3 else []),
            force_create_new_workflow_task=True,
            return_new_workflow_task=True,
        )
    assert not [e for e in talk.written if short(e.event_type) == "WorkflowTaskTimedOut"]


def test_a_task_that_fails_time_and_again_can_be_searched_for_until_it_succeeds() -> None:
    talk = Conversation(config=Dynamic(num_consecutive_workflow_task_problems_to_trigger_search_attribute=3))
    for _ in range(3):
        assert "TemporalReportedProblems" not in shown(talk.execution.core).indexed_fields
        talk.poll()
        talk.fail()
    problems = shown(talk.execution.core).indexed_fields["TemporalReportedProblems"].data
    cause = "cause=WorkflowTaskFailedCauseWorkflowWorkerUnhandledFailure"
    assert problems.decode() == f'["category=WorkflowTaskFailed","{cause}"]'
    assert talk.decision.visibility
    talk.work()
    assert "TemporalReportedProblems" not in shown(talk.execution.core).indexed_fields
    assert talk.decision.visibility


def test_a_reset_counts_no_attempt() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail(WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW)
    assert talk.task.attempt == 1


def test_an_answer_that_is_too_large_for_the_worker_to_send_ends_the_workflow() -> None:
    talk = Conversation()
    talk.poll()
    talk.fail(WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE)
    talk.expect(
        """
        4 WorkflowTaskFailed cause=WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND identity=history-service
        5 WorkflowExecutionTerminated reason=GrpcMessageTooLarge
        """,
        since=4,
    )


def test_workers_are_told_when_a_history_has_grown_long() -> None:
    talk = Conversation(config=Dynamic(history_count_suggest_continue_as_new=6))
    talk.poll()
    assert not talk.task.suggest_continue_as_new
    talk.complete(force_create_new_workflow_task=True)
    talk.poll()
    talk.expect(
        """
        6 WorkflowTaskStarted suggest_continue_as_new=True
        """,
        since=6,
    )


def test_a_task_that_waits_takes_the_new_priority_of_its_workflow() -> None:
    talk = Conversation()
    assert level(talk.task.order) == 3
    talk.advance(5)
    options = WorkflowExecutionOptions(priority=Priority(priority_key=1))
    talk.tell(inputs.UpdateWorkflowOptions(options, ["priority"]))
    assert talk.task.order == task_order(talk.world.now_ns, options.priority.SerializeToString())
    talk.poll()
    order = talk.task.order
    options.priority.priority_key = 5
    talk.tell(inputs.UpdateWorkflowOptions(options, ["priority"]))
    assert talk.task.order == order

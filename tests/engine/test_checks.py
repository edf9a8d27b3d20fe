"""What commands fail their workflow task for, word by word, and what is filled in where they leave something out.

`REFUSED` was confirmed on the reference server (v1.32.0), every line of it: texts, causes and whether the workflow is
terminated. To do so again: `REFERENCE=host:port pytest tests/engine/test_checks.py`. The limits of pending items and
the names of search attributes need state, and are checked here alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from temporalio.api.command import v1 as c
from temporalio.api.common.v1 import (
    ActivityType,
    Memo,
    Payload,
    Payloads,
    Priority,
    RetryPolicy,
    SearchAttributes,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType, EventType, ParentClosePolicy, TaskQueueKind, WorkflowIdReusePolicy
from temporalio.api.enums.v1 import WorkflowTaskFailedCause as Cause
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice import v1 as api

from perdure.config import Dynamic
from perdure.engine.checks import BadCommand, CommandContext, bad_action, cause_name, check_command, check_sequence
from perdure.errors import InvalidArgument, NamespaceNotFound

S = 1_000_000_000
LONG = "x" * 1001
LENGTH = "Length=1001 Limit=1000"
BIG = Payload(data=b"x" * (2 * 1024 * 1024))
BIGS = Payloads(payloads=[BIG])


class Rules:
    """Search attributes of which any are known, or none."""

    def __init__(self, known: bool = True) -> None:
        self.known = known

    def check_names(self, fields: Mapping[str, Payload], namespace: str) -> None:
        if fields and not self.known:
            raise InvalidArgument(
                f"Namespace {namespace} has no mapping defined for search attribute {next(iter(fields))}"
            )

    def check_values(self, fields: Mapping[str, Payload], namespace: str) -> None: ...


def find_namespace_id(name: str) -> str:
    if name == "nowhere":
        raise NamespaceNotFound(name)
    return f"id of {name}"


def context(**changes: Any) -> CommandContext:
    fields: dict[str, Any] = {
        "config": Dynamic(),
        "namespace": "default",
        "namespace_id": "id of default",
        "find_namespace_id": find_namespace_id,
        "rules": Rules(),
        "workflow_type": "T",
        "task_queue": "q",
        "task_timeout_ns": 10 * S,
    }
    return CommandContext(**{**fields, **changes})


def seconds(number: int) -> Duration:
    return Duration(seconds=number)


def command(attributes: Message) -> c.Command:
    """The command that these attributes are for."""
    name = type(attributes).DESCRIPTOR.name
    for field in c.Command.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.name == name:
            kind = "COMMAND_TYPE_" + field.name.removesuffix("_command_attributes").upper()
            result = c.Command(command_type=CommandType.Value(kind))
            getattr(result, field.name).CopyFrom(attributes)
            getattr(result, field.name).SetInParent()
            return result
    raise AssertionError(name)


def empty(kind: str) -> c.Command:
    return c.Command(command_type=CommandType.Value(f"COMMAND_TYPE_{kind}"))


def activity(**changes: Any) -> c.Command:
    fields: dict[str, Any] = {
        "activity_id": "a",
        "activity_type": ActivityType(name="A"),
        "task_queue": TaskQueue(name="q"),
        "start_to_close_timeout": seconds(10),
    }
    return command(c.ScheduleActivityTaskCommandAttributes(**{**fields, **changes}))


def child(**changes: Any) -> c.Command:
    fields: dict[str, Any] = {"workflow_id": "w", "workflow_type": WorkflowType(name="C")}
    return command(c.StartChildWorkflowExecutionCommandAttributes(**{**fields, **changes}))


def again(**changes: Any) -> c.Command:
    return command(c.ContinueAsNewWorkflowExecutionCommandAttributes(**changes))


def signal(workflow_id: str = "w", run_id: str = "", name: str = "s", **changes: Any) -> c.Command:
    target = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
    attributes = c.SignalExternalWorkflowExecutionCommandAttributes(execution=target, signal_name=name, **changes)
    return command(attributes)


def cancel(workflow_id: str = "w", **changes: Any) -> c.Command:
    attributes = c.RequestCancelExternalWorkflowExecutionCommandAttributes(workflow_id=workflow_id, **changes)
    return command(attributes)


def upsert(fields: dict[str, Payload] | None) -> c.Command:
    values = None if fields is None else SearchAttributes(indexed_fields=fields)
    return command(c.UpsertWorkflowSearchAttributesCommandAttributes(search_attributes=values))


def modify(fields: dict[str, Payload] | None) -> c.Command:
    memo = None if fields is None else Memo(fields=fields)
    return command(c.ModifyWorkflowPropertiesCommandAttributes(upserted_memo=memo))


ACTIVITY = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
CANCEL_ACTIVITY = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES
TIMER = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES
CANCEL_TIMER = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_TIMER_ATTRIBUTES
MARKER = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES
COMPLETE = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES
FAIL = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES
CANCELED = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES
AGAIN = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES
CHILD = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES
SIGNAL = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES
CANCEL = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES
ATTRIBUTES = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
PROPERTIES = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES
MESSAGE = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE

OF_SIGNAL = "on SignalExternalWorkflowExecutionCommand"
OF_CANCEL = "on RequestCancelExternalWorkflowExecutionCommand"
OF_CHILD = "on StartChildWorkflowExecutionCommand"
OF_AGAIN = "on ContinueAsNewWorkflowExecutionCommand"
THE_CHILD = "WorkflowId=w WorkflowType=C Namespace=default"
THE_NEXT = 'WorkflowType=T TaskQueue=name:"q" kind:TASK_QUEUE_KIND_NORMAL'


def absent(name: str) -> str:
    return f"{name}CommandAttributes is not set on {name}Command."


REFUSED: list[tuple[c.Command, Cause.ValueType, str]] = [
    (empty("SCHEDULE_ACTIVITY_TASK"), ACTIVITY, absent("ScheduleActivityTask")),
    (empty("REQUEST_CANCEL_ACTIVITY_TASK"), CANCEL_ACTIVITY, absent("RequestCancelActivityTask")),
    (empty("START_TIMER"), TIMER, absent("StartTimer")),
    (empty("CANCEL_TIMER"), CANCEL_TIMER, absent("CancelTimer")),
    (empty("RECORD_MARKER"), MARKER, absent("RecordMarker")),
    (empty("COMPLETE_WORKFLOW_EXECUTION"), COMPLETE, absent("CompleteWorkflowExecution")),
    (empty("FAIL_WORKFLOW_EXECUTION"), FAIL, absent("FailWorkflowExecution")),
    (empty("CANCEL_WORKFLOW_EXECUTION"), CANCELED, absent("CancelWorkflowExecution")),
    (empty("CONTINUE_AS_NEW_WORKFLOW_EXECUTION"), AGAIN, absent("ContinueAsNewWorkflowExecution")),
    (empty("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION"), SIGNAL, absent("SignalExternalWorkflowExecution")),
    (empty("REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION"), CANCEL, absent("RequestCancelExternalWorkflowExecution")),
    (empty("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"), ATTRIBUTES, absent("UpsertWorkflowSearchAttributes")),
    (empty("MODIFY_WORKFLOW_PROPERTIES"), PROPERTIES, absent("ModifyWorkflowProperties")),
    (empty("PROTOCOL_MESSAGE"), MESSAGE, "ProtocolMessageCommandAttributes is not set on ProtocolMessageCommand."),
    # Activities.
    (activity(task_queue=None), ACTIVITY, "taskQueue is not set"),
    (activity(task_queue=TaskQueue()), ACTIVITY, "missing task queue name"),
    (
        activity(task_queue=TaskQueue(name="temporal-sys-per-ns-tq")),
        ACTIVITY,
        "cannot use internal per-namespace task queue:temporal-sys-per-ns-tq (in parent component task queue: q)",
    ),
    (activity(activity_id=""), ACTIVITY, "activityId is not set"),
    (activity(activity_id=LONG), ACTIVITY, f"activityId exceeds length limit. {LENGTH}"),
    (activity(activity_type=None), ACTIVITY, "activityType is not set"),
    (activity(activity_type=ActivityType(name=LONG)), ACTIVITY, f"activityType exceeds length limit. {LENGTH}"),
    (
        activity(retry_policy=RetryPolicy(maximum_attempts=-1)),
        ACTIVITY,
        "MaximumAttempts cannot be negative on retry policy.",
    ),
    (activity(priority=Priority(priority_key=-1)), ACTIVITY, "invalid priorities: priority key can't be negative"),
    (
        activity(schedule_to_close_timeout=seconds(-1)),
        ACTIVITY,
        "invalid ScheduleToCloseTimeout: negative duration",
    ),
    (activity(heartbeat_timeout=seconds(-1)), ACTIVITY, "invalid HeartbeatTimeout: negative duration"),
    (
        activity(start_to_close_timeout=None),
        ACTIVITY,
        "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. "
        "ActivityId=a ActivityType=A",
    ),
    (activity(input=BIGS), ACTIVITY, "ScheduleActivityTaskCommandAttributes.Input exceeds size limit."),
    (
        command(c.RequestCancelActivityTaskCommandAttributes()),
        CANCEL_ACTIVITY,
        "ScheduledEventId is not set on RequestCancelActivityTaskCommand.",
    ),
    # Timers.
    (command(c.StartTimerCommandAttributes()), TIMER, "TimerId is not set on StartTimerCommand."),
    (
        command(c.StartTimerCommandAttributes(timer_id=LONG)),
        TIMER,
        f"TimerId on StartTimerCommand exceeds length limit. TimerId={LONG} {LENGTH}",
    ),
    (
        command(c.StartTimerCommandAttributes(timer_id="t", start_to_fire_timeout=seconds(-1))),
        TIMER,
        "An invalid StartToFireTimeout is set on StartTimerCommand: negative duration. TimerId=t",
    ),
    (command(c.CancelTimerCommandAttributes()), CANCEL_TIMER, "TimerId is not set on CancelTimerCommand."),
    # Markers, memo, search attributes, messages.
    (command(c.RecordMarkerCommandAttributes()), MARKER, "MarkerName is not set on RecordMarkerCommand."),
    (
        command(c.RecordMarkerCommandAttributes(marker_name=LONG)),
        MARKER,
        f"MarkerName on RecordMarkerCommand exceeds length limit. MarkerName={LONG} {LENGTH}",
    ),
    (
        command(c.RecordMarkerCommandAttributes(marker_name="m", details={"d": BIGS})),
        MARKER,
        "RecordMarkerCommandAttributes.Details exceeds size limit.",
    ),
    (upsert(None), ATTRIBUTES, "SearchAttributes is not set on UpsertWorkflowSearchAttributesCommand."),
    (upsert({}), ATTRIBUTES, "IndexedFields is not set on UpsertWorkflowSearchAttributesCommand."),
    (modify(None), PROPERTIES, "UpsertedMemo is not set on ModifyWorkflowPropertiesCommand."),
    (modify({}), PROPERTIES, "UpsertedMemo.Fields is not set on ModifyWorkflowPropertiesCommand."),
    (modify({"k": BIG}), PROPERTIES, "ModifyWorkflowPropertiesCommandAttributes exceeds size limit."),
    (command(c.ProtocolMessageCommandAttributes()), MESSAGE, "MessageID is not set on ProtocolMessageCommand."),
    # Closing.
    (command(c.FailWorkflowExecutionCommandAttributes()), FAIL, "Failure is not set on FailWorkflowExecutionCommand."),
    (
        command(c.FailWorkflowExecutionCommandAttributes(failure=Failure(message="x" * 2**21))),
        FAIL,
        "FailWorkflowExecutionCommandAttributes.Failure exceeds size limit.",
    ),
    (
        command(c.CompleteWorkflowExecutionCommandAttributes(result=BIGS)),
        ACTIVITY,
        "CompleteWorkflowExecutionCommandAttributes.Result exceeds size limit.",
    ),
    # Continue as new.
    (
        again(workflow_type=WorkflowType(name=LONG)),
        AGAIN,
        f"WorkflowType {OF_AGAIN} exceeds length limit. WorkflowType={LONG} {LENGTH}",
    ),
    (
        again(task_queue=TaskQueue(name="/_sys/q")),
        AGAIN,
        "error validating ContinueAsNewWorkflowExecutionCommand TaskQueue: task queue name cannot start with reserved "
        'prefix /_sys/. WorkflowType=T TaskQueue=name:"/_sys/q" kind:TASK_QUEUE_KIND_NORMAL',
    ),
    (
        again(workflow_run_timeout=seconds(-1)),
        AGAIN,
        f"Invalid WorkflowRunTimeout {OF_AGAIN}: negative duration. {THE_NEXT}",
    ),
    (
        again(backoff_start_interval=seconds(-1)),
        AGAIN,
        f"Invalid BackoffStartInterval {OF_AGAIN}: negative duration. {THE_NEXT}",
    ),
    (
        again(retry_policy=RetryPolicy(maximum_attempts=-1)),
        AGAIN,
        f"invalid WorkflowRetryPolicy {OF_AGAIN}: MaximumAttempts cannot be negative on retry policy.. {THE_NEXT}",
    ),
    (again(input=BIGS), AGAIN, "ContinueAsNewWorkflowExecutionCommandAttributes. Input exceeds size limit."),
    (
        again(memo=Memo(fields={"k": BIG})),
        AGAIN,
        "ContinueAsNewWorkflowExecutionCommandAttributes. Memo exceeds size limit.",
    ),
    # Children.
    (
        child(workflow_id=""),
        CHILD,
        f"Required field WorkflowId is not set {OF_CHILD}. WorkflowType=C Namespace=default",
    ),
    (
        child(workflow_type=None),
        CHILD,
        f"Required field WorkflowType is not set {OF_CHILD}. WorkflowId=w Namespace=default",
    ),
    (
        child(workflow_id=LONG),
        CHILD,
        f"WorkflowId {OF_CHILD} exceeds length limit. WorkflowId={LONG} {LENGTH} WorkflowType=C Namespace=default",
    ),
    (
        child(workflow_type=WorkflowType(name=LONG)),
        CHILD,
        f"WorkflowType {OF_CHILD} exceeds length limit. WorkflowId=w WorkflowType={LONG} {LENGTH} Namespace=default",
    ),
    (
        child(workflow_execution_timeout=seconds(-1)),
        CHILD,
        f"Invalid WorkflowExecutionTimeout {OF_CHILD}: negative duration. {THE_CHILD}",
    ),
    (child(cron_schedule="x"), CHILD, f"invalid CronSchedule {OF_CHILD}: invalid CronSchedule.. {THE_CHILD}"),
    (
        child(retry_policy=RetryPolicy(backoff_coefficient=0.5)),
        CHILD,
        f"invalid WorkflowRetryPolicy {OF_CHILD}: BackoffCoefficient cannot be less than 1 on retry policy.. "
        f"{THE_CHILD}",
    ),
    (child(priority=Priority(priority_key=-1)), CHILD, "priority key can't be negative"),
    (
        child(task_queue=TaskQueue(name="/_sys/q")),
        CHILD,
        f"invalid TaskQueue {OF_CHILD}: task queue name cannot start with reserved prefix /_sys/. {THE_CHILD} "
        'TaskQueue=name:"/_sys/q" kind:TASK_QUEUE_KIND_NORMAL',
    ),
    (child(input=BIGS), CHILD, "StartChildWorkflowExecutionCommandAttributes. Input exceeds size limit."),
    (
        child(memo=Memo(fields={"k": BIG})),
        CHILD,
        "StartChildWorkflowExecutionCommandAttributes.Memo exceeds size limit.",
    ),
    (child(namespace="temporal-system"), CHILD, "cross namespace commands are not allowed"),
    # Signals and cancels.
    (
        command(c.SignalExternalWorkflowExecutionCommandAttributes()),
        SIGNAL,
        "Execution is not set on SignalExternalWorkflowExecutionCommand.",
    ),
    (signal(workflow_id=""), SIGNAL, f"WorkflowId is not set {OF_SIGNAL}. Namespace= RunId= SignalName=s"),
    (
        signal(workflow_id=LONG),
        SIGNAL,
        f"WorkflowId {OF_SIGNAL} exceeds length limit. WorkflowId={LONG} {LENGTH} Namespace= RunId= SignalName=s",
    ),
    (
        signal(run_id="r"),
        SIGNAL,
        f"Invalid RunId set {OF_SIGNAL}. WorkflowId=w Namespace= RunId=r SignalName=s",
    ),
    (signal(name=""), SIGNAL, f"SignalName is not set {OF_SIGNAL}. WorkflowId=w Namespace= RunId="),
    (signal(input=BIGS), SIGNAL, "SignalExternalWorkflowExecutionCommandAttributes.Input exceeds size limit."),
    (signal(namespace="temporal-system"), SIGNAL, "cross namespace commands are not allowed"),
    (cancel(workflow_id=""), CANCEL, f"WorkflowId is not set {OF_CANCEL}. Namespace= RunId="),
    (
        cancel(workflow_id=LONG),
        CANCEL,
        f"WorkflowId {OF_CANCEL} exceeds length limit. WorkflowId={LONG} {LENGTH} RunId= Namespace=",
    ),
    (cancel(run_id="r"), CANCEL, f"Invalid RunId set {OF_CANCEL}. WorkflowId=w RunId=r Namespace="),
    (cancel(namespace="temporal-system"), CANCEL, "cross namespace commands are not allowed"),
]


def label(value: object) -> str | None:
    if isinstance(value, str):
        return value[:60]
    return CommandType.Name(value.command_type)[13:].lower() if isinstance(value, c.Command) else ""


def is_terminal(text: str) -> bool:
    return text.endswith("exceeds size limit.")


@pytest.mark.parametrize(("bad", "cause", "text"), REFUSED, ids=label)
def test_refused(bad: c.Command, cause: int, text: str) -> None:
    copy = c.Command()
    copy.CopyFrom(bad)
    with pytest.raises(BadCommand) as caught:
        check_command(copy, context())
    assert caught.value.message == f"{cause_name(cause)}: {text}"
    assert (caught.value.cause, caught.value.terminates) == (cause, is_terminal(text))


@pytest.mark.skipif("REFERENCE" not in os.environ, reason="needs REFERENCE=host:port")
@pytest.mark.parametrize(("bad", "cause", "text"), REFUSED, ids=label)
def test_refused_by_the_reference(bad: c.Command, cause: int, text: str) -> None:
    name = str(uuid4())
    with grpc.insecure_channel(os.environ["REFERENCE"]) as channel:
        stub = api.WorkflowServiceStub(channel)
        queue = TaskQueue(name="q")
        start = api.StartWorkflowExecutionRequest(
            namespace="default", workflow_id=name, workflow_type=WorkflowType(name="T"), task_queue=queue
        )
        run = stub.StartWorkflowExecution(start, timeout=10).run_id
        task = api.PollWorkflowTaskQueueResponse()
        while task.workflow_execution.workflow_id != name:
            task = stub.PollWorkflowTaskQueue(
                api.PollWorkflowTaskQueueRequest(namespace="default", task_queue=queue), timeout=30
            )
        answer = api.RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token, commands=[bad]
        )
        with pytest.raises(grpc.RpcError) as caught:
            stub.RespondWorkflowTaskCompleted(answer, timeout=10)
        execution = WorkflowExecution(workflow_id=name, run_id=run)
        history = stub.GetWorkflowExecutionHistory(
            api.GetWorkflowExecutionHistoryRequest(namespace="default", execution=execution), timeout=10
        ).history
        if not is_terminal(text):
            stub.TerminateWorkflowExecution(
                api.TerminateWorkflowExecutionRequest(namespace="default", workflow_execution=execution), timeout=10
            )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    # Go varies the spaces in a message that it prints, on purpose.
    told = caught.value.details().replace("  ", " ").replace("\xa0", " ")
    assert told == f"{cause_name(cause)}: {text}"
    failed = [event for event in history.events if event.HasField("workflow_task_failed_event_attributes")]
    assert [event.workflow_task_failed_event_attributes.cause for event in failed] == [cause]
    closed = history.events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
    assert closed == is_terminal(text)


@pytest.mark.parametrize(
    ("good", "counter", "cause", "what"),
    [
        (activity(), "pending_activities", "PENDING_ACTIVITIES_LIMIT_EXCEEDED", "pending activities"),
        (child(), "pending_children", "PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED", "pending child workflow executions"),
        (signal(), "pending_signals", "PENDING_SIGNALS_LIMIT_EXCEEDED", "pending signals to external workflows"),
        (
            cancel(),
            "pending_cancels",
            "PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED",
            "pending requests to cancel external workflows",
        ),
    ],
    ids=label,
)
def test_too_many_pending_items_fail_the_task_only(good: c.Command, counter: str, cause: str, what: str) -> None:
    check_command(good, context(**{counter: 1999}))
    with pytest.raises(BadCommand) as caught:
        check_command(good, context(**{counter: 2000}))
    number = Cause.Value(f"WORKFLOW_TASK_FAILED_CAUSE_{cause}")
    problem = f"the number of {what}, 2000, has reached the per-workflow limit of 2000"
    assert (caught.value.message, caught.value.terminates) == (f"{cause_name(number)}: {problem}", False)
    assert caught.value.cause == number


@pytest.mark.parametrize(
    "kind",
    [
        "COMPLETE_WORKFLOW_EXECUTION",
        "FAIL_WORKFLOW_EXECUTION",
        "CANCEL_WORKFLOW_EXECUTION",
        "CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
    ],
)
def test_a_workflow_does_not_close_over_events_it_has_not_seen(kind: str) -> None:
    with pytest.raises(BadCommand) as caught:
        check_command(empty(kind), context(has_buffered_events=True))
    assert caught.value.message == "UnhandledCommand"


def test_a_command_may_not_reach_a_namespace_that_is_not_there() -> None:
    with pytest.raises(NamespaceNotFound):
        check_command(child(namespace="nowhere"), context())


def test_a_child_is_not_cancelled_by_the_task_that_starts_it() -> None:
    with pytest.raises(BadCommand) as caught:
        check_command(cancel(), context(children_started={"w"}))
    problem = "Start and RequestCancel for child workflow is not allowed in same workflow task."
    assert caught.value.message == f"{cause_name(CANCEL)}: {problem} WorkflowId=w RunId= Namespace="


@pytest.mark.parametrize(
    "bad",
    [
        upsert({"Foo": Payload(data=b"1")}),
        child(search_attributes=SearchAttributes(indexed_fields={"Foo": Payload(data=b"1")})),
        again(search_attributes=SearchAttributes(indexed_fields={"Foo": Payload(data=b"1")})),
    ],
    ids=label,
)
def test_unknown_search_attributes(bad: c.Command) -> None:
    with pytest.raises(BadCommand) as caught:
        check_command(bad, context(rules=Rules(known=False)))
    assert caught.value.cause == ATTRIBUTES
    assert caught.value.message.endswith("Namespace default has no mapping defined for search attribute Foo")


def test_what_an_upsert_leaves_is_measured_as_a_whole() -> None:
    small = Payload(data=b"x" * 2000)
    full = {f"k{number}": small for number in range(20)}
    check_command(upsert({"k20": Payload(data=b"null")}), context(search_attributes=full))
    with pytest.raises(BadCommand, match=r"total size of search attributes \d+ exceeds size limit 40960") as caught:
        check_command(upsert({"k20": small}), context(search_attributes=full))
    assert caught.value.terminates
    with pytest.raises(BadCommand, match="search attribute k value size 2049 exceeds size limit 2048"):
        check_command(upsert({"k": Payload(data=b"x" * 2049)}), context())
    with pytest.raises(BadCommand, match="Memo exceeds size limit"):
        check_command(modify({"k": small}), context(memo={"old": BIG}))


def timeouts(good: c.Command) -> tuple[int, int, int, int]:
    a = good.schedule_activity_task_command_attributes
    for name in ("schedule_to_close", "schedule_to_start", "start_to_close", "heartbeat"):
        assert a.HasField(f"{name}_timeout")  # type: ignore[arg-type]
    return (
        a.schedule_to_close_timeout.seconds,
        a.schedule_to_start_timeout.seconds,
        a.start_to_close_timeout.seconds,
        a.heartbeat_timeout.seconds,
    )


@pytest.mark.parametrize(
    ("to_close", "to_start", "running", "heartbeat", "run", "expected"),
    [
        (0, 0, 5, 0, 0, (0, 0, 5, 0)),
        (0, 0, 5, 0, 60, (60, 60, 5, 0)),
        (10, 0, 0, 0, 0, (10, 10, 10, 0)),
        (10, 20, 20, 20, 0, (10, 10, 10, 10)),
        (10, 2, 3, 1, 0, (10, 2, 3, 1)),
        (100, 100, 100, 100, 30, (30, 30, 30, 30)),
        (0, 90, 5, 9, 30, (30, 30, 5, 5)),
    ],
)
def test_activity_timeouts_follow_from_each_other(
    to_close: int, to_start: int, running: int, heartbeat: int, run: int, expected: tuple[int, int, int, int]
) -> None:
    good = activity(
        schedule_to_close_timeout=seconds(to_close),
        schedule_to_start_timeout=seconds(to_start),
        start_to_close_timeout=seconds(running),
        heartbeat_timeout=seconds(heartbeat),
    )
    check_command(good, context(run_timeout_ns=run * S))
    assert timeouts(good) == expected


def test_activities_are_retried_unless_they_say_else() -> None:
    good = activity()
    check_command(good, context())
    policy = good.schedule_activity_task_command_attributes.retry_policy
    expected = RetryPolicy(initial_interval=seconds(1), backoff_coefficient=2, maximum_interval=seconds(100))
    assert policy == expected


def test_the_next_run_has_what_this_one_had() -> None:
    good = again()
    check_command(good, context(run_timeout_ns=60 * S, execution_timeout_ns=50 * S))
    a = good.continue_as_new_workflow_execution_command_attributes
    assert (a.workflow_type.name, a.task_queue.name) == ("T", "q")
    assert a.task_queue.kind == TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    assert (a.workflow_run_timeout, a.workflow_task_timeout) == (seconds(50), seconds(10))
    assert not a.HasField("retry_policy")


def test_a_child_has_its_own_timeouts() -> None:
    good = child(workflow_execution_timeout=seconds(7))
    check_command(good, context(run_timeout_ns=3 * S))
    a = good.start_child_workflow_execution_command_attributes
    assert (a.namespace, a.task_queue.name) == ("default", "q")
    assert (a.workflow_run_timeout, a.workflow_task_timeout) == (seconds(7), seconds(7))
    assert a.parent_close_policy == ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE
    assert a.workflow_id_reuse_policy == WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE


def test_nothing_follows_a_closing_command() -> None:
    close = command(c.CompleteWorkflowExecutionCommandAttributes())
    check_sequence([activity(), close])
    with pytest.raises(InvalidArgument) as caught:
        check_sequence([close, activity()])
    assert caught.value.message == (
        "invalid command sequence: [CompleteWorkflowExecution, ScheduleActivityTask], "
        "command CompleteWorkflowExecution must be the last command."
    )


@pytest.mark.parametrize(("kind", "name"), [(0, "Unspecified"), (99, "99")])
def test_unknown_commands(kind: Any, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^unknown command type: {name}$"):
        check_sequence([c.Command(command_type=kind)])


def test_every_command_but_those_of_nexus_has_a_check() -> None:
    for kind in CommandType.values():
        if kind and "NEXUS" not in CommandType.Name(kind):
            with pytest.raises((BadCommand, InvalidArgument)) as caught:
                check_command(c.Command(command_type=kind), context())
            assert isinstance(caught.value, BadCommand)


def test_a_command_that_does_not_fit_what_is_pending() -> None:
    error = bad_action(
        Cause.WORKFLOW_TASK_FAILED_CAUSE_START_TIMER_DUPLICATE_ID, "add-timer-started-event", "TimerID: t"
    )
    problem = "invalid history builder state for action: add-timer-started-event, TimerID: t"
    assert error.message == f"StartTimerDuplicateId: {problem}"

"""The checks of each command, in the order of the real server, which decides what a command with two faults is told.

A check takes the command's attributes, or None when the command brought none, and the `CommandContext`. It fills in
defaults in place and returns nothing. It raises

- `BadCommand`: the workflow task fails with its cause; when `terminates` is set, the workflow is terminated as well;
- any other `PerdureError` (an unknown namespace): the call is refused with it and nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message
from temporalio.api.command.v1 import (
    CancelTimerCommandAttributes,
    CancelWorkflowExecutionCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    ModifyWorkflowPropertiesCommandAttributes,
    ProtocolMessageCommandAttributes,
    RecordMarkerCommandAttributes,
    RequestCancelActivityTaskCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
    StartTimerCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import Memo, Payload
from temporalio.api.enums.v1 import CommandType, WorkflowTaskFailedCause

from perdure.config import Dynamic
from perdure.engine.checks import values
from perdure.engine.checks.values import byte_length, duration_ns, set_duration_ns
from perdure.errors import InvalidArgument, PerdureError

Cause = WorkflowTaskFailedCause
_CAUSE_PREFIX = "WORKFLOW_TASK_FAILED_CAUSE_"
_COMMAND_PREFIX = "COMMAND_TYPE_"

CLOSING_COMMANDS = frozenset(
    (
        CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
        CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
    )
)


class BadCommand(PerdureError):
    """A command that fails its workflow task. Not a reply by itself: first the decision is committed.

    `cause`: number of `WorkflowTaskFailedCause`. `message`: what the worker gets, with INVALID_ARGUMENT, and what the
    failure in WorkflowTaskFailed (or the reason in WorkflowExecutionTerminated) says: the cause's name, then the
    detail. `terminates`: the workflow is terminated, too.
    """

    code = 3

    def __init__(self, cause: int, detail: str = "", *, terminates: bool = False) -> None:
        super().__init__(f"{cause_name(cause)}: {detail}" if detail else cause_name(cause))
        self.cause = cause
        self.terminates = terminates


def cause_name(cause: int) -> str:
    """`BadScheduleActivityAttributes` for the number of that cause."""
    return values.short_name(Cause.Name(cause), _CAUSE_PREFIX)  # type: ignore[arg-type]


def command_name(kind: int) -> str:
    """`ScheduleActivityTask` for the number of that command; the number itself when it means nothing."""
    if kind not in CommandType.values():
        return str(kind)
    return values.short_name(CommandType.Name(kind), _COMMAND_PREFIX)  # type: ignore[arg-type]


def bad_action(cause: int, action: str, detail: str) -> BadCommand:
    """A command that does not fit what is pending, in the real server's words.

    `action` and `detail` are, for a second activity or timer of the same id, for the cancel of an unknown timer, and
    for the cancel of an unknown activity or one whose cancel was asked for before:
    "add-activitytask-scheduled-event" with "ActivityID: ...", "add-timer-started-event" with "TimerID: ...",
    "add-timer-canceled-event" with "TimerID: ...", "add-activitytask-cancel-requested-event" with
    "ScheduledEventID: ...".
    """
    return BadCommand(cause, f"invalid history builder state for action: {action}, {detail}")


class SearchAttributeRules(Protocol):
    """What search attributes a namespace has; both methods raise `InvalidArgument`."""

    def check_names(self, fields: Mapping[str, Payload], namespace: str) -> None: ...
    def check_values(self, fields: Mapping[str, Payload], namespace: str) -> None: ...


@dataclass(slots=True, kw_only=True)
class CommandContext:
    """What the checks need to know of the execution and the server. Timeouts in nanoseconds, 0 for none.

    Made once a workflow task; its owner keeps what a command changes (the counts, `children_started`,
    `has_buffered_events`, `memo`, `search_attributes`) up to date between commands.
    """

    config: Dynamic
    namespace: str
    namespace_id: str
    find_namespace_id: Callable[[str], str]
    """Name -> id; raises `NamespaceNotFound`."""
    rules: SearchAttributeRules
    workflow_type: str
    task_queue: str
    execution_timeout_ns: int = 0
    run_timeout_ns: int = 0
    task_timeout_ns: int = 0
    has_buffered_events: bool = False
    pending_activities: int = 0
    pending_children: int = 0
    pending_signals: int = 0
    """Signals to other workflows that are not delivered yet."""
    pending_cancels: int = 0
    """Requests to cancel other workflows that are not delivered yet."""
    children_started: Collection[str] = ()
    """Ids of the children that this workflow task has started so far."""
    memo: Mapping[str, Payload] = field(default_factory=dict)
    search_attributes: Mapping[str, Payload] = field(default_factory=dict)


A = TypeVar("A", bound=Message)
Check = Callable[[A | None, CommandContext], None]
_CHECKS: dict[int, tuple[str, Check[Any]]] = {}


def check_of(kind: int, cause: int) -> Callable[[Callable[[A, CommandContext], None]], Check[A]]:
    """Makes a function the check of a command: what it refuses with `InvalidArgument` fails the task with `cause`."""
    name = command_name(kind)
    closes = kind in CLOSING_COMMANDS

    def decorate(rule: Callable[[A, CommandContext], None]) -> Check[A]:
        def check(attributes: A | None, ctx: CommandContext) -> None:
            if closes and ctx.has_buffered_events:
                raise BadCommand(Cause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND)
            try:
                if attributes is None:
                    raise InvalidArgument(f"{name}CommandAttributes is not set on {name}Command.")
                rule(attributes, ctx)
            except InvalidArgument as error:
                raise BadCommand(cause, error.message) from error

        field_name = CommandType.Name(kind).removeprefix(_COMMAND_PREFIX).lower()  # type: ignore[arg-type]
        _CHECKS[kind] = f"{field_name}_command_attributes", check
        check.__name__, check.__doc__ = rule.__name__, rule.__doc__
        return check

    return decorate


def check_command(command: Command, ctx: CommandContext) -> None:
    """Checks one command and fills in its defaults, in place. Errors: see the module."""
    known = _CHECKS.get(command.command_type)
    if known is None:
        raise InvalidArgument(f"Unknown command type: {command_name(command.command_type)}")
    name, check = known
    check(getattr(command, name) if command.HasField(name) else None, ctx)  # type: ignore[arg-type]


def check_sequence(commands: Iterable[Command]) -> None:
    """Refuses the whole call, with `InvalidArgument`, if a command is unknown or follows a closing one."""
    kinds = [command.command_type for command in commands]
    closing = 0
    for kind in kinds:
        if closing:
            sequence = ", ".join(command_name(each) for each in kinds)
            raise InvalidArgument(
                f"invalid command sequence: [{sequence}], command {command_name(closing)} must be the last command."
            )
        if kind == 0 or kind not in CommandType.values():
            raise InvalidArgument(f"unknown command type: {command_name(kind)}")
        if kind in CLOSING_COMMANDS:
            closing = kind


# Helpers of the checks.


def too_long(value: str, config: Dynamic) -> str:
    """Empty when an id is short enough, else its length and the limit, for the message."""
    length, limit = byte_length(value), config.max_id_length
    return f"Length={length} Limit={limit}" if length > limit else ""


def check_size(size: int, ctx: CommandContext, cause: int, message: str) -> None:
    """Terminates the workflow when a payload is too large."""
    try:
        values.check_blob_size(size, ctx.config, message)
    except InvalidArgument as error:
        raise BadCommand(cause, error.message, terminates=True) from error


def check_memo(memo: Memo, ctx: CommandContext, cause: int, message: str) -> None:
    try:
        values.check_memo_size(memo.ByteSize(), ctx.config, message)
    except InvalidArgument as error:
        raise BadCommand(cause, error.message, terminates=True) from error


def check_search_attributes_size(fields: Mapping[str, Payload], ctx: CommandContext, cause: int) -> None:
    try:
        values.check_search_attributes_size(fields, ctx.config)
    except InvalidArgument as error:
        raise BadCommand(cause, error.message, terminates=True) from error


def check_pending(count: int, limit: int, what: str, cause: int) -> None:
    """Fails the task, without terminating, when there are too many of something already."""
    try:
        values.check_within(count, limit, what)
    except InvalidArgument as error:
        raise BadCommand(cause, error.message) from error


# Activities.

_BAD_ACTIVITY = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES


@check_of(CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, _BAD_ACTIVITY)
def check_schedule_activity_task(attributes: ScheduleActivityTaskCommandAttributes, ctx: CommandContext) -> None:
    """Fills in the task queue's kind, all four timeouts and the retry policy."""
    config = ctx.config
    check_activity(attributes, config, ctx.task_queue, ctx.run_timeout_ns)
    if attributes.use_workflow_build_id and attributes.task_queue.name != ctx.task_queue:
        raise InvalidArgument("Activity with UseCompatibleVersion cannot run on different task queue.")
    too_large = "ScheduleActivityTaskCommandAttributes.Input exceeds size limit."
    check_size(attributes.input.ByteSize(), ctx, _BAD_ACTIVITY, too_large)
    check_pending(
        ctx.pending_activities,
        config.num_pending_activities_limit_error,
        "pending activities",
        Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_ACTIVITIES_LIMIT_EXCEEDED,
    )


def check_activity(
    attributes: ScheduleActivityTaskCommandAttributes, config: Dynamic, parent_queue: str, run_ns: int
) -> None:
    """What an activity's own attributes must be like; fills in as the check of the command does.

    `parent_queue`: the workflow's task queue. `run_ns`: its run timeout, 0 for none."""
    queue = attributes.task_queue if attributes.HasField("task_queue") else None
    values.check_user_task_queue(queue, config, parent=parent_queue)
    if not attributes.activity_id:
        raise InvalidArgument("activityId is not set")
    if not attributes.activity_type.name:
        raise InvalidArgument("activityType is not set")
    attributes.retry_policy.SetInParent()
    values.fill_retry_policy(attributes.retry_policy, config.default_activity_retry_policy)
    values.check_retry_policy(attributes.retry_policy)
    if size := too_long(attributes.activity_id, config):
        raise InvalidArgument(f"activityId exceeds length limit. {size}")
    if size := too_long(attributes.activity_type.name, config):
        raise InvalidArgument(f"activityType exceeds length limit. {size}")
    try:
        values.check_priority(attributes.priority)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid priorities: {error.message}") from error
    _fill_activity_timeouts(attributes, run_ns)


def _fill_activity_timeouts(attributes: ScheduleActivityTaskCommandAttributes, run_ns: int) -> None:
    """Each absent timeout follows from those there are; none is longer than the run's (0: no such bound)."""
    for name, duration in (
        ("ScheduleToCloseTimeout", attributes.schedule_to_close_timeout),
        ("ScheduleToStartTimeout", attributes.schedule_to_start_timeout),
        ("StartToCloseTimeout", attributes.start_to_close_timeout),
        ("HeartbeatTimeout", attributes.heartbeat_timeout),
    ):
        if problem := values.cap_duration(duration):
            raise InvalidArgument(f"invalid {name}: {problem}")
    to_close = duration_ns(attributes.schedule_to_close_timeout)
    to_start = duration_ns(attributes.schedule_to_start_timeout)
    running = duration_ns(attributes.start_to_close_timeout)
    heartbeat = duration_ns(attributes.heartbeat_timeout)
    if to_close > 0:
        to_start = min(to_start, to_close) if to_start > 0 else to_close
        running = min(running, to_close) if running > 0 else to_close
    elif running > 0:
        to_close = run_ns
        to_start = to_start if to_start > 0 else run_ns
    else:
        raise InvalidArgument(
            "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. "
            f"ActivityId={attributes.activity_id} ActivityType={attributes.activity_type.name}"
        )
    if run_ns > 0:
        to_close, to_start, running = min(to_close, run_ns), min(to_start, run_ns), min(running, run_ns)
    set_duration_ns(attributes.schedule_to_close_timeout, to_close)
    set_duration_ns(attributes.schedule_to_start_timeout, to_start)
    set_duration_ns(attributes.start_to_close_timeout, running)
    set_duration_ns(attributes.heartbeat_timeout, min(heartbeat, running))


@check_of(
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
    Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES,
)
def check_request_cancel_activity_task(
    attributes: RequestCancelActivityTaskCommandAttributes, ctx: CommandContext
) -> None:
    if attributes.scheduled_event_id <= 0:
        raise InvalidArgument("ScheduledEventId is not set on RequestCancelActivityTaskCommand.")


# Timers.


@check_of(CommandType.COMMAND_TYPE_START_TIMER, Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES)
def check_start_timer(attributes: StartTimerCommandAttributes, ctx: CommandContext) -> None:
    """Cuts the timeout."""
    timer = attributes.timer_id
    _check_timer_id(timer, "StartTimerCommand", ctx)
    if problem := values.cap_duration(attributes.start_to_fire_timeout):
        raise InvalidArgument(f"An invalid StartToFireTimeout is set on StartTimerCommand: {problem}. TimerId={timer}")


@check_of(CommandType.COMMAND_TYPE_CANCEL_TIMER, Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_TIMER_ATTRIBUTES)
def check_cancel_timer(attributes: CancelTimerCommandAttributes, ctx: CommandContext) -> None:
    _check_timer_id(attributes.timer_id, "CancelTimerCommand", ctx)


def _check_timer_id(timer: str, command: str, ctx: CommandContext) -> None:
    if not timer:
        raise InvalidArgument(f"TimerId is not set on {command}.")
    if size := too_long(timer, ctx.config):
        raise InvalidArgument(f"TimerId on {command} exceeds length limit. TimerId={timer} {size}")


# What only writes an event.

_BAD_MARKER = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES
_BAD_SEARCH_ATTRIBUTES = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
_BAD_PROPERTIES = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES


@check_of(CommandType.COMMAND_TYPE_RECORD_MARKER, _BAD_MARKER)
def check_record_marker(attributes: RecordMarkerCommandAttributes, ctx: CommandContext) -> None:
    name = attributes.marker_name
    if not name:
        raise InvalidArgument("MarkerName is not set on RecordMarkerCommand.")
    if size := too_long(name, ctx.config):
        raise InvalidArgument(f"MarkerName on RecordMarkerCommand exceeds length limit. MarkerName={name} {size}")
    too_large = "RecordMarkerCommandAttributes.Details exceeds size limit."
    check_size(values.size_of_map(attributes.details), ctx, _BAD_MARKER, too_large)


@check_of(CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, _BAD_SEARCH_ATTRIBUTES)
def check_upsert_workflow_search_attributes(
    attributes: UpsertWorkflowSearchAttributesCommandAttributes, ctx: CommandContext
) -> None:
    fields = attributes.search_attributes.indexed_fields
    ctx.rules.check_names(fields, ctx.namespace)
    if not attributes.HasField("search_attributes"):
        raise InvalidArgument("SearchAttributes is not set on UpsertWorkflowSearchAttributesCommand.")
    if not fields:
        raise InvalidArgument("IndexedFields is not set on UpsertWorkflowSearchAttributesCommand.")
    ctx.rules.check_values(fields, ctx.namespace)
    too_large = "UpsertWorkflowSearchAttributesCommandAttributes exceeds size limit."
    check_size(values.size_of_payloads(fields), ctx, _BAD_SEARCH_ATTRIBUTES, too_large)
    check_search_attributes_size(values.merged(ctx.search_attributes, fields), ctx, _BAD_SEARCH_ATTRIBUTES)


@check_of(CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES, _BAD_PROPERTIES)
def check_modify_workflow_properties(
    attributes: ModifyWorkflowPropertiesCommandAttributes, ctx: CommandContext
) -> None:
    if not attributes.HasField("upserted_memo"):
        raise InvalidArgument("UpsertedMemo is not set on ModifyWorkflowPropertiesCommand.")
    fields = attributes.upserted_memo.fields
    if not fields:
        raise InvalidArgument("UpsertedMemo.Fields is not set on ModifyWorkflowPropertiesCommand.")
    too_large = "ModifyWorkflowPropertiesCommandAttributes exceeds size limit."
    check_size(values.size_of_payloads(fields), ctx, _BAD_PROPERTIES, too_large)
    memo = Memo(fields=values.merged(ctx.memo, fields))
    check_memo(memo, ctx, _BAD_PROPERTIES, "ModifyWorkflowPropertiesCommandAttributes. Memo exceeds size limit.")


@check_of(
    CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE,
    Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE,
)
def check_protocol_message(attributes: ProtocolMessageCommandAttributes, ctx: CommandContext) -> None:
    if not attributes.message_id:
        raise InvalidArgument("MessageID is not set on ProtocolMessageCommand.")


# What closes the workflow.

_BAD_FAIL = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES


@check_of(
    CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
    Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES,
)
def check_complete_workflow_execution(
    attributes: CompleteWorkflowExecutionCommandAttributes, ctx: CommandContext
) -> None:
    # The real server names the activity's cause for a result that is too large.
    too_large = "CompleteWorkflowExecutionCommandAttributes.Result exceeds size limit."
    check_size(attributes.result.ByteSize(), ctx, _BAD_ACTIVITY, too_large)


@check_of(CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION, _BAD_FAIL)
def check_fail_workflow_execution(attributes: FailWorkflowExecutionCommandAttributes, ctx: CommandContext) -> None:
    if not attributes.HasField("failure"):
        raise InvalidArgument("Failure is not set on FailWorkflowExecutionCommand.")
    values.check_causes(attributes.failure)
    too_large = "FailWorkflowExecutionCommandAttributes.Failure exceeds size limit."
    check_size(attributes.failure.ByteSize(), ctx, _BAD_FAIL, too_large)


@check_of(
    CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
    Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES,
)
def check_cancel_workflow_execution(attributes: CancelWorkflowExecutionCommandAttributes, ctx: CommandContext) -> None:
    """Nothing in it can be wrong."""

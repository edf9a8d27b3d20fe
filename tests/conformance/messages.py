"""Protobuf messages from short Python values, so that scenarios read like a conversation.

`build(cls, fields)` accepts a number of seconds for a Duration, a string for a task queue or a type name, a plain
value for payloads, a dict for memos, headers, search attributes and nested messages, and a name or number for enums.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import temporalio.api.command.v1 as command_pb
import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums_pb
import temporalio.api.failure.v1 as failure_pb
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)
OWN_TASK_QUEUE = "(the task queue of the driver)"


def payload(value: Any) -> common_pb.Payload:
    """A json/plain payload; `None` is binary/null, bytes are binary/plain, a Payload is itself."""
    if isinstance(value, common_pb.Payload):
        return value
    if value is None:
        return common_pb.Payload(metadata={"encoding": b"binary/null"})
    if isinstance(value, bytes):
        return common_pb.Payload(metadata={"encoding": b"binary/plain"}, data=value)
    return common_pb.Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def payloads(*values: Any) -> common_pb.Payloads:
    return common_pb.Payloads(payloads=[payload(value) for value in values])


def typed(value: Any, type_name: str) -> common_pb.Payload:
    """A search attribute's payload that names its type, as SDKs write it."""
    result = payload(value)
    result.metadata["type"] = type_name.encode()
    return result


def failure(message: str = "boom", type_name: str = "", **fields: Any) -> failure_pb.Failure:
    """An application failure, unless `fields` carry another failure info."""
    fields = {"message": message, "source": "conformance", **fields}
    if not any(name.endswith("_failure_info") for name in fields):
        fields["application_failure_info"] = {"type": type_name or "Boom", "non_retryable": fields.pop("fatal", False)}
        if "next_retry_delay" in fields:
            fields["application_failure_info"]["next_retry_delay"] = fields.pop("next_retry_delay")
    return build(failure_pb.Failure, fields)


def build(cls: type[M], fields: Mapping[str, Any]) -> M:
    """A message of `cls`; a field whose value is None stays unset."""
    message = cls()
    for name, value in fields.items():
        if value is not None:
            _set(message, cls.DESCRIPTOR.fields_by_name[name], value)
    return message


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    name = field.name
    if _is_map(field):
        _set_map(getattr(message, name), field, value)
    elif field.is_repeated:
        items = [_message(field, item) for item in value] if field.message_type else [_scalar(field, v) for v in value]
        getattr(message, name).extend(items)
    elif field.message_type:
        getattr(message, name).CopyFrom(_message(field, value))
        getattr(message, name).SetInParent()
    else:
        setattr(message, name, _scalar(field, value))


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _set_map(target: Any, field: FieldDescriptor, values: Mapping[str, Any]) -> None:
    value_field = field.message_type.fields_by_name["value"]
    for key, value in values.items():
        if value_field.message_type:
            target[key].CopyFrom(_message(value_field, value))
        else:
            target[key] = value


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type and isinstance(value, str):
        prefix = enum_prefix(field.enum_type.name)
        names = field.enum_type.values_by_name
        return names[value if value in names else prefix + value].number
    return value


def enum_prefix(enum_name: str) -> str:
    """The prefix that all values of a protobuf enum share: EventType -> EVENT_TYPE_."""
    snake = "".join("_" + c if c.isupper() and i else c for i, c in enumerate(enum_name))
    return snake.upper() + "_"


def _message(field: FieldDescriptor, value: Any) -> Message:
    """`value` as a message of the field's type; a ready message is taken as it is."""
    if isinstance(value, Message):
        return value
    kind = field.message_type
    cls: type[Message] = kind._concrete_class
    if kind.full_name == "google.protobuf.Duration":
        return _duration(cls, value)
    if kind.name == "Payloads":
        return payloads(*value) if isinstance(value, (list, tuple)) else payloads(value)
    if kind.name == "Payload":
        return payload(value)
    if kind.name in ("Memo", "Header"):
        return build(cls, {"fields": value})
    if kind.name == "SearchAttributes":
        return build(cls, {"indexed_fields": value})
    if isinstance(value, str) and kind.name in ("WorkflowType", "ActivityType", "TaskQueue"):
        return build(cls, {"name": value})
    if kind.name == "WorkflowExecution" and isinstance(value, (str, tuple)):
        workflow_id, run_id = (value, "") if isinstance(value, str) else value
        return build(cls, {"workflow_id": workflow_id, "run_id": run_id})
    return build(cls, value)


def _duration(cls: type[Message], seconds: float) -> Message:
    nanos = round(seconds * 1e9)
    sign = -1 if nanos < 0 else 1
    whole, rest = divmod(abs(nanos), 10**9)
    return build(cls, {"seconds": sign * whole, "nanos": sign * rest})


def command(name: str, metadata: Mapping[str, Any] | None = None, **attributes: Any) -> command_pb.Command:
    """A command by the name of its type without prefix, such as START_TIMER."""
    number = enums_pb.CommandType.Value(f"COMMAND_TYPE_{name}")
    attribute_name = f"{name.lower()}_command_attributes"
    fields: dict[str, Any] = {"command_type": number, attribute_name: attributes, "user_metadata": metadata}
    return build(command_pb.Command, fields)


def bare(name: str) -> command_pb.Command:
    """A command whose attributes are missing."""
    return command_pb.Command(command_type=enums_pb.CommandType.Value(f"COMMAND_TYPE_{name}"))


def activity(activity_id: str = "a", **fields: Any) -> command_pb.Command:
    """Schedules an activity that is not retried, on the task queue of the driver that sends it."""
    defaults = {
        "activity_type": "work",
        "task_queue": OWN_TASK_QUEUE,
        "start_to_close_timeout": 10,
        "retry_policy": {"maximum_attempts": 1},
    }
    return command("SCHEDULE_ACTIVITY_TASK", **{"activity_id": activity_id, **defaults, **fields})


def cancel_activity(scheduled_event_id: int) -> command_pb.Command:
    return command("REQUEST_CANCEL_ACTIVITY_TASK", scheduled_event_id=scheduled_event_id)


def timer(timer_id: str = "t", seconds: float | None = 60, **fields: Any) -> command_pb.Command:
    return command("START_TIMER", **{"timer_id": timer_id, "start_to_fire_timeout": seconds, **fields})


def cancel_timer(timer_id: str = "t") -> command_pb.Command:
    return command("CANCEL_TIMER", timer_id=timer_id)


def succeed(result: Any = None) -> command_pb.Command:
    """Completes the workflow; without a result the event carries none."""
    return command("COMPLETE_WORKFLOW_EXECUTION", result=None if result is None else payloads(result))


def fail_workflow(**fields: Any) -> command_pb.Command:
    return command("FAIL_WORKFLOW_EXECUTION", failure=failure(**fields))


def cancel_workflow(details: Any = None) -> command_pb.Command:
    return command("CANCEL_WORKFLOW_EXECUTION", details=details)


def continue_as_new(**fields: Any) -> command_pb.Command:
    return command("CONTINUE_AS_NEW_WORKFLOW_EXECUTION", **fields)


def marker(name: str = "m", **fields: Any) -> command_pb.Command:
    return command("RECORD_MARKER", marker_name=name, **fields)


def child(workflow_id: str, **fields: Any) -> command_pb.Command:
    return command("START_CHILD_WORKFLOW_EXECUTION", **{"workflow_id": workflow_id, "workflow_type": "child", **fields})


def signal_external(execution: Any, name: str = "knock", **fields: Any) -> command_pb.Command:
    return command("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION", execution=execution, signal_name=name, **fields)


def cancel_external(workflow_id: str, **fields: Any) -> command_pb.Command:
    return command("REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION", workflow_id=workflow_id, **fields)


def upsert(attributes: Mapping[str, Any] | None) -> command_pb.Command:
    return command("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", search_attributes=attributes)


def modify(memo: Mapping[str, Any] | None) -> command_pb.Command:
    return command("MODIFY_WORKFLOW_PROPERTIES", upserted_memo=memo)

"""Options that are changed while a workflow or an activity is open: which fields a mask names, and what they may be.

A mask's paths count in snake case, camel case and with a capital: `retry_policy.maximum_attempts` is
`retryPolicy.maximumAttempts` here.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.command.v1 import ScheduleActivityTaskCommandAttributes
from temporalio.api.workflow.v1 import WorkflowExecutionOptions

from perdure.config import Dynamic
from perdure.engine.checks.commands import check_activity
from perdure.errors import InvalidArgument


def fields_of(mask: FieldMask) -> frozenset[str]:
    """The fields that a mask names, in camel case."""
    return frozenset(camel(path) for path in mask.paths)


def bad_path(mask: FieldMask, message: Message) -> str:
    """What is wrong with the first path of a mask that leads to no field of `message`; empty if there is none."""
    for path in mask.paths:
        if not _is_path(message, path):
            return (
                f"proto: invalid path {json.dumps(path, ensure_ascii=False)} "
                f'for message "{message.DESCRIPTOR.full_name}"'
            )
    return ""


def _is_path(message: Message, path: str) -> bool:
    descriptor: Any = message.DESCRIPTOR
    for number, name in enumerate(parts := path.split(".")):
        field = descriptor.fields_by_name.get(name) if descriptor is not None else None
        if field is None or (field.is_repeated and number < len(parts) - 1):
            return False
        descriptor = field.message_type
    return True


def camel(path: str) -> str:
    """A path of a field mask in camel case."""
    return ".".join(_camel(part) for part in path.split("."))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first[:1].lower() + first[1:] + "".join(word.capitalize() for word in rest)


_TIMEOUTS = {
    "scheduleToCloseTimeout": "schedule_to_close_timeout",
    "scheduleToStartTimeout": "schedule_to_start_timeout",
    "startToCloseTimeout": "start_to_close_timeout",
    "heartbeatTimeout": "heartbeat_timeout",
}
_PRIORITY = {
    "priority.priorityKey": "priority_key",
    "priority.fairnessKey": "fairness_key",
    "priority.fairnessWeight": "fairness_weight",
}
_RETRY_POLICY = {
    "retryPolicy.initialInterval": "initial_interval",
    "retryPolicy.backoffCoefficient": "backoff_coefficient",
    "retryPolicy.maximumInterval": "maximum_interval",
    "retryPolicy.maximumAttempts": "maximum_attempts",
}
ACTIVITY_FIELDS = frozenset(
    ("taskQueue.name", "priority", "retryPolicy", "startDelay", *_TIMEOUTS, *_PRIORITY, *_RETRY_POLICY)
)
"""What can be named for an activity. A start delay means nothing to one that a workflow has scheduled."""


def merge_activity_options(options: ActivityOptions, new: ActivityOptions, fields: Collection[str]) -> None:
    """Put the fields of `new` into `options`. Other names mean nothing. Raises when what holds a field is missing."""
    if "taskQueue.name" in fields:
        if not new.HasField("task_queue"):
            raise InvalidArgument("TaskQueue is not provided")
        options.task_queue.name = new.task_queue.name
    for field, name in _TIMEOUTS.items():
        if field in fields:
            _replace(options, new, name)
    if "priority" in fields:
        _replace(options, new, "priority")
    _merge_parts(options, new, fields, "priority", _PRIORITY, missing="Priority is not provided")
    if "retryPolicy" in fields:
        if not new.HasField("retry_policy"):
            raise InvalidArgument("RetryPolicy is not provided")
        _replace(options, new, "retry_policy")
    _merge_parts(options, new, fields, "retry_policy", _RETRY_POLICY, missing="RetryPolicy is not provided")
    if "startDelay" in fields:
        _replace(options, new, "start_delay")


def _merge_parts(
    options: Message, new: Message, fields: Collection[str], holder: str, parts: dict[str, str], *, missing: str = ""
) -> None:
    for field, name in parts.items():
        if field not in fields:
            continue
        if missing and not new.HasField(holder):
            raise InvalidArgument(missing)
        getattr(options, holder).SetInParent()
        _replace(getattr(options, holder), getattr(new, holder), name)


def _replace(options: Message, new: Message, name: str) -> None:
    """Take the field over, also if it is absent."""
    if options.DESCRIPTOR.fields_by_name[name].message_type is None:
        setattr(options, name, getattr(new, name))
        return
    options.ClearField(name)
    if new.HasField(name):
        getattr(options, name).CopyFrom(getattr(new, name))


def check_activity_options(
    options: ActivityOptions, config: Dynamic, parent_queue: str, activity_id: str, activity_type: str
) -> None:
    """Options as they would be after a change; fills in what follows from them, as for a command."""
    command = ScheduleActivityTaskCommandAttributes(activity_id=activity_id, task_queue=options.task_queue)
    command.activity_type.name = activity_type
    for name in _TIMEOUTS.values():
        _replace(command, options, name)
    check_activity(command, config, parent_queue, 0)
    options.task_queue.CopyFrom(command.task_queue)
    for name in _TIMEOUTS.values():
        _replace(options, command, name)


def merge_workflow_options(
    options: WorkflowExecutionOptions, new: WorkflowExecutionOptions, fields: Collection[str]
) -> None:
    """Put the fields of `new` into `options`: priority, in parts or whole, the others only whole."""
    pair = {"versioningOverride.deployment", "versioningOverride.behavior"}
    both = pair & set(fields)
    if "versioningOverride" in fields or both == pair:
        _replace(options, new, "versioning_override")
    elif both:
        raise _inapplicable("versioning_override fields must be updated together")
    if any(field.startswith("versioningOverride.") and field not in pair for field in fields):
        raise _inapplicable("versioning_override doesn't support partial updates")
    if "priority" in fields:
        _replace(options, new, "priority")
    _merge_parts(options, new, fields, "priority", _PRIORITY)
    if "timeSkippingConfig" in fields:
        _replace(options, new, "time_skipping_config")
    if any(field.startswith("timeSkippingConfig.") for field in fields):
        raise _inapplicable("time_skipping_config doesn't support partial update")


def _inapplicable(problem: str) -> InvalidArgument:
    return InvalidArgument(f"error applying update_options: {problem}")

"""Requests that operate on open workflows and their activities: pauses, resets, options."""

from __future__ import annotations

import json
from typing import Any

from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.workflowservice.v1 import (
    PauseWorkflowExecutionRequest,
    UnpauseWorkflowExecutionRequest,
    UpdateActivityExecutionOptionsRequest,
    UpdateActivityOptionsRequest,
    UpdateWorkflowExecutionOptionsRequest,
)

from perdure.config import Dynamic
from perdure.engine.checks import values
from perdure.engine.checks.options import ACTIVITY_FIELDS, bad_path, camel, fields_of
from perdure.engine.checks.values import byte_length
from perdure.errors import InvalidArgument, Unimplemented
from perdure.rpc.validate import common

BOTH_PROVIDED = "Both UpdateMask and RestoreOriginal are provided"
NO_STANDALONE = "Standalone activity operator commands are disabled"
INVALID_UUID = "RunId is not valid UUID."


def run_id(value: str) -> None:
    """The run id of a request whose other fields are right, and whose namespace is there."""
    if value and not values.is_uuid(value):
        raise InvalidArgument(INVALID_UUID)


def activity_operation(request: Any) -> None:
    """Pause, unpause, reset and options of activities: the workflow, and which activities."""
    if not request.execution.workflow_id:
        raise InvalidArgument(common.WORKFLOW_ID_NOT_SET)
    if request.WhichOneof("activity") is None:
        raise InvalidArgument("Either Activity.Id or Activity.Type should be set on request.")
    if isinstance(request, UpdateActivityOptionsRequest):
        values.check_priority(request.activity_options.priority)
        if request.restore_original and request.update_mask.paths:
            raise InvalidArgument(BOTH_PROVIDED)
    elif "jitter" in request.DESCRIPTOR.fields_by_name:
        values.cap_duration(request.jitter)  # what is wrong with one counts as none
    run_id(request.execution.run_id)


def activity_execution(request: Any, config: Dynamic) -> None:
    """The forms that name one activity. Those without a workflow are about standalone activities."""
    if not request.workflow_id:
        raise Unimplemented(NO_STANDALONE)
    _limited("request ID", request.request_id, config)
    if not request.activity_id:
        raise InvalidArgument("activity ID is required")
    _limited("activity ID", request.activity_id, config)
    _limited("identity", request.identity, config)
    if request.run_id and not values.is_uuid(request.run_id):
        raise InvalidArgument("invalid run id: must be a valid UUID")
    if "jitter" in request.DESCRIPTOR.fields_by_name and (problem := values.cap_duration(request.jitter)):
        raise InvalidArgument(f"invalid jitter: {problem}")
    if "reason" in request.DESCRIPTOR.fields_by_name:
        values.check_blob_size(byte_length(request.reason), config, "reason exceeds length limit")
    if isinstance(request, UpdateActivityExecutionOptionsRequest):
        _execution_options(request, config)


def _limited(what: str, value: str, config: Dynamic) -> None:
    length, limit = byte_length(value), config.max_id_length
    if length > limit:
        raise InvalidArgument(f"{what} exceeds length limit. Length={length} Limit={limit}")


def _execution_options(request: UpdateActivityExecutionOptionsRequest, config: Dynamic) -> None:
    paths = request.update_mask.paths
    if paths and request.restore_original:
        raise InvalidArgument(BOTH_PROVIDED)
    if request.restore_original:
        return
    if not request.HasField("activity_options"):
        raise InvalidArgument("ActivityOptions are not provided")
    if not request.HasField("update_mask"):
        raise InvalidArgument("UpdateMask is not provided")
    if not paths:
        raise InvalidArgument("UpdateMask must specify at least one path")
    for path in paths:
        if camel(path) not in ACTIVITY_FIELDS:
            raise InvalidArgument(f"unsupported update_mask path: {json.dumps(path, ensure_ascii=False)}")
    _options(request.activity_options, fields_of(request.update_mask), config)


def _options(options: ActivityOptions, fields: frozenset[str], config: Dynamic) -> None:
    """The values that are to be changed; fills in what a whole retry policy leaves open."""
    if "taskQueue.name" in fields:
        queue = options.task_queue if options.HasField("task_queue") else None
        values.check_user_task_queue(queue, config)
    for name in ("ScheduleToClose", "ScheduleToStart", "StartToClose", "Heartbeat"):
        if f"{name[0].lower()}{name[1:]}Timeout" in fields:
            snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in f"{name}Timeout").lstrip("_")
            if problem := values.cap_duration(getattr(options, snake)):
                raise InvalidArgument(f"invalid {name}Timeout: {problem}")
    if any(field.partition(".")[0] == "priority" for field in fields):
        values.check_priority(options.priority)
    if "retryPolicy" in fields:
        options.retry_policy.SetInParent()
        values.fill_retry_policy(options.retry_policy, config.default_activity_retry_policy)
        values.check_retry_policy(options.retry_policy)
    _retry_parts(options, fields)


def _retry_parts(options: ActivityOptions, fields: frozenset[str]) -> None:
    policy = options.retry_policy
    if "retryPolicy.initialInterval" in fields and (problem := values.cap_duration(policy.initial_interval)):
        raise InvalidArgument(f"invalid InitialInterval set on retry policy: {problem}")
    if "retryPolicy.backoffCoefficient" in fields and policy.backoff_coefficient < 1:
        raise InvalidArgument("BackoffCoefficient cannot be less than 1 on retry policy.")
    if "retryPolicy.maximumInterval" in fields and (problem := values.cap_duration(policy.maximum_interval)):
        raise InvalidArgument(f"invalid MaximumInterval set on retry policy: {problem}")
    if "retryPolicy.maximumAttempts" in fields and policy.maximum_attempts < 0:
        raise InvalidArgument("MaximumAttempts cannot be negative on retry policy.")


def workflow_pause(request: PauseWorkflowExecutionRequest | UnpauseWorkflowExecutionRequest, config: Dynamic) -> None:
    for what, value in (
        ("reason", request.reason),
        ("request id", request.request_id),
        ("identity", request.identity),
    ):
        if byte_length(value) > config.max_id_length:
            raise InvalidArgument(f"{what} is too long.")
    if not request.workflow_id:
        raise InvalidArgument("Can't load workflow execution.  WorkflowId not set.")
    run_id(request.run_id)


def workflow_options(request: UpdateWorkflowExecutionOptionsRequest, config: Dynamic) -> None:
    if not request.workflow_execution.workflow_id:
        raise InvalidArgument(common.WORKFLOW_ID_NOT_SET)
    if not request.HasField("update_mask"):
        raise InvalidArgument("UpdateMask is required")
    options = request.workflow_execution_options
    if not request.HasField("workflow_execution_options"):
        raise InvalidArgument("WorkflowExecutionOptions is required")
    if problem := bad_path(request.update_mask, options):
        raise InvalidArgument(f"error parsing UpdateMask: {problem}")
    values.check_priority(options.priority)
    common.time_skipping(options, config)
    run_id(request.workflow_execution.run_id)

"""Requests about batch jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio.api.enums.v1 import ExecutionType, ResetType
from temporalio.api.workflowservice.v1 import (
    DescribeBatchOperationRequest,
    ListBatchOperationsRequest,
    StartBatchOperationRequest,
    StopBatchOperationRequest,
)

from perdure.config import Dynamic
from perdure.engine.checks.values import byte_length
from perdure.errors import InvalidArgument, PermissionDenied
from perdure.rpc.validate import common

STANDALONE = ("terminate_activities_operation", "delete_activities_operation", "cancel_activities_operation")
"""Operations on activities that no workflow has."""
_NO_ACTIVITY = "Either activity type must be set, or match all should be set to true"


def batches_enabled(config: Dynamic) -> None:
    if not config.enable_batcher:
        raise PermissionDenied("Batch operation feature are disabled on this namespace.")


def start_batch(request: StartBatchOperationRequest, config: Dynamic) -> None:
    operation = request.WhichOneof("operation")
    if operation in STANDALONE:
        raise InvalidArgument(f"The operation type {_go_type(operation)} is not supported for this namespace")
    selectors = sum(map(bool, (request.visibility_query, request.executions, request.target_executions)))
    if operation is None or not request.reason or not selectors:
        raise InvalidArgument(
            "must provide required parameters: BatchType,Reason,Namespace, AND one of "
            "(Query OR Executions OR TargetExecutions)"
        )
    if not request.job_id:
        raise InvalidArgument("JobId is not set on request.")
    if selectors > 1:
        raise InvalidArgument("visibility query, executions, and target executions are mutually exclusive")
    workflow = ExecutionType.EXECUTION_TYPE_WORKFLOW
    for number, execution in enumerate(request.target_executions):
        if execution.type != workflow:
            raise InvalidArgument(
                f"target_executions[{number}] has type {_type_name(execution.type)}, "
                f"but operation {_go_type(operation)} requires {_type_name(workflow)}"
            )
    if operation in _OPERATIONS:
        _OPERATIONS[operation](getattr(request, operation))


def batch_job_id(job_id: str, config: Dynamic) -> None:
    """The id of a job that is to be started, once all else is right."""
    if byte_length(job_id) > config.max_id_length:
        raise InvalidArgument("WorkflowId exceeds length limit.")


def batch_options(request: StartBatchOperationRequest, config: Dynamic) -> None:
    """Options that an operation sets, looked at after the number of jobs."""
    for each in request.reset_operation.post_reset_operations:
        common.time_skipping(each.update_workflow_options.workflow_execution_options, config)
    common.time_skipping(request.update_workflow_options_operation.workflow_execution_options, config)


def stop_batch(request: StopBatchOperationRequest) -> None:
    if not request.job_id:
        raise InvalidArgument("JobId is not set on request.")
    if not request.reason:
        raise InvalidArgument("Reason is not set on request.")


def describe_batch(request: DescribeBatchOperationRequest) -> None:
    if not request.job_id:
        raise InvalidArgument("JobId is not set on request.")


def list_batches(request: ListBatchOperationsRequest, config: Dynamic) -> None:
    """Fills in the page size; one too large is cut, not refused."""
    if not 0 < request.page_size <= config.visibility_max_page_size:
        request.page_size = config.visibility_max_page_size


def _go_type(operation: str) -> str:
    name = "".join(part.capitalize() for part in operation.split("_"))
    return f"*workflowservice.StartBatchOperationRequest_{name}"


def _type_name(number: int) -> str:
    known = number in ExecutionType.values()
    return ExecutionType.Name(number).removeprefix("EXECUTION_TYPE_").capitalize() if known else str(number)  # type: ignore[arg-type]


def _signal(operation: Any) -> None:
    if not operation.signal:
        raise InvalidArgument("must provide signal name")


def _update_options(operation: Any) -> None:
    if not operation.HasField("workflow_execution_options"):
        raise InvalidArgument("must provide UpdateOptions")
    if not operation.HasField("update_mask"):
        raise InvalidArgument("must provide UpdateMask")


def _reset(operation: Any) -> None:
    if operation.HasField("options"):
        if operation.options.WhichOneof("target") is None:
            raise InvalidArgument("batch reset missing target")
    elif operation.reset_type not in ResetType.values():
        raise InvalidArgument(f"unknown batch reset type {operation.reset_type}")
    elif not operation.reset_type:
        raise InvalidArgument("unknown batch reset type Unspecified")


def _unpause_activities(operation: Any) -> None:
    if operation.WhichOneof("activity") is None:
        raise InvalidArgument("activity filter must be set")
    _activity(operation)


def _reset_activities(operation: Any) -> None:
    if operation.WhichOneof("activity") is None:
        raise InvalidArgument("must provide ActivityType or MatchAll")
    _activity(operation)


def _update_activity_options(operation: Any) -> None:
    if operation.HasField("activity_options") and operation.restore_original:
        raise InvalidArgument("cannot set both activity options and restore original")
    if not operation.HasField("activity_options") and not operation.restore_original:
        raise InvalidArgument("Either activity type must be set, or restore original should be set to true")
    _activity(operation)


def _activity(operation: Any) -> None:
    which = operation.WhichOneof("activity")
    if which is not None and not getattr(operation, which):
        raise InvalidArgument(_NO_ACTIVITY)


_OPERATIONS: dict[str, Callable[[Any], None]] = {
    "signal_operation": _signal,
    "update_workflow_options_operation": _update_options,
    "reset_operation": _reset,
    "unpause_activities_operation": _unpause_activities,
    "reset_activities_operation": _reset_activities,
    "update_activity_options_operation": _update_activity_options,
}

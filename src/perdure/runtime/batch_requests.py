"""What a batch job asks for each of its targets: the request that a client would send for that one execution."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetActivityRequest,
    ResetWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    StartBatchOperationRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
    UpdateWorkflowExecutionOptionsRequest,
)

IDENTITY = "temporal-batcher"
"""Who cancels and terminates for a job."""


def request_for(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    """The request about one target. For a reset the event to go back to is still missing.

    The request id is the same each time, so that an operation which is repeated after a crash has one effect.
    """
    return _REQUESTS[str(job.WhichOneof("operation"))](job, target)


def request_id(job: StartBatchOperationRequest, *parts: str) -> str:
    """A UUID that follows from the job's id and from what is asked for."""
    return str(uuid.uuid5(uuid.UUID(int=0), ":".join([job.job_id, *parts])))


def _terminate(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    return TerminateWorkflowExecutionRequest(
        namespace=job.namespace, workflow_execution=target, reason=job.reason, identity=IDENTITY
    )


def _cancel(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    return RequestCancelWorkflowExecutionRequest(
        namespace=job.namespace,
        workflow_execution=target,
        identity=IDENTITY,
        request_id=request_id(job, "cancel", target.workflow_id, target.run_id),
    )


def _signal(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    operation = job.signal_operation
    return SignalWorkflowExecutionRequest(
        namespace=job.namespace,
        workflow_execution=target,
        signal_name=operation.signal,
        input=operation.input if operation.HasField("input") else None,
        identity=operation.identity,
        request_id=request_id(job, "signal", target.workflow_id, target.run_id, operation.signal),
    )


def _delete(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    return DeleteWorkflowExecutionRequest(namespace=job.namespace, workflow_execution=target)


def _reset(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    operation = job.reset_operation
    request = ResetWorkflowExecutionRequest(
        namespace=job.namespace,
        workflow_execution=target,
        reason=job.reason,
        request_id=request_id(job, "reset", target.workflow_id, target.run_id),
        post_reset_operations=operation.post_reset_operations,
        identity=operation.identity,
    )
    if operation.HasField("options"):
        request.reset_reapply_type = operation.options.reset_reapply_type
        request.reset_reapply_exclude_types.extend(operation.options.reset_reapply_exclude_types)
    else:
        request.reset_reapply_type = operation.reset_reapply_type
    return request


def _update_options(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    operation = job.update_workflow_options_operation
    return UpdateWorkflowExecutionOptionsRequest(
        namespace=job.namespace,
        workflow_execution=target,
        workflow_execution_options=operation.workflow_execution_options,
        update_mask=operation.update_mask,
        identity=operation.identity,
    )


def _unpause_activities(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    operation = job.unpause_activities_operation
    request = UnpauseActivityRequest(
        namespace=job.namespace,
        execution=target,
        identity=operation.identity,
        reset_attempts=operation.reset_attempts,
        reset_heartbeat=operation.reset_heartbeat,
        jitter=operation.jitter,
    )
    _select(operation, request, "unpause_all")
    return request


def _reset_activities(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    operation = job.reset_activities_operation
    request = ResetActivityRequest(
        namespace=job.namespace,
        execution=target,
        identity=operation.identity,
        reset_heartbeat=operation.reset_heartbeat,
        keep_paused=operation.keep_paused,
        restore_original_options=operation.restore_original_options,
        jitter=operation.jitter,
    )
    _select(operation, request, "match_all")
    return request


def _update_activity_options(job: StartBatchOperationRequest, target: WorkflowExecution) -> Message:
    operation = job.update_activity_options_operation
    request = UpdateActivityOptionsRequest(
        namespace=job.namespace,
        execution=target,
        identity=operation.identity,
        activity_options=operation.activity_options if operation.HasField("activity_options") else None,
        update_mask=operation.update_mask,
        restore_original=operation.restore_original,
    )
    _select(operation, request, "match_all")
    return request


def _select(operation: Any, request: Any, all_of_them: str) -> None:
    which = operation.WhichOneof("activity")
    if which == "type":
        request.type = operation.type
    elif which == "match_all":
        setattr(request, all_of_them, True)


_REQUESTS: dict[str, Callable[[StartBatchOperationRequest, WorkflowExecution], Message]] = {
    "termination_operation": _terminate,
    "cancellation_operation": _cancel,
    "signal_operation": _signal,
    "deletion_operation": _delete,
    "reset_operation": _reset,
    "update_workflow_options_operation": _update_options,
    "unpause_activities_operation": _unpause_activities,
    "reset_activities_operation": _reset_activities,
    "update_activity_options_operation": _update_activity_options,
}

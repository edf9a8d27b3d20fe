"""Updates, and what is done together with them."""

from __future__ import annotations

from uuid import uuid4

from temporalio.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage as Stage
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest, UpdateWorkflowExecutionRequest

from perdure.config import Dynamic
from perdure.engine.checks.values import byte_length, is_uuid
from perdure.errors import InvalidArgument, PermissionDenied, Unimplemented
from perdure.rpc.validate import common

_ADMITTED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED


def update(request: UpdateWorkflowExecutionRequest, config: Dynamic) -> None:
    """UpdateWorkflowExecution. Fills in the update id and the stage to wait for."""
    common.execution(request.workflow_execution if request.HasField("workflow_execution") else None)
    inner = request.request
    if not inner.HasField("meta"):
        raise InvalidArgument("Update meta is not set on request.")
    if byte_length(inner.meta.update_id) > config.max_id_length:
        raise InvalidArgument("UpdateId length exceeds limit.")
    inner.meta.update_id = inner.meta.update_id or str(uuid4())
    if not inner.HasField("input"):
        raise InvalidArgument("Update input is not set on request.")
    if not inner.input.name:
        raise InvalidArgument("Update name is not set on request.")
    stage = request.wait_policy.lifecycle_stage or Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
    if stage == _ADMITTED:
        raise PermissionDenied(
            "UpdateWorkflowExecution issued asynchronously and waiting on update admitted is not supported."
        )
    request.wait_policy.lifecycle_stage = stage
    if inner.completion_callbacks:
        raise Unimplemented("Completion callbacks of updates are not implemented by this version of Perdure.")


def poll_update(request: PollWorkflowExecutionUpdateRequest) -> None:
    """PollWorkflowExecutionUpdate."""
    if not request.HasField("update_ref"):
        raise InvalidArgument("UpdateRef is not set on request.")
    target = request.update_ref.workflow_execution
    if not target.workflow_id:
        raise InvalidArgument("Can't load workflow execution.  WorkflowId not set.")
    if target.run_id and not is_uuid(target.run_id):
        raise InvalidArgument("RunId is not valid UUID.")

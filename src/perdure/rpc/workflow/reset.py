"""ResetWorkflowExecution: a new run from a part of another one's history."""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.api.workflow.v1 import PostResetOperation
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest, ResetWorkflowExecutionResponse

from perdure.engine.machines.reset import excluded_types
from perdure.errors import InvalidArgument
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.resets import Reset
from perdure.runtime.runtime import Runtime


class ResetRequests:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def reset_workflow_execution(
        self, request: ResetWorkflowExecutionRequest, call: Call
    ) -> ResetWorkflowExecutionResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.namespace_state("ResetWorkflowExecution", namespace.name, namespace.state)
        validate.reset(request, self._runtime.config)
        target = request.workflow_execution
        reset = Reset(
            namespace_id=namespace.id,
            workflow_id=target.workflow_id,
            run_id=target.run_id,
            event_id=request.workflow_task_finish_event_id,
            reason=request.reason,
            request_id=request.request_id,
            excluded=excluded_types(request.reset_reapply_type, request.reset_reapply_exclude_types),
            check=lambda: _check_operations(request.post_reset_operations),
        )
        run = await self._runtime.resets.reset(reset)
        return ResetWorkflowExecutionResponse(run_id=run.core.run_id)


_VARIANTS = {
    "signal_workflow": "*workflow.PostResetOperation_SignalWorkflow_",
    "update_workflow_options": "*workflow.PostResetOperation_UpdateWorkflowOptions_",
    None: "<nil>",
}


def _check_operations(operations: Iterable[PostResetOperation]) -> None:
    for operation in operations:
        raise InvalidArgument(f"unsupported post reset operation: {_VARIANTS[operation.WhichOneof('variant')]}")

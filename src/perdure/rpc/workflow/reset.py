"""ResetWorkflowExecution: a new run from a part of another one's history."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest, ResetWorkflowExecutionResponse

from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.requests import reset_of
from perdure.runtime.runtime import Runtime


class ResetRequests:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def reset_workflow_execution(
        self, request: ResetWorkflowExecutionRequest, call: Call
    ) -> ResetWorkflowExecutionResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.reset(request, self._runtime.config)
        run = await self._runtime.resets.reset(reset_of(request, namespace.id))
        return ResetWorkflowExecutionResponse(run_id=run.core.run_id)

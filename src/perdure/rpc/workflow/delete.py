"""DeleteWorkflowExecution: an open run is terminated first; then the run goes, once it owes nothing to others."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, DeleteWorkflowExecutionResponse

from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.requests import input_of
from perdure.runtime.runtime import Runtime


class Deletions:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def delete_workflow_execution(
        self, request: DeleteWorkflowExecutionRequest, call: Call
    ) -> DeleteWorkflowExecutionResponse:
        """Answers when it is certain that the run will be deleted."""
        executor = self._runtime.executor
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.delete(request)
        target = request.workflow_execution
        run = await executor.find(namespace.id, target.workflow_id, target.run_id)
        await executor.perform(run, input_of(request, run))
        return DeleteWorkflowExecutionResponse()

"""What operators do to open workflows: pause, unpause, change of options."""

from __future__ import annotations

from typing import Any

from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    PauseWorkflowExecutionRequest,
    PauseWorkflowExecutionResponse,
    UnpauseWorkflowExecutionRequest,
    UnpauseWorkflowExecutionResponse,
    UpdateWorkflowExecutionOptionsRequest,
    UpdateWorkflowExecutionOptionsResponse,
)

from perdure.engine import inputs
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.requests import input_of
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime


class WorkflowOptions:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = runtime.executor

    async def pause_workflow_execution(
        self, request: PauseWorkflowExecutionRequest, call: Call
    ) -> PauseWorkflowExecutionResponse:
        run = await self._find(request)
        await self._apply(run, inputs.PauseWorkflow(request.identity, request.reason, request.request_id))
        return PauseWorkflowExecutionResponse()

    async def unpause_workflow_execution(
        self, request: UnpauseWorkflowExecutionRequest, call: Call
    ) -> UnpauseWorkflowExecutionResponse:
        run = await self._find(request)
        await self._apply(run, inputs.UnpauseWorkflow(request.identity, request.reason, request.request_id))
        return UnpauseWorkflowExecutionResponse()

    async def _find(self, request: PauseWorkflowExecutionRequest | UnpauseWorkflowExecutionRequest) -> Run:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.workflow_pause(request, self._runtime.config)
        return await self._executor.find(namespace.id, request.workflow_id, request.run_id)

    async def update_workflow_execution_options(
        self, request: UpdateWorkflowExecutionOptionsRequest, call: Call
    ) -> UpdateWorkflowExecutionOptionsResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.workflow_options(request, self._runtime.config)
        target = request.workflow_execution
        run = await self._executor.find(namespace.id, target.workflow_id, target.run_id)
        options: WorkflowExecutionOptions = await self._apply(run, input_of(request, run))
        return UpdateWorkflowExecutionOptionsResponse(workflow_execution_options=options)

    async def _apply(self, run: Run, input: inputs.Input) -> Any:
        return (await self._executor.perform(run, input)).reply

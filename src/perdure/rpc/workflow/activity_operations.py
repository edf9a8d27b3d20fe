"""What operators do to activities of open workflows: pause, unpause, reset, change of options.

Each comes in two forms: one says which activities of a workflow are meant, the newer one (`...Execution`) names one.
"""

from __future__ import annotations

from typing import Any

from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.workflowservice.v1 import (
    PauseActivityExecutionRequest,
    PauseActivityExecutionResponse,
    PauseActivityRequest,
    PauseActivityResponse,
    ResetActivityExecutionRequest,
    ResetActivityExecutionResponse,
    ResetActivityRequest,
    ResetActivityResponse,
    UnpauseActivityExecutionRequest,
    UnpauseActivityExecutionResponse,
    UnpauseActivityRequest,
    UnpauseActivityResponse,
    UpdateActivityExecutionOptionsRequest,
    UpdateActivityExecutionOptionsResponse,
    UpdateActivityOptionsRequest,
    UpdateActivityOptionsResponse,
)

from perdure.engine import inputs
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.requests import input_of, selection_of
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime


class ActivityOperations:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = runtime.executor

    async def pause_activity(self, request: PauseActivityRequest, call: Call) -> PauseActivityResponse:
        run = await self._find(request)
        pause = inputs.PauseActivities(selection_of(request), request.identity, request.reason, request.request_id)
        await self._apply(run, pause)
        return PauseActivityResponse()

    async def unpause_activity(self, request: UnpauseActivityRequest, call: Call) -> UnpauseActivityResponse:
        run = await self._find(request)
        await self._apply(run, input_of(request, run))
        return UnpauseActivityResponse()

    async def reset_activity(self, request: ResetActivityRequest, call: Call) -> ResetActivityResponse:
        run = await self._find(request)
        await self._apply(run, input_of(request, run))
        return ResetActivityResponse()

    async def update_activity_options(
        self, request: UpdateActivityOptionsRequest, call: Call
    ) -> UpdateActivityOptionsResponse:
        run = await self._find(request)
        changed: ActivityOptions = await self._apply(run, input_of(request, run))
        return UpdateActivityOptionsResponse(activity_options=changed)

    async def _find(self, request: Any) -> Run:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.activity_operation(request)
        return await self._executor.find(namespace.id, request.execution.workflow_id, request.execution.run_id)

    async def _apply(self, run: Run, input: inputs.Input) -> Any:
        return (await self._executor.perform(run, input)).reply

    # One activity by its id.

    async def pause_activity_execution(
        self, request: PauseActivityExecutionRequest, call: Call
    ) -> PauseActivityExecutionResponse:
        one = PauseActivityRequest(reason=request.reason, request_id=request.request_id or self._executor.ids.uuid())
        await self.pause_activity(self._of_one(request, one), call)
        return PauseActivityExecutionResponse()

    async def unpause_activity_execution(
        self, request: UnpauseActivityExecutionRequest, call: Call
    ) -> UnpauseActivityExecutionResponse:
        await self.unpause_activity(self._of_one(request, UnpauseActivityRequest(jitter=request.jitter)), call)
        return UnpauseActivityExecutionResponse()

    async def reset_activity_execution(
        self, request: ResetActivityExecutionRequest, call: Call
    ) -> ResetActivityExecutionResponse:
        one = ResetActivityRequest(
            reset_heartbeat=request.reset_heartbeat,
            keep_paused=request.keep_paused,
            restore_original_options=request.restore_original_options,
            jitter=request.jitter,
        )
        await self.reset_activity(self._of_one(request, one), call)
        return ResetActivityExecutionResponse()

    async def update_activity_execution_options(
        self, request: UpdateActivityExecutionOptionsRequest, call: Call
    ) -> UpdateActivityExecutionOptionsResponse:
        self._check_one(request)
        one = UpdateActivityOptionsRequest(restore_original=request.restore_original)
        if request.HasField("activity_options"):
            one.activity_options.CopyFrom(request.activity_options)
        if request.HasField("update_mask"):
            one.update_mask.CopyFrom(request.update_mask)
        response = await self.update_activity_options(self._of_one(request, one), call)
        return UpdateActivityExecutionOptionsResponse(activity_options=response.activity_options)

    def _check_one(self, request: Any) -> None:
        validate.namespace(request, self._runtime.config)
        self._runtime.namespaces.get(request.namespace)
        validate.activity_execution(request, self._runtime.config)

    def _of_one(self, request: Any, one: Any) -> Any:
        """The form that says which activities, for the one that `request` names."""
        self._check_one(request)
        one.namespace, one.identity, one.id = request.namespace, request.identity, request.activity_id
        one.execution.workflow_id, one.execution.run_id = request.workflow_id, request.run_id
        return one

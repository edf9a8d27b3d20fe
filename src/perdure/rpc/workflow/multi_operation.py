"""Update-with-start: an update of a workflow that is started for it unless it runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from temporalio.api.workflowservice.v1 import (
    ExecuteMultiOperationRequest,
    ExecuteMultiOperationResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    UpdateWorkflowExecutionRequest,
    UpdateWorkflowExecutionResponse,
)

from perdure.engine.execution import Kind, Update, UpdateState
from perdure.engine.machines.update import ABORTED_BY_CLOSING
from perdure.engine.start import Start
from perdure.errors import (
    Aborted,
    MultiOperationAborted,
    MultiOperationExecution,
    NotFound,
    PerdureError,
    ResourceExhausted,
    Unavailable,
)
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.workflow.executions import RUNNING, Executions, begun, started_link
from perdure.rpc.workflow.updates import UpdateHandlers
from perdure.runtime.namespaces import Namespace
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

USE_EXISTING = 2
"""`WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING`."""


@dataclass(frozen=True, slots=True)
class _Operations:
    """The two operations, checked, and the call that brought them. `began`: when it came in."""

    namespace: Namespace
    start: StartWorkflowExecutionRequest
    update: UpdateWorkflowExecutionRequest
    call: Call
    began: float

    @property
    def update_id(self) -> str:
        return self.update.request.meta.update_id


class _UpdateFailed(Exception):
    """The update failed; `started`: after the workflow was started for it."""

    def __init__(self, error: PerdureError, *, started: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.started = started

    @property
    def only_closing(self) -> bool:
        """Whether a workflow that there was has closed before it accepted the update: another one may take it."""
        return not self.started and isinstance(self.error, NotFound) and self.error.message == ABORTED_BY_CLOSING


class MultiOperations:
    def __init__(self, runtime: Runtime, executions: Executions, updates: UpdateHandlers) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._executions = executions
        self._updates = updates

    async def execute_multi_operation(
        self, request: ExecuteMultiOperationRequest, call: Call
    ) -> ExecuteMultiOperationResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        start, update = validate.multi_operation(request, self._runtime.config, self._runtime.namespaces.rules)
        operations = _Operations(namespace, start, update, call, asyncio.get_running_loop().time())
        aborted = MultiOperationAborted(validate.ABORTED)
        try:
            return await self._execute_again(operations)
        except _UpdateFailed as failed:
            raise MultiOperationExecution(
                validate.FAILED, [None if failed.started else aborted, failed.error]
            ) from failed
        except PerdureError as error:
            raise MultiOperationExecution(validate.FAILED, [error, aborted]) from error

    async def _execute_again(self, operations: _Operations) -> ExecuteMultiOperationResponse:
        """Execute; once more if the workflow closed meanwhile. A client is told to try it a third time."""
        try:
            return await self._execute(operations)
        except _UpdateFailed as failed:
            if not failed.only_closing:
                raise
        try:
            return await self._execute(operations)
        except _UpdateFailed as failed:
            if failed.only_closing:
                raise _UpdateFailed(Aborted(failed.error.message)) from failed
            raise

    async def _execute(self, operations: _Operations) -> ExecuteMultiOperationResponse:
        start, update_id = operations.start, operations.update_id
        current = await self._executor.find_current(operations.namespace.id, start.workflow_id)
        if current is None:
            return await self._start(operations, None)
        known: Update | None = current.execution.pending[Kind.UPDATE].get(update_id)
        if known is not None and known.state == UpdateState.COMPLETED:
            return await self._known(operations, current, known)
        reuses = start.request_id == current.core.start_request_id or start.workflow_id_conflict_policy == USE_EXISTING
        if current.execution.running and (reuses or known is not None):
            return await self._update(operations, current)
        return await self._start(operations, current)

    async def _known(self, operations: _Operations, run: Run, update: Update) -> ExecuteMultiOperationResponse:
        """The update was complete before, whatever has become of its workflow."""
        status = run.core.status
        answer = await self._updates.wait(run, update, operations.update, operations.call, operations.began)
        answer.ClearField("link")
        start = StartWorkflowExecutionResponse(run_id=run.core.run_id, status=status)  # type: ignore[arg-type]
        return _response(start, answer)

    async def _update(self, operations: _Operations, run: Run) -> ExecuteMultiOperationResponse:
        try:
            answer = await self._updates.update(run, operations.update, operations.call, operations.began)
        except PerdureError as error:
            raise _UpdateFailed(error) from error
        start = StartWorkflowExecutionResponse(run_id=run.core.run_id, status=RUNNING)
        start.link.CopyFrom(started_link(operations.start.namespace, run.core))
        return _response(start, answer)

    async def _start(self, operations: _Operations, current: Run | None) -> ExecuteMultiOperationResponse:
        namespace, start = operations.namespace, operations.start
        if current is not None and start.request_id in current.execution.pending[Kind.REQUEST]:
            raise Unavailable("Workflow was not started: StartDeduped")
        outcome = self._executions.resolve(namespace, current, start)
        if outcome is Start.USE_CURRENT:
            raise Unavailable("Workflow was not started: StartReused")
        try:
            run = self._executions.begin(namespace, start, current, outcome, update=operations.update.request)
        except ResourceExhausted as error:
            raise _UpdateFailed(error) from error
        update = run.execution.pending[Kind.UPDATE][operations.update_id]
        response = begun(namespace.name, run.core)
        try:
            answer = await self._updates.wait(run, update, operations.update, operations.call, operations.began)
        except PerdureError as error:
            raise _UpdateFailed(error, started=True) from error
        return _response(response, answer)


def _response(
    start: StartWorkflowExecutionResponse, update: UpdateWorkflowExecutionResponse
) -> ExecuteMultiOperationResponse:
    response = ExecuteMultiOperationResponse()
    response.responses.add().start_workflow.CopyFrom(start)
    response.responses.add().update_workflow.CopyFrom(update)
    return response

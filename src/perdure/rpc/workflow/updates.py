"""Updates: sent, waited for, polled."""

from __future__ import annotations

import asyncio

from temporalio.api.common.v1 import Link
from temporalio.api.enums.v1 import EventType
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice.v1 import (
    PollWorkflowExecutionUpdateRequest,
    PollWorkflowExecutionUpdateResponse,
    UpdateWorkflowExecutionRequest,
    UpdateWorkflowExecutionResponse,
)

from perdure.engine import inputs
from perdure.engine.execution import Update
from perdure.errors import NotFound
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime
from perdure.runtime.updates import ACCEPTED, COMPLETED, Status, Updates, Waiter


class UpdateHandlers:
    def __init__(self, runtime: Runtime, updates: Updates) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._updates = updates

    async def update_workflow_execution(
        self, request: UpdateWorkflowExecutionRequest, call: Call
    ) -> UpdateWorkflowExecutionResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.update(request, self._runtime.config)
        target = request.workflow_execution
        began = asyncio.get_running_loop().time()
        run = await self._executor.find(namespace.id, target.workflow_id, target.run_id)
        return await self.update(run, request, call, began)

    async def update(
        self, run: Run, request: UpdateWorkflowExecutionRequest, call: Call, began: float
    ) -> UpdateWorkflowExecutionResponse:
        """Admit the update to the run (or find the one of that id) and wait. `began`: when the call came in."""
        admit = inputs.AdmitUpdate(request.request, request.first_execution_run_id)
        decision = self._executor.apply(run, admit)
        if decision.error is not None:
            await self._executor.settled(run)
            raise decision.error
        return await self.wait(run, decision.reply, request, call, began)

    async def wait(
        self, run: Run, update: Update, request: UpdateWorkflowExecutionRequest, call: Call, began: float
    ) -> UpdateWorkflowExecutionResponse:
        """Wait for an update of the run as long as the request wants to, then answer.

        Call it where the update was found, with no await in between."""
        waiter = Waiter(self._updates, run, update)
        try:
            status = await waiter.wait(
                request.wait_policy.lifecycle_stage,
                self._runtime.config.history_long_poll_expiration_interval_s,
                _left_s(call, began),
            )
        finally:
            waiter.close()
        return response(run, request, status)

    async def poll_workflow_execution_update(
        self, request: PollWorkflowExecutionUpdateRequest, call: Call
    ) -> PollWorkflowExecutionUpdateResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.poll_update(request)
        reference = request.update_ref
        target = reference.workflow_execution
        run = await self._executor.find(namespace.id, target.workflow_id, target.run_id)
        found = self._updates.find(run, reference.update_id)
        if found is None:
            raise NotFound(f'update "{reference.update_id}" not found')
        waiter = Waiter(self._updates, run, found)
        try:
            status = await waiter.wait(
                request.wait_policy.lifecycle_stage,
                self._runtime.config.history_long_poll_expiration_interval_s,
                call.timeout_s,
            )
        finally:
            waiter.close()
        answer = PollWorkflowExecutionUpdateResponse(outcome=status.outcome, stage=status.stage)
        answer.update_ref.CopyFrom(_reference(run, reference.update_id))
        return answer


def _left_s(call: Call, began: float) -> float | None:
    if call.timeout_s is None:
        return None
    return max(0.0, call.timeout_s - (asyncio.get_running_loop().time() - began))


def _reference(run: Run, update_id: str) -> UpdateRef:
    reference = UpdateRef(update_id=update_id)
    reference.workflow_execution.workflow_id = run.core.workflow_id
    reference.workflow_execution.run_id = run.core.run_id
    return reference


def response(run: Run, request: UpdateWorkflowExecutionRequest, status: Status) -> UpdateWorkflowExecutionResponse:
    """The answer to an update, with a link to what shows it: the event of its acceptance, or just the workflow."""
    answer = UpdateWorkflowExecutionResponse(outcome=status.outcome, stage=status.stage)
    answer.update_ref.CopyFrom(_reference(run, request.request.meta.update_id))
    namespace, core = request.namespace, run.core
    if status.stage == COMPLETED and status.outcome is not None and status.outcome.failure.ByteSize():
        to_workflow = Link.Workflow(namespace=namespace, workflow_id=core.workflow_id, run_id=core.run_id)
        to_workflow.reason = "Update rejected"
        answer.link.workflow.CopyFrom(to_workflow)
    elif status.stage >= ACCEPTED:
        to_event = answer.link.workflow_event
        to_event.namespace, to_event.workflow_id, to_event.run_id = namespace, core.workflow_id, core.run_id
        by_request = to_event.request_id_ref
        by_request.request_id = request.request.request_id
        by_request.event_type = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    return answer

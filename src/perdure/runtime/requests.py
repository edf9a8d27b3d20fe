"""From requests about one execution to what acts on it: for the handlers of the RPCs and for batch jobs.

What can be told from a request alone was checked before; what needs the run that was found is checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.workflow.v1 import PostResetOperation
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetActivityRequest,
    ResetWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
    UpdateWorkflowExecutionOptionsRequest,
)

from perdure.engine import inputs
from perdure.engine.checks.options import bad_path, fields_of
from perdure.engine.checks.versioning import check_override
from perdure.engine.machines.pause import Selection
from perdure.engine.machines.reset import excluded_types
from perdure.engine.machines.workflow import Cancel, Signal
from perdure.engine.times import get_duration
from perdure.errors import InvalidArgument
from perdure.runtime.resets import Reset
from perdure.runtime.run import Run


def input_of(request: Message, run: Run) -> inputs.Input:
    """The input that a request comes to. Raises what the request is refused with, now that the run is known."""
    return _INPUTS[type(request)](request, run)


def signal_of(request: SignalWorkflowExecutionRequest | SignalWithStartWorkflowExecutionRequest) -> Signal:
    source = request.signal_input if isinstance(request, SignalWithStartWorkflowExecutionRequest) else request.input
    name = "signal_input" if isinstance(request, SignalWithStartWorkflowExecutionRequest) else "input"
    return Signal(
        name=request.signal_name,
        input=source if request.HasField(name) else None,  # type: ignore[arg-type]
        header=request.header if request.HasField("header") else None,
        identity=request.identity,
        request_id=request.request_id,
        links=list(request.links),
    )


def selection_of(request: Any) -> Selection:
    """The activities that a request is about."""
    which = request.WhichOneof("activity")
    if which == "id":
        return Selection(activity_id=request.id)
    return Selection(activity_type=request.type) if which == "type" else Selection()


def reset_of(request: ResetWorkflowExecutionRequest, namespace_id: str) -> Reset:
    target = request.workflow_execution
    return Reset(
        namespace_id=namespace_id,
        workflow_id=target.workflow_id,
        run_id=target.run_id,
        event_id=request.workflow_task_finish_event_id,
        reason=request.reason,
        request_id=request.request_id,
        excluded=excluded_types(request.reset_reapply_type, request.reset_reapply_exclude_types),
        options=[
            (
                each.update_workflow_options.workflow_execution_options,
                fields_of(each.update_workflow_options.update_mask),
            )
            for each in request.post_reset_operations
        ],
        check=lambda run: _check_operations(request.post_reset_operations, run),
    )


_UNSUPPORTED = {"signal_workflow": "*workflow.PostResetOperation_SignalWorkflow_", None: "<nil>"}


def _check_operations(operations: Iterable[PostResetOperation], run: Run) -> None:
    for operation in operations:
        kind = operation.WhichOneof("variant")
        if kind in _UNSUPPORTED:
            raise InvalidArgument(f"unsupported post reset operation: {_UNSUPPORTED[kind]}")
        update = operation.update_workflow_options
        options = update.workflow_execution_options
        if problem := bad_path(update.update_mask, options):
            raise InvalidArgument(f"error applying update_options: {problem}")
        if options.HasField("versioning_override"):
            check_override(options.versioning_override, run.core.workflow_id, run.core.task_queue)


def _signal(request: SignalWorkflowExecutionRequest, run: Run) -> inputs.Input:
    return inputs.SignalWorkflow(signal_of(request))


def _cancel(request: RequestCancelWorkflowExecutionRequest, run: Run) -> inputs.Input:
    cancel = Cancel(
        reason=request.reason,
        identity=request.identity,
        request_id=request.request_id,
        links=list(request.links),
    )
    return inputs.CancelWorkflow(cancel)


def _terminate(request: TerminateWorkflowExecutionRequest, run: Run) -> inputs.Input:
    return inputs.TerminateWorkflow(
        reason=request.reason,
        details=request.details if request.HasField("details") else None,
        identity=request.identity,
        links=list(request.links),
    )


def _delete(request: DeleteWorkflowExecutionRequest, run: Run) -> inputs.Input:
    return inputs.DeleteWorkflow()


def _update_options(request: UpdateWorkflowExecutionOptionsRequest, run: Run) -> inputs.Input:
    new = request.workflow_execution_options
    if new.HasField("versioning_override") and run.execution.running:
        check_override(new.versioning_override, request.workflow_execution.workflow_id, run.core.task_queue)
    return inputs.UpdateWorkflowOptions(new, fields_of(request.update_mask), request.identity)


def _unpause_activities(request: UnpauseActivityRequest, run: Run) -> inputs.Input:
    return inputs.UnpauseActivities(
        selection_of(request), request.reset_attempts, request.reset_heartbeat, get_duration(request.jitter)
    )


def _reset_activities(request: ResetActivityRequest, run: Run) -> inputs.Input:
    return inputs.ResetActivities(
        selection_of(request),
        request.reset_heartbeat,
        request.keep_paused,
        request.restore_original_options,
        get_duration(request.jitter),
    )


def _update_activity_options(request: UpdateActivityOptionsRequest, run: Run) -> inputs.Input:
    if request.restore_original:
        if request.update_mask.paths:
            raise InvalidArgument("Both UpdateMask and RestoreOriginal are provided")
    elif not request.HasField("activity_options"):
        raise InvalidArgument("ActivityOptions are not provided")
    options = None if request.restore_original else request.activity_options
    fields = fields_of(request.update_mask) if request.HasField("update_mask") else None
    return inputs.UpdateActivityOptions(selection_of(request), options, fields)


_INPUTS: dict[type, Callable[[Any, Run], inputs.Input]] = {
    SignalWorkflowExecutionRequest: _signal,
    RequestCancelWorkflowExecutionRequest: _cancel,
    TerminateWorkflowExecutionRequest: _terminate,
    DeleteWorkflowExecutionRequest: _delete,
    UpdateWorkflowExecutionOptionsRequest: _update_options,
    UnpauseActivityRequest: _unpause_activities,
    ResetActivityRequest: _reset_activities,
    UpdateActivityOptionsRequest: _update_activity_options,
}

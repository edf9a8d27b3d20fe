"""Operations that are executed together: the start of a workflow and an update of it."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    ExecuteMultiOperationRequest,
    StartWorkflowExecutionRequest,
    UpdateWorkflowExecutionRequest,
)

from perdure.config import Dynamic
from perdure.engine.checks.commands import SearchAttributeRules
from perdure.engine.times import get_duration
from perdure.errors import (
    InvalidArgument,
    MultiOperationAborted,
    MultiOperationExecution,
    NamespaceNotFound,
    PerdureError,
)
from perdure.rpc.validate.start import start as check_start
from perdure.rpc.validate.updates import update as check_update

FAILED = "Update-with-Start could not be executed."
ABORTED = "Operation was aborted."


def multi_operation(
    request: ExecuteMultiOperationRequest, config: Dynamic, rules: SearchAttributeRules
) -> tuple[StartWorkflowExecutionRequest, UpdateWorkflowExecutionRequest]:
    """ExecuteMultiOperation. Returns the two operations, with what `start` and `update` fill in.

    Raises `MultiOperationExecution` with what is wrong with each of them."""
    if [operation.WhichOneof("operation") for operation in request.operations] != ["start_workflow", "update_workflow"]:
        raise InvalidArgument("Operations have to be exactly [Start, Update].")
    start, update = request.operations[0].start_workflow, request.operations[1].update_workflow
    found = _problem_of_start(start, request, config, rules), _problem_of_update(update, request, config)
    if not any(found) and start.workflow_id != update.workflow_execution.workflow_id:
        found = None, InvalidArgument("WorkflowId is not consistent with previous operation(s).")
    if any(found):
        raise MultiOperationExecution(FAILED, [each or MultiOperationAborted(ABORTED) for each in found])
    return start, update


def _problem_of_start(
    start: StartWorkflowExecutionRequest,
    request: ExecuteMultiOperationRequest,
    config: Dynamic,
    rules: SearchAttributeRules,
) -> PerdureError | None:
    try:
        _check_namespace(start.namespace, request.namespace)
        check_start(start, config, rules)
        if not start.namespace:
            raise NamespaceNotFound("")
        if start.cron_schedule:
            raise InvalidArgument("CronSchedule is not allowed.")
        if start.request_eager_execution:
            raise InvalidArgument("RequestEagerExecution is not supported.")
        if get_duration(start.workflow_start_delay):
            raise InvalidArgument("WorkflowStartDelay is not supported.")
    except PerdureError as error:
        return error
    return None


def _problem_of_update(
    update: UpdateWorkflowExecutionRequest, request: ExecuteMultiOperationRequest, config: Dynamic
) -> PerdureError | None:
    try:
        _check_namespace(update.namespace, request.namespace)
        check_update(update, config)
        if update.first_execution_run_id:
            raise InvalidArgument("FirstExecutionRunId is not allowed.")
        if update.workflow_execution.run_id:
            raise InvalidArgument("RunId is not allowed.")
    except PerdureError as error:
        return error
    return None


def _check_namespace(own: str, common: str) -> None:
    if own not in ("", common):
        raise InvalidArgument("Operation namespace did not match request's namespace.")

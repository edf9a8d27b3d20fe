"""Queries, and the answers of workers to those that they were given directly."""

from __future__ import annotations

from temporalio.api.enums.v1 import QueryRejectCondition, QueryResultType, WorkflowExecutionStatus
from temporalio.api.query.v1 import WorkflowQueryResult
from temporalio.api.workflowservice.v1 import (
    QueryWorkflowRequest,
    QueryWorkflowResponse,
    RespondQueryTaskCompletedRequest,
    RespondQueryTaskCompletedResponse,
)

from perdure.rpc import tokens, validate
from perdure.rpc.transport import Call
from perdure.runtime.queries import Queries, unwrap
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

Condition = QueryRejectCondition
Status = WorkflowExecutionStatus


class QueryHandlers:
    def __init__(self, runtime: Runtime, queries: Queries) -> None:
        self._runtime = runtime
        self._queries = queries

    async def query_workflow(self, request: QueryWorkflowRequest, call: Call) -> QueryWorkflowResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.query(request, self._runtime.config)
        execution = request.execution
        run = await self._runtime.executor.find(namespace.id, execution.workflow_id, execution.run_id)
        release = run.hold()  # the answer comes through this object
        what = f"query {request.query.query_type} of workflow {run.core.workflow_id}"
        go_on = self._runtime.time.hold(namespace.id, what)
        try:
            await self._runtime.executor.settled(run)
            return await self._query(run, request, call)
        finally:
            go_on()
            release()

    async def _query(self, run: Run, request: QueryWorkflowRequest, call: Call) -> QueryWorkflowResponse:
        if run.core.status == Status.WORKFLOW_EXECUTION_STATUS_PAUSED or _rejected(
            run.core.status, request.query_reject_condition
        ):
            response = QueryWorkflowResponse()
            response.query_rejected.status = Status.ValueType(run.core.status)
            return response
        result = unwrap(await self._queries.ask(run, request.query, call.timeout_s))
        response = QueryWorkflowResponse()
        response.query_result.CopyFrom(result.answer)
        return response

    def respond_query_task_completed(
        self, request: RespondQueryTaskCompletedRequest, call: Call
    ) -> RespondQueryTaskCompletedResponse:
        runtime = self._runtime
        token = tokens.of_answer(tokens.QueryTaskToken, request, runtime.config, runtime.namespaces)
        validate.query_completed(request, self._runtime.config)
        result = WorkflowQueryResult(result_type=request.completed_type, error_message=request.error_message)
        if request.HasField("query_result"):
            result.answer.CopyFrom(request.query_result)
        if request.HasField("failure"):
            result.failure.CopyFrom(request.failure)
        if not result.result_type:
            result.result_type = QueryResultType.QUERY_RESULT_TYPE_ANSWERED
        self._queries.answer_direct(token.query_id, result)
        return RespondQueryTaskCompletedResponse()


def _rejected(status: int, condition: int) -> bool:
    if status == Status.WORKFLOW_EXECUTION_STATUS_RUNNING:
        return False
    if condition == Condition.QUERY_REJECT_CONDITION_NOT_OPEN:
        return True
    cleanly = status == Status.WORKFLOW_EXECUTION_STATUS_COMPLETED
    return condition == Condition.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY and not cleanly

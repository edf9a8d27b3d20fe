"""Runs as the server tells of them. The SDK's own listings and descriptions fail on a status that it does not know,
such as that of workflows that are paused."""

from __future__ import annotations

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
PAUSED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED
OPEN = {RUNNING, PAUSED}


async def listed(client: Client, query: str) -> list[WorkflowExecutionInfo]:
    """All runs that a query finds."""
    request = ListWorkflowExecutionsRequest(namespace=client.namespace, query=query)
    found: list[WorkflowExecutionInfo] = []
    while True:
        page = await client.workflow_service.list_workflow_executions(request, retry=True)
        found += page.executions
        if not page.next_page_token:
            return found
        request.next_page_token = page.next_page_token


async def listed_open(client: Client, query: str) -> list[WorkflowExecutionInfo]:
    """Those that are open and fit the query. Servers that know no pauses refuse to be asked for them."""
    try:
        found = await listed(client, f"{query} AND ExecutionStatus IN ('Running', 'Paused')")
    except RPCError as error:
        if error.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
        found = await listed(client, f"{query} AND ExecutionStatus = 'Running'")
    return [run for run in found if run.status in OPEN]


async def described(client: Client, workflow_id: str, run_id: str | None) -> DescribeWorkflowExecutionResponse:
    """One of them, by default the newest of its id."""
    execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id or "")
    request = DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution)
    return await client.workflow_service.describe_workflow_execution(request, retry=True)

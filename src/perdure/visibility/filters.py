"""The queries that stand for the filters of ListOpenWorkflowExecutions and ListClosedWorkflowExecutions."""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.filter.v1 import StartTimeFilter
from temporalio.api.workflowservice.v1 import (
    ListClosedWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsRequest,
)

from perdure.errors import InvalidArgument
from perdure.visibility.values import STATUSES

_NOT_CLOSED = (
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
)


def open_query(request: ListOpenWorkflowExecutionsRequest) -> str:
    """The query for open runs. Raises InvalidArgument when the times are in the wrong order."""
    terms = ["ExecutionStatus = 'Running'", *_times("StartTime", request.start_time_filter)]
    match request.WhichOneof("filters"):
        case "execution_filter":
            terms.append(f"WorkflowId = {quote(request.execution_filter.workflow_id)}")
        case "type_filter":
            terms.append(f"WorkflowType = {quote(request.type_filter.name)}")
    return " AND ".join(terms)


def closed_query(request: ListClosedWorkflowExecutionsRequest) -> str:
    """The query for closed runs; the time filter is about the close time, as in the real server.

    Raises InvalidArgument when the times are in the wrong order, and for a status that no closed run has.
    """
    terms = ["ExecutionStatus != 'Running'", *_times("CloseTime", request.start_time_filter)]
    match request.WhichOneof("filters"):
        case "execution_filter":
            terms.append(f"WorkflowId = {quote(request.execution_filter.workflow_id)}")
        case "type_filter":
            terms.append(f"WorkflowType = {quote(request.type_filter.name)}")
        case "status_filter":
            status = request.status_filter.status
            if status in _NOT_CLOSED:
                raise InvalidArgument("StatusFilter must be specified and must be not Running.")
            name = STATUSES[status] if status < len(STATUSES) else str(status)
            terms.append(f"ExecutionStatus = {quote(name)}")
    return " AND ".join(terms)


def quote(text: str) -> str:
    """A string of the query language with this value."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _times(name: str, times: StartTimeFilter) -> list[str]:
    earliest = times.earliest_time.ToNanoseconds() if times.HasField("earliest_time") else None
    latest = times.latest_time.ToNanoseconds() if times.HasField("latest_time") else None
    if earliest is not None and latest is not None and earliest > latest:
        raise InvalidArgument("EarliestTime in StartTimeFilter should not be larger than LatestTime.")
    terms = [] if earliest is None else [f"{name} >= {earliest}"]
    return terms if latest is None else [*terms, f"{name} <= {latest}"]

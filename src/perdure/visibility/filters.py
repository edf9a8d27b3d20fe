"""The queries that stand for the filters of ListOpenWorkflowExecutions and ListClosedWorkflowExecutions.

The requests have been checked: times in order, a status that closed runs have.
"""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.filter.v1 import StartTimeFilter
from temporalio.api.workflowservice.v1 import (
    ListClosedWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsRequest,
)

from perdure.visibility.values import STATUSES


def open_query(request: ListOpenWorkflowExecutionsRequest) -> str:
    """The query for open runs."""
    terms = ["ExecutionStatus = 'Running'", *_times("StartTime", request.start_time_filter)]
    match request.WhichOneof("filters"):
        case "execution_filter":
            terms.append(f"WorkflowId = {quote(request.execution_filter.workflow_id)}")
        case "type_filter":
            terms.append(f"WorkflowType = {quote(request.type_filter.name)}")
    return " AND ".join(terms)


def closed_query(request: ListClosedWorkflowExecutionsRequest) -> str:
    """The query for closed runs; the time filter is about the close time, as in the real server."""
    terms = ["ExecutionStatus != 'Running'", *_times("CloseTime", request.start_time_filter)]
    match request.WhichOneof("filters"):
        case "execution_filter":
            terms.append(f"WorkflowId = {quote(request.execution_filter.workflow_id)}")
        case "type_filter":
            terms.append(f"WorkflowType = {quote(request.type_filter.name)}")
        case "status_filter":
            status = int(request.status_filter.status)
            name = STATUSES[status] if 0 <= status < len(STATUSES) else str(status)
            terms.append(f"ExecutionStatus = {quote(name)}")
    return " AND ".join(terms)


def quote(text: str) -> str:
    """A string of the query language with this value."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _times(name: str, times: StartTimeFilter) -> list[str]:
    terms = []
    if times.HasField("earliest_time"):
        terms.append(f"{name} >= {_ns(times.earliest_time)}")
    if times.HasField("latest_time"):
        terms.append(f"{name} <= {_ns(times.latest_time)}")
    return terms


def _ns(time: Timestamp) -> int:
    # Not ToNanoseconds, which refuses what no calendar has. Beyond 64 bits a time is before or after all others.
    return min(max(int(time.seconds) * 10**9 + int(time.nanos), -(2**63)), 2**63 - 1)

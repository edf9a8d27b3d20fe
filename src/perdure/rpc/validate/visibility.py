"""Requests that list executions. What a query may say is checked where it is compiled."""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.filter.v1 import StartTimeFilter
from temporalio.api.workflowservice.v1 import (
    ListArchivedWorkflowExecutionsRequest,
    ListClosedWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsRequest,
    ListWorkflowExecutionsRequest,
    ScanWorkflowExecutionsRequest,
)

from perdure.config import Dynamic
from perdure.errors import InvalidArgument


def list_workflows(request: ListWorkflowExecutionsRequest | ScanWorkflowExecutionsRequest, config: Dynamic) -> None:
    """ListWorkflowExecutions and ScanWorkflowExecutions. Fills in the page size; one too large is cut, not refused."""
    request.page_size = _page_size(request.page_size, config)


def list_open(request: ListOpenWorkflowExecutionsRequest, config: Dynamic) -> None:
    request.maximum_page_size = _page_size(request.maximum_page_size, config)
    _time_filter(request.start_time_filter)


def list_closed(request: ListClosedWorkflowExecutionsRequest, config: Dynamic) -> None:
    request.maximum_page_size = _page_size(request.maximum_page_size, config)
    _time_filter(request.start_time_filter)
    filters = request.WhichOneof("filters")
    open_status = (Status.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED, Status.WORKFLOW_EXECUTION_STATUS_RUNNING)
    if filters == "status_filter" and request.status_filter.status in open_status:
        raise InvalidArgument("StatusFilter must be specified and must be not Running.")


def list_archived(request: ListArchivedWorkflowExecutionsRequest, config: Dynamic) -> None:
    """There is no archive: always refused, as the real server does where none is configured."""
    if request.page_size > config.visibility_max_page_size:
        raise InvalidArgument(f"PageSize is larger than allowed {config.visibility_max_page_size}.")
    raise InvalidArgument("Cluster is not configured for visibility archival.")


def _page_size(wanted: int, config: Dynamic) -> int:
    return wanted if 0 < wanted <= config.visibility_max_page_size else config.visibility_max_page_size


def _time_filter(times: StartTimeFilter) -> None:
    if not (times.HasField("earliest_time") and times.HasField("latest_time")):
        return
    earliest, latest = times.earliest_time, times.latest_time
    if (earliest.seconds, earliest.nanos) > (latest.seconds, latest.nanos):
        raise InvalidArgument("EarliestTime in StartTimeFilter should not be larger than LatestTime.")

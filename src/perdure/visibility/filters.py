"""The queries that stand for the filters of ListOpenWorkflowExecutions and ListClosedWorkflowExecutions.

The requests have been checked: times in order, a status that closed runs have.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.filter.v1 import StartTimeFilter
from temporalio.api.workflowservice.v1 import (
    ListClosedWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsRequest,
)

from perdure.errors import InvalidArgument
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
    for field, operator in (("earliest_time", ">="), ("latest_time", "<=")):
        time = getattr(times, field)
        if times.HasField(field) and (time.seconds, time.nanos) != (_ZERO_TIME_S, 0):  # type: ignore[arg-type]
            terms.append(f"{name} {operator} {_ns(time)}")
    return terms


_ZERO_TIME_S = -62_135_596_800
"""The first second of the year 1: to the real server, no time at all."""
_AFTER_ALL_YEARS_S = 253_402_300_800
_BEFORE_ALL_YEARS_S = _ZERO_TIME_S - 366 * 86_400
_YEARS_400_S = 146_097 * 86_400


def _ns(time: Timestamp) -> int:
    """Raises `InvalidArgument` of a time outside the years 0 to 9999, which the real server writes and can't read."""
    seconds, nanos = divmod(int(time.seconds) * 10**9 + int(time.nanos), 10**9)
    if not _BEFORE_ALL_YEARS_S <= seconds < _AFTER_ALL_YEARS_S:
        text = _in_any_year(seconds, nanos)
        raise InvalidArgument(f"invalid query: invalid expression: unable to parse datetime '{text}'")
    return min(max(seconds * 10**9 + nanos, -(2**63)), 2**63 - 1)


def _in_any_year(seconds: int, nanos: int) -> str:
    """A time as Go prints it. The calendar repeats itself every 400 years, and `datetime` has some of those."""
    ages, rest_s = divmod(seconds - _ZERO_TIME_S, _YEARS_400_S)
    moment = datetime(1, 1, 1) + timedelta(seconds=rest_s)
    year = moment.year + 400 * ages
    fraction = f".{nanos:09}".rstrip("0") if nanos else ""
    return f"{'-' * (year < 0)}{abs(year):04}-{moment:%m-%dT%H:%M:%S}{fraction}Z"

"""The queries of ListWorkers and CountWorkers: `compile_workers` makes a condition on a heartbeat.

As in the real server, a query that can be read but not be answered (an unknown field, an operator that its field does
not know) is not refused: it finds no worker.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat

from perdure.errors import InvalidArgument
from perdure.visibility import syntax
from perdure.visibility.values import parse_number, parse_time_ns

Condition = Callable[[WorkerHeartbeat], bool]

_STATEMENT = "select * from table1 where "
_MALFORMED = re.compile(r"malformed SQL query: (.*?) \(at position \d+, .*\)", re.DOTALL)

_TEXTS: dict[str, Callable[[WorkerHeartbeat], str]] = {
    "WorkerInstanceKey": lambda heartbeat: heartbeat.worker_instance_key,
    "WorkerIdentity": lambda heartbeat: heartbeat.worker_identity,
    "HostName": lambda heartbeat: heartbeat.host_info.host_name,
    "TaskQueue": lambda heartbeat: heartbeat.task_queue,
    "DeploymentName": lambda heartbeat: heartbeat.deployment_version.deployment_name,
    "BuildId": lambda heartbeat: heartbeat.deployment_version.build_id,
    "SdkName": lambda heartbeat: heartbeat.sdk_name,
    "SdkVersion": lambda heartbeat: heartbeat.sdk_version,
    "WorkerStatus": lambda heartbeat: _status(heartbeat.status),
    "status": lambda heartbeat: _status(heartbeat.status),
}
_TIMES = {"StartTime": "start_time", "HeartbeatTime": "heartbeat_time"}
_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "starts_with": str.startswith,
    "not starts_with": lambda text, start: not text.startswith(start),
}
_TIME_TESTS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


class _Unanswerable(Exception):
    """This part of the query has no answer."""


def compile_workers(query: str) -> Condition:
    """The condition that a query sets; an empty one is met by all. Raises `InvalidArgument` if it can't be read."""
    if not query:
        return lambda heartbeat: True
    where = _parse(query)

    def condition(heartbeat: WorkerHeartbeat) -> bool:
        try:
            return _holds(where, heartbeat)
        except _Unanswerable:
            return False

    return condition


def _parse(query: str) -> syntax.Node:
    from perdure.visibility.grammar import parse

    words = query.split()
    if not words:
        raise InvalidArgument("malformed query: syntax error at position 1")
    if words[0].lower() in ("where", "select") and len(words) > 1:
        raise InvalidArgument(f"invalid filter: {query.strip()}")
    try:
        parsed = parse(query)
    except InvalidArgument as error:
        raise InvalidArgument(
            _MALFORMED.sub(r"malformed query: \1", str(error)).removeprefix("invalid query: ")
        ) from error
    if parsed.where is None:
        position = len(_STATEMENT) + 1 + len(words[0])
        raise InvalidArgument(f"malformed query: syntax error at position {position} near '{words[0]}'")
    if any(clause.name == "LIMIT" for clause in parsed.refused):
        raise InvalidArgument("operation is not supported: 'limit' clause")
    return parsed.where


def _holds(node: syntax.Node, heartbeat: WorkerHeartbeat) -> bool:
    match node:
        case syntax.And():
            return all(_holds(term, heartbeat) for term in node.terms)
        case syntax.Or():
            return any(_holds(term, heartbeat) for term in node.terms)
        case syntax.Paren():
            return _holds(node.inner, heartbeat)
        case syntax.Comparison():
            return _compare(node, heartbeat)
        case syntax.Range():
            return _between(node, heartbeat)
        case syntax.Is():
            return _is_null(node, heartbeat)
    raise _Unanswerable


def _compare(node: syntax.Comparison, heartbeat: WorkerHeartbeat) -> bool:
    name = _name(node.left)
    if name in _TEXTS:
        test = _TEXT_TESTS.get(node.operator)
        if test is None or not isinstance(node.right, syntax.String) or not node.right.value:
            raise _Unanswerable
        return test(_TEXTS[name](heartbeat), node.right.value)
    time_test = _TIME_TESTS.get(node.operator)
    if name not in _TIMES or time_test is None:
        raise _Unanswerable
    return time_test(_time_ns(name, heartbeat), _moment_ns(node.right))


def _between(node: syntax.Range, heartbeat: WorkerHeartbeat) -> bool:
    name = _name(node.left)
    if name not in _TIMES:
        raise _Unanswerable
    low_ns, high_ns = _moment_ns(node.low), _moment_ns(node.high)
    if not heartbeat.HasField(_TIMES[name]):  # type: ignore[arg-type]
        return False
    return (low_ns <= _time_ns(name, heartbeat) <= high_ns) != node.negated


def _is_null(node: syntax.Is, heartbeat: WorkerHeartbeat) -> bool:
    name = _name(node.left)
    if node.test not in ("null", "not null"):
        raise _Unanswerable
    if name in _TEXTS:
        absent = not _TEXTS[name](heartbeat)
    elif name in _TIMES:
        absent = not heartbeat.HasField(_TIMES[name])  # type: ignore[arg-type]
    else:
        raise _Unanswerable
    return absent == (node.test == "null")


def _name(node: syntax.Node) -> str:
    if not isinstance(node, syntax.Column):
        raise _Unanswerable
    return "status" if node.name.lower() == "status" else node.name


def _time_ns(name: str, heartbeat: WorkerHeartbeat) -> int:
    time: Timestamp = getattr(heartbeat, _TIMES[name])
    return time.seconds * 10**9 + time.nanos


def _moment_ns(node: syntax.Node) -> int:
    value: int | float | None = None
    if isinstance(node, syntax.Number):
        value = parse_number(node.text)
    elif isinstance(node, syntax.String):
        value = parse_time_ns(node.value)
    if not isinstance(value, int):
        raise _Unanswerable
    return value


def _status(status: int) -> str:
    """The name of a status as the real server writes it: `ShuttingDown`."""
    try:
        name = WorkerStatus.Name(WorkerStatus.ValueType(status))
    except ValueError:
        return str(status)
    return name.removeprefix("WORKER_STATUS_").title().replace("_", "")

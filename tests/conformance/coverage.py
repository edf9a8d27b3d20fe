"""What the goldens cover and what they miss: `python -m tests.conformance.coverage [--errors]`.

Coverage is measured on what the reference answered, not on what scenarios meant to reach.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import temporalio.api.enums.v1 as enums_pb
import temporalio.api.workflowservice.v1 as service_pb
from tests.conformance.messages import enum_prefix
from tests.conformance.runner import GOLDEN
from tests.conformance.scenarios.ids import CONFLICT, REUSE, STATES

# Not in scope: Nexus, time skipping, versioning, standalone activities. A rejected update leaves no event.
LATER_EVENTS = ("UPDATE_REJECTED", "NEXUS_", "_EXTERNALLY", "TIME_SKIPPING", "UNSPECIFIED")
LATER_COMMANDS = ("NEXUS", "UNSPECIFIED")
# GRPC_MESSAGE_TOO_LARGE is never written: it terminates the workflow with another cause. Nothing sets UNHANDLED_UPDATE.
LATER_CAUSES = ("NEXUS", "GRPC_MESSAGE_TOO_LARGE", "UNHANDLED_UPDATE")
# They tell of the whole server or of its build, not of one conversation.
OF_THE_SERVER = ("GetClusterInfo", "ListNamespaces", "ListTaskQueuePartitions")
LATER_METHODS = (
    "ActivityExecution",
    "BuildId",
    "Deployment",
    "Nexus",
    "Rule",
    "TaskReachability",
    "TimeSkipping",
    "VersioningRules",
    "WorkerConfig",
)


def records() -> Iterator[tuple[str, dict[str, Any]]]:
    """All goldens by `family/name`."""
    for path in sorted(GOLDEN.glob("*/*.json")):
        yield f"{path.parent.name}/{path.stem}", json.loads(path.read_text())


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a record, at any depth."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


# An enum whose values all have to be there: the fields that hold it.
VALUES: dict[Any, tuple[str, ...]] = {
    enums_pb.CancelExternalWorkflowExecutionFailedCause: ("cause",),
    enums_pb.ContinueAsNewInitiator: ("initiator",),
    enums_pb.HistoryEventFilterType: ("history_event_filter_type",),
    enums_pb.ParentClosePolicy: ("parent_close_policy",),
    enums_pb.PendingActivityState: ("state",),
    enums_pb.QueryRejectCondition: ("query_reject_condition",),
    enums_pb.ResetReapplyExcludeType: ("reset_reapply_exclude_types",),
    enums_pb.ResetReapplyType: ("reset_reapply_type",),
    enums_pb.RetryState: ("retry_state",),
    enums_pb.ScheduleOverlapPolicy: ("overlap_policy",),
    enums_pb.SignalExternalWorkflowExecutionFailedCause: ("cause",),
    enums_pb.StartChildWorkflowExecutionFailedCause: ("cause",),
    enums_pb.TimeoutType: ("timeout_type",),
    enums_pb.UpdateWorkflowExecutionLifecycleStage: ("stage", "lifecycle_stage"),
    enums_pb.WorkflowExecutionStatus: ("status",),
    enums_pb.WorkflowIdConflictPolicy: ("workflow_id_conflict_policy",),
    enums_pb.WorkflowIdReusePolicy: ("workflow_id_reuse_policy",),
}
COUNTED_FIELDS = {field for fields in VALUES.values() for field in fields}
_CHECKED = "Namespaces are looked up when the command is checked, and the task fails with its own cause."
EXPLAINED: dict[str, str] = {
    "CancelExternalWorkflowExecutionFailedCause: NAMESPACE_NOT_FOUND": _CHECKED,
    "RetryState: INTERNAL_SERVER_ERROR": "It stands for mistakes of the server's own.",
    "SignalExternalWorkflowExecutionFailedCause: NAMESPACE_NOT_FOUND": _CHECKED,
    "SignalExternalWorkflowExecutionFailedCause: SIGNAL_COUNT_LIMIT_EXCEEDED": "It takes ten thousand signals.",
    "StartChildWorkflowExecutionFailedCause: NAMESPACE_NOT_FOUND": _CHECKED,
    "refused methods: GetSearchAttributes": "It takes nothing that could be wrong.",
    "refused methods: GetSystemInfo": "It takes nothing that could be wrong.",
}
"""What no golden shows, as `kind: name`, and why not. `test_coverage.py` holds the goldens to it."""


@dataclass
class Kind:
    """What is counted of one kind, and what of it has to be there."""

    name: str
    wanted: list[str]
    found: Counter[str]

    @property
    def missing(self) -> list[str]:
        """What has to be in some golden and is in none."""
        return [name for name in self.wanted if not self.found[name]]


@dataclass
class Covered:
    """What all goldens show."""

    scenarios: int
    kinds: list[Kind]
    errors: Counter[str]


def covered() -> Covered:
    """Count what the reference was seen to do."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    names = []
    for name, record in records():
        names.append(name)
        _count(record, counts)
    kinds = [
        Kind("events", _values(enums_pb.EventType, LATER_EVENTS), counts["event"]),
        Kind("commands", _values(enums_pb.CommandType, LATER_COMMANDS), counts["command"]),
        Kind("bad commands", _values(enums_pb.CommandType, LATER_COMMANDS), counts["bad"]),
        Kind("causes", _values(enums_pb.WorkflowTaskFailedCause, LATER_CAUSES), counts["cause"]),
        Kind("methods", _methods(), counts["method"]),
        Kind("refused methods", _methods(), counts["refused"]),
        Kind("policies", [f"{s}/{p}" for s in STATES for p in (*REUSE, *CONFLICT)], Counter(_policies(names))),
        *(_kind_of_values(enum, fields, counts["value"]) for enum, fields in VALUES.items()),
    ]
    return Covered(len(names), kinds, counts["error"])


def main() -> None:
    found = covered()
    print(f"{found.scenarios} scenarios")
    for kind in found.kinds:
        print(f"{kind.name}: {len(kind.wanted) - len(kind.missing)} of {len(kind.wanted)}")
        for name in kind.missing:
            print(f"  missing {name}: {EXPLAINED.get(f'{kind.name}: {name}', 'NOT EXPLAINED')}")
    print(f"errors: {len(found.errors)} different")
    if "--errors" in sys.argv:
        print(*(f"  {count:4} {text}" for text, count in sorted(found.errors.items())), sep="\n")


def _count(record: dict[str, Any], counts: dict[str, Counter[str]]) -> None:
    for item in walk(record):
        for name, value in item.items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and name in COUNTED_FIELDS:
                    counts["value"][f"{name} {one}"] += 1
        if "event_id" in item and "event_type" in item:
            counts["event"][str(item["event_type"])] += 1
            if item["event_type"] == "WORKFLOW_TASK_FAILED":
                counts["cause"][item.get("attributes", {}).get("cause", "UNSPECIFIED")] += 1
    for call in record["calls"]:
        counts["method"][call["call"]] += 1
        error = call.get("error")
        for command in call["request"].get("commands", []):
            if isinstance(command, dict):
                counts["bad" if error else "command"][str(command.get("command_type"))] += 1
        if error:
            counts["error"][f"{error['code']} {error.get('message', '')[:200]}"] += 1
        if error and error["code"] not in ("DEADLINE_EXCEEDED", "UNIMPLEMENTED"):
            counts["refused"][call["call"]] += 1


def _kind_of_values(enum: Any, fields: tuple[str, ...], counted: Counter[str]) -> Kind:
    wanted = _values(enum, ("UNSPECIFIED",))
    return Kind(enum.DESCRIPTOR.name, wanted, Counter({v: sum(counted[f"{f} {v}"] for f in fields) for v in wanted}))


def _values(enum: Any, later: tuple[str, ...]) -> list[str]:
    names = [name.removeprefix(enum_prefix(enum.DESCRIPTOR.name)) for name in enum.DESCRIPTOR.values_by_name]
    return [name for name in names if not any(word in name for word in later)]


def _methods() -> list[str]:
    names = [name.removesuffix("Request") for name in dir(service_pb) if name.endswith("Request")]
    return [name for name in names if not any(word in name for word in (*LATER_METHODS, *OF_THE_SERVER))]


def _policies(names: list[str]) -> Iterator[str]:
    for state in STATES:
        for policy in REUSE:
            if f"ids/start_after_{state}_reuse_{policy.lower()}" in names:
                yield f"{state}/{policy}"
        for policy in CONFLICT:
            if f"ids/start_after_{state}_conflict_{policy.lower()}" in names:
                yield f"{state}/{policy}"


if __name__ == "__main__":
    main()

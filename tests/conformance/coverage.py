"""What the goldens cover and what they miss: `python -m tests.conformance.coverage [--errors]`.

Coverage is measured on what the reference answered, not on what scenarios meant to reach.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import temporalio.api.enums.v1 as enums_pb
import temporalio.api.workflowservice.v1 as service_pb
from tests.conformance.messages import enum_prefix
from tests.conformance.runner import GOLDEN
from tests.conformance.scenarios.ids import CONFLICT, REUSE, STATES

# Not in scope: Nexus, time skipping, versioning, standalone activities. A rejected update leaves no event.
LATER_EVENTS = ("UPDATE_REJECTED", "NEXUS_", "_EXTERNALLY", "TIME_SKIPPING", "UNSPECIFIED")
LATER_COMMANDS = ("NEXUS", "UNSPECIFIED")
# GRPC_MESSAGE_TOO_LARGE is never written: it terminates the workflow with another cause.
LATER_CAUSES = ("NEXUS", "GRPC_MESSAGE_TOO_LARGE")
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


def main() -> None:
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in ("event", "command", "cause", "method", "error")}
    names = []
    for name, record in records():
        names.append(name)
        _count(record, counts)
    print(f"{len(names)} scenarios")
    _report("events", counts["event"], _values(enums_pb.EventType, LATER_EVENTS))
    _report("commands", counts["command"], _values(enums_pb.CommandType, LATER_COMMANDS))
    _report("causes", counts["cause"], _values(enums_pb.WorkflowTaskFailedCause, LATER_CAUSES))
    _report("methods", counts["method"], _methods())
    _report("policies", Counter(_policies(names)), [f"{s}/{p}" for s in STATES for p in (*REUSE, *CONFLICT)])
    print(f"errors: {len(counts['error'])} different")
    if "--errors" in sys.argv:
        print(*(f"  {count:4} {text}" for text, count in sorted(counts["error"].items())), sep="\n")


def _count(record: dict[str, Any], counts: dict[str, Counter[str]]) -> None:
    for item in walk(record):
        if "event_id" in item and "event_type" in item:
            counts["event"][str(item["event_type"])] += 1
            if item["event_type"] == "WORKFLOW_TASK_FAILED":
                counts["cause"][item.get("attributes", {}).get("cause", "UNSPECIFIED")] += 1
    for call in record["calls"]:
        counts["method"][call["call"]] += 1
        for command in call["request"].get("commands", []):
            if isinstance(command, dict):
                counts["command"][str(command.get("command_type"))] += 1
        if error := call.get("error"):
            counts["error"][f"{error['code']} {error.get('message', '')[:200]}"] += 1


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


def _report(title: str, found: Counter[str], wanted: list[str]) -> None:
    missing = [name for name in wanted if not found[name]]
    print(
        f"{title}: {len(wanted) - len(missing)} of {len(wanted)}", *(f"  missing {name}" for name in missing), sep="\n"
    )


if __name__ == "__main__":
    main()

"""What has to occur in a simulation of many seeds, and what cannot, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.workflowservice.v1 import service_pb2
from tests.simulation.faults import Rates

NEXUS = "Nexus operations are not there yet"
ADMINISTRATION = "no run, schedule or job is changed by it"
STANDALONE = "standalone activities and Nexus operations are not there yet"
VERSIONS = "worker versions are not there yet"
RULES = "workflow rules are not there yet"
SAME = "the same reading by another name"

NOT_EVENTS = {
    "UNSPECIFIED": "no event",
    "WORKFLOW_EXECUTION_UPDATE_REJECTED": "the server writes none: rejections leave no trace",
    "WORKFLOW_PROPERTIES_MODIFIED_EXTERNALLY": "the server writes none",
    "ACTIVITY_PROPERTIES_MODIFIED_EXTERNALLY": "the server writes none",
    "WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED": "time passes by itself in a simulated world",
    **{name: NEXUS for name in (key.removeprefix("EVENT_TYPE_") for key in EventType.keys()) if "NEXUS" in name},  # noqa: SIM118
}
NOT_COMMANDS = {
    "UNSPECIFIED": "no command",
    "SCHEDULE_NEXUS_OPERATION": NEXUS,
    "REQUEST_CANCEL_NEXUS_OPERATION": NEXUS,
}


def _all(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


NOT_RPCS = {
    **_all(ADMINISTRATION, "RegisterNamespace DescribeNamespace ListNamespaces UpdateNamespace DeprecateNamespace"),
    **_all(ADMINISTRATION, "GetSystemInfo GetClusterInfo GetSearchAttributes ListTaskQueuePartitions"),
    **_all(ADMINISTRATION, "UpdateTaskQueueConfig FetchWorkerConfig UpdateWorkerConfig"),
    **_all(ADMINISTRATION, "ShutdownWorker RecordWorkerHeartbeat ListWorkers CountWorkers DescribeWorker"),
    **_all(SAME, "ScanWorkflowExecutions ListOpenWorkflowExecutions ListClosedWorkflowExecutions"),
    **_all(SAME, "ListArchivedWorkflowExecutions"),
    **_all("a workflow that skips time", "PollWorkflowExecutionTimeSkipping"),
    **_all(RULES, "CreateWorkflowRule DescribeWorkflowRule DeleteWorkflowRule ListWorkflowRules TriggerWorkflowRule"),
}
_NOT_YET = {"Deployment": VERSIONS, "Version": VERSIONS, "BuildId": VERSIONS, "Reachability": VERSIONS, "Nexus": NEXUS}
_NOT_YET |= {"ActivityExecution": STANDALONE}

STATUSES = (3, 4, 5, 6, 8, 9, 14)
FAULTS = (
    *(name.replace("_", " ") for name in vars(Rates()) if name != "suspend"),
    "bad command",
    "clock set back",
    "clock set forward",
    "crash after a commit",
    "crash before a commit",
    "crash between commits",
)
REACHED = (
    "a restart at an earlier time",
    "batch job that ended as 2",
    "batch job that ended as 5",
    "direct query",
    "eager activity",
    "history read by a worker",
    "query with a task",
    "reset",
    "scheduled start",
    "scheduled times that were checked",
    "task discarded",
    "task of a sticky worker",
    "unwritten task",
)
"""Situations that the model knows by name."""


def not_rpc(name: str) -> str:
    """Why an RPC is not called; empty if it has to be."""
    return NOT_RPCS.get(name) or next((reason for part, reason in _NOT_YET.items() if part in name), "")


def wanted() -> list[str]:
    """All that has to occur, as the counts of a report name it."""
    events = [key.removeprefix("EVENT_TYPE_") for key in EventType.keys()]  # noqa: SIM118
    commands = [key.removeprefix("COMMAND_TYPE_") for key in CommandType.keys()]  # noqa: SIM118
    rpcs = [method.name for method in service_pb2.DESCRIPTOR.services_by_name["WorkflowService"].methods]
    return [
        *(f"event {name}" for name in events if name not in NOT_EVENTS),
        *(f"command {name}" for name in commands if name not in NOT_COMMANDS),
        *(f"rpc {name}" for name in rpcs if not not_rpc(name)),
        *(f"status {code}" for code in STATUSES),
        *(f"fault {name}" for name in FAULTS),
        *(f"reached {name}" for name in REACHED),
    ]


def excused() -> dict[str, str]:
    """What is said not to occur, and why."""
    return {
        **{f"event {name}": why for name, why in NOT_EVENTS.items()},
        **{f"command {name}": why for name, why in NOT_COMMANDS.items()},
        **{f"rpc {name}": why for name, why in NOT_RPCS.items()},
    }


def missing(counts: Mapping[str, int]) -> list[str]:
    """What should have occurred and did not; and what did although it is said that it can't."""
    return [
        *(what for what in wanted() if not counts.get(what)),
        *(f"{what} occurred, and is said not to" for what in excused() if counts.get(what)),
    ]

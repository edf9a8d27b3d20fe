"""What each RPC amounts to: the table from which `docs/API.md` is made and unimplemented methods get their words.

That a method is implemented is read off the families in `rpc/workflow/`; here stands what that can't tell: the feature
it belongs to, and, for a handler that falls short of the real server's, how. A new handler changes nothing here unless
it is partial.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Literal, get_args

from perdure.rpc.services import methods, snake_case

State = Literal["done", "partial", "empty", "unimplemented"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Coverage:
    """One RPC. `feature` is a plural; `state` is what its handler is if there is one; `note` says what is missing."""

    feature: str
    state: State = "done"
    note: str = ""
    refusal: str = ""
    """What the real server answers to a method that it, too, refuses: sent instead of our own words."""


def _all(feature: str, names: str) -> dict[str, Coverage]:
    return {name: Coverage(feature) for name in names.split()}


def _empty(feature: str, names: str) -> dict[str, Coverage]:
    note = f"Nothing to list: {feature} arrive in a later release."
    return {name: Coverage(feature, "empty", note) for name in names.split()}


def _of_workflows(names: str) -> dict[str, Coverage]:
    note = "Activities of workflows only; standalone ones are refused as the real server does by default."
    return {name: Coverage("activity operations", note=note) for name in names.split()}


def _refused(feature: str, names: str, refusal: str) -> dict[str, Coverage]:
    note = f"Refused as the real server does: “{refusal}”"
    return {name: Coverage(feature, "unimplemented", note, refusal) for name in names.split()}


TABLE: dict[str, Coverage] = {
    **_all("namespaces", "RegisterNamespace DescribeNamespace ListNamespaces DeprecateNamespace"),
    "UpdateNamespace": Coverage(
        "namespaces",
        note="Bad binaries, archival and replication change nothing; aliases of search attributes are refused.",
    ),
    **_all("namespaces", "DeleteNamespace"),
    **_all("system calls", "GetSystemInfo GetClusterInfo"),
    "ListClusters": Coverage("remote clusters", note="There is one cluster: this server."),
    **_all("remote clusters", "AddOrUpdateRemoteCluster RemoveRemoteCluster"),
    **_all("workflow executions", "StartWorkflowExecution DescribeWorkflowExecution DeleteWorkflowExecution"),
    **_all("workflow executions", "RequestCancelWorkflowExecution TerminateWorkflowExecution"),
    **_all("histories", "GetWorkflowExecutionHistory GetWorkflowExecutionHistoryReverse"),
    **_all("signals", "SignalWorkflowExecution SignalWithStartWorkflowExecution"),
    **_all("queries", "QueryWorkflow RespondQueryTaskCompleted"),
    **_all("workflow tasks", "PollWorkflowTaskQueue RespondWorkflowTaskCompleted RespondWorkflowTaskFailed"),
    **_all("workflow tasks", "ResetStickyTaskQueue"),
    **_all("activities", "PollActivityTaskQueue RecordActivityTaskHeartbeat RecordActivityTaskHeartbeatById"),
    **_all("activities", "RespondActivityTaskCompleted RespondActivityTaskCompletedById"),
    **_all("activities", "RespondActivityTaskFailed RespondActivityTaskFailedById"),
    **_all("activities", "RespondActivityTaskCanceled RespondActivityTaskCanceledById"),
    **_all("activity operations", "UpdateActivityOptions PauseActivity UnpauseActivity ResetActivity"),
    **_all("task queues", "DescribeTaskQueue ListTaskQueuePartitions ShutdownWorker"),
    "UpdateTaskQueueConfig": Coverage(
        "task queue limits",
        "partial",
        "What is set for fairness keys (a rate limit, weights) is kept and shown, and has no effect: tasks go out by "
        "priority, then by age.",
    ),
    **_all("listings", "ListWorkflowExecutions CountWorkflowExecutions ScanWorkflowExecutions"),
    **_all("listings", "ListOpenWorkflowExecutions ListClosedWorkflowExecutions"),
    "ListArchivedWorkflowExecutions": Coverage(
        "archives", note="There is no archive, which is answered as a real server without one does."
    ),
    "AddSearchAttributes": Coverage("search attributes", note="Any number of each type."),
    **_all("search attributes", "RemoveSearchAttributes ListSearchAttributes GetSearchAttributes"),
    **_all("workflow updates", "UpdateWorkflowExecution PollWorkflowExecutionUpdate ExecuteMultiOperation"),
    **_all("workflow resets", "ResetWorkflowExecution"),
    "UpdateWorkflowExecutionOptions": Coverage(
        "workflow options", "partial", "No worker has a version here, so an override can only be to upgrade by itself."
    ),
    **_all("workflow options", "PauseWorkflowExecution UnpauseWorkflowExecution"),
    **_all("workflows that skip time", "PollWorkflowExecutionTimeSkipping"),
    **_all("schedules", "CreateSchedule DescribeSchedule UpdateSchedule PatchSchedule DeleteSchedule"),
    **_all("schedules", "ListScheduleMatchingTimes ListSchedules CountSchedules"),
    **_all("batch operations", "StartBatchOperation StopBatchOperation DescribeBatchOperation ListBatchOperations"),
    **_all("workflow rules", "CreateWorkflowRule DescribeWorkflowRule DeleteWorkflowRule TriggerWorkflowRule"),
    **_empty("workflow rules", "ListWorkflowRules"),
    **_all("worker reports", "RecordWorkerHeartbeat ListWorkers CountWorkers DescribeWorker"),
    **_refused("worker commands", "FetchWorkerConfig", "FetchWorkerConfig command is not enabled."),
    **_refused("worker commands", "UpdateWorkerConfig", "UpdateWorkerConfig command is not enabled."),
    **_all("worker versions", "DescribeWorkerDeployment DescribeWorkerDeploymentVersion CreateWorkerDeployment"),
    **_all("worker versions", "CreateWorkerDeploymentVersion DeleteWorkerDeployment DeleteWorkerDeploymentVersion"),
    **_all("worker versions", "SetWorkerDeploymentCurrentVersion SetWorkerDeploymentRampingVersion"),
    **_all("worker versions", "SetWorkerDeploymentManager UpdateWorkerDeploymentVersionMetadata"),
    **_all("worker versions", "UpdateWorkerDeploymentVersionComputeConfig"),
    **_all("worker versions", "ValidateWorkerDeploymentVersionComputeConfig"),
    **_empty("worker versions", "ListWorkerDeployments GetWorkerBuildIdCompatibility"),
    **_all("worker versions", "UpdateWorkerBuildIdCompatibility UpdateWorkerVersioningRules"),
    **_all("worker versions", "GetWorkerVersioningRules GetWorkerTaskReachability"),
    **_refused(
        "worker versions",
        "DescribeDeployment ListDeployments GetDeploymentReachability GetCurrentDeployment SetCurrentDeployment",
        "Deployments are deprecated and no longer supported, use Worker Deployments instead",
    ),
    "PollNexusTaskQueue": Coverage(
        "Nexus operations", "empty", "A poll waits, and gets no task: Nexus operations arrive in a later release."
    ),
    **_all("Nexus operations", "RespondNexusTaskCompleted RespondNexusTaskFailed"),
    **_all("Nexus operations", "GetNexusEndpoint CreateNexusEndpoint UpdateNexusEndpoint DeleteNexusEndpoint"),
    **_empty("Nexus operations", "ListNexusEndpoints"),
    **_all("standalone activities", "StartActivityExecution DescribeActivityExecution PollActivityExecution"),
    **_all("standalone activities", "RequestCancelActivityExecution TerminateActivityExecution"),
    **_all("standalone activities", "DeleteActivityExecution"),
    **_of_workflows("PauseActivityExecution UnpauseActivityExecution ResetActivityExecution"),
    **_of_workflows("UpdateActivityExecutionOptions"),
    **_empty("standalone activities", "ListActivityExecutions CountActivityExecutions"),
    **_all("standalone Nexus operations", "StartNexusOperationExecution DescribeNexusOperationExecution"),
    **_all("standalone Nexus operations", "PollNexusOperationExecution RequestCancelNexusOperationExecution"),
    **_all("standalone Nexus operations", "TerminateNexusOperationExecution DeleteNexusOperationExecution"),
    **_empty("standalone Nexus operations", "ListNexusOperationExecutions CountNexusOperationExecutions"),
}


def refusal(name: str) -> str:
    """The words for a method without a handler."""
    entry = TABLE[name]
    return entry.refusal or (
        f"{name} is not implemented by this version of Perdure: {entry.feature} arrive in a later release; "
        "see docs/API.md"
    )


def implemented() -> dict[str, type]:
    """The family that has a handler, by RPC: every class of `rpc/workflow/` with methods named after RPCs."""
    package = importlib.import_module("perdure.rpc.workflow")
    names = {snake_case(method.name): method.name for method in methods()}
    found: dict[str, type] = {}
    for module_info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        module = importlib.import_module(module_info.name)
        for family in vars(module).values():
            if isinstance(family, type) and family.__module__ == module.__name__:
                found |= {names[name]: family for name in vars(family) if name in names}
    return found


def state(name: str, handled: bool) -> State:
    """What the RPC is now: the table's word if there is a handler."""
    return TABLE[name].state if handled else "unimplemented"

"""Everything that can act on a run: the requests of clients and workers, deadlines, and follow-ups of other runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import Link, Payloads, WorkerVersionStamp
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Request
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest, StartWorkflowExecutionRequest

from perdure.engine.execution import Key, Kind
from perdure.engine.machines.pause import Selection
from perdure.engine.machines.workflow import Cancel, Signal


@dataclass(slots=True)
class Input:
    """Base of all inputs."""


@dataclass(slots=True)
class StartWorkflowTask(Input):
    """A worker polled the task. `sticky` tells whether it polled the sticky queue."""

    scheduled_event_id: int
    request_id: str
    identity: str
    sticky: bool
    worker_version: WorkerVersionStamp | None = None


@dataclass(slots=True)
class ReleaseWorkflowTask(Input):
    """The worker that should have had the task was gone before it got it."""

    scheduled_event_id: int
    started_ns: int


@dataclass(slots=True)
class LeaveStickyQueue(Input):
    """The worker whose sticky queue the task waits in is away: any worker may have it."""


@dataclass(slots=True)
class CompleteWorkflowTask(Input):
    scheduled_event_id: int
    started_event_id: int
    started_ns: int
    attempt: int
    request: RespondWorkflowTaskCompletedRequest


@dataclass(slots=True)
class FailWorkflowTask(Input):
    scheduled_event_id: int
    started_event_id: int
    started_ns: int
    attempt: int
    cause: int
    failure: Failure | None
    identity: str
    binary_checksum: str = ""


@dataclass(slots=True)
class StartActivity(Input):
    """`queue`: the one it was polled from; refused if the activity has moved to another."""

    scheduled_event_id: int
    request_id: str
    identity: str
    queue: str = ""


@dataclass(slots=True)
class ReleaseActivity(Input):
    """The worker that should have had this attempt was gone before it got it."""

    scheduled_event_id: int
    attempt: int
    request_id: str


@dataclass(slots=True)
class _ActivityInput(Input):
    """An activity by the event and attempt of a token, or, with event 0, by its id."""

    scheduled_event_id: int
    attempt: int
    activity_id: str
    identity: str


@dataclass(slots=True)
class CompleteActivity(_ActivityInput):
    result: Payloads | None
    worker_version: WorkerVersionStamp | None = None


@dataclass(slots=True)
class FailActivity(_ActivityInput):
    failure: Failure | None
    last_heartbeat_details: Payloads | None = None
    worker_version: WorkerVersionStamp | None = None


@dataclass(slots=True)
class CancelActivity(_ActivityInput):
    details: Payloads | None


@dataclass(slots=True)
class HeartbeatActivity(_ActivityInput):
    details: Payloads | None


@dataclass(slots=True)
class PauseActivities(Input):
    which: Selection
    identity: str = ""
    reason: str = ""
    request_id: str = ""


@dataclass(slots=True)
class UnpauseActivities(Input):
    which: Selection
    reset_attempts: bool = False
    reset_heartbeat: bool = False
    jitter_ns: int = 0


@dataclass(slots=True)
class ResetActivities(Input):
    which: Selection
    reset_heartbeat: bool = False
    keep_paused: bool = False
    restore_options: bool = False
    jitter_ns: int = 0


@dataclass(slots=True)
class UpdateActivityOptions(Input):
    """`fields` name what of `options` counts, in camel case; without `options`, the original ones are restored."""

    which: Selection
    options: ActivityOptions | None
    fields: Collection[str] | None = ()


@dataclass(slots=True)
class PauseWorkflow(Input):
    identity: str = ""
    reason: str = ""
    request_id: str = ""


@dataclass(slots=True)
class UnpauseWorkflow(Input):
    identity: str = ""
    reason: str = ""
    request_id: str = ""


@dataclass(slots=True)
class UpdateWorkflowOptions(Input):
    """`fields` name what of `options` counts, in camel case."""

    options: WorkflowExecutionOptions
    fields: Collection[str]
    identity: str = ""


@dataclass(slots=True)
class Deadline(Input):
    """The time of pending items of one kind has come; `keys` in the order of their times."""

    kind: Kind
    keys: Sequence[Key]


@dataclass(slots=True)
class SignalWorkflow(Input):
    """`with_start`: the signal came with a start that found this run."""

    signal: Signal
    with_start: bool = False


@dataclass(slots=True)
class CancelWorkflow(Input):
    cancel: Cancel


@dataclass(slots=True)
class TerminateWorkflow(Input):
    reason: str = ""
    details: Payloads | None = None
    identity: str = ""
    links: list[Link] = field(default_factory=list)


@dataclass(slots=True)
class DeleteWorkflow(Input):
    """End the run if it is open, and let it be deleted."""


@dataclass(slots=True)
class AdmitUpdate(Input):
    """A client's update. With `first_execution_run_id` the run has to be of that chain."""

    request: Request
    first_execution_run_id: str = ""


@dataclass(slots=True)
class GiveWayToReset(Input):
    """Another run is made by a reset: this one is ended if it is the current one and open.

    `new_run_id`: of the new run, if it is made from this one. `chain_goes_on`: the new run is of the same chain, so
    that the schedule which started it is told how that one ends instead."""

    reason: str
    terminate: bool
    new_run_id: str = ""
    chain_goes_on: bool = False


@dataclass(slots=True)
class ResetStickiness(Input):
    pass


@dataclass(slots=True)
class EnsureWorkflowTask(Input):
    """Something volatile (a query, an update) wants to be delivered with a workflow task."""


@dataclass(slots=True)
class ChildStarted(Input):
    initiated_event_id: int
    run_id: str


@dataclass(slots=True)
class ChildStartFailed(Input):
    """`cause` is a number of `StartChildWorkflowExecutionFailedCause`."""

    initiated_event_id: int
    cause: int


@dataclass(slots=True)
class ChildClosed(Input):
    initiated_event_id: int
    workflow_id: str
    run_id: str
    close_event: HistoryEvent
    first_run_id: str = ""
    """The run that the child began with; unknown if empty."""


@dataclass(slots=True)
class ExternalSignaled(Input):
    """`failed_cause`: number of `SignalExternalWorkflowExecutionFailedCause`, 0 for success."""

    initiated_event_id: int
    failed_cause: int = 0


@dataclass(slots=True)
class ExternalCanceled(Input):
    """`failed_cause`: number of `CancelExternalWorkflowExecutionFailedCause`, 0 for success."""

    initiated_event_id: int
    failed_cause: int = 0


@dataclass(slots=True)
class Settled(Input):
    """A follow-up of this run has been applied to its target."""

    kind: Kind
    key: Key


@dataclass(slots=True)
class AttachRequest(Input):
    """A start that found this run and uses it, with its on-conflict options."""

    request: StartWorkflowExecutionRequest

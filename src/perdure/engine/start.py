"""What a start means when its workflow id is already in use: the id's reuse and conflict policies."""

from __future__ import annotations

from enum import Enum, auto

from temporalio.api.enums.v1 import WorkflowExecutionStatus, WorkflowIdConflictPolicy, WorkflowIdReusePolicy

from perdure.config import Dynamic
from perdure.engine.execution import OPEN, Core
from perdure.engine.times import NS
from perdure.errors import Internal, WorkflowExecutionAlreadyStarted, workflow_busy

Reuse = WorkflowIdReusePolicy
Conflict = WorkflowIdConflictPolicy
Status = WorkflowExecutionStatus

_FAILED = (
    Status.WORKFLOW_EXECUTION_STATUS_FAILED,
    Status.WORKFLOW_EXECUTION_STATUS_CANCELED,
    Status.WORKFLOW_EXECUTION_STATUS_TERMINATED,
    Status.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
)


class Start(Enum):
    """What to do: begin a run, end the current one and begin a run, or use the current one."""

    NEW = auto()
    TERMINATE_CURRENT = auto()
    USE_CURRENT = auto()


def resolve(current: Core | None, reuse_policy: int, conflict_policy: int, now_ns: int, config: Dynamic) -> Start:
    """Decide by the newest run of the workflow id. Raises what the real server refuses with."""
    if current is None:
        return Start.NEW
    if reuse_policy == Reuse.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING:
        reuse_policy = Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
        conflict_policy = Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    if current.status in OPEN:
        return _resolve_open(current, conflict_policy, now_ns, config)
    return _resolve_closed(current, reuse_policy, now_ns, config)


def _resolve_open(current: Core, policy: int, now_ns: int, config: Dynamic) -> Start:
    if policy in (Conflict.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED, Conflict.WORKFLOW_ID_CONFLICT_POLICY_FAIL):
        raise already_started("Workflow execution is already running. WorkflowId: {}, RunId: {}.", current)
    if policy == Conflict.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING:
        return Start.USE_CURRENT
    if policy == Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING:
        _slow_down("restarts", current, now_ns, config)
        return Start.TERMINATE_CURRENT
    raise Internal(f"Failed to process start workflow id conflict policy: {policy}.")


def _resolve_closed(current: Core, policy: int, now_ns: int, config: Dynamic) -> Start:
    if policy == Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY:
        if current.status not in _FAILED:
            raise already_started(
                "Workflow execution already finished successfully. WorkflowId: {}, RunId: {}. "
                "Workflow Id reuse policy: allow duplicate workflow Id if last run failed.",
                current,
            )
    elif policy == Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
        raise already_started(
            "Workflow execution already finished. WorkflowId: {}, RunId: {}. "
            "Workflow Id reuse policy: reject duplicate workflow Id.",
            current,
        )
    elif policy not in (
        Reuse.WORKFLOW_ID_REUSE_POLICY_UNSPECIFIED,
        Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    ):
        raise Internal(f"Failed to process start workflow id reuse policy: {policy}.")
    if config.enable_workflow_id_reuse_start_time_validation:
        _slow_down("starts", current, now_ns, config)
    return Start.NEW


def _slow_down(what: str, current: Core, now_ns: int, config: Dynamic) -> None:
    if not config.enable_workflow_id_reuse_start_time_validation:
        return
    since_ns = now_ns + current.offset_ns - current.start_ns
    if since_ns <= config.workflow_id_reuse_minimal_interval_s * NS:
        message = (
            f"Too many {what} for workflow {current.workflow_id}. Time since last start: {since_ns // 1_000_000} ms"
        )
        raise workflow_busy(message)


def already_started(message: str, current: Core) -> WorkflowExecutionAlreadyStarted:
    return WorkflowExecutionAlreadyStarted(
        message.format(current.workflow_id, current.run_id),
        current.start_request_id,
        current.run_id,
        current.first_run_id,
    )

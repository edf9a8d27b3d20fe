"""DescribeWorkflowExecution: everything that is known of a run, in one answer."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Memo, Payloads, Priority, RetryPolicy, WorkerVersionStamp
from temporalio.api.enums.v1 import (
    EventType,
    ParentClosePolicy,
    PendingActivityState,
    PendingWorkflowTaskState,
    TaskQueueKind,
    VersioningBehavior,
    WorkflowExecutionStatus,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflow.v1 import (
    PendingActivityInfo,
    PendingChildExecutionInfo,
    PendingWorkflowTaskInfo,
    ResetPoints,
    WorkflowExecutionConfig,
    WorkflowExecutionExtendedInfo,
    WorkflowExecutionInfo,
)
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse

from perdure.engine.attributes import shown
from perdure.engine.execution import Activity, Child, Core, Execution, Kind, WorkflowTask
from perdure.engine.machines.pause import options
from perdure.engine.own_time import config_of
from perdure.engine.times import set_duration, set_time
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.runtime import Runtime

NO_TIME = Timestamp(seconds=-62_135_596_800)
"""The first moment of the year 1, which the real server shows where a time is unknown but not absent."""


class Descriptions:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def describe_workflow_execution(
        self, request: DescribeWorkflowExecutionRequest, call: Call
    ) -> DescribeWorkflowExecutionResponse:
        executor = self._runtime.executor
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.describe(request)
        run = await executor.find(namespace.id, request.execution.workflow_id, request.execution.run_id)
        response = describe(run.execution, executor.now_of(run), namespace.retention_ns)
        await executor.settled(run)
        return response


def describe(execution: Execution, now_ns: int, retention_ns: int) -> DescribeWorkflowExecutionResponse:
    """The run as it is in memory."""
    core, pending = execution.core, execution.pending
    response = DescribeWorkflowExecutionResponse(
        execution_config=_config(core),
        workflow_execution_info=_info(core, retention_ns),
        pending_activities=[activity_info(activity, now_ns) for activity in pending[Kind.ACTIVITY].values()],
        pending_children=[_child_info(child) for child in pending[Kind.CHILD].values()],
        workflow_extended_info=_extended_info(execution, now_ns),
    )
    task = execution.pending_workflow_task
    if task is not None:
        response.pending_workflow_task.CopyFrom(_workflow_task_info(task))
    return response


def _config(core: Core) -> WorkflowExecutionConfig:
    config = WorkflowExecutionConfig()
    config.task_queue.name = core.task_queue
    config.task_queue.kind = TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    set_duration(config.default_workflow_task_timeout, core.task_timeout_ns)
    if core.has_execution_timeout:
        set_duration(config.workflow_execution_timeout, core.execution_timeout_ns)
    if core.has_run_timeout:
        set_duration(config.workflow_run_timeout, core.run_timeout_ns)
    if core.user_metadata:
        config.user_metadata.CopyFrom(UserMetadata.FromString(core.user_metadata))
    return config


def _reset_points(core: Core, retention_ns: int) -> ResetPoints:
    """The points of a run that was continued can be used as long as the run is kept."""
    points = ResetPoints.FromString(core.reset_points)
    for point in points.points:
        if core.new_run_id and point.run_id == core.run_id:
            set_time(point.expire_time, core.close_ns + retention_ns)
    return points


def _info(core: Core, retention_ns: int) -> WorkflowExecutionInfo:
    info = WorkflowExecutionInfo(
        status=WorkflowExecutionStatus.ValueType(core.status),
        history_length=core.next_event_id - 1,
        history_size_bytes=core.history_size_bytes,
        state_transition_count=core.state_transition_count,
        task_queue=core.task_queue,
        first_run_id=core.first_run_id,
        memo=Memo.FromString(core.memo),
        search_attributes=shown(core),
        auto_reset_points=_reset_points(core, retention_ns),
    )
    info.execution.workflow_id, info.execution.run_id = core.workflow_id, core.run_id
    info.root_execution.workflow_id, info.root_execution.run_id = core.root_workflow_id, core.root_run_id
    info.type.name = core.workflow_type
    set_time(info.start_time, core.start_ns)
    set_time(info.execution_time, core.execution_ns)
    if core.close_ns:
        set_time(info.close_time, core.close_ns)
        set_duration(info.execution_duration, max(0, core.close_ns - core.execution_ns))
    if core.parent_run_id:
        info.parent_namespace_id = core.parent_namespace_id
        info.parent_execution.workflow_id = core.parent_workflow_id
        info.parent_execution.run_id = core.parent_run_id
    if core.has_priority:
        info.priority.CopyFrom(Priority.FromString(core.priority))
    if core.versioning_override:
        override = info.versioning_info.versioning_override
        override.MergeFromString(core.versioning_override)
        override.behavior = VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE
    if core.most_recent_worker_version:
        info.most_recent_worker_version_stamp.CopyFrom(WorkerVersionStamp.FromString(core.most_recent_worker_version))
    return info


def _extended_info(execution: Execution, now_ns: int) -> WorkflowExecutionExtendedInfo:
    core = execution.core
    info = WorkflowExecutionExtendedInfo(cancel_requested=core.cancel_requested, run_expiration_time=NO_TIME)
    set_time(info.original_start_time, core.original_start_ns or core.start_ns)
    if core.reset_event_id:
        set_time(info.last_reset_time, core.start_ns)
    info.reset_run_id = core.reset_run_id
    if core.execution_expiration_ns:
        set_time(info.execution_expiration_time, core.execution_expiration_ns)
    if core.paused_ns:
        set_time(info.pause_info.paused_time, core.paused_ns)
        info.pause_info.identity, info.pause_info.reason = core.paused_by, core.pause_reason
    if core.clock is not None:
        set_time(info.time_skipping_info.current_time, now_ns)
        if (config := config_of(core.clock)) is not None:
            info.time_skipping_info.effective_config.CopyFrom(config)
    if core.run_expiration_ns:
        set_time(info.run_expiration_time, core.run_expiration_ns)
    for request_id, request in execution.pending[Kind.REQUEST].items():
        shown = info.request_id_infos[str(request_id)]
        shown.event_type = EventType.ValueType(request.event_type)
        shown.event_id = request.event_id
        shown.buffered = not request.event_id
    return info


def activity_info(activity: Activity, now_ns: int) -> PendingActivityInfo:
    """A pending activity as clients see it."""
    info = PendingActivityInfo(
        activity_id=activity.activity_id,
        state=_activity_state(activity),
        attempt=activity.attempt,
        last_worker_identity=activity.last_identity,
    )
    info.activity_type.name = activity.activity_type
    set_time(info.scheduled_time, activity.scheduled_ns)
    if activity.started_ns:
        set_time(info.last_started_time, activity.started_ns)
    if activity.last_heartbeat_ns:
        set_time(info.last_heartbeat_time, activity.last_heartbeat_ns)
        if activity.heartbeat_details:
            info.heartbeat_details.CopyFrom(Payloads.FromString(activity.heartbeat_details))
    if activity.last_attempt_complete_ns:
        set_time(info.last_attempt_complete_time, activity.last_attempt_complete_ns)
    if activity.has_priority or activity.priority:
        info.priority.CopyFrom(Priority.FromString(activity.priority))
    if activity.has_retry_policy:
        _fill_retries(info, activity, now_ns)
    if activity.paused_ns:
        info.paused = True
        set_time(info.pause_info.pause_time, activity.paused_ns)
        info.pause_info.manual.identity, info.pause_info.manual.reason = activity.paused_by, activity.pause_reason
    _fill_options(info, activity)
    return info


def _activity_state(activity: Activity) -> PendingActivityState.ValueType:
    if activity.cancel_requested:
        return PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
    paused = activity.paused_ns > 0
    if activity.started_ns:
        return PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED if paused else _STARTED
    return PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED if paused else _SCHEDULED


_STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
_SCHEDULED = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED


def _fill_retries(info: PendingActivityInfo, activity: Activity, now_ns: int) -> None:
    info.maximum_attempts = RetryPolicy.FromString(activity.retry_policy).maximum_attempts
    if activity.retry_expiration_ns:
        set_time(info.expiration_time, activity.retry_expiration_ns)
    if activity.last_failure:
        info.last_failure.CopyFrom(Failure.FromString(activity.last_failure))
    waits = info.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and activity.scheduled_ns > now_ns
    if waits:
        set_time(info.next_attempt_schedule_time, activity.scheduled_ns)
        set_duration(info.current_retry_interval, activity.scheduled_ns - activity.last_attempt_complete_ns)


def _fill_options(info: PendingActivityInfo, activity: Activity) -> None:
    info.activity_options.CopyFrom(options(activity))
    info.activity_options.task_queue.normal_name = activity.task_queue
    del info.activity_options.retry_policy.non_retryable_error_types[:]


def _child_info(child: Child) -> PendingChildExecutionInfo:
    return PendingChildExecutionInfo(
        workflow_id=child.workflow_id,
        run_id=child.run_id,
        workflow_type_name=child.workflow_type,
        initiated_id=child.initiated_event_id,
        parent_close_policy=ParentClosePolicy.ValueType(child.parent_close_policy),
    )


def _workflow_task_info(task: WorkflowTask) -> PendingWorkflowTaskInfo:
    info = PendingWorkflowTaskInfo(
        state=PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED, attempt=task.attempt
    )
    set_time(info.scheduled_time, task.scheduled_ns)
    set_time(info.original_scheduled_time, task.original_scheduled_ns)
    if task.started_ns:
        info.state = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
        set_time(info.started_time, task.started_ns)
    return info

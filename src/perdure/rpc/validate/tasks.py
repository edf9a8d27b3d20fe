"""Polls, what workers tell of workflow tasks and queries, and task queues."""

from __future__ import annotations

import re

from temporalio.api.common.v1 import WorkerVersionCapabilities, WorkerVersionStamp
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import DescribeTaskQueueMode, QueryResultType, deployment_pb2, task_queue_pb2
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    ListTaskQueuePartitionsRequest,
    PollActivityTaskQueueRequest,
    PollNexusTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    RespondQueryTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
)

from perdure.config import Dynamic
from perdure.engine.checks import values
from perdure.engine.checks.values import byte_length
from perdure.errors import InvalidArgument, PermissionDenied
from perdure.rpc.validate import common

_NUMBER = re.compile(r"\+?[0-9]{1,18}")
_VERSION_ID_FRAME_BYTES = len("temporal-sys-worker-deployment-version:")


def poll_workflow(request: PollWorkflowTaskQueueRequest, timeout_s: float | None, config: Dynamic) -> None:
    """`timeout_s`: until the caller's deadline, None for none. Fills in the task queue's kind."""
    common.long_poll_deadline(timeout_s, config)
    common.identity(request.identity, config)
    _version(request.worker_version_capabilities, _options(request), request.task_queue, config)
    values.check_task_queue(request.task_queue if request.HasField("task_queue") else None, config)
    partition(request.task_queue, task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW, config)


def poll_activity(request: PollActivityTaskQueueRequest, timeout_s: float | None, config: Dynamic) -> None:
    """As `poll_workflow`, in another order."""
    common.long_poll_deadline(timeout_s, config)
    values.check_task_queue(request.task_queue if request.HasField("task_queue") else None, config)
    common.identity(request.identity, config)
    _version(request.worker_version_capabilities, _options(request), request.task_queue, config)
    partition(request.task_queue, task_queue_pb2.TASK_QUEUE_TYPE_ACTIVITY, config)


def poll_nexus(request: PollNexusTaskQueueRequest, timeout_s: float | None, config: Dynamic) -> None:
    """As `poll_workflow`, in yet another order, and without a look at versions."""
    common.long_poll_deadline(timeout_s, config)
    values.check_task_queue(request.task_queue if request.HasField("task_queue") else None, config)
    common.identity(request.identity, config)
    partition(request.task_queue, task_queue_pb2.TASK_QUEUE_TYPE_NEXUS, config)


def workflow_task_completed(request: RespondWorkflowTaskCompletedRequest, config: Dynamic) -> None:
    common.identity(request.identity, config)
    queue = request.sticky_attributes.worker_task_queue
    _version(request.worker_version_stamp, _options(request), queue, config)


def workflow_task_failed(request: RespondWorkflowTaskFailedRequest, config: Dynamic) -> None:
    """Replaces a failure that is too large."""
    common.identity(request.identity, config)
    values.check_causes(request.failure)
    if common.is_too_large(request.failure, config):
        request.failure.CopyFrom(common.too_large_failure(request.failure, config))


def query_completed(request: RespondQueryTaskCompletedRequest, config: Dynamic) -> None:
    """Makes an answer that is too large a failed query."""
    if common.is_too_large(request.query_result, config):
        token = request.task_token
        request.Clear()
        request.task_token = token
        request.completed_type = QueryResultType.QUERY_RESULT_TYPE_FAILED
        request.error_message = values.BLOB_TOO_LARGE


def describe_task_queue(request: DescribeTaskQueueRequest, config: Dynamic) -> None:
    """Fills in kind and types."""
    enhanced = request.api_mode == DescribeTaskQueueMode.DESCRIBE_TASK_QUEUE_MODE_ENHANCED
    plain = request.api_mode == DescribeTaskQueueMode.DESCRIBE_TASK_QUEUE_MODE_UNSPECIFIED
    queue = request.task_queue if request.HasField("task_queue") else None
    values.check_task_queue(queue, config, partition=plain)
    partition_number(request.task_queue.name, config)
    if enhanced or not request.task_queue_type:
        request.task_queue_type = task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW
    if not request.task_queue_types:
        request.task_queue_types.extend(
            (task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW, task_queue_pb2.TASK_QUEUE_TYPE_ACTIVITY)
        )
    if request.report_task_reachability and len(request.versions.build_ids) > config.reachability_query_build_id_limit:
        raise InvalidArgument(
            "Too many build ids queried at once with ReportTaskReachability==true, "
            f"limit: {config.reachability_query_build_id_limit}"
        )
    if enhanced and request.task_queue.kind == task_queue_pb2.TASK_QUEUE_KIND_STICKY:
        raise InvalidArgument(
            "Enhanced DescribeTaskQueue is not valid for a sticky queue, use api_mode=UNSPECIFIED or a normal queue."
        )
    try:
        partition(request.task_queue, request.task_queue_type, config)
    except InvalidArgument as error:
        if not enhanced:
            raise
        text = "Task Queue Partition invalid, use a different Task Queue or Task Queue Type"
        raise InvalidArgument(text) from error


def list_partitions(request: ListTaskQueuePartitionsRequest, config: Dynamic) -> None:
    """ListTaskQueuePartitions. Fills in the kind."""
    values.check_task_queue(request.task_queue if request.HasField("task_queue") else None, config)
    partition(request.task_queue, task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW, config)


_TYPE_NAMES: dict[int, str] = {
    task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW: "Workflow",
    task_queue_pb2.TASK_QUEUE_TYPE_ACTIVITY: "Activity",
}


def partition(queue: TaskQueue, task_type: int, config: Dynamic) -> None:
    """Whether a queue of that kind can have tasks of that type."""
    base, number = _partition_name(queue.name, config)
    if queue.normal_name and queue.kind != task_queue_pb2.TASK_QUEUE_KIND_STICKY:
        raise InvalidArgument(f"only sticky queues can have normal name. tq: {base}, normal name: {queue.normal_name}")
    if queue.kind != task_queue_pb2.TASK_QUEUE_KIND_WORKER_COMMANDS:
        return
    if number:
        raise InvalidArgument(f"worker-commands partitions cannot have non-zero partition ID. base name: {base}")
    if task_type != task_queue_pb2.TASK_QUEUE_TYPE_NEXUS:
        got = _TYPE_NAMES.get(task_type, str(task_type))
        raise InvalidArgument(f"worker-commands partitions must have nexus task type, got: {got}. base name: {base}")


def partition_number(name: str, config: Dynamic) -> int:
    """Which partition of its queue a name means: 0, the root, unless it says so as `/_sys/NAME/NUMBER`."""
    return _partition_name(name, config)[1]


def _partition_name(name: str, config: Dynamic) -> tuple[str, int]:
    prefix = config.reserved_task_queue_prefix
    if not name.startswith(prefix):
        return name, 0
    base, slash, number = name.removeprefix(prefix).rpartition("/")
    if not (slash and base) or not _NUMBER.fullmatch(number) or int(number) <= 0:
        raise InvalidArgument(f"invalid task queue partition name {name}")
    if base.startswith(prefix):
        raise InvalidArgument(f"task queue family name cannot have prefix {prefix} {base}")
    return base, int(number)


# Versions of workers.


def _options(
    request: PollWorkflowTaskQueueRequest | PollActivityTaskQueueRequest | RespondWorkflowTaskCompletedRequest,
) -> WorkerDeploymentOptions | None:
    return request.deployment_options if request.HasField("deployment_options") else None


def _version(
    version: WorkerVersionCapabilities | WorkerVersionStamp,
    options: WorkerDeploymentOptions | None,
    queue: TaskQueue,
    config: Dynamic,
) -> None:
    if version.use_versioning:
        # The versions of old, by build id alone, are off by default in the real server, and always here.
        raise PermissionDenied("Worker versioning in workflow progress APIs is disabled on this namespace.")
    sticky_alone = queue.kind == task_queue_pb2.TASK_QUEUE_KIND_STICKY and not queue.normal_name
    if sticky_alone and options is not None:
        raise InvalidArgument(
            "NormalName must be set on sticky queue when UseVersioning is true or DeploymentOptions are set."
        )
    if byte_length(version.build_id) > config.worker_build_id_size_limit_bytes:
        raise InvalidArgument("Build ID exceeds configured limit.workerBuildIdSize, use a shorter build ID.")
    if options is None or options.worker_versioning_mode != deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED:
        return
    if not options.deployment_name or not options.build_id:
        raise InvalidArgument("Deployment name and build id must be set together.")
    _version_field("WorkerDeploymentName", options.deployment_name, config)
    for mark in (".", ":"):
        if mark in options.deployment_name:
            raise InvalidArgument(f"worker deployment name cannot contain '{mark}'")
    _not_reserved("WorkerDeploymentName", options.deployment_name)
    _version_field("BuildID", options.build_id, config)
    _not_reserved("BuildID", options.build_id)


def _version_field(name: str, value: str, config: Dynamic) -> None:
    if byte_length(value) > (config.max_id_length - _VERSION_ID_FRAME_BYTES) // 2:
        raise InvalidArgument(f"size of {name} larger than the maximum allowed")


def _not_reserved(name: str, value: str) -> None:
    if value.startswith("__"):
        raise InvalidArgument(f"{name} cannot start with '__'")

"""Task queues: who polls them, and what waits in them."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import BuildIdTaskReachability, DescribeTaskQueueMode, TaskQueueKind, TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueueStats, TaskQueueTypeInfo
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    ListTaskQueuePartitionsRequest,
    ListTaskQueuePartitionsResponse,
    PollActivityTaskQueueRequest,
)

from perdure.engine.checks import values
from perdure.engine.queues import activity_queue, nexus_queue, workflow_queue
from perdure.engine.times import set_duration, set_time
from perdure.errors import InvalidArgument
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.matching import Poller
from perdure.runtime.runtime import Runtime

DEFAULT_RATE_PER_SECOND = 100_000.0
"""What a poller that names no limit is shown with."""
DEFAULT_PRIORITY = 3
NO_TIME = Timestamp(seconds=-62_135_596_800)
STICKY_STATS = "DescribeTaskQueue stats are only supported for the root partition"


@dataclass(frozen=True, slots=True)
class Backlog:
    """Tasks that wait, and since when the first of them does (0: there is none)."""

    count: int
    oldest_ns: int


class TaskQueues:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def describe_task_queue(self, request: DescribeTaskQueueRequest, call: Call) -> DescribeTaskQueueResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.describe_task_queue(request, self._runtime.config)
        if request.api_mode == DescribeTaskQueueMode.DESCRIBE_TASK_QUEUE_MODE_ENHANCED:
            return await self._describe_versions(namespace.id, request)
        sticky = request.task_queue.kind == TaskQueueKind.TASK_QUEUE_KIND_STICKY
        if sticky and request.report_stats:
            raise InvalidArgument(STICKY_STATS)
        queue = _queue(namespace.id, request.task_queue.name, request.task_queue_type)
        response = DescribeTaskQueueResponse(pollers=self._pollers(queue))
        if not sticky:
            response.versioning_info.current_version = "__unversioned__"
            response.versioning_info.update_time.CopyFrom(NO_TIME)
        if request.include_task_queue_status:
            response.task_queue_status.backlog_count_hint = (await self._backlog(queue)).count
        if request.report_stats:
            stats = self._stats(await self._backlog(queue))
            response.stats.CopyFrom(stats)
            response.stats_by_priority_key[DEFAULT_PRIORITY].CopyFrom(stats)
        return response

    async def _describe_versions(
        self, namespace_id: str, request: DescribeTaskQueueRequest
    ) -> DescribeTaskQueueResponse:
        """The enhanced mode: by build id (only unversioned workers are served) and type."""
        response = DescribeTaskQueueResponse()
        named = request.HasField("versions") and list(request.versions.build_ids)
        for build_id in named or []:
            response.versions_info[build_id].SetInParent()
        if not named or request.versions.unversioned:
            response.versions_info[""].SetInParent()
        for build_id, version in response.versions_info.items():
            for kind in request.task_queue_types:
                info = version.types_info[kind]
                info.SetInParent()
                if not build_id:
                    await self._fill_type(info, _queue(namespace_id, request.task_queue.name, kind), request)
            if request.report_task_reachability:
                version.task_reachability = _UNREACHABLE if build_id else _REACHABLE
        return response

    async def _fill_type(self, info: TaskQueueTypeInfo, queue: str, request: DescribeTaskQueueRequest) -> None:
        if request.report_pollers:
            info.pollers.extend(self._pollers(queue))
        if request.report_stats:
            info.stats.CopyFrom(self._stats(await self._backlog(queue)))

    def _pollers(self, queue: str) -> list[PollerInfo]:
        return [_poller_info(poller) for poller in self._runtime.matching.pollers(queue)]

    async def _backlog(self, queue: str) -> Backlog:
        """As memory has it if it holds all tasks of the queue: storage does not know yet of the latest starts."""
        known = self._runtime.matching.backlog(queue)
        if known is not None:
            return Backlog(*known)
        storage = self._runtime.storage
        first = await storage.ready(queue, None, 1)
        return Backlog(await storage.ready_count(queue), first[0].order if first else 0)

    def _stats(self, backlog: Backlog) -> TaskQueueStats:
        stats = TaskQueueStats(approximate_backlog_count=backlog.count)
        age_ns = self._runtime.executor.now_ns() - backlog.oldest_ns if backlog.oldest_ns else 0
        set_duration(stats.approximate_backlog_age, max(0, age_ns))
        return stats

    def list_task_queue_partitions(
        self, request: ListTaskQueuePartitionsRequest, call: Call
    ) -> ListTaskQueuePartitionsResponse:
        """A queue is never divided here: it is its own one partition."""
        validate.namespace(request, self._runtime.config)
        values.check_task_queue(request.task_queue if request.HasField("task_queue") else None, self._runtime.config)
        self._runtime.namespaces.get(request.namespace)
        response = ListTaskQueuePartitionsResponse()
        for partitions in (response.activity_task_queue_partitions, response.workflow_task_queue_partitions):
            partitions.add(key=request.task_queue.name, owner_host_name=platform.node())
        return response


_REACHABLE = BuildIdTaskReachability.BUILD_ID_TASK_REACHABILITY_REACHABLE
_UNREACHABLE = BuildIdTaskReachability.BUILD_ID_TASK_REACHABILITY_UNREACHABLE
_NAMED: dict[int, Callable[[str, str], str]] = {
    TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY: activity_queue,
    TaskQueueType.TASK_QUEUE_TYPE_NEXUS: nexus_queue,
}


def _queue(namespace_id: str, name: str, kind: int) -> str:
    return _NAMED.get(kind, workflow_queue)(namespace_id, name)


def _poller_info(poller: Poller) -> PollerInfo:
    request = poller.details
    info = PollerInfo(identity=poller.identity, rate_per_second=DEFAULT_RATE_PER_SECOND)
    set_time(info.last_access_time, poller.last_access_ns)
    limited = isinstance(request, PollActivityTaskQueueRequest)
    if limited and request.task_queue_metadata.HasField("max_tasks_per_second"):
        info.rate_per_second = request.task_queue_metadata.max_tasks_per_second.value
    for name in ("worker_version_capabilities", "deployment_options"):
        if request.HasField(name):
            getattr(info, name).CopyFrom(getattr(request, name))
    return info

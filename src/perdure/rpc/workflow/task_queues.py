"""Task queues: who polls them, and what waits in them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import (
    BuildIdTaskReachability,
    DescribeTaskQueueMode,
    RateLimitSource,
    TaskQueueKind,
    TaskQueueType,
)
from temporalio.api.taskqueue.v1 import PollerInfo, RateLimitConfig, TaskQueueConfig, TaskQueueStats, TaskQueueTypeInfo
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    ListTaskQueuePartitionsRequest,
    ListTaskQueuePartitionsResponse,
    PollActivityTaskQueueRequest,
    UpdateTaskQueueConfigRequest,
    UpdateTaskQueueConfigResponse,
)

from perdure.engine.queues import (
    DEFAULT_LEVEL,
    LEVELS,
    activity_queue,
    first_order,
    nexus_queue,
    ready_ns,
    workflow_queue,
)
from perdure.engine.times import set_duration, set_time
from perdure.errors import InvalidArgument
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.matching import Figures
from perdure.runtime.queue import Poller
from perdure.runtime.runtime import Runtime
from perdure.storage.base import ReadyItem

DEFAULT_RATE_PER_SECOND = 100_000.0
"""What a poller that names no limit is shown with."""
MILLISECOND_NS = 1_000_000
NO_TIME = Timestamp(seconds=-62_135_596_800)
NOT_ROOT = "DescribeTaskQueue stats are only supported for the root partition"


class TaskQueues:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def describe_task_queue(self, request: DescribeTaskQueueRequest, call: Call) -> DescribeTaskQueueResponse:
        config = self._runtime.config
        validate.namespace(request, config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.describe_task_queue(request, config)
        if request.api_mode == DescribeTaskQueueMode.DESCRIBE_TASK_QUEUE_MODE_ENHANCED:
            return await self._describe_versions(namespace.id, request)
        name, kind = request.task_queue.name, request.task_queue_type
        of_one_worker = request.task_queue.kind in _OF_ONE_WORKER
        if request.report_stats and (of_one_worker or validate.partition_number(name, config)):
            raise InvalidArgument(NOT_ROOT)
        queue = _queue(namespace.id, name, kind)
        response = DescribeTaskQueueResponse(pollers=self._pollers(queue))
        if not of_one_worker:
            response.versioning_info.current_version = "__unversioned__"
            response.versioning_info.update_time.CopyFrom(NO_TIME)
        self._fill_limit(response, queue)
        if request.include_task_queue_status:
            figures = await self._figures(queue)
            response.task_queue_status.backlog_count_hint = sum(each.count for each in figures.values())
            response.task_queue_status.rate_per_second = response.effective_rate_limit.requests_per_second
        if request.report_stats:
            figures = await self._figures(queue)
            response.stats.CopyFrom(self._stats(queue, figures.values()))
            for priority, each in figures.items():
                response.stats_by_priority_key[priority].CopyFrom(self._stats(queue, [each]))
        if request.report_config and (found := self._runtime.queue_configs.get(namespace.id, kind, name)):
            response.config.CopyFrom(found)
        return response

    def _fill_limit(self, response: DescribeTaskQueueResponse, queue: str) -> None:
        """Nothing, where nobody has set a limit."""
        limit = self._runtime.matching.limit(queue)
        if limit is None:
            return
        per_second, by_worker = limit
        source = RateLimitSource.RATE_LIMIT_SOURCE_WORKER if by_worker else RateLimitSource.RATE_LIMIT_SOURCE_API
        response.effective_rate_limit.requests_per_second = per_second
        response.effective_rate_limit.rate_limit_source = source

    async def _describe_versions(
        self, namespace_id: str, request: DescribeTaskQueueRequest
    ) -> DescribeTaskQueueResponse:
        """The enhanced mode: by build id (only unversioned workers are served) and type."""
        response = DescribeTaskQueueResponse()
        for build_id in request.versions.build_ids:
            response.versions_info[build_id].SetInParent()
        if not request.HasField("versions") or request.versions.unversioned:
            response.versions_info[""].SetInParent()
        for build_id, version in response.versions_info.items():
            for kind in request.task_queue_types:
                info = version.types_info[kind]
                info.SetInParent()
                if not build_id:
                    await self._fill_type(info, _queue(namespace_id, request.task_queue.name, kind), request)
                elif request.report_stats:
                    set_duration(info.stats.approximate_backlog_age, 0)
            if request.report_task_reachability:
                version.task_reachability = _UNREACHABLE if build_id else _REACHABLE
        return response

    async def _fill_type(self, info: TaskQueueTypeInfo, queue: str, request: DescribeTaskQueueRequest) -> None:
        if request.report_pollers:
            info.pollers.extend(self._pollers(queue))
        if request.report_stats:
            info.stats.CopyFrom(self._stats(queue, (await self._figures(queue)).values()))

    def _pollers(self, queue: str) -> list[PollerInfo]:
        return [_poller_info(poller) for poller in self._runtime.matching.pollers(queue)]

    async def _figures(self, queue: str) -> dict[int, Figures]:
        """By priority. As memory has them if it holds all tasks: storage does not know yet of the latest starts."""
        matching = self._runtime.matching
        figures = {DEFAULT_LEVEL: Figures(), **matching.figures(queue)}
        if matching.holds_all(queue):
            return figures
        storage = self._runtime.storage
        for priority in range(1, LEVELS + 1):
            start, end = first_order(priority), first_order(priority + 1)
            count = await storage.ready_count(queue, start, end)
            if count or priority in figures:
                first = await storage.ready(queue, ReadyItem(start, -1, -1, ""), 1) if count else []
                oldest_ns = ready_ns(first[0].order) if first else 0
                figures[priority] = replace(figures.get(priority, Figures()), count=count, oldest_ns=oldest_ns)
        return figures

    def _stats(self, queue: str, figures: Iterable[Figures]) -> TaskQueueStats:
        """What several priorities come to together."""
        figures = list(figures)
        stats = TaskQueueStats(
            approximate_backlog_count=sum(each.count for each in figures),
            tasks_add_rate=sum(each.added for each in figures),
            tasks_dispatch_rate=sum(each.dispatched for each in figures),
            rate_limiting_active=self._runtime.matching.is_held_back(queue),
        )
        waiting = [each.oldest_ns for each in figures if each.oldest_ns]
        age_ns = self._runtime.executor.now_ns() - min(waiting) if waiting else 0
        set_duration(stats.approximate_backlog_age, max(0, age_ns))
        return stats

    async def update_task_queue_config(
        self, request: UpdateTaskQueueConfigRequest, call: Call
    ) -> UpdateTaskQueueConfigResponse:
        """What the request leaves out stays; a rate limit without a rate takes the limit away."""
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.queue_config(request, self._runtime.config)
        configs, key = self._runtime.queue_configs, (namespace.id, int(request.task_queue_type), request.task_queue)
        config = TaskQueueConfig()
        if (before := configs.get(*key)) is not None:
            config.CopyFrom(before)
        now_ns = self._runtime.executor.now_ns() // MILLISECOND_NS * MILLISECOND_NS
        for name, limit in _LIMITS:
            if request.HasField(name):
                _set_limit(getattr(config, limit), getattr(request, name), request.identity, now_ns)
        for fairness_key in request.unset_fairness_weight_overrides:
            config.fairness_weight_overrides.pop(fairness_key, None)
        config.fairness_weight_overrides.update(request.set_fairness_weight_overrides)
        if len(config.fairness_weight_overrides) > self._runtime.config.max_fairness_key_weight_overrides:
            raise InvalidArgument(validate.TOO_MANY_OVERRIDES)
        configs.change(*key, config)
        await self._runtime.executor.flushed()
        return UpdateTaskQueueConfigResponse(config=config)

    def list_task_queue_partitions(
        self, request: ListTaskQueuePartitionsRequest, call: Call
    ) -> ListTaskQueuePartitionsResponse:
        """A queue is never divided here: it is its own one partition."""
        validate.namespace(request, self._runtime.config)
        self._runtime.namespaces.get(request.namespace)
        validate.list_partitions(request, self._runtime.config)
        response = ListTaskQueuePartitionsResponse()
        for partitions in (response.activity_task_queue_partitions, response.workflow_task_queue_partitions):
            partitions.add(key=request.task_queue.name, owner_host_name=platform.node())
        return response


_OF_ONE_WORKER = (TaskQueueKind.TASK_QUEUE_KIND_STICKY, TaskQueueKind.TASK_QUEUE_KIND_WORKER_COMMANDS)
_REACHABLE = BuildIdTaskReachability.BUILD_ID_TASK_REACHABILITY_REACHABLE
_UNREACHABLE = BuildIdTaskReachability.BUILD_ID_TASK_REACHABILITY_UNREACHABLE
_NAMED: dict[int, Callable[[str, str], str]] = {
    TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY: activity_queue,
    TaskQueueType.TASK_QUEUE_TYPE_NEXUS: nexus_queue,
}


_LIMITS: tuple[tuple[Literal["update_queue_rate_limit", "update_fairness_key_rate_limit_default"], str], ...] = (
    ("update_queue_rate_limit", "queue_rate_limit"),
    ("update_fairness_key_rate_limit_default", "fairness_keys_rate_limit_default"),
)
"""What UpdateTaskQueueConfig sets, and where it is kept."""


def _set_limit(
    limit: RateLimitConfig, update: UpdateTaskQueueConfigRequest.RateLimitUpdate, identity: str, now_ns: int
) -> None:
    limit.Clear()
    if update.HasField("rate_limit"):
        limit.rate_limit.CopyFrom(update.rate_limit)
    limit.metadata.reason = update.reason
    limit.metadata.update_identity = identity
    set_time(limit.metadata.update_time, now_ns)


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

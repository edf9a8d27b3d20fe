"""Workers that tell of themselves: their heartbeats, and who asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Final

from temporalio.api.worker.v1 import WorkerHeartbeat, WorkerInfo, WorkerListInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkersRequest,
    CountWorkersResponse,
    DescribeWorkerRequest,
    DescribeWorkerResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    RecordWorkerHeartbeatRequest,
    RecordWorkerHeartbeatResponse,
)

from perdure.config import MIB
from perdure.errors import InvalidArgument, NotFound
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.validate.common import HasNamespace
from perdure.runtime.runtime import Runtime
from perdure.visibility.workers import compile_workers

MAX_PAGE_BYTES: Final = 4 * MIB
"""Of heartbeats in one reply, but for the last, which may be larger."""
SYSTEM_QUEUE_PREFIX = "temporal-sys-"
"""Task queues of workers that are the server's own, and listed only if asked for."""
_SAME = ("worker_instance_key", "worker_identity", "task_queue", "sdk_name", "sdk_version", "status")
_SAME_MESSAGES = ("deployment_version", "start_time")
_CURSOR = "l"


class WorkerHandlers:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def _namespace_id(self, request: HasNamespace) -> str:
        return self._runtime.namespaces.get(validate.namespace(request, self._runtime.config)).id

    def record_worker_heartbeat(
        self, request: RecordWorkerHeartbeatRequest, call: Call
    ) -> RecordWorkerHeartbeatResponse:
        if self._runtime.config.worker_heartbeats_enabled:
            self._runtime.workers.record(self._namespace_id(request), request.worker_heartbeat)
        return RecordWorkerHeartbeatResponse()

    def list_workers(self, request: ListWorkersRequest, call: Call) -> ListWorkersResponse:
        """A page by instance key; a page size of 0 or less asks for all, and gets as many as one reply may hold."""
        namespace_id = self._namespace_id(request)
        found = self._find(namespace_id, request)
        first = next(found, None)
        after = _cursor(request.next_page_token) if first is not None else ""
        if after:
            found = self._find(namespace_id, request, after)
            first = next(found, None)
        response = ListWorkersResponse()
        size_bytes, last = 0, ""
        for heartbeat in chain((first,) if first is not None else (), found):
            if len(response.workers) == request.page_size > 0 or size_bytes >= MAX_PAGE_BYTES:
                response.next_page_token = json.dumps({_CURSOR: last}, separators=(",", ":")).encode()
                break
            response.workers_info.append(WorkerInfo(worker_heartbeat=heartbeat))
            response.workers.append(_list_info(heartbeat))
            size_bytes += heartbeat.ByteSize()
            last = heartbeat.worker_instance_key
        return response

    def count_workers(self, request: CountWorkersRequest, call: Call) -> CountWorkersResponse:
        return CountWorkersResponse(count=sum(1 for _ in self._find(self._namespace_id(request), request)))

    def _find(
        self, namespace_id: str, request: ListWorkersRequest | CountWorkersRequest, after: str = ""
    ) -> Iterator[WorkerHeartbeat]:
        meets = compile_workers(request.query)
        return (
            heartbeat
            for heartbeat in self._runtime.workers.of_namespace(namespace_id, after)
            if meets(heartbeat) and (request.include_system_workers or not _is_system(heartbeat))
        )

    def describe_worker(self, request: DescribeWorkerRequest, call: Call) -> DescribeWorkerResponse:
        found = self._runtime.workers.find(self._namespace_id(request), request.worker_instance_key)
        if found is None:
            raise NotFound(f"Worker {request.worker_instance_key} not found")
        return DescribeWorkerResponse(worker_info=WorkerInfo(worker_heartbeat=found))


def _is_system(heartbeat: WorkerHeartbeat) -> bool:
    return heartbeat.task_queue.startswith(SYSTEM_QUEUE_PREFIX)


def _cursor(token: bytes) -> str:
    if not token:
        return ""
    try:
        cursor = json.loads(token).get(_CURSOR, "")
    except (ValueError, AttributeError):
        cursor = None
    if not isinstance(cursor, str):
        raise InvalidArgument("invalid next_page_token")
    return cursor


def _list_info(heartbeat: WorkerHeartbeat) -> WorkerListInfo:
    info = WorkerListInfo(
        host_name=heartbeat.host_info.host_name,
        worker_grouping_key=heartbeat.host_info.worker_grouping_key,
        process_id=heartbeat.host_info.process_id,
        plugins=heartbeat.plugins,
        drivers=heartbeat.drivers,
    )
    for name in _SAME:
        setattr(info, name, getattr(heartbeat, name))
    for name in _SAME_MESSAGES:
        if heartbeat.HasField(name):  # type: ignore[arg-type]
            getattr(info, name).CopyFrom(getattr(heartbeat, name))
    return info

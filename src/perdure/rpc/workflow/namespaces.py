"""Namespaces: registered, described, updated, listed, deprecated.

Bad binaries, archival and replication are features of the real server that do not exist here: what a request says of
them changes nothing, except that the real server's refusals are given.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import ArchivalState, NamespaceState, ReplicationState
from temporalio.api.namespace.v1 import NamespaceConfig, NamespaceInfo
from temporalio.api.replication.v1 import ClusterReplicationConfig, NamespaceReplicationConfig
from temporalio.api.workflowservice.v1 import (
    DeprecateNamespaceRequest,
    DeprecateNamespaceResponse,
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    ListNamespacesRequest,
    ListNamespacesResponse,
    RegisterNamespaceRequest,
    RegisterNamespaceResponse,
    UpdateNamespaceRequest,
    UpdateNamespaceResponse,
)

from perdure.config import Dynamic
from perdure.engine.times import get_duration, set_duration
from perdure.errors import InvalidArgument, NamespaceAlreadyExists
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.validate.common import NAMESPACE_NOT_SET
from perdure.rpc.validate.namespaces import CLUSTER, namespace_clusters
from perdure.runtime.namespaces import Namespace
from perdure.runtime.runtime import Runtime

DEFAULT_PAGE_SIZE = 100
INVALID_PAGE_SIZE = "Invalid PageSize."
ALIASES = "Search attributes have no aliases here: use AddSearchAttributes and RemoveSearchAttributes."

_DELETED = NamespaceState.NAMESPACE_STATE_DELETED
_DEPRECATED = NamespaceState.NAMESPACE_STATE_DEPRECATED


class NamespaceHandlers:
    def __init__(self, runtime: Runtime) -> None:
        self._executor = runtime.executor
        self._namespaces = runtime.namespaces
        self._config = runtime.config

    def _get(self, request: Any) -> Namespace:
        return self._namespaces.get(validate.namespace(request, self._config, NAMESPACE_NOT_SET))

    async def register_namespace(self, request: RegisterNamespaceRequest, call: Call) -> RegisterNamespaceResponse:
        validate.register_namespace(request, self._config)
        if request.namespace in self._namespaces:
            raise NamespaceAlreadyExists(f'Namespace "{request.namespace}" already exists')
        namespace_clusters(request)
        namespace = Namespace(
            id=self._executor.ids.uuid(),
            name=request.namespace,
            description=request.description,
            owner_email=request.owner_email,
            data=dict(request.data),
            retention_ns=get_duration(request.workflow_execution_retention_period),
            created_ns=self._executor.now_ns(),
        )
        self._namespaces.save(self._executor, namespace)
        await self._executor.flushed()
        return RegisterNamespaceResponse()

    async def describe_namespace(self, request: DescribeNamespaceRequest, call: Call) -> DescribeNamespaceResponse:
        await self._executor.flushed()
        validate.describe_namespace(request, self._config)
        namespace = self._namespaces.by_id(request.id) if request.id else self._namespaces.named(request.namespace)
        return _description(namespace, self._config)

    async def list_namespaces(self, request: ListNamespacesRequest, call: Call) -> ListNamespacesResponse:
        await self._executor.flushed()
        if request.page_size < 0:
            raise InvalidArgument(INVALID_PAGE_SIZE)
        size = request.page_size or DEFAULT_PAGE_SIZE
        found = [
            namespace
            for namespace in self._namespaces
            if UUID(namespace.id).bytes > request.next_page_token
            and (namespace.state != _DELETED or request.namespace_filter.include_deleted)
        ]
        response = ListNamespacesResponse(namespaces=[_description(each, self._config) for each in found[:size]])
        if len(found) > size:
            response.next_page_token = UUID(found[size - 1].id).bytes
        return response

    async def update_namespace(self, request: UpdateNamespaceRequest, call: Call) -> UpdateNamespaceResponse:
        namespace = self._get(request)
        validate.update_namespace(request, namespace.state, self._config)
        if request.config.custom_search_attribute_aliases:
            raise InvalidArgument(ALIASES)
        if changes := _changes(request, namespace):
            namespace = self._namespaces.change(self._executor, namespace, **changes)
        await self._executor.flushed()
        described = _description(namespace, self._config)
        return UpdateNamespaceResponse(
            namespace_info=described.namespace_info,
            config=described.config,
            replication_config=described.replication_config,
        )

    async def deprecate_namespace(self, request: DeprecateNamespaceRequest, call: Call) -> DeprecateNamespaceResponse:
        self._namespaces.change(self._executor, self._get(request), state=int(_DEPRECATED))
        await self._executor.flushed()
        return DeprecateNamespaceResponse()


def _changes(request: UpdateNamespaceRequest, namespace: Namespace) -> dict[str, Any]:
    """What a request wants to be different. Empty texts and an unset state change nothing; data is merged."""
    info = request.update_info
    wanted: dict[str, Any] = {
        "description": info.description,
        "owner_email": info.owner_email,
        "state": int(info.state),
        "data": {**namespace.data, **info.data} if info.data else None,
    }
    if request.config.HasField("workflow_execution_retention_ttl"):
        wanted["retention_ns"] = get_duration(request.config.workflow_execution_retention_ttl)
    return {name: value for name, value in wanted.items() if value and value != getattr(namespace, name)}


def _description(namespace: Namespace, config: Dynamic) -> DescribeNamespaceResponse:
    retention = Duration()
    set_duration(retention, namespace.retention_ns)
    described = DescribeNamespaceResponse(
        namespace_info=NamespaceInfo(
            id=namespace.id,
            name=namespace.name,
            state=namespace.state,  # type: ignore[arg-type]
            description=namespace.description,
            owner_email=namespace.owner_email,
            data=namespace.data,
            supports_schedules=True,
            capabilities=_capabilities(config),
            limits=NamespaceInfo.Limits(
                blob_size_limit_error=config.blob_size_limit_error_bytes,
                memo_size_limit_error=config.memo_size_limit_error_bytes,
            ),
        ),
        config=NamespaceConfig(
            workflow_execution_retention_ttl=retention,
            history_archival_state=ArchivalState.ARCHIVAL_STATE_DISABLED,
            visibility_archival_state=ArchivalState.ARCHIVAL_STATE_DISABLED,
        ),
        replication_config=NamespaceReplicationConfig(
            active_cluster_name=CLUSTER,
            clusters=[ClusterReplicationConfig(cluster_name=CLUSTER)],
            state=ReplicationState.REPLICATION_STATE_NORMAL,
        ),
    )
    described.config.bad_binaries.SetInParent()
    return described


def _capabilities(config: Dynamic) -> NamespaceInfo.Capabilities:
    """What works in every namespace. SDKs send what they see promised here, so nothing is claimed before it works."""
    return NamespaceInfo.Capabilities(
        eager_workflow_start=config.enable_eager_workflow_start,
        sync_update=True,
        async_update=True,
        reported_problems_search_attribute=(
            config.num_consecutive_workflow_task_problems_to_trigger_search_attribute > 0
        ),
        workflow_pause=True,
        worker_heartbeats=config.worker_heartbeats_enabled,
        poller_autoscaling=True,
        worker_poll_complete_on_shutdown=config.enable_cancel_worker_polls_on_shutdown,
    )

"""Requests about namespaces."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import NamespaceState, ReplicationState
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)

from perdure.config import Dynamic
from perdure.engine.checks import values
from perdure.engine.checks.values import NANOS, duration_ns
from perdure.errors import InvalidArgument
from perdure.rpc.validate import common

CLUSTER = "active"
"""The name of the one cluster."""

_DEPRECATED = NamespaceState.NAMESPACE_STATE_DEPRECATED
_DELETED = NamespaceState.NAMESPACE_STATE_DELETED
_NEXT_STATES: dict[int, tuple[int, ...]] = {
    NamespaceState.NAMESPACE_STATE_REGISTERED: (_DEPRECATED, _DELETED),
    _DEPRECATED: (_DELETED,),
}


def register_namespace(request: RegisterNamespaceRequest, config: Dynamic) -> None:
    """Cuts the retention. That the name is free is checked by whoever knows the names, after `retention`."""
    common.namespace(request, config, common.NAMESPACE_NOT_SET)
    if request.is_global_namespace:
        raise InvalidArgument("Cannot register global namespace when not enabled")
    retention(request.workflow_execution_retention_period, config)


def namespace_clusters(request: RegisterNamespaceRequest | UpdateNamespaceRequest) -> None:
    """The clusters that a request names; comes after the check that the name is free, or is there."""
    if isinstance(request, UpdateNamespaceRequest):
        active, clusters = request.replication_config.active_cluster_name, request.replication_config.clusters
    else:
        active, clusters = request.active_cluster_name, request.clusters
    names = [each.cluster_name for each in clusters] or [active or CLUSTER]
    for name in (active or CLUSTER, *names):
        if name != CLUSTER:
            raise InvalidArgument(f"Invalid cluster name: {name}")
    if len(names) != 1:
        raise InvalidArgument("Invalid local namespace clusters")


def describe_namespace(request: DescribeNamespaceRequest, config: Dynamic) -> None:
    """One of name and id, not both."""
    if not request.id:
        common.namespace(request, config, common.NAMESPACE_NOT_SET)
    elif request.namespace:
        space = " " if request.weak_consistency else "  "  # the real server refuses it in two places
        raise InvalidArgument(f"GetNamespace operation failed.{space}Both ID and Name specified in request.")


def update_namespace(request: UpdateNamespaceRequest, state: int, config: Dynamic) -> None:
    """`state`: the namespace's present `NamespaceState`. Cuts the retention."""
    common.namespace(request, config, common.NAMESPACE_NOT_SET)
    wanted = request.update_info.state
    if wanted and wanted != state and wanted not in _NEXT_STATES.get(state, ()):
        raise InvalidArgument("Invalid namespace state update.")
    if request.config.HasField("workflow_execution_retention_ttl"):
        retention(request.config.workflow_execution_retention_ttl, config)
    if request.delete_bad_binary:
        raise InvalidArgument(f"Bad binary checksum {request.delete_bad_binary} doesn't exists.")
    if request.replication_config.state == ReplicationState.REPLICATION_STATE_HANDOVER:
        raise InvalidArgument("Handover can only be set for global namespace")
    namespace_clusters(request)
    if request.promote_namespace:
        problem = "global namespace is not enabled on this cluster"
        refused = "cannot update global namespace or promote local namespace"
        raise InvalidArgument(f"{problem}, {refused}: {request.namespace}")


def delete_namespace(request: DeleteNamespaceRequest) -> None:
    """One of name and id, not both."""
    if not request.namespace_id and not request.namespace:
        raise InvalidArgument(common.NAMESPACE_NOT_SET)
    if request.namespace_id and request.namespace:
        raise InvalidArgument("Only one of namespace name or Id should be set on request.")


def retention(period: Duration, config: Dynamic) -> None:
    if values.cap_duration(period) or duration_ns(period) < int(config.namespace_min_retention_s * NANOS):
        raise InvalidArgument("A valid retention period is not set on request.")

"""Who this server is and what it can do."""

from __future__ import annotations

from collections.abc import Callable

from temporalio.api.operatorservice.v1 import ClusterMetadata, ListClustersRequest, ListClustersResponse
from temporalio.api.version.v1 import ReleaseInfo, VersionInfo
from temporalio.api.workflowservice import v1 as api

import perdure
from perdure.rpc.transport import Call

SERVER_VERSION = "1.32.0"
"""The release of the real server whose behaviour this one has. Clients switch features on by it: the Web UI and the CLI
ask for 1.20 to 1.29 and more before they show or send something, so Perdure's own version would make it look ancient.
That one is in `GetClusterInfo.version_info.current`."""

CLUSTER_NAME = "active"

SUPPORTED_CLIENTS = {
    "temporal-cli": "<2.0.0",
    "temporal-server": "<2.0.0",
    "temporal-ui": "<3.0.0",
    "Nexus-go-sdk": "<2.0.0",
    "temporal-go": "<2.0.0",
    "temporal-java": "<2.0.0",
    "temporal-php": "<2.0.0",
    "temporal-typescript": "<2.0.0",
}
"""The ranges of the real server. Nobody is turned away; clients that look, look here."""

CAPABILITIES = api.GetSystemInfoResponse.Capabilities(
    signal_and_query_header=True,
    internal_error_differentiation=True,
    activity_failure_include_heartbeat=True,
    encoded_failure_attributes=True,
    upsert_memo=True,
    eager_workflow_start=True,
    sdk_metadata=True,
    count_group_by_execution_status=True,
    # Workers that see it send their build id, which histories show, in place of a binary checksum.
    build_id_based_versioning=True,
    supports_schedules=True,
    # What is not there is not claimed: SDKs send what they see promised here.
    nexus=False,
    server_scaled_deployments=False,
)


class System:
    """`cluster_id` stays the same for the life of a database; `store` names the kind of database ("sqlite");
    `address` tells where clients reach this server, as `host:port`."""

    def __init__(self, cluster_id: str, store: str, address: Callable[[], str] = str) -> None:
        self._cluster_id = cluster_id
        self._store = store
        self._address = address

    def get_system_info(self, request: api.GetSystemInfoRequest, call: Call) -> api.GetSystemInfoResponse:
        return api.GetSystemInfoResponse(server_version=SERVER_VERSION, capabilities=CAPABILITIES)

    def get_cluster_info(self, request: api.GetClusterInfoRequest, call: Call) -> api.GetClusterInfoResponse:
        return api.GetClusterInfoResponse(
            supported_clients=SUPPORTED_CLIENTS,
            server_version=SERVER_VERSION,
            cluster_id=self._cluster_id,
            version_info=VersionInfo(current=ReleaseInfo(version=perdure.__version__)),
            cluster_name=CLUSTER_NAME,
            history_shard_count=1,
            persistence_store=self._store,
            visibility_store=self._store,
            initial_failover_version=1,
            failover_version_increment=10,
        )

    def list_clusters(self, request: ListClustersRequest, call: Call) -> ListClustersResponse:
        return ListClustersResponse(
            clusters=[
                ClusterMetadata(
                    cluster_name=CLUSTER_NAME,
                    cluster_id=self._cluster_id,
                    address=self._address(),
                    initial_failover_version=1,
                    history_shard_count=1,
                    is_connection_enabled=True,
                )
            ]
        )

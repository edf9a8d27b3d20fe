"""Listings of features that do not exist yet.

The official Web UI and CLI look at them before anything else, so they say the truth, that there is nothing, where an
error would spoil the page.
"""

from __future__ import annotations

from collections.abc import Callable

from temporalio.api.operatorservice.v1 import ListNexusEndpointsRequest, ListNexusEndpointsResponse
from temporalio.api.workflowservice import v1 as api

from perdure.config import Dynamic
from perdure.errors import InvalidArgument
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.validate.common import HasNamespace


class Empty:
    """`find` raises the refusal of a namespace that does not exist."""

    def __init__(self, find: Callable[[str], object], config: Dynamic) -> None:
        self._find = find
        self._config = config

    def _check_namespace(self, request: HasNamespace) -> None:
        self._find(validate.namespace(request, self._config))

    def list_workflow_rules(self, request: api.ListWorkflowRulesRequest, call: Call) -> api.ListWorkflowRulesResponse:
        self._check_namespace(request)
        return api.ListWorkflowRulesResponse()

    def list_worker_deployments(
        self, request: api.ListWorkerDeploymentsRequest, call: Call
    ) -> api.ListWorkerDeploymentsResponse:
        self._check_namespace(request)
        return api.ListWorkerDeploymentsResponse()

    def get_worker_build_id_compatibility(
        self, request: api.GetWorkerBuildIdCompatibilityRequest, call: Call
    ) -> api.GetWorkerBuildIdCompatibilityResponse:
        self._check_namespace(request)
        if not request.task_queue:
            raise InvalidArgument("missing task queue name")
        return api.GetWorkerBuildIdCompatibilityResponse()

    def list_activity_executions(
        self, request: api.ListActivityExecutionsRequest, call: Call
    ) -> api.ListActivityExecutionsResponse:
        self._check_namespace(request)
        return api.ListActivityExecutionsResponse()

    def count_activity_executions(
        self, request: api.CountActivityExecutionsRequest, call: Call
    ) -> api.CountActivityExecutionsResponse:
        self._check_namespace(request)
        return api.CountActivityExecutionsResponse()

    def list_nexus_operation_executions(
        self, request: api.ListNexusOperationExecutionsRequest, call: Call
    ) -> api.ListNexusOperationExecutionsResponse:
        self._check_namespace(request)
        return api.ListNexusOperationExecutionsResponse()

    def count_nexus_operation_executions(
        self, request: api.CountNexusOperationExecutionsRequest, call: Call
    ) -> api.CountNexusOperationExecutionsResponse:
        self._check_namespace(request)
        return api.CountNexusOperationExecutionsResponse()

    def list_archived_workflow_executions(
        self, request: api.ListArchivedWorkflowExecutionsRequest, call: Call
    ) -> api.ListArchivedWorkflowExecutionsResponse:
        self._check_namespace(request)
        raise InvalidArgument("Cluster is not configured for visibility archival.")

    def list_nexus_endpoints(self, request: ListNexusEndpointsRequest, call: Call) -> ListNexusEndpointsResponse:
        return ListNexusEndpointsResponse()

"""Listings of workflow executions, counts, and the search attributes that they can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Memo, SearchAttributes, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import IndexedValueType, WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    GetSearchAttributesRequest,
    GetSearchAttributesResponse,
    ListClosedWorkflowExecutionsRequest,
    ListClosedWorkflowExecutionsResponse,
    ListOpenWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    ScanWorkflowExecutionsRequest,
    ScanWorkflowExecutionsResponse,
)

from perdure.config import Dynamic
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.storage.base import Storage, VisibilityRow
from perdure.visibility import schema
from perdure.visibility.filters import closed_query, open_query
from perdure.visibility.query import compile_count, compile_list

_NANOS = 10**9
_OPEN = (
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
)

Page = tuple[list[WorkflowExecutionInfo], bytes]
"""(executions, token of the next page or nothing)"""


class Namespace(Protocol):
    """What listings need of a namespace."""

    @property
    def id(self) -> str: ...
    @property
    def custom_search_attributes(self) -> Mapping[str, int]: ...


class Namespaces(Protocol):
    def get(self, name: str) -> Namespace:
        """Raises `NamespaceNotFound`."""


class VisibilityHandlers:
    def __init__(self, namespaces: Namespaces, storage: Storage, config: Dynamic) -> None:
        self._namespaces = namespaces
        self._storage = storage
        self._config = config

    async def list_workflow_executions(
        self, request: ListWorkflowExecutionsRequest, call: Call
    ) -> ListWorkflowExecutionsResponse:
        namespace = self._namespace(request)
        validate.list_workflows(request, self._config)
        page = await self._page(namespace, request.query, request.page_size, request.next_page_token)
        return ListWorkflowExecutionsResponse(executions=page[0], next_page_token=page[1])

    async def scan_workflow_executions(
        self, request: ScanWorkflowExecutionsRequest, call: Call
    ) -> ScanWorkflowExecutionsResponse:
        namespace = self._namespace(request)
        validate.list_workflows(request, self._config)
        page = await self._page(namespace, request.query, request.page_size, request.next_page_token)
        return ScanWorkflowExecutionsResponse(executions=page[0], next_page_token=page[1])

    async def list_open_workflow_executions(
        self, request: ListOpenWorkflowExecutionsRequest, call: Call
    ) -> ListOpenWorkflowExecutionsResponse:
        namespace = self._namespace(request)
        validate.list_open(request, self._config)
        page = await self._page(namespace, open_query(request), request.maximum_page_size, request.next_page_token)
        return ListOpenWorkflowExecutionsResponse(executions=page[0], next_page_token=page[1])

    async def list_closed_workflow_executions(
        self, request: ListClosedWorkflowExecutionsRequest, call: Call
    ) -> ListClosedWorkflowExecutionsResponse:
        namespace = self._namespace(request)
        validate.list_closed(request, self._config)
        page = await self._page(namespace, closed_query(request), request.maximum_page_size, request.next_page_token)
        return ListClosedWorkflowExecutionsResponse(executions=page[0], next_page_token=page[1])

    async def count_workflow_executions(
        self, request: CountWorkflowExecutionsRequest, call: Call
    ) -> CountWorkflowExecutionsResponse:
        namespace = self._namespace(request)
        compiled = compile_count(request.query, namespace.custom_search_attributes)
        counted = await self._storage.count_visibility(namespace.id, compiled.where, compiled.params, compiled.group_by)
        response = CountWorkflowExecutionsResponse(count=sum(number for _, number in counted))
        if compiled.group_field:
            for value, number in counted:
                payload = schema.encode_group(compiled.group_field, value)
                response.groups.add(group_values=[payload], count=number)
        return response

    def get_search_attributes(self, request: GetSearchAttributesRequest, call: Call) -> GetSearchAttributesResponse:
        """The built-in ones: this old call names no namespace, and custom attributes belong to one."""
        response = GetSearchAttributesResponse()
        for name, kind in {**schema.SYSTEM, **schema.PREDEFINED}.items():
            response.keys[name] = IndexedValueType.ValueType(kind)
        return response

    def _namespace(
        self,
        request: ListWorkflowExecutionsRequest
        | ScanWorkflowExecutionsRequest
        | ListOpenWorkflowExecutionsRequest
        | ListClosedWorkflowExecutionsRequest
        | CountWorkflowExecutionsRequest,
    ) -> Namespace:
        return self._namespaces.get(validate.namespace(request, self._config))

    async def _page(self, namespace: Namespace, query: str, size: int, token: bytes) -> Page:
        compiled = compile_list(query, namespace.custom_search_attributes)
        page = compiled.after(token) if token else compiled
        # One more than asked for tells whether there is a next page, so the last one is never empty.
        rows = await self._storage.list_visibility(namespace.id, page.where, page.params, page.order_by, size + 1)
        more = len(rows) > size
        infos = [execution_info(row) for _, row in rows[:size]]
        return infos, compiled.token(*rows[size - 1]) if more else b""


def execution_info(row: VisibilityRow) -> WorkflowExecutionInfo:
    """A run as listings show it. What is known only of closed runs is absent while it is open."""
    info = WorkflowExecutionInfo(
        execution=WorkflowExecution(workflow_id=row.workflow_id, run_id=row.run_id),
        type=WorkflowType(name=row.workflow_type),
        start_time=_timestamp(row.start_time),
        execution_time=_timestamp(row.execution_time),
        status=WorkflowExecutionStatus.ValueType(row.status),
        task_queue=row.task_queue,
        memo=Memo.FromString(row.memo or b""),
        search_attributes=SearchAttributes.FromString(row.attributes) if row.attributes else None,
        root_execution=WorkflowExecution(workflow_id=row.root_workflow_id, run_id=row.root_run_id),
    )
    if row.parent_workflow_id:
        info.parent_execution.workflow_id = row.parent_workflow_id
        info.parent_execution.run_id = row.parent_run_id or ""
    if row.status in _OPEN and (row.parent_workflow_id or row.execution_time > row.start_time):
        info.search_attributes.SetInParent()
    if row.status not in _OPEN:
        info.close_time.CopyFrom(_timestamp(row.close_time or 0))
        info.execution_duration.CopyFrom(_duration(row.execution_duration or 0))
        info.history_length = row.history_length or 0
        info.history_size_bytes = row.history_size_bytes or 0
        info.state_transition_count = row.state_transition_count or 0
    return info


def _timestamp(ns: int) -> Timestamp:
    seconds, nanos = divmod(ns, _NANOS)
    return Timestamp(seconds=seconds, nanos=nanos)


def _duration(ns: int) -> Duration:
    """Seconds and nanoseconds have the same sign."""
    sign = -1 if ns < 0 else 1
    seconds, nanos = divmod(abs(ns), _NANOS)
    return Duration(seconds=sign * seconds, nanos=sign * nanos)

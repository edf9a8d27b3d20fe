"""A client of an in-process server: the stubs of both services, and the few messages that the tests have in common."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import Payload, SearchAttributes, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice import v1 as operator_api
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice import v1 as api

from perdure.server import Server

DAY = Duration(seconds=24 * 3600)
PATIENCE_S = 20.0
"""Far beyond what anything here takes: only a bug comes near."""


class Client:
    """`w` and `o` are the stubs of WorkflowService and OperatorService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.w = api.WorkflowServiceStub(channel)
        self.o = operator_api.OperatorServiceStub(channel)

    async def register(self, name: str, **fields: Any) -> str:
        """Register a namespace; returns its id."""
        fields.setdefault("workflow_execution_retention_period", DAY)
        await self.w.RegisterNamespace(api.RegisterNamespaceRequest(namespace=name, **fields))
        return (await self.describe(name)).namespace_info.id

    async def describe(self, name: str) -> api.DescribeNamespaceResponse:
        return await self.w.DescribeNamespace(api.DescribeNamespaceRequest(namespace=name))

    async def names(self, *, deleted: bool = False, page_size: int = 0) -> list[str]:
        """All namespaces but the server's own."""
        request = api.ListNamespacesRequest(page_size=page_size)
        request.namespace_filter.include_deleted = deleted
        names = []
        while True:
            page = await self.w.ListNamespaces(request)
            names += [each.namespace_info.name for each in page.namespaces]
            if not page.next_page_token:
                return sorted(set(names) - {"temporal-system"})
            request.next_page_token = page.next_page_token

    async def add(self, namespace: str, **attributes: str) -> None:
        """Add search attributes by the names of their types, as `KEYWORD_LIST`."""
        kinds = {name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind}") for name, kind in attributes.items()}
        await self.o.AddSearchAttributes(
            operator_api.AddSearchAttributesRequest(namespace=namespace, search_attributes=kinds)
        )

    async def start(self, workflow_id: str, namespace: str = "default", **attributes: Payload) -> str:
        """Start a workflow with these search attributes; returns its run id."""
        request = api.StartWorkflowExecutionRequest(
            namespace=namespace,
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name="T"),
            task_queue=TaskQueue(name="q"),
            request_id=str(uuid.uuid4()),
        )
        if attributes:
            request.search_attributes.CopyFrom(SearchAttributes(indexed_fields=attributes))
        return (await self.w.StartWorkflowExecution(request)).run_id

    async def started_event(self, workflow_id: str, namespace: str = "default") -> Any:
        execution = WorkflowExecution(workflow_id=workflow_id)
        history = await self.w.GetWorkflowExecutionHistory(
            api.GetWorkflowExecutionHistoryRequest(namespace=namespace, execution=execution)
        )
        return history.history.events[0].workflow_execution_started_event_attributes

    async def found(self, query: str, namespace: str = "default") -> list[str]:
        """Workflow ids that a query finds."""
        page = await self.w.ListWorkflowExecutions(api.ListWorkflowExecutionsRequest(namespace=namespace, query=query))
        return sorted(each.execution.workflow_id for each in page.executions)


def value(value: Any, **metadata: str) -> Payload:
    """A JSON payload, without a type unless `type` is given."""
    encoded = {name: text.encode() for name, text in {"encoding": "json/plain", **metadata}.items()}
    return Payload(metadata=encoded, data=json.dumps(value).encode())


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    """The server, started, with a client."""
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        yield Client(channel)


@asynccontextmanager
async def refused(code: grpc.StatusCode, message: str) -> AsyncIterator[None]:
    """Expects the call inside to be refused with exactly this."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert (caught.value.code(), caught.value.details()) == (code, message)


async def eventually(holds: Callable[[], Any]) -> None:
    """Waits until an async condition holds: for work that the server does in the background."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.005)

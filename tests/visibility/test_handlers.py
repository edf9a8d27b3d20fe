"""The calls that list and count, on a real database in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Memo, Payload, SearchAttributes
from temporalio.api.filter.v1 import StartTimeFilter, StatusFilter, WorkflowExecutionFilter, WorkflowTypeFilter
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    GetSearchAttributesRequest,
    ListClosedWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsRequest,
    ListWorkflowExecutionsRequest,
    ScanWorkflowExecutionsRequest,
)
from tests.visibility.table import SECOND

from perdure.config import Dynamic
from perdure.errors import InvalidArgument, NamespaceNotFound
from perdure.rpc.workflow.visibility import VisibilityHandlers
from perdure.runtime.namespaces import Namespace
from perdure.storage.base import Batch, RunChange, RunIdentity, VisibilityRow
from perdure.storage.sqlite import SqliteStorage

START = 1_700_000_000 * SECOND
CALL: Any = None
"""These handlers answer by returning and look at nothing else."""


class Namespaces:
    def __init__(self) -> None:
        custom = {"Customer": 2, "Amount": 3}
        self.known = {
            "default": Namespace(id="n1", name="default", custom_search_attributes=custom),
            "other": Namespace(id="n2", name="other"),
        }

    def get(self, name: str) -> Namespace:
        if name not in self.known:
            raise NamespaceNotFound(name)
        return self.known[name]


def row(number: int, workflow_id: str, *, namespace_id: str = "n1", **columns: Any) -> RunChange:
    run_id = f"00000000-0000-4000-8000-{number:012d}"
    given: dict[str, Any] = {"workflow_type": "T", "task_queue": "q", "status": 1, "start_time": START + number}
    given |= {"execution_time": START + number, "root_workflow_id": workflow_id, "root_run_id": run_id} | columns
    return RunChange(
        number,
        insert=RunIdentity(namespace_id, workflow_id, run_id),
        core=b"core",
        visibility=VisibilityRow(namespace_id, workflow_id, run_id, **given),
    )


def attributes(customer: str, amount: int) -> dict[str, Any]:
    fields = {"Customer": Payload(data=json.dumps(customer).encode()), "Amount": Payload(data=str(amount).encode())}
    return {
        "search_attributes": json.dumps({"Customer": customer, "Amount": amount}),
        "attributes": SearchAttributes(indexed_fields=fields).SerializeToString(),
    }


CLOSED: dict[str, Any] = {
    "close_time": START + 5 * SECOND, "history_length": 7, "history_size_bytes": 700,
    "execution_duration": 4 * SECOND + 5, "state_transition_count": 6,
}  # fmt: skip


@pytest.fixture
async def handlers() -> AsyncIterator[VisibilityHandlers]:
    storage = SqliteStorage.open_memory()
    memo = Memo(fields={"m": Payload(data=b"1")}).SerializeToString()
    rows = [
        row(1, "a", **attributes("c1", 5)),
        row(2, "b", workflow_type="U", **attributes("c2", 7), memo=memo),
        row(3, "c", status=2, **CLOSED, parent_workflow_id="a", parent_run_id="p"),
        row(4, "d", status=5, **CLOSED),
        row(5, "it's", status=8),
        row(6, "elsewhere", namespace_id="n2"),
    ]
    written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(error: BaseException | None) -> None:
        written.get_loop().call_soon_threadsafe(written.set_result, None) if error is None else print(error)

    storage.submit(Batch(runs={change.run_key: change for change in rows}), done)
    await written
    yield VisibilityHandlers(Namespaces(), storage, Dynamic(visibility_max_page_size=4))
    await storage.close()


async def listed(handlers: VisibilityHandlers, query: str = "", **fields: Any) -> list[str]:
    request = ListWorkflowExecutionsRequest(namespace="default", query=query, **fields)
    response = await handlers.list_workflow_executions(request, CALL)
    return [info.execution.workflow_id for info in response.executions]


async def test_a_query_finds_the_runs_of_its_namespace_alone(handlers: VisibilityHandlers) -> None:
    assert await listed(handlers, "Customer = 'c1' OR Amount > 6") == ["b", "a"]
    assert await listed(handlers, "WorkflowId = 'elsewhere'") == []
    assert await listed(handlers, "Amount IS NOT NULL ORDER BY Amount") == ["a", "b"]


async def test_pages_end_without_an_empty_one(handlers: VisibilityHandlers) -> None:
    pages, token = [], b""
    while True:
        request = ScanWorkflowExecutionsRequest(
            namespace="default", query="WorkflowId != 'b'", page_size=2, next_page_token=token
        )
        response = await handlers.scan_workflow_executions(request, CALL)
        pages.append([info.execution.workflow_id for info in response.executions])
        if not (token := response.next_page_token):
            break
    assert pages == [["it's", "a"], ["d", "c"]]


@pytest.mark.parametrize("size", [0, -1, 5, 2**31 - 1])
async def test_a_page_size_out_of_bounds_is_the_largest(handlers: VisibilityHandlers, size: int) -> None:
    assert len(await listed(handlers, page_size=size)) == 4


async def test_a_closed_run_shows_what_an_open_one_does_not_have(handlers: VisibilityHandlers) -> None:
    request = ListWorkflowExecutionsRequest(namespace="default", query="WorkflowId IN ('b', 'c')")
    opened, closed = (await handlers.list_workflow_executions(request, CALL)).executions
    assert not opened.HasField("close_time") and not opened.HasField("execution_duration")
    assert not opened.HasField("parent_execution") and opened.root_execution.workflow_id == "b"
    assert opened.search_attributes.indexed_fields["Amount"].data == b"7"
    assert opened.memo.fields["m"].data == b"1"
    assert closed.close_time.ToNanoseconds() == START + 5 * SECOND
    assert closed.execution_duration.ToNanoseconds() == 4 * SECOND + 5
    assert (closed.history_length, closed.history_size_bytes, closed.state_transition_count) == (7, 700, 6)
    assert (closed.parent_execution.workflow_id, closed.parent_execution.run_id) == ("a", "p")
    assert not closed.HasField("search_attributes") and closed.HasField("memo")


async def test_counts(handlers: VisibilityHandlers) -> None:
    request = CountWorkflowExecutionsRequest(namespace="default", query="GROUP BY ExecutionStatus")
    response = await handlers.count_workflow_executions(request, CALL)
    assert response.count == 5
    groups = {json.loads(group.group_values[0].data): group.count for group in response.groups}
    assert groups == {"Running": 2, "Completed": 1, "Terminated": 1, "Paused": 1}
    assert dict(response.groups[0].group_values[0].metadata) == {"encoding": b"json/plain", "type": b"Keyword"}
    plain = CountWorkflowExecutionsRequest(namespace="default", query="WorkflowType = 'U'")
    response = await handlers.count_workflow_executions(plain, CALL)
    assert (response.count, len(response.groups)) == (1, 0)


async def test_lists_of_open_runs(handlers: VisibilityHandlers) -> None:
    async def opened(**fields: Any) -> list[str]:
        request = ListOpenWorkflowExecutionsRequest(namespace="default", **fields)
        response = await handlers.list_open_workflow_executions(request, CALL)
        return [info.execution.workflow_id for info in response.executions]

    assert await opened() == ["b", "a"]
    assert await opened(type_filter=WorkflowTypeFilter(name="U")) == ["b"]
    assert await opened(execution_filter=WorkflowExecutionFilter(workflow_id="a")) == ["a"]
    assert await opened(execution_filter=WorkflowExecutionFilter(workflow_id="it's")) == []
    last = Timestamp()
    last.FromNanoseconds(START + 1)
    assert await opened(start_time_filter=StartTimeFilter(latest_time=last)) == ["a"]
    assert await opened(start_time_filter=StartTimeFilter(latest_time=Timestamp(seconds=-62_135_596_800))) == ["b", "a"]
    assert await opened(start_time_filter=StartTimeFilter(earliest_time=Timestamp(seconds=253_402_300_799))) == []


@pytest.mark.parametrize(
    ("seconds", "nanos", "shown"),
    [
        (253_402_300_799, 10**9, "10000-01-01T00:00:00Z"),
        (253_402_300_800, 5_000_000, "10000-01-01T00:00:00.005Z"),
        (2**62, 0, "146138514283-06-19T07:45:04Z"),
        (-(10**12), 0, "-29719-04-05T22:13:20Z"),
    ],
)
async def test_times_of_years_that_no_calendar_has(
    handlers: VisibilityHandlers, seconds: int, nanos: int, shown: str
) -> None:
    times = StartTimeFilter(earliest_time=Timestamp(seconds=seconds, nanos=nanos))
    with pytest.raises(InvalidArgument) as caught:
        await handlers.list_open_workflow_executions(
            ListOpenWorkflowExecutionsRequest(namespace="default", start_time_filter=times), CALL
        )
    assert caught.value.message == f"invalid query: invalid expression: unable to parse datetime '{shown}'"


async def test_lists_of_closed_runs(handlers: VisibilityHandlers) -> None:
    async def closed(**fields: Any) -> list[str]:
        request = ListClosedWorkflowExecutionsRequest(namespace="default", **fields)
        response = await handlers.list_closed_workflow_executions(request, CALL)
        return [info.execution.workflow_id for info in response.executions]

    assert await closed(status_filter=StatusFilter(status=5)) == ["d"]  # type: ignore[arg-type]
    assert await closed(execution_filter=WorkflowExecutionFilter(workflow_id="it's")) == ["it's"]
    assert await closed(start_time_filter=StartTimeFilter(earliest_time=Timestamp(seconds=5))) == ["d", "c"]
    with pytest.raises(InvalidArgument, match="invalid ExecutionStatus value '99'"):
        await closed(status_filter=StatusFilter(status=99))  # type: ignore[arg-type]


async def test_refusals(handlers: VisibilityHandlers) -> None:
    with pytest.raises(NamespaceNotFound, match=r"Namespace nope is not found\."):
        await handlers.list_workflow_executions(ListWorkflowExecutionsRequest(namespace="nope"), CALL)
    with pytest.raises(InvalidArgument, match=r"Namespace is empty\."):
        await handlers.count_workflow_executions(CountWorkflowExecutionsRequest(), CALL)
    with pytest.raises(InvalidArgument, match="invalid search attribute: Customer"):
        request = ListWorkflowExecutionsRequest(namespace="other", query="Customer = 'c1'")
        await handlers.list_workflow_executions(request, CALL)
    with pytest.raises(InvalidArgument, match=r"Invalid NextPageToken\."):
        await listed(handlers, next_page_token=b"garbage")


def test_the_built_in_attributes() -> None:
    handlers = VisibilityHandlers(Namespaces(), SqliteStorage.open_memory(), Dynamic())
    keys = handlers.get_search_attributes(GetSearchAttributesRequest(), CALL).keys
    assert keys["WorkflowType"] == 2 and keys["TemporalChangeVersion"] == 7 and len(keys) == 33

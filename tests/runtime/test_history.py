"""Histories over real gRPC: pages, long polls, the closing event, raw and backwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EncodingType
from temporalio.api.history.v1 import History
from tests.conformance.driver import Driver
from tests.conformance.messages import continue_as_new, marker, succeed, timer
from tests.runtime.conversation import conversation, ids, types

from perdure.clock import RandomIds, RealClock
from perdure.config import Dynamic
from perdure.runtime import history
from perdure.runtime.runtime import Runtime
from perdure.server import Server
from perdure.storage.sqlite import SqliteStorage


@pytest.fixture
async def d() -> AsyncIterator[Driver]:
    async with conversation() as driver:
        yield driver


async def grown(d: Driver, *, close: bool = False) -> str:
    """A run with batches that begin at the events 1, 3, 4, 6 and, if it is to be closed, 7; returns its run id."""
    started = await d.start()
    await d.step(marker("one"), timer(), force_create_new_workflow_task=True)
    task = await d.poll_wft()
    if close:
        await d.complete(task, succeed("done"))
    return str(started.run_id)


async def pages(d: Driver, size: int, method: str = "GetWorkflowExecutionHistory") -> list[list[int]]:
    found, token = [], b""
    while True:
        reply = await d.call(method, execution=d.workflow_id, maximum_page_size=size, next_page_token=token)
        found.append(ids(reply))
        token = reply.next_page_token
        if not token:
            return found


async def test_a_page_has_whole_batches(d: Driver) -> None:
    await grown(d, close=True)
    assert await pages(d, 1) == [[1, 2], [3], [4, 5, 6, 7], [8], [9, 10]]
    assert await pages(d, 2) == [[1, 2, 3], [4, 5, 6, 7, 8], [9, 10]]
    assert await pages(d, 0) == [list(range(1, 11))]


async def test_backwards_the_newest_comes_first(d: Driver) -> None:
    await grown(d, close=True)
    backwards = "GetWorkflowExecutionHistoryReverse"
    assert await pages(d, 1, backwards) == [[10, 9], [8], [7, 6, 5, 4], [3], [2, 1]]
    assert await pages(d, 3, backwards) == [[10, 9, 8, 7, 6, 5, 4], [3, 2, 1]]
    assert await pages(d, 0, backwards) == [list(range(10, 0, -1))]


async def test_the_start_of_a_task_is_shown_before_it_is_written(d: Driver) -> None:
    await grown(d)
    assert (await pages(d, 0))[0][-1] == 8
    assert (await pages(d, 0, "GetWorkflowExecutionHistoryReverse"))[0][0] == 8


async def test_a_token_belongs_to_its_run(d: Driver) -> None:
    await grown(d)
    token = (await d.history(maximum_page_size=1)).next_page_token
    other = (d.workflow_id, "11111111-2222-4333-8444-555555555555")
    mismatch = await d.history(other, next_page_token=token)
    assert (mismatch.code, mismatch.message) == (
        "INVALID_ARGUMENT",
        "RunId in the request does not match the NextPageToken.",
    )
    assert (await d.history(next_page_token=b"nonsense")).message == "Invalid NextPageToken."
    await d.terminate()
    await d.start()
    assert ids(await d.history(next_page_token=token, maximum_page_size=1)) == [3]


async def test_without_run_id_it_is_the_newest_run(d: Driver) -> None:
    first = await grown(d, close=True)
    second = await d.start()
    assert len(ids(await d.history())) == 2
    assert len(ids(await d.history((d.workflow_id, first)))) == 10
    assert ids(await d.history((d.workflow_id, second.run_id))) == [1, 2]


async def test_unknown_ones_are_not_found(d: Driver) -> None:
    unknown = await d.history()
    assert (unknown.code, unknown.message) == ("NOT_FOUND", f"workflow not found for ID: {d.workflow_id}")
    await d.start()
    no_run = "11111111-2222-4333-8444-555555555555"
    unknown = await d.history((d.workflow_id, no_run))
    assert (unknown.code, unknown.message) == (
        "NOT_FOUND",
        f'workflow execution not found for workflow ID "{d.workflow_id}" and run ID "{no_run}"',
    )


# Waiting.


async def waits(call: asyncio.Task[Any]) -> bool:
    """Whether a call is still open after all that could answer it has had its turn."""
    done, _ = await asyncio.wait({call}, timeout=0.2)
    return not done


async def test_new_events_are_waited_for_one_change_at_a_time(d: Driver) -> None:
    await d.start()
    reply = await d.history(wait_new_event=True)
    assert ids(reply) == [1, 2] and reply.next_page_token
    fields = {"execution": d.workflow_id, "wait_new_event": True}
    call = d.begin("GetWorkflowExecutionHistory", **fields, next_page_token=reply.next_page_token)
    assert await waits(call)
    await d.signal()
    reply = await call
    assert types(reply) == ["WORKFLOW_EXECUTION_SIGNALED"]
    call = d.begin("GetWorkflowExecutionHistory", **fields, next_page_token=reply.next_page_token)
    task = await d.poll_wft()
    reply = await call
    assert types(reply) == ["WORKFLOW_TASK_STARTED"]
    await d.complete(task, succeed())
    reply = await d.history(wait_new_event=True, next_page_token=reply.next_page_token)
    assert types(reply) == ["WORKFLOW_TASK_COMPLETED", "WORKFLOW_EXECUTION_COMPLETED"]
    assert not reply.next_page_token


async def test_waiting_ends_empty_with_a_token_that_goes_on(d: Driver) -> None:
    await d.start()
    reply = await d.history(wait_new_event=True)
    reply = await d.history(wait_new_event=True, next_page_token=reply.next_page_token, timeout_s=1.2)
    assert ids(reply) == [] and reply.HasField("history") and reply.next_page_token
    await d.signal()
    assert ids(await d.history(wait_new_event=True, next_page_token=reply.next_page_token)) == [3]


async def test_a_configured_interval_ends_the_waiting() -> None:
    async with conversation(dynamic_config={"history.longPollExpirationInterval": "100ms"}) as d:
        await d.start()
        reply = await d.history(wait_new_event=True, history_event_filter_type="CLOSE_EVENT")
        assert ids(reply) == [] and reply.next_page_token


async def test_the_closing_event_is_waited_for(d: Driver) -> None:
    first = await d.start()
    fields = {"wait_new_event": True, "history_event_filter_type": "CLOSE_EVENT"}
    calls = [
        d.begin("GetWorkflowExecutionHistory", execution=execution, **fields)
        for execution in (d.workflow_id, (d.workflow_id, first.run_id))
    ]
    await d.step(marker("progress"), timer())
    assert await waits(calls[0])
    await d.signal()
    await d.step(continue_as_new())
    for reply in await asyncio.gather(*calls):
        assert types(reply) == ["WORKFLOW_EXECUTION_CONTINUED_AS_NEW"]
        assert not reply.next_page_token
    again = await d.history((d.workflow_id, first.run_id), **fields)
    assert types(again) == ["WORKFLOW_EXECUTION_CONTINUED_AS_NEW"]


async def test_an_open_run_has_no_closing_event(d: Driver) -> None:
    await d.start()
    reply = await d.history(history_event_filter_type="CLOSE_EVENT")
    assert ids(reply) == [] and reply.HasField("history") and not reply.next_page_token


async def test_one_who_waits_is_answered_when_the_server_stops() -> None:
    server = Server()
    async with conversation(server) as d:
        await d.start()
        call = d.begin("GetWorkflowExecutionHistory", execution=d.workflow_id, wait_new_event=True,
                       history_event_filter_type="CLOSE_EVENT")  # fmt: skip
        assert await waits(call)
        await server.stop()
        assert ids(await call) == []


async def test_one_who_waits_hears_of_the_deletion(d: Driver) -> None:
    await d.start()
    call = d.begin("GetWorkflowExecutionHistory", execution=d.workflow_id, wait_new_event=True,
                   history_event_filter_type="CLOSE_EVENT")  # fmt: skip
    assert await waits(call)
    await d.call("DeleteWorkflowExecution", workflow_execution=d.workflow_id)
    reply = await call
    assert types(reply) == ["WORKFLOW_EXECUTION_TERMINATED"] if reply else reply.code == "NOT_FOUND"


# The unwritten workflow task.


async def test_the_events_of_an_unwritten_task_follow_except_for_tools(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    written = ids(await d.history(metadata=(("client-name", "temporal-cli"),)))
    assert written == [1, 2, 3, 4]
    assert types(await d.history())[4:] == ["WORKFLOW_TASK_SCHEDULED"]
    await d.poll_wft()
    reply = await d.history()
    assert types(reply)[4:] == ["WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED"]
    assert ids(reply) == [1, 2, 3, 4, 5, 6]
    assert ids(await d.history(metadata=(("client-name", "temporal-ui"),))) == written
    assert await pages(d, 2) == [[1, 2, 3], [4, 5, 6]]


# Raw histories, and those that memory does not hold.


async def test_raw_histories_are_the_stored_batches() -> None:
    async with conversation(dynamic_config={"frontend.sendRawWorkflowHistory": True}) as d:
        await grown(d, close=True)
        reply = await d.history()
        assert ids(reply) == []
        assert {blob.encoding_type for blob in reply.raw_history} == {EncodingType.ENCODING_TYPE_PROTO3}
        batches = [History.FromString(blob.data).events for blob in reply.raw_history]
        assert [[event.event_id for event in batch] for batch in batches] == [
            [1, 2],
            [3],
            [4, 5, 6, 7],
            [8],
            [9, 10],
        ]
        closing = await d.history(history_event_filter_type="CLOSE_EVENT")
        assert len(closing.raw_history) == 1


async def test_after_a_restart_the_same_is_read_from_storage(tmp_path: Path) -> None:
    async with conversation(db=tmp_path / "db") as d:
        await grown(d, close=True)
        workflow_id, expected = d.workflow_id, ids(await d.history())
    async with conversation(db=tmp_path / "db") as d:
        d.workflow_id = workflow_id
        assert ids(await d.history()) == expected
        assert await pages(d, 2) == [[1, 2, 3], [4, 5, 6, 7, 8], [9, 10]]
        assert await pages(d, 3, "GetWorkflowExecutionHistoryReverse") == [[10, 9, 8, 7, 6, 5, 4], [3, 2, 1]]
        assert ids(await d.history(history_event_filter_type="CLOSE_EVENT")) == [10]


@pytest.mark.parametrize("from_storage", [False, True])
async def test_a_range_that_begins_within_a_batch_is_cut_there(from_storage: bool, tmp_path: Path) -> None:
    async with conversation(db=tmp_path / "db") as d:
        run_id = await grown(d, close=True)
    storage = SqliteStorage.open_file(tmp_path / "db")
    runtime = await Runtime.open(
        storage, RealClock(asyncio.get_running_loop()), RandomIds(), Dynamic(), cache_bytes=1 << 20
    )
    namespace_id = runtime.namespaces.get("default").id
    run = await runtime.executor.find(namespace_id, d.workflow_id, run_id)
    if not from_storage:
        run.tail = [tuple(batch) for batch in await storage.history(run.run_key)]
        run.tail_first_event_id = 1
    for first, expected in [(1, [1, 2, 3]), (2, [2, 3]), (5, [5, 6, 7, 8]), (10, [10]), (11, [])]:
        page = await history.read(runtime.executor, run, first, 11, 2)
        assert [event.event_id for event in History.FromString(page.data).events] == expected
    await storage.close()


async def test_pages_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch, d: Driver) -> None:
    await grown(d, close=True)
    monkeypatch.setattr(history, "MAX_PAGE_BYTES", 1)
    assert await pages(d, 0) == [[1, 2], [3], [4, 5, 6, 7], [8], [9, 10]]
    assert len(await pages(d, 0, "GetWorkflowExecutionHistoryReverse")) == 5


async def test_an_unversioned_worker_that_tells_its_build_leaves_it_in_the_history(d: Driver) -> None:
    """SDKs show a workflow the build that completed the task being replayed, so a new build must not hide the old."""
    await d.start()
    await d.complete(await d.poll_wft(), worker_version_stamp={"build_id": "1.0"})
    await d.signal()
    await d.complete(await d.poll_wft(), worker_version_stamp={"build_id": "1.1"})
    builds = [
        event.workflow_task_completed_event_attributes.worker_version.build_id
        for event in await d.events(d.workflow_id)
    ]
    assert [build for build in builds if build] == ["1.0", "1.1"]

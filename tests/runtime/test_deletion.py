"""Runs that go: because somebody asks for it, or because they have been kept long enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conformance.driver import Driver
from tests.conformance.messages import child, succeed, timer
from tests.runtime.conversation import conversation, types

from perdure.clock import SECOND_NS, ManualClock
from perdure.runtime import retention
from perdure.server import Server

DAY_NS = 24 * 3600 * SECOND_NS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Server:
    return Server(clock=clock)


@pytest.fixture
async def d(server: Server) -> AsyncIterator[Driver]:
    async with conversation(server) as driver:
        yield driver


async def gone(d: Driver, *executions: object) -> None:
    """Waits until none of the runs is found any more."""

    async def all_gone() -> bool:
        replies = [await d.quietly("DescribeWorkflowExecution", execution=each) for each in executions]
        return not any(replies)

    await d.until(all_gone)


async def delete(d: Driver, execution: object) -> None:
    assert await d.call("DeleteWorkflowExecution", workflow_execution=execution) is not None


# Deleted on request.


async def test_a_closed_run_goes_with_its_history_and_its_listing(d: Driver, server: Server) -> None:
    run = await d.start()
    await d.step(succeed())
    await delete(d, (d.workflow_id, run.run_id))
    await gone(d, d.workflow_id, (d.workflow_id, run.run_id))
    assert (await d.history()).code == "NOT_FOUND"
    assert (await d.quietly("CountWorkflowExecutions")).count == 0
    assert (await d.signal()).message == f"workflow not found for ID: {d.workflow_id}"


async def test_an_open_run_is_terminated_first(d: Driver) -> None:
    await d.start()
    wait = d.begin(
        "GetWorkflowExecutionHistory",
        execution=d.workflow_id,
        wait_new_event=True,
        history_event_filter_type="CLOSE_EVENT",
    )
    await asyncio.sleep(0)
    await delete(d, d.workflow_id)
    closing = await wait
    if closing:  # the call may have come too late to see it
        assert types(closing) == ["WORKFLOW_EXECUTION_TERMINATED"]
        terminated = closing.history.events[0].workflow_execution_terminated_event_attributes
        assert (terminated.reason, terminated.identity) == ("Delete workflow execution", "history-service")
    await gone(d, d.workflow_id)
    again = await d.start()
    assert (await d.describe()).workflow_execution_info.execution.run_id == again.run_id


async def test_an_earlier_run_goes_alone(d: Driver) -> None:
    first = await d.start()
    await d.step(succeed())
    second = await d.start()
    await delete(d, (d.workflow_id, first.run_id))
    await gone(d, (d.workflow_id, first.run_id))
    assert (await d.describe()).workflow_execution_info.execution.run_id == second.run_id


async def test_the_newest_run_leaves_earlier_ones_and_a_free_id(d: Driver) -> None:
    first = await d.start()
    await d.step(succeed())
    second = await d.start()
    await delete(d, d.workflow_id)
    await gone(d, (d.workflow_id, second.run_id))
    assert (await d.describe()).code == "NOT_FOUND"
    assert await d.describe((d.workflow_id, first.run_id))
    assert (await d.start(workflow_id_reuse_policy="REJECT_DUPLICATE")).started


async def test_its_end_reaches_parent_and_children_before_it_goes(d: Driver) -> None:
    await d.start()
    await d.step(child(d.name("kid"), task_queue=d.name("kids")))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    grandkid = child(d.name("grandkid"), task_queue=d.name("nobody"), parent_close_policy="TERMINATE")
    await d.complete(await d.poll_wft(d.name("kids")), grandkid)
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED", d.name("kid"))
    await delete(d, d.name("kid"))
    await gone(d, d.name("kid"))
    assert "CHILD_WORKFLOW_EXECUTION_TERMINATED" in types(await d.history())
    assert types(await d.history(d.name("grandkid")))[-1] == "WORKFLOW_EXECUTION_TERMINATED"


async def test_what_is_not_there_is_refused(d: Driver) -> None:
    refused = await d.call("DeleteWorkflowExecution", workflow_execution=d.workflow_id)
    assert (refused.code, refused.message) == ("NOT_FOUND", f"workflow not found for ID: {d.workflow_id}")


async def test_a_deletion_that_was_promised_survives_a_restart(tmp_path: Path) -> None:
    server = Server(db=tmp_path / "db")
    async with conversation(server) as d:
        await d.start()
        assert server._runtime is not None
        await server._runtime.time.stop()
        await delete(d, d.workflow_id)
        workflow_id = d.workflow_id
        assert await d.describe()
    async with conversation(db=tmp_path / "db") as d:
        await gone(d, workflow_id)


# Deleted when kept long enough.


async def swept(server: Server, clock: ManualClock, by_ns: int) -> None:
    """Move the clock, and wait until all that was due has been deleted."""
    assert server._runtime is not None
    runtime = server._runtime
    before = runtime.retention.sweeps
    clock.advance(by_ns)
    async with asyncio.timeout(20):
        while runtime.retention.sweeps == before:
            await asyncio.sleep(0.001)
    await runtime.executor.flushed()


async def test_a_closed_run_is_kept_for_the_retention_and_no_longer(
    d: Driver, server: Server, clock: ManualClock
) -> None:
    await d.start()
    clock.advance(3600 * SECOND_NS)
    await d.step(succeed())
    await swept(server, clock, DAY_NS - 1)
    assert await d.describe()
    await swept(server, clock, 1)
    assert (await d.describe()).code == "NOT_FOUND"
    assert (await d.quietly("CountWorkflowExecutions")).count == 0


async def test_retention_counts_from_the_end_by_the_servers_time(d: Driver, server: Server, clock: ManualClock) -> None:
    """The runs skip a year; the retention is a day."""
    assert server._runtime is not None
    clock.advance(3600 * SECOND_NS)
    names = [d.name("one"), d.name("two")]
    for name in names:
        await d.start(name, time_skipping_config={"enabled": True})
        await d.step(timer(seconds=365 * 24 * 3600))
        await d.step(succeed())
    kept = server._runtime.retention._ahead
    assert len(kept) == 2
    kept.clear()
    await server._runtime.retention._read_ahead()
    assert len(kept) == 2
    await swept(server, clock, DAY_NS - SECOND_NS)
    assert all([(await d.describe(name)).workflow_execution_info.close_time.seconds for name in names])
    await swept(server, clock, SECOND_NS)
    await gone(d, *names)
    assert not kept


async def test_open_runs_stay(d: Driver, server: Server, clock: ManualClock) -> None:
    await d.start()
    await d.step(timer(seconds=10 * 24 * 3600))
    await swept(server, clock, 3 * DAY_NS)
    assert await d.describe()


async def test_many_go_in_steps(d: Driver, server: Server, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_AT_ONCE", 3)
    names = [d.name(f"wf{number}") for number in range(10)]
    for name in names:
        await d.start(name)
        await d.terminate(name)
        clock.advance(SECOND_NS)
    await swept(server, clock, DAY_NS - 5 * SECOND_NS)
    left = [name for name in names if await d.describe(name)]
    assert left == names[6:]
    await swept(server, clock, 10 * SECOND_NS)
    await gone(d, *names)


async def test_another_retention_counts_at_once(d: Driver, server: Server, clock: ManualClock) -> None:
    await d.start()
    await d.step(succeed())
    clock.advance(2 * 3600 * SECOND_NS)
    assert await d.describe()
    hour = {"workflow_execution_retention_ttl": 3600}
    assert await d.call("UpdateNamespace", config=hour)
    await gone(d, d.workflow_id)


async def test_what_came_due_while_the_server_was_down_goes_when_it_is_up(tmp_path: Path) -> None:
    clock = ManualClock()
    async with conversation(Server(db=tmp_path / "db", clock=clock)) as d:
        await d.start()
        await d.step(succeed())
        workflow_id = d.workflow_id
    clock.advance(DAY_NS)
    async with conversation(Server(db=tmp_path / "db", clock=clock)) as d:
        await gone(d, workflow_id)


async def test_a_run_that_owes_its_parent_a_report_stays_until_it_is_given(
    d: Driver, server: Server, clock: ManualClock
) -> None:
    await d.start()
    await d.step(child(d.name("kid"), task_queue=d.name("kids")))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    runtime = server._runtime
    assert runtime is not None
    await runtime.time.stop()
    await d.terminate(d.name("kid"))
    await swept(server, clock, DAY_NS)
    assert await d.describe(d.name("kid"))
    runtime.time.start()
    await d.until_event("CHILD_WORKFLOW_EXECUTION_TERMINATED")
    await swept(server, clock, retention.RETRY_NS)
    await gone(d, d.name("kid"))

"""Resets in the whole server: what goes on meanwhile, requests that come twice, places to go back to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.conformance.driver import Driver
from tests.conformance.messages import continue_as_new, succeed, timer
from tests.runtime.conversation import conversation, types

from perdure.errors import InvalidArgument
from perdure.runtime.resets import Point
from perdure.server import Server


@pytest.fixture
async def d() -> AsyncIterator[Driver]:
    async with conversation() as driver:
        yield driver


async def test_a_reset_that_is_repeated_gives_the_same_run(d: Driver) -> None:
    started = await d.start()
    await d.step(timer())
    replies = await asyncio.gather(*(d.reset(4, started.run_id, request_id="once") for _ in range(3)))
    again = await d.reset(4, started.run_id, request_id="once")
    assert len({reply.run_id for reply in [*replies, again]}) == 1
    other = await d.reset(4, started.run_id, request_id="other")
    assert other.run_id != again.run_id


async def test_signals_that_come_while_a_long_history_is_read_are_not_lost(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    for number in range(700):
        await d.quietly(
            "SignalWorkflowExecution",
            workflow_execution=d.workflow_id,
            signal_name=f"early-{number}",
            identity="client",
        )
    first = await d.quietly("DescribeWorkflowExecution", execution=d.workflow_id)
    old = (d.workflow_id, first.workflow_execution_info.execution.run_id)
    reset = asyncio.create_task(d.reset(4, old[1]))
    sent = 0
    while not reset.done():
        reply = await d.quietly(
            "SignalWorkflowExecution", workflow_execution=old, signal_name=f"late-{sent}", identity="client"
        )
        sent += bool(reply)
    told = [e for e in await d.events((d.workflow_id, reset.result().run_id)) if "SIGNALED" in types([e])[0]]
    names = [event.workflow_execution_signaled_event_attributes.signal_name for event in told]
    assert names == [f"early-{n}" for n in range(700)] + [f"late-{n}" for n in range(sent)]


async def test_a_reset_that_is_repeated_while_it_is_under_way_is_made_once(d: Driver) -> None:
    """Seed 454 of the simulation: while a long history was read, a repeat of the request reset the new run again."""
    started = await d.start()
    await d.step(timer())
    for number in range(700):
        await d.quietly(
            "SignalWorkflowExecution", workflow_execution=d.workflow_id, signal_name=f"{number}", identity="client"
        )
    replies = await asyncio.gather(*(d.reset(4, started.run_id, request_id="once") for _ in range(3)))
    assert len({reply.run_id for reply in replies}) == 1


async def test_resets_at_the_same_time_leave_one_run_open(d: Driver) -> None:
    started = await d.start()
    await d.step(timer())
    replies = await asyncio.gather(*(d.reset(4, started.run_id, request_id=f"r{n}") for n in range(5)))
    descriptions = [
        await d.describe((d.workflow_id, run_id)) for run_id in [started.run_id, *(reply.run_id for reply in replies)]
    ]
    assert sum(reply.workflow_execution_info.status == 1 for reply in descriptions) == 1


async def test_places_to_go_back_to() -> None:
    server = Server()
    async with conversation(server) as d:
        first = await d.start()
        runtime = server._runtime
        assert runtime is not None
        namespace, resets = runtime.namespaces.get("default"), runtime.resets
        run = await runtime.executor.find(namespace.id, d.workflow_id)
        assert await resets.first_workflow_task(run) == await resets.last_workflow_task(run) == (first.run_id, 3)
        await d.step(timer("t", 0.001), worker_version_stamp={"build_id": "one"})
        await d.step(timer(), worker_version_stamp={"build_id": "two"})
        assert await resets.first_workflow_task(run) == Point(first.run_id, 4)
        assert await resets.last_workflow_task(run) == Point(first.run_id, 9)
        assert resets.by_build_id(run, "two") == Point(first.run_id, 9)
        await d.signal()
        await d.step(continue_as_new())
        next_run = await runtime.executor.find(namespace.id, d.workflow_id)
        assert resets.by_build_id(next_run, "one") == Point(first.run_id, 4)
        with pytest.raises(InvalidArgument, match="points to previous run and CurrentRunOnly is set"):
            resets.by_build_id(next_run, "one", current_run_only=True)
        with pytest.raises(InvalidArgument, match="Can't find reset point for three"):
            resets.by_build_id(next_run, "three")
        await d.step(succeed())


async def test_a_delayed_workflow_has_no_place_to_go_back_to() -> None:
    server = Server()
    async with conversation(server) as d:
        await d.start(workflow_start_delay=60)
        runtime = server._runtime
        assert runtime is not None
        run = await runtime.executor.find(runtime.namespaces.get("default").id, d.workflow_id)
        for find in (runtime.resets.first_workflow_task, runtime.resets.last_workflow_task):
            with pytest.raises(InvalidArgument, match="unable to find any scheduled or completed task"):
                await find(run)

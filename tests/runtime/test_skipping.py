"""What skipped time knows of runs, whatever the order in which it hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest
from tests.engine.driver import command, start_timer, token, update_request
from tests.runtime.test_executor import World, turns, within

from perdure.clock import SECOND_NS
from perdure.config import Skipping
from perdure.engine import inputs
from perdure.engine.queues import workflow_queue


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.open(skipping=Skipping.UNLOCKED)
    yield world
    await world.runtime.stop()


async def test_a_speculative_task_that_starts_during_a_commit_times_out(world: World) -> None:
    """It is in memory at once; that the task before it is over is told later, when that is durable."""
    run = await world.start("w")
    world.start_task(run)
    task = run.execution.pending_workflow_task
    assert task is not None
    world.storage.holds = True
    answer = RespondWorkflowTaskCompletedRequest(identity="worker", commands=[start_timer("t", seconds=3600)])
    world.executor.apply(run, inputs.CompleteWorkflowTask(*token(task), request=answer))
    world.executor.apply(run, inputs.AdmitUpdate(update_request()))
    world.start_task(run)
    world.storage.release()
    await within(world.executor.settled(run))

    skipped = world.runtime.skipped
    assert skipped is not None
    skipped.abandon(world.namespace.id, run.core.run_id)
    await within(skipped.advance(10 * SECOND_NS, world.namespace.id))
    types = await world.event_types(run.run_key)
    assert types[-1] == "WORKFLOW_TASK_TIMED_OUT", types


@pytest.mark.parametrize("busy", [False, True], ids=["signals", "other workflows"])
async def test_what_goes_on_besides_does_not_prolong_the_patience_of_an_advance(world: World, busy: bool) -> None:
    skipped, namespace_id = world.runtime.skipped, world.namespace.id
    assert skipped is not None
    skipped.expect(namespace_id, [workflow_queue(namespace_id, "q")], True)
    run = await world.start("w")
    world.start_task(run)
    await world.complete_task(run, start_timer("t", seconds=10))
    advance = asyncio.create_task(skipped.advance(15 * SECOND_NS, namespace_id))
    while run.execution.pending_workflow_task is None:
        await asyncio.sleep(0)
    world.start_task(run)
    for number in range(200):
        if advance.done():
            break
        world.clock.advance(SECOND_NS // 4)
        if busy:
            other = await world.start(f"other-{number}")
            world.start_task(other)
            await world.complete_task(other, command("COMPLETE_WORKFLOW_EXECUTION"))
        else:
            await world.signal("w")
        await turns()
    assert advance.done() and number > 3
    await advance

"""Nothing that is durable waits for ever: deadlines and tasks come back whatever memory went through."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration
from tests.engine.driver import start_request
from tests.runtime.test_executor import World, turns

from perdure.clock import SECOND_NS
from perdure.engine.machines.workflow import StartOptions
from perdure.runtime.run import Run


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.open()
    yield world
    await world.runtime.stop()


async def _given(world: World, workflow_id: str, *, task_timeout_s: int) -> Run:
    """A workflow whose task a worker has been given."""
    timeout = Duration(seconds=task_timeout_s)
    request = start_request(workflow_id=workflow_id, request_id=workflow_id, workflow_task_timeout=timeout)
    run = world.executor.start(world.namespace, request, StartOptions(run_id=world.executor.ids.uuid()))
    await world.executor.settled(run)
    world.start_task(run)
    return run


# Deadlines that storage does not have: those of started tasks.


async def test_a_started_task_whose_timeout_is_far_times_out(world: World):
    await turns()
    run = await _given(world, "w", task_timeout_s=100)
    world.clock.advance(101 * SECOND_NS)
    await turns()
    await world.executor.flushed()
    assert (await world.event_types(run.run_key))[-2:] == ["WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_TIMED_OUT"]


async def test_a_task_times_out_that_was_started_while_the_deadlines_are_read_again(world: World):
    await turns()
    run = await world.start("w")
    world.runtime.deadlines.reload()
    world.start_task(run)
    await turns()
    world.clock.advance(11 * SECOND_NS)
    await turns()
    await world.executor.flushed()
    assert (await world.event_types(run.run_key))[-2:] == ["WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_TIMED_OUT"]

"""Nothing that is durable waits for ever: deadlines and tasks come back whatever memory went through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from tests.engine.driver import start_request, start_timer
from tests.runtime.test_executor import World, turns, within

from perdure.clock import SECOND_NS
from perdure.engine.machines.workflow import StartOptions
from perdure.engine.queues import workflow_queue
from perdure.errors import NotFound
from perdure.runtime import matching
from perdure.runtime.matching import Poll, Taken, Task
from perdure.runtime.run import Run
from perdure.storage.base import DueItem, ReadyItem


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
    world.runtime.time.reload()
    world.start_task(run)
    await turns()
    world.clock.advance(11 * SECOND_NS)
    await turns()
    await world.executor.flushed()
    assert (await world.event_types(run.run_key))[-2:] == ["WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_TIMED_OUT"]


# Tasks.


def _worker(world: World, given: asyncio.Queue[int]) -> Poll:
    """A poll that starts the workflow task it is offered and never answers it."""

    async def take(task: Task) -> Taken:
        run = await world.executor.by_key(task[1])
        assert run is not None
        try:
            world.start_task(run)
        except NotFound:
            return Taken.STALE
        given.put_nowait(task[1])
        return Taken.SERVED

    return Poll("worker", take)


QUEUE = workflow_queue("namespace-id", "q")


async def test_tasks_behind_many_that_were_started_and_not_written_are_offered(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(matching, "MAX_IN_MEMORY", 4)
    runs = [await world.start(f"w{number}") for number in range(11)]
    given: asyncio.Queue[int] = asyncio.Queue()
    for _ in runs:
        world.runtime.matching.poll(QUEUE, _worker(world, given))
    assert sorted([await within(given.get()) for _ in runs]) == [run.run_key for run in runs]


async def test_a_task_dropped_from_a_full_queue_is_offered_whatever_its_order(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(matching, "MAX_IN_MEMORY", 2)
    runs = [await world.start(f"w{number}") for number in range(5)]
    given: asyncio.Queue[int] = asyncio.Queue()
    world.runtime.matching.poll(QUEUE, _worker(world, given))
    served = [await within(given.get())]
    runs += [await world.start(f"v{number}") for number in range(5)]
    for _ in runs[1:]:
        world.runtime.matching.poll(QUEUE, _worker(world, given))
    served += [await within(given.get()) for _ in runs[1:]]
    assert sorted(served) == sorted(run.run_key for run in runs)


async def test_a_task_that_could_not_be_handed_out_is_offered_again(world: World):
    run = await world.start("w")
    failed: asyncio.Queue[Task] = asyncio.Queue()

    async def take(task: Task) -> Taken:
        await asyncio.sleep(0)
        poll.canceled = True
        failed.put_nowait(task)
        raise OSError("the run could not be read")

    poll = Poll("worker", take)
    world.runtime.matching.poll(QUEUE, poll)
    await within(failed.get())
    await turns()
    given = world.poll()
    await turns()
    world.clock.advance(SECOND_NS)
    assert (await within(given.get()))[1] == run.run_key


async def test_a_queue_that_could_not_be_read_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch):
    run = await world.start("w")
    inner = world.storage.inner

    async def unreadable(*_: Any) -> list[ReadyItem]:
        raise OSError("not now")

    with monkeypatch.context() as broken:
        broken.setattr(inner, "ready", unreadable)
        given = world.poll()
        await turns()
    world.clock.advance(SECOND_NS)
    assert (await within(given.get()))[1] == run.run_key


async def test_deadlines_that_could_not_be_read_are_read_again(world: World, monkeypatch: pytest.MonkeyPatch):
    await turns()
    run = await world.start("w")
    world.start_task(run)
    await world.complete_task(run, start_timer("t", 70))
    inner = world.storage.inner

    async def unreadable(*_: Any) -> list[DueItem]:
        raise OSError("not now")

    with monkeypatch.context() as broken:
        broken.setattr(inner, "due", unreadable)
        world.clock.advance(60 * SECOND_NS)
        await turns()
    for _ in range(12):
        world.clock.advance(SECOND_NS)
        await turns()
    await world.executor.flushed()
    assert "TIMER_FIRED" in await world.event_types(run.run_key)


# What memory keeps of queues.


async def test_queues_that_nobody_polls_any_more_are_forgotten(world: World):
    tasks = world.runtime.matching

    async def take(task: Task) -> Taken:
        return Taken.STALE

    for number in range(20_000):
        poll = Poll("worker", take)
        tasks.poll(f"sticky {number}", poll)
        tasks.withdraw(f"sticky {number}", poll)
        if number % 500 == 0:
            await turns()
    assert len(tasks._queues) <= matching.MAX_IDLE_QUEUES + 2 * matching.SWEEP_EVERY
    world.clock.advance(3600 * SECOND_NS)
    for number in range(matching.SWEEP_EVERY + 1):
        tasks.poll(f"other {number}", Poll("worker", take))
    assert not any(name.startswith("sticky") for name in tasks._queues)


async def test_queues_that_are_only_written_to_take_no_memory(world: World):
    await world.start("w")
    assert not world.runtime.matching._queues


async def test_pollers_with_ever_new_identities_are_bounded(world: World):
    async def take(task: Task) -> Taken:
        return Taken.STALE

    for number in range(matching.MAX_POLLERS + 5):
        poll = Poll(f"worker {number}", take)
        world.runtime.matching.poll("q", poll)
        world.runtime.matching.withdraw("q", poll)
    pollers = world.runtime.matching.pollers("q")
    assert len(pollers) == matching.MAX_POLLERS and pollers[0].identity == "worker 5"


async def test_a_worker_that_left_does_not_get_tasks_when_its_polls_end_later(world: World):
    async def take(task: Task) -> Taken:
        return Taken.STALE

    tasks = world.runtime.matching
    poll = Poll("worker", take)
    tasks.poll("sticky", poll)
    tasks.abandon("sticky")
    tasks.withdraw("sticky", poll)
    assert not tasks.is_polled("sticky")
    tasks.poll("sticky", Poll("worker", take))
    assert tasks.is_polled("sticky")


async def test_a_queue_with_many_tasks_lets_others_have_a_turn(world: World):
    tasks = world.runtime.matching
    given: list[Task] = []

    async def take(task: Task) -> Taken:
        given.append(task)
        return Taken.SERVED

    tasks.poll("q", Poll("worker", take))
    await turns()
    for number in range(3 * matching.MAX_AT_ONCE):
        tasks.add("q", number, number, 1, "")
    for _ in range(3 * matching.MAX_AT_ONCE):
        tasks._queues["q"].polls.append(Poll("worker", take))
    before = len(given)
    tasks._match(tasks._queues["q"])
    assert len(given) - before == matching.MAX_AT_ONCE
    await turns()
    assert len(given) == 3 * matching.MAX_AT_ONCE

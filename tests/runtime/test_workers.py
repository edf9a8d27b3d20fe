"""The registry of workers: how long they are known, and how many."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.conformance.driver import Driver
from tests.runtime.conversation import conversation

from perdure.clock import SECOND_NS, ManualClock
from perdure.server import Server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def d(clock: ManualClock) -> AsyncIterator[Driver]:
    async with conversation(Server(clock=clock, dynamic_config={"matching.workerRegistryMaxEntries": 3})) as driver:
        yield driver


async def told(d: Driver, *words: str) -> None:
    beats = [{"worker_instance_key": word, "task_queue": d.task_queue, "status": "RUNNING"} for word in words]
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=beats)


async def known(d: Driver) -> list[str]:
    return [worker.worker_instance_key for worker in (await d.call("ListWorkers")).workers]


async def test_a_worker_is_forgotten_when_it_is_silent(d: Driver, clock: ManualClock) -> None:
    await told(d, "a", "b")
    clock.advance(200 * SECOND_NS)
    await told(d, "a")
    clock.advance(101 * SECOND_NS)
    assert await known(d) == ["a"]
    assert (await d.call("DescribeWorker", worker_instance_key="b")).code == "NOT_FOUND"
    clock.advance(200 * SECOND_NS)
    assert await known(d) == []


async def test_of_too_many_workers_those_heard_of_longest_ago_are_forgotten(d: Driver) -> None:
    await told(d, "a", "b", "c")
    await told(d, "a")
    await told(d, "d")
    assert await known(d) == ["a", "c", "d"]


async def test_a_namespace_sees_its_own_workers_alone() -> None:
    async with conversation(Server(namespaces=("other",))) as d:
        await told(d, "a")
        assert (await d.call("CountWorkers", namespace="other")).count == 0
        assert (await d.call("DescribeWorker", namespace="other", worker_instance_key="a")).code == "NOT_FOUND"


async def test_without_heartbeats_nothing_is_promised_and_nothing_kept() -> None:
    async with conversation(dynamic_config={"frontend.WorkerHeartbeatsEnabled": False}) as d:
        await told(d, "a")
        assert await known(d) == []
        described = await d.call("DescribeNamespace")
        assert not described.namespace_info.capabilities.worker_heartbeats

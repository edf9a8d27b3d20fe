"""The registry of workers: how long they are known, and how many."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.api.worker.v1 import WorkerHeartbeat
from tests.conformance.driver import Driver
from tests.runtime.conversation import conversation

from perdure.clock import SECOND_NS, ManualClock
from perdure.runtime.workers import Workers
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


def test_heartbeats_are_bounded_in_bytes(clock: ManualClock) -> None:
    workers = Workers(clock, ttl_s=300, max_entries=1000, max_bytes=100_000)
    for number in range(30):
        beat = WorkerHeartbeat(worker_instance_key=f"{number:02}", worker_identity="i" * 20_000)
        workers.record("n", [WorkerHeartbeat(worker_instance_key="small"), beat])
        assert workers.size_bytes <= 100_000
    assert [each.worker_instance_key for each in workers.of_namespace("n")] == ["26", "27", "28", "29", "small"]
    workers.record("n", [WorkerHeartbeat(worker_instance_key="26")])
    assert workers.find("n", "26") == WorkerHeartbeat(worker_instance_key="26")
    clock.advance(301 * SECOND_NS)
    assert list(workers.of_namespace("n")) == [] and workers.size_bytes == 0


async def test_a_page_of_large_heartbeats_ends_early(d: Driver) -> None:
    for word in ("a", "b", "c"):
        beat = {"worker_instance_key": word, "worker_identity": "i" * 2_500_000, "task_queue": d.task_queue}
        await d.call("RecordWorkerHeartbeat", worker_heartbeat=[beat])
    first = await d.call("ListWorkers")
    assert [worker.worker_instance_key for worker in first.workers] == ["a", "b"]
    second = await d.call("ListWorkers", next_page_token=first.next_page_token)
    assert [worker.worker_instance_key for worker in second.workers] == ["c"]
    assert not second.next_page_token


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

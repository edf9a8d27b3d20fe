"""Task queues as DescribeTaskQueue and ListTaskQueuePartitions show them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.api.enums.v1 import BuildIdTaskReachability
from tests.conformance.driver import Driver
from tests.runtime.conversation import conversation

from perdure.clock import SECOND_NS, ManualClock
from perdure.server import Server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def d(clock: ManualClock) -> AsyncIterator[Driver]:
    async with conversation(Server(clock=clock)) as driver:
        yield driver


async def described(d: Driver, kind: str = "WORKFLOW", **fields: object):
    return await d.call("DescribeTaskQueue", task_queue=d.task_queue, task_queue_type=kind, **fields)


async def test_a_poller_is_shown_for_a_while_with_its_limit(d: Driver, clock: ManualClock) -> None:
    poll = d.begin(
        "PollActivityTaskQueue",
        task_queue=d.task_queue,
        identity="me",
        timeout_s=20,
        task_queue_metadata={"max_tasks_per_second": {"value": 7.5}},
    )
    await d.until(lambda: _pollers(d))
    (poller,) = (await described(d, "ACTIVITY")).pollers
    assert (poller.identity, poller.rate_per_second) == ("me", 7.5)
    assert poller.last_access_time.ToNanoseconds() == clock.now_ns()
    assert not (await described(d, "WORKFLOW")).pollers
    poll.cancel()
    clock.advance(299 * SECOND_NS)
    assert (await described(d, "ACTIVITY")).pollers
    clock.advance(2 * SECOND_NS)
    assert not (await described(d, "ACTIVITY")).pollers


async def _pollers(d: Driver) -> bool:
    return bool((await described(d, "ACTIVITY")).pollers)


async def test_the_backlog_shrinks_as_tasks_are_taken(d: Driver, clock: ManualClock) -> None:
    for number in range(3):
        await d.start(d.name(f"wf{number}"))
    clock.advance(5 * SECOND_NS)
    stats = (await described(d, report_stats=True)).stats
    assert (stats.approximate_backlog_count, stats.approximate_backlog_age.seconds) == (3, 5)
    await d.poll_wft()
    reply = await described(d, report_stats=True, include_task_queue_status=True)
    assert reply.stats.approximate_backlog_count == reply.task_queue_status.backlog_count_hint == 2
    assert reply.stats_by_priority_key[3] == reply.stats
    assert (await described(d, "ACTIVITY", report_stats=True)).stats.approximate_backlog_count == 0


async def test_the_enhanced_mode_tells_by_build_id_and_type(d: Driver) -> None:
    await d.start()
    await d.poll_wft()
    fields = {"api_mode": "ENHANCED", "report_pollers": True, "report_stats": True, "report_task_reachability": True}
    versions = (await described(d, **fields)).versions_info
    assert list(versions) == [""] and sorted(versions[""].types_info) == [1, 2]
    assert [poller.identity for poller in versions[""].types_info[1].pollers] == ["worker"]
    assert versions[""].types_info[1].HasField("stats") and not versions[""].types_info[2].pollers
    assert versions[""].task_reachability == BuildIdTaskReachability.BUILD_ID_TASK_REACHABILITY_REACHABLE
    fields["versions"] = {"build_ids": ["x"]}
    versions = (await described(d, **fields)).versions_info
    assert list(versions) == ["x"] and not versions["x"].types_info[1].pollers


async def test_sticky_queues_have_no_stats_and_no_versions(d: Driver) -> None:
    plain = await d.call("DescribeTaskQueue", task_queue=d.sticky_queue())
    assert plain and not plain.HasField("versioning_info")
    for fields in ({"report_stats": True}, {"api_mode": "ENHANCED"}):
        refused = await d.call("DescribeTaskQueue", task_queue=d.sticky_queue(), **fields)
        assert refused.code == "INVALID_ARGUMENT"


async def test_a_queue_is_its_only_partition(d: Driver) -> None:
    reply = await d.call("ListTaskQueuePartitions", task_queue=d.task_queue)
    for partitions in (reply.activity_task_queue_partitions, reply.workflow_task_queue_partitions):
        assert [partition.key for partition in partitions] == [d.task_queue]
    assert (await d.call("ListTaskQueuePartitions")).message == "taskQueue is not set"


async def test_a_nexus_worker_polls_its_own_queue_and_is_let_go_when_it_shuts_down() -> None:
    config = {"frontend.enableCancelWorkerPollsOnShutdown": True}
    async with conversation(dynamic_config=config) as d:
        fields = {"task_queue": d.task_queue, "identity": "me", "worker_instance_key": "key", "timeout_s": 20}
        poll = d.begin("PollNexusTaskQueue", **fields)

        async def polls() -> bool:
            return bool((await described(d, "NEXUS")).pollers)

        await d.until(polls)
        assert not (await described(d, "WORKFLOW")).pollers
        assert await d.call("ShutdownWorker", worker_instance_key="key")
        assert not (await poll).task_token


async def test_a_nexus_poll_must_look_right(d: Driver) -> None:
    refusals = {
        "missing task queue name": {"task_queue": ""},
        "Identity length exceeds limit.": {"task_queue": d.task_queue, "identity": "x" * 1001},
    }
    for message, fields in refusals.items():
        refused = await d.call("PollNexusTaskQueue", timeout_s=5, **fields)
        assert (refused.code, refused.message) == ("INVALID_ARGUMENT", message)

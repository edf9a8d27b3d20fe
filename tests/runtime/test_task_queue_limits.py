"""Priorities and rate limits of task queues: what is handed out, in which order, and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.driver import Driver
from tests.conformance.messages import activity
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


async def with_activities(d: Driver, *priorities: dict[str, Any], **start: Any) -> None:
    """A workflow with an activity of each of these priorities, called by its number, that is retried once."""
    await d.start(**start)
    commands = [
        activity(str(number), priority=each, retry_policy={"maximum_attempts": 2})
        for number, each in enumerate(priorities)
    ]
    await d.step(*commands)


async def taken(d: Driver, number: int, **fields: Any) -> list[str]:
    """The ids of the next activities."""
    return [(await d.poll_activity(**fields)).activity_id for _ in range(number)]


class Pollers:
    """Polls that wait side by side; `count` is how many have got a task."""

    def __init__(self, d: Driver, number: int, **fields: Any) -> None:
        self._d = d
        fields = {"task_queue": d.task_queue, "identity": "me", "timeout_s": 20, **fields}
        self._polls = [d.begin("PollActivityTaskQueue", **fields) for _ in range(number)]

    @property
    def count(self) -> int:
        return sum(poll.done() for poll in self._polls)

    async def settled(self) -> int:
        """The count, once nothing happens any more."""
        before = -1
        while before != self.count:
            before = self.count
            for _ in range(5):
                await self._d.quietly("DescribeTaskQueue", task_queue=self._d.task_queue)
            await asyncio.sleep(0)
        return before

    def cancel(self) -> None:
        for poll in self._polls:
            poll.cancel()


async def set_limit(d: Driver, rate: float | None, **fields: Any) -> Any:
    limit = {"rate_limit": {"requests_per_second": rate}} if rate is not None else {}
    return await d.call(
        "UpdateTaskQueueConfig",
        task_queue=d.task_queue,
        task_queue_type="ACTIVITY",
        update_queue_rate_limit={**limit, "reason": "test"},
        identity="operator",
        **fields,
    )


async def described(d: Driver, **fields: Any) -> Any:
    return await d.call("DescribeTaskQueue", task_queue=d.task_queue, task_queue_type="ACTIVITY", **fields)


async def test_activities_go_out_by_priority_and_then_by_age(d: Driver) -> None:
    keys = (5, 0, 1, 9, 3, 2, 1)
    await with_activities(d, *({"priority_key": key} for key in keys))
    assert await taken(d, len(keys)) == ["2", "6", "5", "1", "4", "0", "3"]


async def test_workflow_tasks_go_out_by_priority(d: Driver) -> None:
    for key in (4, 0, 2):
        await d.start(d.name(str(key)), priority={"priority_key": key})
    assert [(await d.poll_wft()).workflow_execution.workflow_id for _ in range(3)] == [d.name(k) for k in "204"]


async def test_an_activity_has_the_priority_of_its_workflow_unless_it_has_its_own(d: Driver) -> None:
    await with_activities(d, {"priority_key": 5}, {}, {"fairness_key": "k"}, priority={"priority_key": 1})
    tasks = [await d.poll_activity() for _ in range(3)]
    assert [(task.activity_id, task.priority.priority_key) for task in tasks] == [("1", 1), ("2", 1), ("0", 5)]


async def test_a_retry_keeps_its_priority(d: Driver, clock: ManualClock) -> None:
    await with_activities(d, {"priority_key": 2}, {"priority_key": 3})
    await d.fail_activity(await d.poll_activity())
    clock.advance(5 * SECOND_NS)

    async def waits() -> bool:
        return (await described(d, report_stats=True)).stats.approximate_backlog_count == 2

    await d.until(waits)
    assert await taken(d, 2) == ["0", "1"]


async def test_priorities_outlive_a_restart_and_are_told_of(tmp_path: Path) -> None:
    async with conversation(Server(db=tmp_path / "p.db")) as d:
        await with_activities(d, {"priority_key": 4}, {"priority_key": 2}, {"priority_key": 2})
        first = d
    async with conversation(Server(db=tmp_path / "p.db")) as d:
        d.task_queue = first.task_queue
        stats = (await described(d, report_stats=True)).stats_by_priority_key
        assert {key: each.approximate_backlog_count for key, each in stats.items()} == {2: 2, 3: 0, 4: 1}
        assert await taken(d, 3) == ["1", "2", "0"]


async def test_stats_are_by_priority_with_rates(d: Driver, clock: ManualClock) -> None:
    await with_activities(d, {"priority_key": 1}, {"priority_key": 1}, {})
    clock.advance(10 * SECOND_NS)
    assert await taken(d, 1) == ["0"]
    clock.advance(10 * SECOND_NS)
    reply = await described(d, report_stats=True)
    high, normal = reply.stats_by_priority_key[1], reply.stats_by_priority_key[3]
    assert high.approximate_backlog_count == 1
    assert high.approximate_backlog_age.ToNanoseconds() / SECOND_NS == pytest.approx(20)
    assert (high.tasks_add_rate, high.tasks_dispatch_rate) == (pytest.approx(0.1), pytest.approx(0.05))
    assert (normal.approximate_backlog_count, normal.tasks_dispatch_rate) == (1, 0)
    assert reply.stats.approximate_backlog_count == 2 and reply.stats.tasks_add_rate == pytest.approx(0.15)
    clock.advance(60 * SECOND_NS)
    assert (await described(d, report_stats=True)).stats.tasks_dispatch_rate == 0


async def test_a_limit_of_the_queue_bounds_how_fast_activities_go_out(d: Driver, clock: ManualClock) -> None:
    await set_limit(d, 2)
    await with_activities(d, *({} for _ in range(8)))
    polls = Pollers(d, 8)
    assert await polls.settled() == 3
    assert (await described(d, report_stats=True)).stats.rate_limiting_active
    clock.advance(SECOND_NS // 2)
    assert await polls.settled() == 4
    clock.advance(SECOND_NS)
    assert await polls.settled() in (5, 6)
    polls.cancel()


async def test_a_limit_of_zero_pauses_a_queue_until_it_is_taken_away(d: Driver, clock: ManualClock) -> None:
    await set_limit(d, 0)
    await with_activities(d, {}, {})
    polls = Pollers(d, 2)
    clock.advance(1000 * SECOND_NS)
    assert await polls.settled() == 0
    await set_limit(d, None)
    assert await polls.settled() == 2


async def test_the_limit_of_the_last_worker_holds_unless_an_operator_has_set_one(d: Driver) -> None:
    def worker(rate: float) -> dict[str, Any]:
        return {"task_queue_metadata": {"max_tasks_per_second": {"value": rate}}}

    async def limit() -> tuple[float, int]:
        found = (await described(d)).effective_rate_limit
        return found.requests_per_second, found.rate_limit_source

    await with_activities(d, {}, {}, {}, {})
    await taken(d, 1, **worker(7))
    assert await limit() == (7, 2)
    await taken(d, 1, **worker(9))
    assert await limit() == (9, 2)
    await set_limit(d, 5)
    await taken(d, 1, **worker(8))
    assert await limit() == (5, 1)
    await set_limit(d, None)
    assert await limit() == (8, 2)
    await taken(d, 1)
    assert await limit() == (0, 0)


async def test_a_limit_outlives_a_restart_and_goes_with_its_namespace(tmp_path: Path) -> None:
    async with conversation(Server(db=tmp_path / "p.db")) as d:
        kept = (await set_limit(d, 0)).config
        first = d
    async with conversation(Server(db=tmp_path / "p.db")) as d:
        d.task_queue = first.task_queue
        reply = await described(d, report_config=True)
        assert reply.config == kept and reply.config.queue_rate_limit.metadata.reason == "test"
        assert reply.effective_rate_limit.rate_limit_source == 1
        await with_activities(d, {})
        polls = Pollers(d, 1)
        assert await polls.settled() == 0
        polls.cancel()


async def test_workers_are_told_to_poll_more_or_less(d: Driver, clock: ManualClock) -> None:
    await with_activities(d, {}, {})
    clock.advance(SECOND_NS)
    assert (await d.poll_activity()).poller_scaling_decision.poll_request_delta_suggestion == 1
    await d.poll_activity()
    poll = d.begin("PollActivityTaskQueue", task_queue=d.task_queue, identity="me", timeout_s=20)
    await d.until(lambda: _waits(d))
    clock.advance(2 * SECOND_NS)
    await d.start(d.name("second"))
    await d.step(activity(activity_id="late"))
    assert (await poll).poller_scaling_decision.poll_request_delta_suggestion == -1


async def _waits(d: Driver) -> bool:
    return bool((await described(d)).pollers)

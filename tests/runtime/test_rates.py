"""How rates are measured and bounded, and what memory holds of a backlog."""

from __future__ import annotations

import random

from temporalio.api.common.v1 import Priority

from perdure.clock import SECOND_NS
from perdure.engine.queues import first_order, level, ready_ns, task_order
from perdure.runtime import backlog
from perdure.runtime.backlog import Backlog
from perdure.runtime.rates import NEVER_NS, Limit, Rate
from perdure.storage.base import ReadyItem

NOW_NS = 1_800_000_000 * SECOND_NS


def passed(limit: Limit, now_ns: int) -> int:
    """How many get through at one moment."""
    number = 0
    while limit.ready_ns <= now_ns:
        limit.take(now_ns)
        number += 1
    return number


def test_a_limit_lets_a_second_s_worth_through_at_once_and_then_one_at_a_time() -> None:
    limit = Limit(5)
    assert passed(limit, NOW_NS) == 6
    assert limit.ready_ns == NOW_NS + SECOND_NS // 5
    assert passed(limit, NOW_NS + SECOND_NS // 5) == 1
    assert passed(limit, NOW_NS + 10 * SECOND_NS) == 6


def test_a_limit_of_zero_lets_nothing_through_until_it_is_replaced() -> None:
    zero = Limit(0)
    zero.take(NOW_NS, -1)
    assert zero.ready_ns == NEVER_NS
    assert Limit(2, before=zero, now_ns=NOW_NS).ready_ns == NOW_NS + SECOND_NS * 3 // 2


def test_what_did_not_go_through_is_given_back() -> None:
    limit = Limit(5)
    passed(limit, NOW_NS)
    limit.take(NOW_NS, -1)
    assert passed(limit, NOW_NS) == 1


def test_a_rate_is_that_of_the_last_half_minute() -> None:
    rate = Rate(NOW_NS)
    for second in range(100):
        for _ in range(3 if second < 50 else 1):
            rate.add(NOW_NS + second * SECOND_NS)
        if second == 9:
            assert rate.per_second(NOW_NS + 10 * SECOND_NS) == 3
    assert rate.per_second(NOW_NS + 100 * SECOND_NS) == 1
    assert rate.per_second(NOW_NS + 200 * SECOND_NS) == 0
    assert Rate(NOW_NS).per_second(NOW_NS) == 0


def test_the_order_of_tasks_goes_by_priority_and_then_by_age() -> None:
    def order(key: int, now_ns: int = NOW_NS, inherited: int = 0) -> int:
        priorities = [Priority(priority_key=number).SerializeToString() for number in (inherited, key)]
        return task_order(now_ns, *priorities)

    assert order(1) < order(2) < order(0) == order(3) == task_order(NOW_NS) < order(4) < order(5) == order(9)
    assert order(1, NOW_NS + 1) < order(2, NOW_NS) and order(4) < order(4, NOW_NS + 1)
    assert order(0, inherited=1) == order(1) and order(5, inherited=1) == order(5)
    for key in range(1, 6):
        assert level(order(key)) == key and ready_ns(order(key)) == NOW_NS
        assert first_order(key) <= order(key) < first_order(key + 1)
        assert -(2**63) <= order(key) < 2**63


def test_memory_serves_a_backlog_in_order_however_little_of_it_it_holds(monkeypatch) -> None:
    """A model: storage has everything, memory reads pages of it; tasks come late, with any priority."""
    monkeypatch.setattr(backlog, "MAX_IN_MEMORY", 4)
    chance = random.Random(1)
    for _ in range(300):
        tasks, stored, served = Backlog(), {}, []
        for number in range(60):
            if chance.random() < 0.7:
                task = (first_order(chance.randint(1, 5)) + NOW_NS + number, number, 2, number)
                stored[task] = True
                tasks.push(task)
            elif stored:
                if not len(tasks) and tasks.end is not None:
                    after, tasks.end = tasks.end, None
                    rest = sorted(task for task in stored if (*task[:3], str(task[3])) > after)
                    page = rest[:4]
                    end = ReadyItem(*page[-1][:3], str(page[-1][3])) if len(page) == 4 else None
                    tasks.finish_page(page, end)
                if len(tasks):
                    task = tasks.pop()
                    assert task == min(stored)
                    del stored[task]
                    served.append(task)
            assert len(tasks) <= 9
            assert sum(tasks.counts().values()) == len(tasks)
        assert len(set(served)) == len(served)

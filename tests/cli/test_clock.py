"""Clocks run callbacks when they are due, in order; ids are UUIDs."""

import asyncio
import uuid

import pytest

from perdure import clock as clock_module
from perdure.clock import SECOND_NS, ManualClock, RandomIds, RealClock, SeededIds


def test_time_stands_still_until_it_is_moved():
    clock = ManualClock(5)
    assert clock.now_ns() == 5
    clock.advance(10)
    assert clock.now_ns() == 15


def test_callbacks_run_in_order_of_due_time_then_of_arrival_each_at_its_own_time():
    clock, seen = ManualClock(0), []
    for due_ns, name in ((30, "c"), (10, "a"), (30, "d"), (20, "b"), (99, "later")):
        clock.call_at(due_ns, lambda name=name: seen.append((name, clock.now_ns())))
    clock.advance(50)
    assert seen == [("a", 10), ("b", 20), ("c", 30), ("d", 30)]
    assert clock.now_ns() == 50
    assert clock.next_due_ns() == 99


def test_a_callback_may_schedule_more_within_the_same_advance():
    clock, seen = ManualClock(0), []
    clock.call_at(10, lambda: clock.call_at(15, lambda: seen.append(clock.now_ns())))
    clock.advance(20)
    assert seen == [15]


def test_what_is_overdue_never_turns_time_back():
    clock, seen = ManualClock(100), []
    clock.call_at(1, lambda: seen.append(clock.now_ns()))
    clock.advance(0)
    assert seen == [100]


def test_a_cancelled_callback_does_not_run_and_is_not_waited_for():
    clock, seen = ManualClock(0), []
    timer = clock.call_at(10, lambda: seen.append("cancelled"))
    clock.call_at(20, lambda: seen.append("kept"))
    timer.cancel()
    timer.cancel()
    assert clock.next_due_ns() == 20
    clock.advance(30)
    assert seen == ["kept"]


class _Machine:
    """A wall clock that a test sets, and a clock that knows nothing of that."""

    wall_ns = 1_000 * SECOND_NS
    monotonic_ns = 5 * SECOND_NS

    def clock(self):
        return RealClock(None, lambda: self.wall_ns, lambda: self.monotonic_ns)


async def test_the_real_clock_runs_what_is_due_in_order_on_the_loop():
    clock, seen, done = RealClock(), [], asyncio.Event()
    now_ns = clock.now_ns()
    clock.call_at(now_ns + 2_000_000, done.set)
    clock.call_at(now_ns + 1_000_000, lambda: seen.append("soon"))
    clock.call_at(now_ns - 1, lambda: seen.append("overdue"))
    assert seen == [], "never inside call_at"
    await done.wait()
    assert seen == ["overdue", "soon"]


def test_the_loop_is_never_asked_to_ring_too_early():
    class Loop:
        asked: list[float] = []

        def call_later(self, delay_s, callback):
            self.asked.append(delay_s)

    machine, loop = _Machine(), Loop()
    clock = RealClock(loop, lambda: machine.wall_ns, lambda: machine.monotonic_ns)
    for delay_ns in (1_200_000, 1_000_000, 300_000, 0, -5):
        clock.call_at(clock.now_ns() + delay_ns, lambda: None)
    assert loop.asked == [0.002, 0.001, 0.001, 0.0, 0.0]


async def test_a_wall_clock_that_is_set_forward_is_noticed(monkeypatch):
    monkeypatch.setattr(clock_module, "RECHECK_S", 0.001)
    machine, done = _Machine(), asyncio.Event()
    machine.clock().call_at(machine.wall_ns + 3600 * SECOND_NS, done.set)
    machine.wall_ns += 3601 * SECOND_NS
    await done.wait()


async def test_a_wall_clock_that_is_set_back_makes_nothing_early_or_late(monkeypatch):
    monkeypatch.setattr(clock_module, "RECHECK_S", 0.001)
    machine, seen = _Machine(), []
    clock, due_ns = machine.clock(), machine.wall_ns + 10 * SECOND_NS
    clock.call_at(due_ns, lambda: seen.append(clock.now_ns()))
    machine.wall_ns -= 3600 * SECOND_NS
    machine.wall_ns += 9 * SECOND_NS
    machine.monotonic_ns += 9 * SECOND_NS
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert seen == []
    machine.monotonic_ns += SECOND_NS
    while not seen:
        await asyncio.sleep(0)
    assert seen == [due_ns]


def test_time_goes_on_while_a_wall_clock_that_was_set_back_catches_up():
    machine = _Machine()
    clock, begun_ns, seen = machine.clock(), machine.wall_ns, []
    for wall_s, monotonic_s in ((-3600, 0), (1, 1), (1, 1), (3700, 0), (1, 1)):
        machine.wall_ns += wall_s * SECOND_NS
        machine.monotonic_ns += monotonic_s * SECOND_NS
        seen.append((clock.now_ns() - begun_ns) // SECOND_NS)
    assert seen == [0, 1, 2, 102, 103]


async def test_thousands_overdue_leave_the_loop_room_to_answer():
    clock, order, total = RealClock(), [], 5 * clock_module.CALLBACKS_PER_TURN
    for number in range(total):
        clock.call_at(0, lambda number=number: order.append(number))
    await asyncio.sleep(0)
    while not order:
        await asyncio.sleep(0)
    assert len(order) < total, "a turn of the loop in between"
    while len(order) < total:
        await asyncio.sleep(0)
    assert order == list(range(total))


async def test_a_failing_callback_does_not_stop_the_clock():
    loop, errors = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
    clock, done = RealClock(), asyncio.Event()
    clock.call_at(0, lambda: 1 // 0)
    clock.call_at(1, done.set)
    await done.wait()
    assert [type(error) for error in errors] == [ZeroDivisionError]


@pytest.mark.parametrize("ids", [RandomIds(), SeededIds(1)], ids=["random", "seeded"])
def test_ids_are_version_7_uuids_and_do_not_repeat(ids):
    made = [ids.uuid() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert all(0 <= ids.random() < 1 for _ in range(100))


def test_a_seed_decides_everything():
    one, same, other = SeededIds(7), SeededIds(7), SeededIds(8)
    assert [one.uuid(), one.random(), one.uuid()] == [same.uuid(), same.random(), same.uuid()]
    assert one.uuid() != other.uuid()

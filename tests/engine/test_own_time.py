"""Workflows that skip time: when they do, how far, and what storage and other runs get to know of it."""

from __future__ import annotations

import pytest
from tests.engine import driver as d
from tests.engine.driver import START_NS, Conversation, S
from tests.engine.time_skipping import skipping

from perdure.engine.execution import Kind
from perdure.runtime import rows

YEAR_S = 365 * 86_400


def test_the_deadline_that_time_skips_to_is_due_at_once_in_storage() -> None:
    talk = Conversation(time_skipping_config=skipping(9))
    talk.poll()
    talk.complete(d.start_timer("near", 60), d.start_timer("far", YEAR_S))
    assert talk.execution.core.offset_ns == 60 * S
    pending = rows.run_change(talk.decision).pending
    due = {key: row.due_ns for (kind, key), row in pending.items() if kind == Kind.TIMER and row is not None}
    assert due == {"near": START_NS, "far": START_NS + (YEAR_S - 60) * S}


def test_a_workflow_without_the_config_stays_in_the_time_of_its_namespace() -> None:
    talk = Conversation()
    talk.poll()
    talk.complete(d.start_timer("t", 60))
    assert talk.execution.core.clock is None


def test_each_deadline_acts_at_its_own_time() -> None:
    talk = Conversation(time_skipping_config=skipping(9))
    talk.poll()
    talk.complete(d.start_timer("t", YEAR_S))
    talk.advance(0)
    fired = talk.written[-2]
    assert fired.timer_fired_event_attributes.timer_id == "t"
    assert fired.event_time.ToNanoseconds() == START_NS + YEAR_S * S
    assert talk.task.order - talk.execution.core.offset_ns == START_NS


def test_time_stands_while_a_deadline_that_has_come_waits_to_act() -> None:
    talk = Conversation(time_skipping_config=skipping(9))
    talk.poll()
    talk.complete(d.start_timer("now", 0), d.start_timer("t", YEAR_S))
    assert talk.execution.core.offset_ns == 0


@pytest.mark.parametrize("command", [d.start_child("child"), d.schedule_activity("a"), d.signal_other("other")])
def test_what_is_in_flight_holds_time(command: d.Command) -> None:
    talk = Conversation(time_skipping_config=skipping(9))
    talk.poll()
    talk.complete(command, d.start_timer("t", YEAR_S))
    assert talk.execution.core.offset_ns == 0


def test_the_next_run_goes_on_at_the_time_of_the_one_before() -> None:
    talk = Conversation(time_skipping_config=skipping(9))
    talk.poll()
    talk.complete(d.start_timer("t", YEAR_S))
    talk.advance(0)
    talk.poll()
    talk.complete(d.continue_as_new())
    assert talk.next is not None
    core = talk.next.execution.core
    assert core.start_ns == START_NS + YEAR_S * S
    assert core.clock is not None and core.clock.skip_count == 1


def test_what_is_due_next_stands_in_storage_as_it_is_due() -> None:
    """The rest of the deadlines may stand there late: each is written anew before it is next."""
    talk = Conversation(time_skipping_config=skipping(99), workflow_run_timeout=d.duration(2 * YEAR_S))
    stored: dict[tuple[int, str], rows.PendingRow] = {}

    def look() -> int:
        """Take over what was written. Returns how many deadlines that was."""
        written = rows.run_change(talk.decision).pending
        for key, row in written.items():
            if row is None:
                stored.pop(key, None)
            else:
                stored[key] = row
        dues = [row.due_ns for row in stored.values() if row.due_ns is not None]
        right = [
            item.due_ns - talk.execution.core.offset_ns
            for _, _, item in talk.execution.items()
            if item.due_ns is not None
        ]
        assert min(dues) == min(right)
        return len([row for row in written.values() if row is not None and row.due_ns is not None])

    look()
    talk.poll()
    look()
    talk.complete(*(d.start_timer(f"t{number}", 60 * (1 + number // 2)) for number in range(40)))
    look()
    for _ in range(10):
        talk.advance(0)
        assert look() < 6
        talk.poll()
        assert look() < 3
        nearest = list(talk.execution.pending[Kind.TIMER])[:2]
        talk.complete(*(d.cancel_timer(str(timer_id)) for timer_id in nearest))
        assert look() < 6

"""Many readers or one writer."""

from __future__ import annotations

import threading

from perdure.storage.gate import Gate


def enter(gate: Gate, *, write: bool) -> tuple[threading.Event, threading.Event]:
    """A thread that goes in; the events: it is inside, and it may leave."""
    inside, leave = threading.Event(), threading.Event()

    def run() -> None:
        with gate.writing() if write else gate.reading():
            inside.set()
            leave.wait(10)

    threading.Thread(target=run, daemon=True).start()
    return inside, leave


def test_a_writer_waits_for_all_readers() -> None:
    gate = Gate()
    readers = [enter(gate, write=False) for _ in range(2)]
    assert all(inside.wait(10) for inside, _ in readers)
    writing, leave = enter(gate, write=True)
    readers[0][1].set()
    assert not writing.wait(0.05)
    readers[1][1].set()
    assert writing.wait(10)
    leave.set()


def test_readers_and_writers_wait_for_a_writer() -> None:
    gate = Gate()
    first, leave = enter(gate, write=True)
    assert first.wait(10)
    reading, leave_reading = enter(gate, write=False)
    writing, leave_writing = enter(gate, write=True)
    assert not reading.wait(0.05) and not writing.wait(0.05)
    leave_reading.set()
    leave_writing.set()
    leave.set()
    assert reading.wait(10) and writing.wait(10)


def test_a_gate_opens_again_after_an_error() -> None:
    gate = Gate()
    for way in (gate.reading, gate.writing):
        try:
            with way():
                raise KeyError
        except KeyError:
            pass
    inside, leave = enter(gate, write=True)
    assert inside.wait(10)
    leave.set()

"""Overdue timers fire when the server comes back, while new workflows are started; `bench.timers` has the full size."""

from __future__ import annotations

from bench.timers import measure
from examples.processes import ServerProcess


async def test_overdue_timers_fire_after_a_restart_while_new_starts_are_answered(server: ServerProcess) -> None:
    figures = await measure(server, count=120, overdue=40, cost_sample=20)
    assert figures.fired == 40
    assert figures.starts_ms

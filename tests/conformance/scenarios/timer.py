"""Timers."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import cancel_timer, succeed, timer


async def fires(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0.2))
    await d.step(succeed())


async def is_cancelled(d: Driver) -> None:
    await d.start()
    await d.step(timer(), force_create_new_workflow_task=True)
    await d.step(cancel_timer())
    await d.poll_wft_in_vain()


async def is_started_and_cancelled_in_one_task(d: Driver) -> None:
    await d.start()
    await d.step(timer(), cancel_timer())


async def same_id_again_after_it_fired(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0.1))
    await d.step(timer("t", 0.1))
    await d.step(succeed())


async def same_id_again_after_a_cancel(d: Driver) -> None:
    await d.start()
    await d.step(timer(), cancel_timer(), timer("t", 0.1))
    await d.step(succeed())


async def cancel_after_it_fired(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0.1))
    await d.step(cancel_timer())


async def several_fire_in_order_of_their_deadlines(d: Driver) -> None:
    await d.start()
    await d.step(timer("late", 2), timer("early", 0.1))
    await d.until_event("TIMER_FIRED", count=2)
    await d.step(succeed())


async def zero_fires_at_once(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0))
    await d.step(succeed())


async def very_long_is_capped(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 200 * 365 * 24 * 3600))


async def pending_at_the_close(d: Driver) -> None:
    await d.start()
    await d.step(timer(), succeed())

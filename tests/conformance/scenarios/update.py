"""Updates: accepted, completed, rejected, deduplicated, waited for."""

from __future__ import annotations

import asyncio

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    failure,
    succeed,
    timer,
)
from tests.conformance.updates import accept, answer, poll, reject, request, respond, send, sent

DISCARD = {"discard_speculative_workflow_task_with_events": True}


async def _begun(d: Driver) -> None:
    await d.start()
    await d.step(timer())


async def completes_at_once(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, "u", "a", 1)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await poll(d)
    await poll(d, stage="COMPLETED")


async def completes_on_the_first_task(d: Driver) -> None:
    await d.start()
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await update


async def completes_later(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[timer("other")])
    await poll(d, stage="ACCEPTED")
    await d.signal()
    task = await d.poll_wft()
    await answer(d, task, respond())
    await update


async def is_accepted_and_then_polled(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    await update
    await d.signal()
    await answer(d, await d.poll_wft(), respond(fails=failure("no luck")))
    await poll(d, stage="COMPLETED")
    await d.step(succeed()) if await d.signal() else None
    await poll(d)


async def fails(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(fails=failure("no luck")))
    await update


async def waits_for_acceptance_and_gets_the_outcome(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def is_rejected(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task))
    await update
    await poll(d)
    again = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await again


async def is_rejected_on_the_first_task(d: Driver) -> None:
    await d.start()
    update = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, reject(task))
    await update


async def two_on_one_task(d: Driver) -> None:
    await _begun(d)
    one = await sent(d, "one")
    other = await sent(d, "other")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "one"), reject(task, "other"), respond("one"))
    await one
    await other


async def same_id_twice(d: Driver) -> None:
    await _begun(d)
    one = await sent(d)
    other = await sent(d, "u", "ignored", stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    await other
    await d.signal()
    await answer(d, await d.poll_wft(), respond())
    await one
    await send(d)


async def without_id(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, "")
    task = await d.poll_wft()
    update_id = task.messages[0].protocol_instance_id
    await answer(d, task, accept(task, update_id), respond(update_id))
    await update


async def with_header_and_request_id(d: Driver) -> None:
    await _begun(d)
    inner = request("u", "a", header={"h": 1}, request_id="its-request")
    update = await sent(d, request=inner)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await d.describe()


async def waits_for_nobody(d: Driver) -> None:
    await _begun(d)
    await send(d, timeout_s=1)
    await send(d, stage="ACCEPTED", timeout_s=1)
    await poll(d)
    await poll(d, stage="ADMITTED")
    await poll(d, stage="ACCEPTED", timeout_s=1)


async def too_many_in_flight(d: Driver) -> None:
    await _begun(d)
    updates = []
    for i in range(10):
        updates.append(send(d, f"u{i}", timeout_s=3))
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    await send(d, "eleventh")
    for update in updates:
        await update


async def without_wait_policy(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, stage=None)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def with_first_run_id(d: Driver) -> None:
    started = await d.start()
    await d.step(timer())
    update = await sent(d, first_execution_run_id=started.run_id)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update

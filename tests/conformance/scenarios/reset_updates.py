"""Resets of workflows that were updated: what was accepted behind the point is admitted again."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import continue_as_new, succeed, timer
from tests.conformance.updates import accept, answer, poll, reject, request, respond, sent


async def _updated(d: Driver, *names: str, completes: bool = True, **fields: Any) -> None:
    """A workflow whose second task accepted updates."""
    await d.start()
    await d.step(timer())
    updates = [await sent(d, name, "a", stage="ACCEPTED", **fields) for name in names]
    task = await d.poll_wft()
    responses = [respond(name) for name in names] if completes else []
    await answer(d, task, *(accept(task, name) for name in names), *responses)
    for update in updates:
        await update


async def _answered_again(d: Driver, update_id: str = "u", **fields: Any) -> None:
    task = await d.poll_wft()
    fields = {"accepted_request_message_id": f"{update_id}/request", **fields}
    await answer(d, task, accept(task, update_id, **fields), respond(update_id, "again"))


async def accepted_one(d: Driver) -> None:
    await _updated(d, "u", completes=False)
    await d.reset()
    await poll(d)
    await _answered_again(d)
    await poll(d)


async def completed_one(d: Driver) -> None:
    await _updated(d, "u")
    await d.reset()
    await poll(d)
    await _answered_again(d)
    await poll(d)


async def two(d: Driver) -> None:
    await _updated(d, "one", "other")
    await d.reset()
    task = await d.poll_wft()
    await answer(d, task, accept(task, "one"), respond("one"), accept(task, "other"), respond("other"))
    await poll(d, "one")


async def with_a_request_id(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    inner = request("u", "a", header={"h": 1}, request_id="its-request")
    update = await sent(d, request=inner)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await d.reset()
    await d.describe()
    await _answered_again(d)


async def asked_for_by_its_client_again(d: Driver) -> None:
    await _updated(d, "u")
    await d.reset()
    update = await sent(d)
    await _answered_again(d)
    await update


async def is_rejected_the_second_time(d: Driver) -> None:
    await _updated(d, "u")
    await d.reset()
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task, rejected_request_message_id="u/request"))
    await update
    await poll(d)


async def is_ignored_the_second_time(d: Driver) -> None:
    await _updated(d, "u")
    await d.reset()
    await d.step(timer())
    await poll(d)


async def task_fails_before_it_is_accepted(d: Driver) -> None:
    await _updated(d, "u")
    await d.reset()
    await d.fail(await d.poll_wft())
    await _answered_again(d)
    await poll(d)


async def behind_it(d: Driver) -> None:
    """What was accepted before the point is so in the new run."""
    await _updated(d, "u", completes=False)
    await d.signal()
    await answer(d, await d.poll_wft(), respond())
    await d.reset(8)
    await poll(d)


async def between_acceptance_and_completion(d: Driver) -> None:
    await _updated(d, "u", completes=False)
    await d.signal()
    await answer(d, await d.poll_wft(), respond())
    await d.reset(12)
    await poll(d)
    task = await d.poll_wft()
    await answer(d, task, respond("u", "again"))
    await poll(d)


async def after_its_completion(d: Driver) -> None:
    await _updated(d, "u")
    await d.signal()
    await d.step(timer("other"))
    await d.reset(13)
    await poll(d)
    await d.step(succeed())


async def twice(d: Driver) -> None:
    """The event of the first reset's admission is applied again."""
    await _updated(d, "u")
    await d.reset()
    await _answered_again(d)
    await d.reset()
    await poll(d)
    await _answered_again(d)
    await poll(d)


async def is_excluded(d: Driver) -> None:
    await _updated(d, "u")
    await d.reset(reset_reapply_exclude_types=["UPDATE"])
    await poll(d)


async def is_excluded_by_the_old_field(d: Driver) -> None:
    await _updated(d, "u")
    await d.signal()
    await d.reset(reset_reapply_type="SIGNAL")
    await poll(d)


async def signals_are_excluded(d: Driver) -> None:
    await _updated(d, "u")
    await d.signal()
    await d.reset(reset_reapply_exclude_types=["SIGNAL"])
    await _answered_again(d)


async def with_signals_in_their_order(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal("before")
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await d.signal("after")
    await d.reset()
    await _answered_again(d)


async def only_admitted(d: Driver) -> None:
    """It is no part of the history, and ends with the run."""
    await d.start()
    await d.step(timer())
    update = await sent(d)
    await d.reset()
    await update
    await poll(d)


async def accepted_and_waited_for(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    await d.reset()
    await update
    await _answered_again(d)


async def of_a_closed_workflow(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[succeed()])
    await update
    await d.reset()
    await _answered_again(d)


async def of_the_run_that_continued(d: Driver) -> None:
    started = await d.start()
    await d.step(timer())
    await d.signal()
    await d.step(continue_as_new())
    task = await d.poll_wft()
    await d.complete(task, timer())
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await d.reset(4, started.run_id)
    await _answered_again(d)
    await poll(d)

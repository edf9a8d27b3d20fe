"""The life of an entity's run: it loads, waits for what is due, and continues as new or ends."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from perdure.patterns.entity.mailbox import Mailbox, until

STORE = workflow.ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30), retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1))
)
"""How `load` and `save` are called: until they succeed, since nothing can be done without them."""
CLOSES = "perdure-entity-closes"
"""Patch of runs that, cancelled while they load or save, close in good order, and do so however often that fails."""
AGAIN = timedelta(minutes=1), timedelta(hours=1)
"""First and longest pause after a save that failed for good, in a run that was cancelled."""


async def live(box: Mailbox) -> None:
    """Until it continues as new, ends idle, or is cancelled.

    A cancel raises an error, once, wherever the run's main task happens to wait; at the same moment as something else
    it may raise none. So it is seen by its reason, after each wait; and where the error comes, it ends the wait alone.
    """
    await _load(box)
    worker = asyncio.create_task(box.work())
    while not _is_cancelled(box):
        ends = await _wait(box, worker)
        # Nothing is awaited between these checks and the end.
        if _is_cancelled(box):
            break
        if box.quiet() and box.draining():
            workflow.continue_as_new(RawValue(box.payload()))
        if ends and box.quiet() and not box.queue:
            return
    await _close(box, worker)
    raise asyncio.CancelledError


def _is_cancelled(box: Mailbox) -> bool:
    if not box.closing and workflow.cancellation_reason() is not None:
        box.closing = workflow.patched(CLOSES)
    return box.closing


async def _load(box: Mailbox) -> None:
    plan = box.plan
    if not box.loaded and plan.load is not None:
        handle = workflow.start_activity(plan.load, workflow.info().workflow_id, **STORE)
        snapshot = await _result(box, handle)
        if snapshot is not None:
            box.restore(Payload(metadata={"encoding": b"json/plain"}, data=snapshot.encode()))
    if not box.loaded:
        box.begin()


async def _result(box: Mailbox, handle: workflow.ActivityHandle[Any]) -> Any:
    """What an activity gives. It goes on when the run is cancelled: what was accepted depends on it."""
    while not handle.done():
        try:
            await workflow.wait_condition(handle.done)
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is None:
                raise
            if not _is_cancelled(box):
                handle.cancel()
                return await handle
    return handle.result()


async def _wait(box: Mailbox, worker: asyncio.Task[NoReturn]) -> bool:
    """Until the run may continue as new, or something is due to be done; True when it was idle for long enough and its
    state is saved."""
    idle, due_first = box.plan.idle, box.next_due()

    def wakes() -> bool:
        due = box.next_due()
        sooner = due is not None and (due_first is None or due < due_first)
        return worker.done() or sooner or (box.draining() and box.quiet())

    since = box.last if box.quiet() and not box.queue else workflow.now()
    moments = [due_first, since + idle if idle and due_first is None else None]
    left = min((moment - workflow.now() for moment in moments if moment is not None), default=None)
    try:
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(wakes, timeout=left and max(left, timedelta(0)))
    except asyncio.CancelledError:
        box.closing = workflow.cancellation_reason() is not None
        if not box.closing:
            raise
        return False
    if worker.done():
        worker.result()
    if box.draining() and box.quiet():
        return False
    box.send_due()
    over = idle is not None and not box.later and workflow.now() - box.last >= idle
    return over and box.quiet() and not box.queue and await _try_save(box)


async def _try_save(box: Mailbox) -> bool:
    """`_save`; when it fails for good the entity stays, and tries again when it was idle for as long once more."""
    try:
        return await _save(box)
    except ActivityError as error:
        if is_cancelled_exception(error) and not box.closing:
            raise
        workflow.logger.warning("the state could not be saved, so the entity goes on", exc_info=error)
        box.last = workflow.now()
        return False


async def _save(box: Mailbox) -> bool:
    """Whether nothing came meanwhile."""
    assert box.plan.save is not None
    received = box.received
    args = [workflow.info().workflow_id, box.snapshot()]
    await _result(box, workflow.start_activity(box.plan.save, args=args, **STORE))
    box.saved = received
    return received == box.received


async def _close(box: Mailbox, worker: asyncio.Task[NoReturn]) -> None:
    """It was cancelled: handle what it has accepted, and nothing new, and save that, however often it fails."""
    pause, longest = AGAIN
    while True:
        await until(lambda: worker.done() or (box.quiet() and not box.queue))
        if worker.done():
            worker.result()
        if box.plan.save is None or box.saved == box.received:
            return
        try:
            await _save(box)
        except ActivityError as error:
            if not workflow.patched(CLOSES):
                raise
            workflow.logger.warning("the state could not be saved, so the entity does not end", exc_info=error)
            await workflow.sleep(pause, summary="until the state is saved again")
            pause = min(pause * 2, longest)

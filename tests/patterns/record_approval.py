"""The histories of approvals and callbacks that are kept."""

import asyncio
from datetime import timedelta

from tests.patterns import waiting
from tests.patterns.resets import reset_first_run
from tests.patterns.waiting import (
    Again,
    Ask,
    AskAllButBob,
    AskForever,
    AskLater,
    AskTwo,
    Call,
    CallForever,
    Later,
    Payload,
    Terms,
    Wanted,
    submit,
    tell,
    tell_but_bob,
)

from perdure.patterns import Answer, Approvals, Callbacks

WORKFLOWS = [Ask, AskAllButBob, AskForever, AskLater, AskTwo, Again, Call, CallForever]
DONE = Payload("s3://talk.mp4", 90)


async def record_approval(env, keep):
    """Each way of ending, each kind of answer, and runs that continue each other."""
    async with env.worker(*WORKFLOWS, activities=[tell, tell_but_bob, submit]):
        await _people(env, keep)
        await _runs(env, keep)
        await _systems(env, keep)
        await _early(env, keep)


async def _started(env, workflow, *args):
    waiting.fresh()
    handle = await env.start(workflow.run, *args)
    await env.settle()
    return handle, Approvals(env.client, handle.id), Callbacks(env.client, handle.id)


async def _end(handle):
    await asyncio.wait([asyncio.ensure_future(handle.result())])


async def _people(env, keep):
    handle, approvals, _ = await _started(env, Ask, Terms(quorum=2, remind=2, escalate=[(3, ["eve"])]))
    await env.advance(timedelta(days=3.5))
    await approvals.delegate("bob", "fred")
    await approvals.approve("fred", "fine")
    await approvals.retract("fred")
    await approvals.approve("fred")
    await handle.signal("perdure_approval", Answer("approval", "ann", "approve"))
    await handle.signal("perdure_approval", Answer("approval", "eve", "approve"))
    await _end(handle)
    await keep("approval-approved", handle)
    handle, approvals, _ = await _started(env, Ask, Terms())
    await approvals.reject("bob")
    await _end(handle)
    await keep("approval-rejected", handle)
    handle, approvals, _ = await _started(env, AskAllButBob, Terms())
    await env.advance(timedelta(days=1))
    await approvals.withdraw("ann")
    await _end(handle)
    await keep("approval-withdrawn", handle)
    handle, approvals, _ = await _started(env, Ask, Terms(remind=3))
    await env.advance(timedelta(days=11))
    await _end(handle)
    await keep("approval-expired", handle)
    handle, approvals, _ = await _started(env, Ask, Terms())
    await handle.cancel()
    await _end(handle)
    await keep("approval-cancelled", handle)
    handle, approvals, _ = await _started(env, AskTwo)
    await approvals.approve("bob", id="second")
    await approvals.reject("bob", id="first")
    await _end(handle)
    await keep("approval-two", handle)


async def _runs(env, keep):
    handle, approvals, callbacks = await _started(env, AskForever, Terms(quorum=2, remind=2, escalate=[(3, ["eve"])]))
    await approvals.approve("bob")
    await env.advance(timedelta(days=2.5))
    await handle.signal(AskForever.turn)
    await env.advance(timedelta(days=1))
    await approvals.approve("eve")
    await _end(handle)
    for number, run in enumerate(await env.histories(handle.id), 1):
        await keep(f"approval-run-{number}", handle, run.run_id)
    handle, approvals, callbacks = await _started(env, CallForever, Wanted())
    await callbacks.heartbeat(7)
    await handle.signal(CallForever.turn)
    await env.advance(timedelta(hours=2))
    await callbacks.complete(DONE)
    await _end(handle)
    for number, run in enumerate(await env.histories(handle.id), 1):
        await keep(f"approval-callback-run-{number}", handle, run.run_id)


async def _systems(env, keep):
    handle, _, callbacks = await _started(env, Call, Wanted())
    await callbacks.complete(DONE)
    await _end(handle)
    await keep("approval-callback-completed", handle)
    handle, _, callbacks = await _started(env, Call, Wanted())
    await handle.signal("perdure_callback_fail", args=["callback", "no"])
    await _end(handle)
    await keep("approval-callback-failed", handle)
    handle, _, callbacks = await _started(env, Call, Wanted(days=1))
    await env.advance(timedelta(days=2))
    await _end(handle)
    await keep("approval-callback-expired", handle)
    handle, _, callbacks = await _started(env, Again, Wanted(stall_s=60))
    await callbacks.heartbeat(120, id="attempt-1")
    await env.advance(timedelta(seconds=50))
    await callbacks.heartbeat(240, id="attempt-1")
    await env.advance(timedelta(seconds=90))
    await callbacks.complete(DONE, id="attempt-2")
    await _end(handle)
    await keep("approval-callback-stalled", handle)


async def _early(env, keep):
    handle, approvals, _ = await _started(env, AskLater, Later(sleep_s=3600.0))
    await _heard(env, approvals.approve("bob"))
    await env.advance(timedelta(hours=1))
    await _end(handle)
    await keep("approval-early", handle)
    handle, approvals, _ = await _started(env, AskLater, Later(sleep_s=3.0, ids=["first", "second"]))
    for id in ("first", "second"):
        await env.advance(timedelta(seconds=3))
        await env.settle()
        await approvals.approve("bob", id=id)
    await _end(handle)
    again = await reset_first_run(env, handle.id)
    for _ in range(3):
        await env.settle()
        await env.advance(timedelta(seconds=3))
    await _end(again)
    await keep("approval-early-reset", again, again.run_id)
    handle, _, callbacks = await _started(env, CallForever, Wanted())
    await handle.signal(CallForever.turn)
    await env.settle()
    await _heard(env, callbacks.complete(DONE))
    await env.advance(timedelta(hours=2))
    await _end(handle)
    await keep("approval-callback-early", handle)


async def _heard(env, call):
    """While time passes."""
    task = asyncio.ensure_future(call)
    while not task.done():
        await env.settle()
        await env.advance(timedelta(seconds=2))

"""The histories of entities that are kept."""

import asyncio
import contextlib

from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from tests.patterns.bursts import Burst
from tests.patterns.carts import Cart, Item, price
from tests.patterns.lives import Nag, kept, load, save
from tests.patterns.resets import reset_first_run


async def record_entity(env, keep):
    """A cart with all kinds of messages, over runs; and one that plans, is idle, and ends."""
    async with env.worker(Cart, Nag, activities=[price, load, save], task_queue="kept"):
        cart = Cart.of(env.client, "entity-cart", task_queue="kept")
        handle = env.client.get_workflow_handle("entity-cart")
        for number in range(14):
            await cart.add(Item("lamp", number + 1), message_id=str(number))
        for how in ("application", "bug", "unencodable"):
            with contextlib.suppress(WorkflowUpdateFailedError):
                await cart.fail(how, message_id=how)
        await cart.add_priced("desk")
        await cart.note("bad one")
        await handle.signal("nothing", 1)
        while len(letters := await cart.dead_letters()) < 2:
            await asyncio.sleep(0.01)
        await cart.drop(letters[1])
        work = [asyncio.ensure_future(each) for each in (cart.slow(5.0), cart.add_priced("a"), cart.add_priced("b"))]
        for number in range(20):
            await cart.note(str(number))
        await asyncio.gather(*work)
        await cart.add(Item("lamp", 1), message_id="0")
        await handle.cancel()
        with contextlib.suppress(Exception):
            await handle.result()
        for number, run in enumerate(await env.histories("entity-cart")):
            await keep(f"entity-cart-{number}", handle, run.run_id)
        kept.clear()
        nag = Nag.of(env.client, "entity-nag", task_queue="kept")
        for number in range(9):
            await nag.plan(10.0 * number, f"{number}")
        await nag.plan(20.0, "again")
        nagging = env.client.get_workflow_handle("entity-nag")
        await nagging.result()
        await nag.plan(1.0, "more")
        await nagging.result()
        for number, run in enumerate(await env.histories("entity-nag")):
            await keep(f"entity-nag-{number}", nagging, run.run_id)
        for number in range(24):
            await Cart.of(env.client, "entity-reset", task_queue="kept").own(str(number), message_id=str(number))
        again = await reset_first_run(env, "entity-reset")
        await Cart.of(env.client, "entity-reset", task_queue="kept").own("last")
        for number, run_id in enumerate([again.run_id, None]):
            await keep(f"entity-reset-{number}", env.client.get_workflow_handle("entity-reset"), run_id)
    for moment in ("load", "save", "failing-save"):
        await _closes(env, keep, moment)
    await _burst(env, keep)


async def _burst(env, keep):
    """More messages at once than are handled in one workflow task."""
    burst = Burst.of(env.client, "entity-burst", task_queue="burst")
    for number in range(420):
        await burst.tick(str(number))
    async with env.worker(Burst, task_queue="burst"):
        while "419" not in await burst.ticks():
            await asyncio.sleep(0.01)
        await keep("entity-burst", env.client.get_workflow_handle("entity-burst"))


async def _closes(env, keep, moment):
    """It is cancelled while an activity of the library's is under way, and something comes meanwhile."""
    kept.clear()
    broken = [ApplicationError("no disk", non_retryable=True), None] if moment == "failing-save" else []
    loading = env.mock(load, side_effect=load, blocks=moment == "load")
    saving = env.mock(save, side_effect=save, raises=broken, blocks=moment == "save")
    async with env.worker(Nag, activities=[loading, saving], task_queue="closes"):
        id = f"entity-nag-closes-in-{moment}"
        nag, handle = Nag.of(env.client, id, task_queue="closes"), env.client.get_workflow_handle(id)
        await nag.say("first")
        while not loading.calls or (moment != "load" and not await nag.said()):
            await asyncio.sleep(0.01)
        if moment == "save":
            await env.advance_until(lambda: saving.calls)
            await nag.say("meanwhile")
        await handle.cancel()
        for _ in range(10):
            await asyncio.sleep(0.01)
        loading.release()
        saving.release()
        with contextlib.suppress(Exception):
            await handle.result()
        await keep(id, handle)

"""Histories of sagas with steps in tasks of their own, and of what is undone after the end (see record.py)."""

import asyncio
import importlib
import unittest.mock

from tests.patterns import sagas
from tests.patterns.sagas import Aside, Far, Loose, act, revoke

from perdure.patterns import SagaResume, resume


async def record_saga_running(env, keep) -> None:
    """One history each."""
    async with (
        env.worker(Aside, Far, Loose, SagaResume, activities=[act, revoke], task_queue="here"),
        env.worker(activities=[act, revoke], task_queue="elsewhere"),
    ):
        for name, run, then, failing in (
            ("gather", Loose.run, "gather", "money"),
            ("left", Loose.run, "left", ""),
            ("after-the-pivot", Aside.run, "pivot", "money"),
            ("late-pivot", Loose.run, "late pivot", ""),
        ):
            world = sagas.fresh()
            world.fail = {failing: "after"}
            world.block.add("room")
            handle = await env.start(run, then, task_queue="here")
            if name == "left":
                while "+money" not in world.log:
                    await asyncio.sleep(0.01)
                world.block.clear()
            await asyncio.wait([asyncio.ensure_future(handle.result())])
            await keep(f"saga-running-{name}", handle)
        handle = await terminated(env)
        await keep("saga-running-terminated", handle)
        resumed = await resume(env.client, handle.id)
        await resumed.result()
        await keep("saga-running-resume", resumed)
        handle = await terminated(env)
        with unittest.mock.patch.object(importlib.import_module("perdure.patterns.resume"), "_WITHIN_BYTES", 0):
            resumed = await resume(env.client, handle.id)
        await resumed.result()
        await keep("saga-running-resume-large", resumed)


async def terminated(env):
    """With two steps to undo."""
    world = sagas.fresh()
    handle = await env.start(Far.run, task_queue="here")
    while "+room" not in world.log:
        await asyncio.sleep(0.01)
    await env.settle()
    await handle.terminate()
    return handle

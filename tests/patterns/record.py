"""Keep the histories of a release: `python -m tests.patterns.record [PATTERN ...]`, once, before it is released.

Each pattern has a `record_NAME(env, keep)` in `record_NAME.py`, which calls `keep` with what each is to be called.
"""

import asyncio
import importlib
import sys
from pathlib import Path

from tests.patterns import sagas
from tests.patterns.sagas import Chain, Short, Trip, act, revoke

import perdure
from perdure.patterns import SagaResume
from perdure.testing import open_env

HISTORIES = Path(__file__).parent / "histories"
MANUAL = {"approval"}
"""Patterns whose recorder moves the clock by itself."""
FAILURES = {"completed": None, "seat": "seat", "car": "car", "money": "money", "after-the-pivot": "mail"}


async def record_saga(env, keep) -> None:
    """One history each."""
    async with env.worker(Trip, Short, Chain, SagaResume, activities=[act, revoke]):
        for name, failing in FAILURES.items():
            world = sagas.fresh()
            world.fail = {failing: "after"}
            handle = await env.start(Trip.run, 60.0)
            await asyncio.wait([asyncio.ensure_future(handle.result())])
            await keep(f"saga-{name}", handle)
        sagas.fresh()
        handle = await env.start(Short.run, "sleep")
        await asyncio.wait([asyncio.ensure_future(handle.result())])
        await keep("saga-deadline", handle)
        world = sagas.fresh()
        world.broken.add("seat")
        handle = await env.start(Short.run, "fails")
        while (found := await handle.query("perdure_saga"))[0]["state"] != "stuck":
            await asyncio.sleep(0.01)
        await handle.signal("perdure_saga_resume", [found[0]["left"][0]["key"]])
        await asyncio.wait([asyncio.ensure_future(handle.result())])
        await keep("saga-stuck", handle)
        handle = await env.start(Chain.run, 2)
        await handle.result()
        await keep("saga-chain", handle)


def recorders():
    """By pattern."""
    found = {"saga": record_saga}
    for file in sorted(Path(__file__).parent.glob("record_*.py")):
        name = file.stem.removeprefix("record_")
        found[name] = getattr(importlib.import_module(f"tests.patterns.{file.stem}"), file.stem)
    return found


async def main(env, name: str) -> None:
    async def keep(name, handle, run_id=None):
        (await env.history(handle, run_id)).save(HISTORIES / f"{perdure.__version__}-{name}.json")

    await recorders()[name](env, keep)


if __name__ == "__main__":
    for name in sys.argv[1:] or recorders():
        with open_env(time="manual" if name in MANUAL else "skip") as env:
            asyncio.run(main(env, name))

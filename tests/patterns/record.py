"""Keep the histories of a release: `python -m tests.patterns.record`, once, before it is released."""

import asyncio
from pathlib import Path

from tests.patterns import sagas
from tests.patterns.sagas import Chain, Short, Trip, act, revoke

import perdure
from perdure.patterns import SagaResume
from perdure.testing import open_env

HISTORIES = Path(__file__).parent / "histories"
FAILURES = {"completed": None, "seat": "seat", "car": "car", "money": "money", "after-the-pivot": "mail"}


async def main(env) -> None:
    """One history each."""

    async def keep(name, handle, run_id=None):
        (await env.history(handle, run_id)).save(HISTORIES / f"{perdure.__version__}-saga-{name}.json")

    async with env.worker(Trip, Short, Chain, SagaResume, activities=[act, revoke]):
        for name, failing in FAILURES.items():
            world = sagas.fresh()
            world.fail = {failing: "after"}
            handle = await env.start(Trip.run, 60.0)
            await asyncio.wait([asyncio.ensure_future(handle.result())])
            await keep(name, handle)
        sagas.fresh()
        handle = await env.start(Short.run, "sleep")
        await asyncio.wait([asyncio.ensure_future(handle.result())])
        await keep("deadline", handle)
        world = sagas.fresh()
        world.broken.add("seat")
        handle = await env.start(Short.run, "fails")
        while (found := await handle.query("perdure_saga"))[0]["state"] != "stuck":
            await asyncio.sleep(0.01)
        await handle.signal("perdure_saga_resume", [found[0]["left"][0]["key"]])
        await asyncio.wait([asyncio.ensure_future(handle.result())])
        await keep("stuck", handle)
        handle = await env.start(Chain.run, 2)
        await handle.result()
        await keep("chain", handle)


if __name__ == "__main__":
    with open_env() as env:
        asyncio.run(main(env))

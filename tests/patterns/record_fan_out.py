"""Keep the histories of fan-outs: `python -m tests.patterns.record_fan_out`, once, before a release."""

import asyncio
from pathlib import Path

from tests.patterns import crowds
from tests.patterns.crowds import WORKFLOWS, Crowded, Order, work

import perdure
from perdure.testing import open_env

HISTORIES = Path(__file__).parent / "histories"
FLAT = {
    "activities": (Order(8, 3), set()),
    "children": (Order(4, 2, children=True), set()),
    "fail-fast": (Order(8, 3), {4}),
    "collect": (Order(8, 3, "collect", again=True), {4}),
    "threshold": (Order(8, 1, 1), {2, 4}),
    "stream": (Order(8, 3, stream=True, leave_after=4, sleep_between_s=1), set()),
}


async def record_fan_out(env, keep):
    """Each is kept by `keep(name, handle)`."""
    async with env.worker(*WORKFLOWS, activities=[work]):
        for name, (order, fail) in FLAT.items():
            crowds.fresh().fail = fail
            handle = await env.start(Crowded.run, order)
            await asyncio.wait([asyncio.ensure_future(handle.result())])
            await keep(f"fan-out-flat-{name}", handle)
        crowds.fresh().block = {2, 3}
        handle = await env.start(Crowded.run, Order(8, 2, "collect"))
        while crowds.CROWD.running < 2:
            await asyncio.sleep(0.01)
        await handle.signal("perdure_fan_out_pause")
        await handle.signal("perdure_fan_out_cancel")
        await handle.result()
        await keep("fan-out-flat-stopped", handle)


async def main(env) -> None:
    async def keep(name, handle, run_id=None):
        (await env.history(handle, run_id)).save(HISTORIES / f"{perdure.__version__}-{name}.json")

    await record_fan_out(env, keep)


if __name__ == "__main__":
    with open_env() as env:
        asyncio.run(main(env))

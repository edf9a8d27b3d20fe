"""Keep the histories of fan-outs: `python -m tests.patterns.record_fan_out`, once, before a release."""

import asyncio
from pathlib import Path

from tests.patterns import crowds
from tests.patterns.crowds import ACTIVITIES, LARGE, WORKFLOWS, Crowded, CrowdedPages, Large, Order, work

import perdure
from perdure.patterns import PatternsPlugin
from perdure.patterns.fanout import large
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


PAGES = {
    "completed": (Large(25, 10, 6, 2), set()),
    "failed": (Large(40, 10, 6, 2), {12}),
    "collect": (Large(20, 10, 6, 2, "collect", again=True), {3, 12}),
    "children": (Large(4, 2, 2, 1, as_children=True), set()),
}
BROKEN = {"unreadable": {"unreadable": {30}}, "unfoldable": {"unfoldable": {12}}}


async def record_fan_out_pages(env, keep):
    """The workflow, its tree and leaves, with all their runs."""
    large.ITEMS_A_RUN, large.LEAVES_A_RUN, large.MERGED_AT_ONCE = 7, 2, 2
    async with env.worker(*LARGE, activities=ACTIVITIES, plugins=[PatternsPlugin()]):
        for name, (order, fail) in PAGES.items():
            crowds.fresh().fail = fail
            handle = await env.start(CrowdedPages.run, order)
            await asyncio.wait([asyncio.ensure_future(handle.result())])
            await keep_all(env, keep, f"fan-out-pages-{name}", handle.id)
        crowds.fresh().block = set(range(5, 100))
        handle = await env.start(CrowdedPages.run, Large(40, 10, 6, 2, "collect"))
        while crowds.CROWD.running < 6:
            await asyncio.sleep(0.01)
        await handle.signal("perdure_fan_out_pause")
        await handle.signal("perdure_fan_out_cancel")
        await handle.result()
        await keep_all(env, keep, "fan-out-pages-stopped", handle.id)
        large.LEAVES_A_RUN, large.MERGED_AT_ONCE = 10, 10
        for name, faults in BROKEN.items():
            vars(crowds.fresh()).update(faults)
            handle = await env.start(CrowdedPages.run, Large(40, 10, 6, 1, "collect", again=True))
            await asyncio.wait([asyncio.ensure_future(handle.result())])
            await keep_all(env, keep, f"fan-out-pages-{name}", handle.id)


async def keep_all(env, keep, name, prefix):
    """All runs of the workflows of a fan-out, except for those of its items."""
    runs = [run async for run in env.client.list_workflows() if run.id.startswith(prefix) and "/step#" not in run.id]
    for number, run in enumerate(sorted(runs, key=lambda each: (each.id, each.start_time, each.run_id))):
        await keep(f"{name}-{number}", env.client.get_workflow_handle(run.id, run_id=run.run_id), run.run_id)


async def main(env) -> None:
    async def keep(name, handle, run_id=None):
        (await env.history(handle, run_id)).save(HISTORIES / f"{perdure.__version__}-{name}.json")

    await record_fan_out(env, keep)
    await record_fan_out_pages(env, keep)


if __name__ == "__main__":
    with open_env() as env:
        asyncio.run(main(env))

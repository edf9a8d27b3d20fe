"""The histories of polling that are kept."""

import asyncio

from tests.patterns import polls
from tests.patterns.polls import Ask, AskMany, ManyWaiter, Waiter, build_state, build_states, final

from perdure.patterns import PollMany

SINGLE = {
    "retry": (Ask(), {}),
    "retry-gave-up": (Ask(every_s=600, give_up_s=1500), {"over_at": 0}),
    "retry-failed": (Ask(), {"final": final()}),
    "activity": (Ask("activity", 0.02, 60), {}),
    "activity-gave-up": (Ask("activity", 0.02, 0.1), {"over_at": 0}),
    "moment": (Ask(until_moment=True), {}),
}


async def record_poll(env, keep):
    """Each mode, with each of its ends."""
    async with env.worker(Waiter, ManyWaiter, PollMany, activities=[build_state, build_states]):
        for name, (ask, options) in SINGLE.items():
            polls.fresh(**options)
            handle = await env.start(Waiter.run, ask)
            await asyncio.wait([asyncio.ensure_future(handle.result())])
            await keep(f"poll-{name}", handle)
        polls.fresh(broken={2})
        handle = await env.start(ManyWaiter.run, AskMany(["a", "never", "c"], every_s=600, give_up_s=3000))
        await handle.result()
        await keep("poll-many", handle)
        async for run in env.client.list_workflows("WorkflowType = 'perdure.poll'"):
            await keep("poll-many-child", env.client.get_workflow_handle(run.id))

"""Polling as an expert writes it by hand: retries of an activity, a loop in one, a workflow that looks after many."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from tests.patterns import polls

LOOK = timedelta(seconds=10)


@activity.defn
async def seldom(name: str) -> polls.Build:
    build = polls.world.look(name)
    if not build.over:
        raise ApplicationError("not yet")
    return build


@activity.defn
async def often(name: str) -> polls.Build:
    while not (build := polls.world.look(name)).over:
        activity.heartbeat()
        await asyncio.sleep(0.02)
    return build


@activity.defn
async def of_many(names: list[str]) -> list[bool]:
    return [polls.world.look(name).over for name in names]


@workflow.defn
class Twin:
    @workflow.run
    async def run(self, mode: str) -> polls.Build:
        if mode == "activity":
            return await workflow.execute_activity(
                often, "b", start_to_close_timeout=timedelta(hours=1), heartbeat_timeout=LOOK
            )
        every_minute = RetryPolicy(initial_interval=timedelta(minutes=1), backoff_coefficient=1)
        return await workflow.execute_activity(
            seldom,
            "b",
            start_to_close_timeout=LOOK,
            schedule_to_close_timeout=timedelta(hours=1),
            retry_policy=every_minute,
        )


@workflow.defn
class TwinOfMany:
    @workflow.run
    async def run(self, names: list[str]) -> None:
        while True:
            over = await workflow.execute_activity(of_many, names, start_to_close_timeout=LOOK)
            names = [name for name, done in zip(names, over, strict=True) if not done]
            if not names:
                return
            await workflow.sleep(timedelta(minutes=1))


@workflow.defn
class TwinWithChild:
    @workflow.run
    async def run(self, names: list[str]) -> None:
        await workflow.execute_child_workflow(TwinOfMany.run, names)

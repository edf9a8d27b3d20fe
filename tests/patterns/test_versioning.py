"""A change under running workflows: who takes which branch, and who may still need the old one."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import workflow

from perdure.patterns import open_runs, version

QUEUE = "versions"


@workflow.defn(name="Fee", sandboxed=False)
class Before:
    @workflow.run
    async def run(self, wait_s: float) -> list[str]:
        await asyncio.sleep(wait_s)
        fees = []
        for _ in range(2):
            fees.append("old")
            await asyncio.sleep(100)
        return fees


@workflow.defn(name="Fee", sandboxed=False)
class After:
    @workflow.run
    async def run(self, wait_s: float) -> list[str]:
        await asyncio.sleep(wait_s)
        fees = []
        for _ in range(2):
            fees.append("new" if version("fee-v2") else "old")
            await asyncio.sleep(100)
        return fees


@workflow.defn(name="Fee", sandboxed=False)
class Deprecated:
    @workflow.run
    async def run(self, wait_s: float) -> list[str]:
        await asyncio.sleep(wait_s)
        fees = []
        for _ in range(2):
            version.deprecated("fee-v2")
            fees.append("new")
            await asyncio.sleep(100)
        return fees


@pytest.mark.perdure(time="manual", replay=False)
async def test_the_life_of_a_change(perdure):
    perdure.faults(evict_every_task=True)
    async with perdure.worker(Before, task_queue=QUEUE):
        past = await perdure.start(Before.run, 1.0)
        before = await perdure.start(Before.run, 1000.0)
        await perdure.advance(timedelta(seconds=50))
    changed_at = perdure.now() + timedelta(seconds=1)
    async with perdure.worker(After, task_queue=QUEUE):
        await perdure.advance(timedelta(seconds=2))
        new = await perdure.start(After.run, 1.0)
        later = await perdure.start(After.run, 1000.0)
        await perdure.advance(timedelta(seconds=2))
        runs = await open_runs(perdure.client, "Fee", "fee-v2", since=changed_at.isoformat())
        assert names(runs.new) == {new.id} and names(runs.later) == {later.id}
        assert names(runs.old) == {past.id, before.id} and runs.old_branch_needed
        careful = await open_runs(perdure.client, "Fee", "fee-v2")
        assert names(careful.old) == {past.id, before.id, later.id}

        await perdure.advance(timedelta(seconds=1000))
        assert await past.result() == ["old", "old"]
        runs = await open_runs(perdure.client, "Fee", "fee-v2")
        assert not runs.old_branch_needed and names(runs.new) == {before.id, later.id}
    async with perdure.worker(Deprecated, task_queue=QUEUE):
        await perdure.advance(timedelta(seconds=500))
        for handle in (before, later, new):
            assert await handle.result() == ["new", "new"]


def names(runs):
    return {workflow_id for workflow_id, _ in runs}


async def test_what_would_change_the_query_is_refused(perdure):
    with pytest.raises(ValueError, match="can't be part"):
        await open_runs(perdure.client, 'x" OR WorkflowType != "', "c")

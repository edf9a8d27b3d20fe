"""A change under running workflows: who takes which branch, and who may still need the old one."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import PauseWorkflowExecutionRequest, ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from perdure.patterns import open_runs, version
from perdure.patterns.listing import listed

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


async def reset(perdure, handle):
    """To its last workflow task; gives the new run."""
    events = (await handle.fetch_history()).events
    [*_, last] = [each.event_id for each in events if each.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
    request = ResetWorkflowExecutionRequest(
        namespace=perdure.namespace,
        workflow_execution=WorkflowExecution(workflow_id=handle.id),
        workflow_task_finish_event_id=last,
        request_id=f"reset to {last}",
    )
    return (await perdure.client.workflow_service.reset_workflow_execution(request)).run_id


@pytest.mark.perdure(time="manual", replay=False)
async def test_a_run_that_was_reset_is_as_old_as_the_first(perdure):
    async with perdure.worker(Before, task_queue=QUEUE):
        handle = await perdure.start(Before.run, 1.0)
        await perdure.advance(timedelta(seconds=150))  # it has taken the old branch, and goes round again
    changed_at = (perdure.now() + timedelta(seconds=1)).isoformat()
    async with perdure.worker(After, task_queue=QUEUE):
        await perdure.advance(timedelta(seconds=2))
        fresh = await perdure.start(After.run, 1000.0)
        for _ in range(2):
            newest = await reset(perdure, perdure.client.get_workflow_handle(handle.id))
            await perdure.advance(timedelta(seconds=2))
            runs = await open_runs(perdure.client, "Fee", "fee-v2", since=changed_at)
            assert runs.old == [(handle.id, newest)] and runs.old_branch_needed
        await reset(perdure, perdure.client.get_workflow_handle(fresh.id))
        runs = await open_runs(perdure.client, "Fee", "fee-v2", since=changed_at)
        assert names(runs.later) == {fresh.id}
        await perdure.advance(timedelta(seconds=200))
        assert await perdure.client.get_workflow_handle(handle.id).result() == ["old", "old"]


@pytest.mark.perdure(time="manual")
async def test_a_run_that_is_paused_is_open(perdure):
    async with perdure.worker(After, task_queue=QUEUE):
        handle = await perdure.start(After.run, 1000.0)
        request = PauseWorkflowExecutionRequest(namespace=perdure.namespace, workflow_id=handle.id)
        await perdure.client.workflow_service.pause_workflow_execution(request)
        assert names((await open_runs(perdure.client, "Fee", "fee-v2")).old) == {handle.id}
        since = (perdure.now() - timedelta(minutes=1)).isoformat()
        assert names((await open_runs(perdure.client, "Fee", "fee-v2", since=since)).later) == {handle.id}


class WithoutPauses:
    """The service of a server that does not know that workflows can be paused."""

    def __init__(self, client: Client) -> None:
        self.namespace = client.namespace
        self.workflow_service = self
        self._service = client.workflow_service

    async def list_workflow_executions(self, request, **options):
        if "Paused" in request.query:
            raise RPCError("invalid ExecutionStatus value 'Paused'", RPCStatusCode.INVALID_ARGUMENT, b"")
        return await self._service.list_workflow_executions(request, **options)


async def test_servers_without_pauses_are_asked_for_what_runs(perdure):
    async with perdure.worker(After, task_queue=QUEUE):
        handle = await perdure.start(After.run, 1000.0)
        assert names((await open_runs(WithoutPauses(perdure.client), "Fee", "fee-v2")).old) == {handle.id}


async def test_a_listing_has_all_pages(perdure):
    handles = [await perdure.start("Fee", 1.0, task_queue="nobody") for _ in range(3)]
    pages = []

    class Small(WithoutPauses):
        async def list_workflow_executions(self, request, **options):
            request.page_size = 2
            page = await super().list_workflow_executions(request, **options)
            pages.append(len(page.executions))
            return page

    found = await listed(Small(perdure.client), "")
    assert {run.execution.workflow_id for run in found} == {handle.id for handle in handles} and pages[0] == 2


def names(runs):
    return {workflow_id for workflow_id, _ in runs}


async def test_what_would_change_the_query_is_refused(perdure):
    with pytest.raises(ValueError, match="can't be part"):
        await open_runs(perdure.client, 'x" OR WorkflowType != "', "c")
    with pytest.raises(ValueError, match="has no offset"):
        await open_runs(perdure.client, "Fee", "c", since="2026-05-01T00:00:00")

"""Batch jobs in the whole server: more than a page, requests meanwhile, namespaces that go."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import timer
from tests.runtime.conversation import conversation, types

from perdure.server import Server
from perdure.storage.base import Batch, Done

FAST = {"worker.batcherRPS": 1_000_000}
FAILED = 3


async def run_job(d: Driver, job_id: str = "job", **fields: Any) -> Any:
    reply = await d.call("StartBatchOperation", job_id=job_id, reason="because", **fields)
    assert reply is not None and not hasattr(reply, "code"), reply

    async def over() -> bool:
        return (await d.quietly("DescribeBatchOperation", job_id=job_id)).state != 1

    await d.until(over, attempts=600)
    return await d.quietly("DescribeBatchOperation", job_id=job_id)


async def test_a_query_may_find_more_than_a_page() -> None:
    async with conversation(dynamic_config=FAST) as d:
        await asyncio.gather(*(d.start(f"w{number}") for number in range(1100)))
        query = "WorkflowType = 'order'"
        told = await run_job(d, visibility_query=query, signal_operation={"signal": "knock"})
        assert (told.total_operation_count, told.complete_operation_count) == (1100, 1100)
        for number in range(0, 1100, 50):
            assert types(await d.events(f"w{number}")).count("WORKFLOW_EXECUTION_SIGNALED") == 1
        # What is terminated leaves the query while the job goes through its pages.
        told = await run_job(d, "second", visibility_query=query, termination_operation={})
        assert (told.total_operation_count, told.complete_operation_count) == (1100, 1100)
        open_ones = await d.quietly("CountWorkflowExecutions", query="ExecutionStatus = 'Running'")
        assert open_ones.count == 0


async def test_a_namespace_may_have_more_than_one_job_if_it_is_told_so() -> None:
    limit = {"frontend.MaxConcurrentBatchOperationPerNamespace": 2, "worker.batcherRPS": 1}
    async with conversation(dynamic_config=limit) as d:
        targets = [{"workflow_id": f"w{number}"} for number in range(100)]
        jobs = [
            d.call(
                "StartBatchOperation",
                job_id=f"job{number}",
                reason="because",
                executions=targets,
                signal_operation={"signal": "s"},
            )
            for number in range(5)
        ]
        replies = await asyncio.gather(*jobs)
        refused = [reply.code for reply in replies if not reply and hasattr(reply, "code")]
        assert refused == ["RESOURCE_EXHAUSTED"] * 3


async def test_batches_can_be_switched_off() -> None:
    async with conversation(dynamic_config={"frontend.enableBatcher": False}) as d:
        reply = await d.call("ListBatchOperations")
        assert (reply.code, reply.message) == (
            "PERMISSION_DENIED",
            "Batch operation feature are disabled on this namespace.",
        )


async def test_a_job_that_is_stopped_keeps_its_counts() -> None:
    async with conversation(dynamic_config={"worker.batcherRPS": 1}) as d:
        targets = [{"workflow_id": f"w{number}"} for number in range(100)]
        await d.call(
            "StartBatchOperation", job_id="job", reason="b", executions=targets, signal_operation={"signal": "s"}
        )

        async def began() -> bool:
            return (await d.quietly("DescribeBatchOperation", job_id="job")).complete_operation_count > 0

        await d.until(began)
        await d.call("StopBatchOperation", job_id="job", reason="enough")
        told = await d.quietly("DescribeBatchOperation", job_id="job")
        assert (told.state, told.total_operation_count) == (FAILED, 100)
        assert 0 < told.complete_operation_count < 100


async def test_a_reset_and_the_progress_of_its_job_are_one_commit() -> None:
    """Seed 269 of the simulation: a crash between the two made the job reset the same run once more."""
    async with Server() as server, conversation(server) as d:
        await d.start()
        await d.step(timer())
        storage, batches = server._runtime.storage, []
        submit = storage.submit

        def watch(batch: Batch, done: Done) -> None:
            batches.append([change.insert is not None for change in batch.runs.values()])
            submit(batch, done)

        storage.submit = watch
        told = await run_job(
            d, executions=[{"workflow_id": d.workflow_id}], reset_operation={"options": {"last_workflow_task": {}}}
        )
        assert told.complete_operation_count == 1
        job, reset = (sorted(batch) for batch in batches if True in batch)
        assert job == [True]
        assert reset == [False, False, True], "the old run, the job, the new run"

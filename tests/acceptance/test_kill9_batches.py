"""A batch job goes on where it was killed: every execution has its operation, none has it twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

import pytest
from examples.processes import ServerProcess, answering
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import BatchOperationState, EventType
from temporalio.api.workflowservice.v1 import (
    DescribeBatchOperationRequest,
    DescribeBatchOperationResponse,
    GetWorkflowExecutionHistoryRequest,
    StartBatchOperationRequest,
)
from temporalio.client import Client

SWEEP = bool(os.environ.get("PERDURE_SWEEP"))
KILLS = 8 if SWEEP else 2
WORKFLOWS = 600 if SWEEP else 200
RUNNING = BatchOperationState.BATCH_OPERATION_STATE_RUNNING
COMPLETED = BatchOperationState.BATCH_OPERATION_STATE_COMPLETED
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


async def job(server: ServerProcess, client: Client, chance: random.Random, **fields: object) -> Client:
    """Runs a batch job to its end, through kills at moments at which it is at work. All it found has to be done."""
    job_id = f"job-{chance.random()}"
    request = StartBatchOperationRequest(namespace="default", job_id=job_id, reason="because", **fields)  # type: ignore[arg-type]
    await client.workflow_service.start_batch_operation(request)
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.05, 0.7))
        server.kill()
        await server.start_and_wait()
        client = await answering(server.address, server)
    while (described := await describe(client, job_id)).state == RUNNING:
        await asyncio.sleep(0.1)
    counts = (described.total_operation_count, described.complete_operation_count, described.failure_operation_count)
    assert (described.state, *counts) == (COMPLETED, WORKFLOWS, WORKFLOWS, 0)
    return client


async def describe(client: Client, job_id: str) -> DescribeBatchOperationResponse:
    request = DescribeBatchOperationRequest(namespace="default", job_id=job_id)
    return await client.workflow_service.describe_batch_operation(request)


async def signals(client: Client, workflow_id: str) -> int:
    request = GetWorkflowExecutionHistoryRequest(
        namespace="default", execution=WorkflowExecution(workflow_id=workflow_id)
    )
    reply = await client.workflow_service.get_workflow_execution_history(request)
    return sum(event.event_type == SIGNALED for event in reply.history.events)


@pytest.mark.timeout(600 if SWEEP else 120)
async def test_no_execution_is_left_out_or_acted_on_twice(server: ServerProcess) -> None:
    chance = random.Random(1)
    await server.start_and_wait()
    client = await answering(server.address, server)
    ids = [f"w{number}" for number in range(WORKFLOWS)]
    await asyncio.gather(*(client.start_workflow("order", id=each, task_queue="nobody") for each in ids))
    everything = "WorkflowType = 'order'"
    client = await job(server, client, chance, visibility_query=everything, signal_operation={"signal": "knock"})
    assert {each: await signals(client, each) for each in ids} == dict.fromkeys(ids, 1)
    client = await job(server, client, chance, visibility_query=everything, termination_operation={})
    closed = f"{everything} AND ExecutionStatus = 'Terminated'"
    again = {"options": {"last_workflow_task": {}}}
    client = await job(server, client, chance, visibility_query=closed, reset_operation=again)
    runs = Counter([each.id async for each in client.list_workflows(everything)])
    assert runs == Counter(dict.fromkeys(ids, 2))

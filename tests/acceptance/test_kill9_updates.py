"""Updates survive a SIGKILL: whatever their clients were told stays so, and none acts twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from examples.processes import ServerProcess, answering
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowUpdateStage
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

SWEEP = bool(os.environ.get("PERDURE_SWEEP"))
KILLS = 25 if SWEEP else 3
WORKFLOWS = 6
CLIENTS = 12
TASK_QUEUE = "kill9-updates"
ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
COMPLETED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED


@workflow.defn
class Places:
    """Gives each update the next place."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.closed = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.taken

    @workflow.update
    async def take(self, name: str) -> int:
        self.taken.append(name)
        place = len(self.taken)
        if place % 2:
            await asyncio.sleep(0.05)  # accepted in one task, completed in another
        return place

    @workflow.signal
    def close(self) -> None:
        self.closed = True


class Load:
    """Clients that update, and what the server has told them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stopped = False
        self.accepted: set[tuple[str, str]] = set()
        self.places: dict[tuple[str, str], int] = {}

    async def client_loop(self, number: int) -> None:
        chance = random.Random(number)
        for i in range(100_000):
            if self.stopped:
                return
            workflow_id, update_id = f"places-{chance.randrange(WORKFLOWS)}", f"{number}-{i}"
            while True:
                with suppress(RPCError, WorkflowUpdateRPCTimeoutOrCancelledError):
                    await self._take(workflow_id, update_id)
                    break

    async def _take(self, workflow_id: str, update_id: str) -> None:
        update = await self._handle(workflow_id).start_update(
            "take", update_id, id=update_id, wait_for_stage=WorkflowUpdateStage.ACCEPTED, result_type=int
        )
        self.accepted.add((workflow_id, update_id))
        place = await update.result()
        assert self.places.setdefault((workflow_id, update_id), place) == place

    def _handle(self, workflow_id: str) -> WorkflowHandle[object, object]:
        return self.client.get_workflow_handle(workflow_id)

    async def compare(self, workflow_id: str) -> None:
        """The history has each update once, and every outcome is what it was."""
        handle = self._handle(workflow_id)
        told = {update_id: place for (of, update_id), place in self.places.items() if of == workflow_id}
        for update_id, place in told.items():
            assert await handle.get_update_handle(update_id, result_type=int).result() == place
        await handle.signal("close")
        taken = await handle.result()
        assert isinstance(taken, list) and len(set(taken)) == len(taken)
        assert told == {name: taken.index(name) + 1 for name in told}
        seen: Counter[tuple[int, str]] = Counter()
        for event in (await handle.fetch_history()).events:
            accepted = event.workflow_execution_update_accepted_event_attributes.protocol_instance_id
            completed = event.workflow_execution_update_completed_event_attributes.meta.update_id
            if accepted or completed:
                seen[event.event_type, accepted or completed] += 1
        assert set(seen.values()) <= {1}
        assert {name for of, name in self.accepted if of == workflow_id} <= {name for _, name in seen}
        assert {(ACCEPTED, name) for name in taken} == {each for each in seen if each[0] == ACCEPTED}
        assert {(COMPLETED, name) for name in taken} == {each for each in seen if each[0] == COMPLETED}


@pytest.mark.timeout(1200 if SWEEP else 180)
async def test_no_acknowledged_update_is_lost_or_acts_twice(server: ServerProcess) -> None:
    chance = random.Random(1)
    await server.start_and_wait()
    client = await answering(server.address, server)
    for number in range(WORKFLOWS):
        await client.start_workflow(Places.run, id=f"places-{number}", task_queue=TASK_QUEUE)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Places],
        workflow_runner=UnsandboxedWorkflowRunner(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
    )
    load = Load(client)
    async with worker:
        loops = [asyncio.create_task(load.client_loop(number)) for number in range(CLIENTS)]
        for _ in range(KILLS):
            known = len(load.places)
            while len(load.places) < known + 2 * CLIENTS:
                await asyncio.sleep(0.01)
            await asyncio.sleep(chance.uniform(0, 0.3))
            server.kill()
            await asyncio.sleep(chance.uniform(0, 0.5))
            await server.start_and_wait()
        load.stopped = True
        await asyncio.gather(*loops)
        for number in range(WORKFLOWS):
            await load.compare(f"places-{number}")

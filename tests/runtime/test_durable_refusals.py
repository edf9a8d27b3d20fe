"""A refusal that tells of what is on its way to storage leaves when that is durable, or says UNAVAILABLE."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice import v1 as api
from tests.runtime.test_durable_answers import Answered, Edge
from tests.runtime.test_executor import World, turns, within

from perdure.errors import AlreadyExists, NotFound, PerdureError, Unavailable
from perdure.rpc.router import build_handlers
from perdure.rpc.workflow.executions import Executions

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"


class Served:
    """A world behind the handlers that clients reach."""

    def __init__(self, world: World) -> None:
        self.world = world
        families = [Executions(world.runtime, Edge(world).tasks)]
        self.handlers = build_handlers(families, flushed=world.runtime.executor.flushed)

    async def ask(self, method: str, request: Any) -> Answered:
        call = Answered()
        self.handlers[SERVICE + method](request.SerializeToString(), call)
        await turns()
        return call

    async def start(self, request_id: str) -> Answered:
        request = api.StartWorkflowExecutionRequest(namespace="default", workflow_id="w", request_id=request_id)
        request.workflow_type.name, request.task_queue.name = "t", "q"
        return await self.ask("StartWorkflowExecution", request)

    async def terminate(self) -> Answered:
        request = api.TerminateWorkflowExecutionRequest(namespace="default")
        request.workflow_execution.workflow_id = "w"
        return await self.ask("TerminateWorkflowExecution", request)

    async def signal(self) -> Answered:
        who = WorkflowExecution(workflow_id="w")
        request = api.SignalWorkflowExecutionRequest(namespace="default", workflow_execution=who, signal_name="s")
        return await self.ask("SignalWorkflowExecution", request)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    world = await World.open()
    yield Served(world)
    world.storage.release()
    await world.runtime.stop()


async def refusal(call: Answered) -> PerdureError:
    with pytest.raises(PerdureError) as raised:
        await within(call.answer)
    return raised.value


@pytest.mark.parametrize("fails", [False, True])
async def test_nobody_is_told_of_a_run_that_may_never_have_begun(served: Served, fails: bool) -> None:
    served.world.storage.holds = True
    first, second = await served.start("one"), await served.start("another")
    assert not first.done and not second.done
    served.world.storage.release(fails=fails)
    assert isinstance(await refusal(second), Unavailable if fails else AlreadyExists)
    if fails:
        assert isinstance(await refusal(first), Unavailable)
    else:
        assert await within(first.answer)


@pytest.mark.parametrize("fails", [False, True])
async def test_nobody_is_told_of_an_end_that_may_never_have_come(served: Served, fails: bool) -> None:
    await served.world.start("w")
    served.world.storage.holds = True
    ended = await served.terminate()
    late = [await served.signal(), await served.terminate()]
    assert not ended.done and not any(call.done for call in late)
    served.world.storage.release(fails=fails)
    for call in late:
        assert isinstance(await refusal(call), Unavailable if fails else NotFound)
    if fails:
        await refusal(ended)

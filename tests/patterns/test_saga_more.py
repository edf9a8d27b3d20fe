"""Sagas: activities that are methods, undoing what no activity did, search attributes, timeouts, resets."""

import asyncio
import logging
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowFailureError
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError
from tests.patterns import sagas
from tests.patterns.sagas import Trip, act, revoke

from perdure.patterns import Saga, idempotency_key, method, options, undone_key

STATE = SearchAttributeKey.for_keyword("SagaState")


class Bank:
    def __init__(self) -> None:
        self.log: list[str] = []

    @activity.defn
    async def charge(self, who: str, cents: int) -> int:
        self.log.append(f"charge {who} {cents} {idempotency_key()}")
        return cents

    @activity.defn
    async def refund(self, who: str, cents: int) -> None:
        self.log.append(f"refund {who} {cents} {undone_key()}")


@workflow.defn
class Pay:
    @workflow.run
    async def run(self, fails: bool) -> str:
        async with Saga(state_key=STATE) as saga:
            key = saga.on_undo(method(Bank.refund), "child", 1)
            await saga.step(method(Bank.charge), "ann", 900, undo=method(Bank.refund), options=options.quick)
            if fails:
                raise ApplicationError("no")
        return key


@pytest.mark.perdure(search_attributes=[STATE])
@pytest.mark.parametrize("fails", [False, True])
async def test_methods_undoing_without_a_step_and_the_search_attribute(perdure, fails):
    bank = Bank()
    async with perdure.worker(Pay, activities=[bank.charge, bank.refund]):
        handle = await perdure.start(Pay.run, fails)
        if fails:
            with pytest.raises(WorkflowFailureError):
                await handle.result()
        else:
            await handle.result()
        attributes = (await handle.describe()).typed_search_attributes
    key = f"{handle.id}/{handle.first_execution_run_id}/step#"
    refunds = [f"refund ann 900 {key}2", f"refund child 1 {key}1"]
    assert bank.log == [f"charge ann 900 {key}2", *(refunds if fails else [])]
    assert attributes[STATE] == ("compensated" if fails else "completed")


async def test_timeouts_of_the_workflow_are_warned_of(perdure, caplog):
    sagas.fresh()
    async with perdure.worker(Trip, activities=[act, revoke]):
        with caplog.at_level(logging.WARNING, logger="temporalio"):
            await perdure.execute(Trip.run)
            assert "this workflow has a timeout" not in caplog.text
            await perdure.execute(Trip.run, run_timeout=timedelta(hours=1))
    assert "this workflow has a timeout" in caplog.text


async def test_a_reset_does_not_change_keys(perdure):
    world = sagas.fresh()
    async with perdure.worker(Trip, activities=[act, revoke]):
        handle = await perdure.start(Trip.run)
        await handle.result()
        keys = dict(world.keys)
        history = await perdure.history(handle)
        first = next(e.event_id for e in history.events if e.HasField("workflow_task_completed_event_attributes"))
        await perdure.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=perdure.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=history.run_id),
                workflow_task_finish_event_id=first,
                request_id="once",
            )
        )
        await perdure.client.get_workflow_handle(handle.id).result()
    assert world.keys == keys
    assert all(effect == 1 for effect in world.effects.values()), "each key has acted once"
    assert [entry for entry in world.log if entry[0] == "-"] == []


@workflow.defn
class Hasty:
    """Gives up a group in the moment in which it has started it."""

    @workflow.run
    async def run(self) -> None:
        async with Saga() as saga, saga.parallel() as group:
            group.start(act, "room", undo=revoke)
            await asyncio.sleep(0)
            group.start(act, "car", undo=revoke)
            raise ApplicationError("never mind")


async def test_a_group_that_is_given_up_at_once(perdure):
    world = sagas.fresh()
    perdure.faults(evict_every_task=True)
    async with perdure.worker(Hasty, activities=[act, revoke]):
        with pytest.raises(WorkflowFailureError) as raised:
            await perdure.execute(Hasty.run)
    assert str(raised.value.cause) == "never mind"
    assert not any(world.effects.values())

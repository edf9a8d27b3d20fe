"""What is left of a saga whose workflow was ended: where and how it is undone, how often, and when it may not."""

import asyncio
import importlib
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    PauseWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
    UnpauseWorkflowExecutionRequest,
)
from temporalio.client import Client, WorkflowFailureError
from temporalio.converter import DataConverter
from temporalio.worker import Worker
from tests.patterns import sagas
from tests.patterns.converters import encrypting
from tests.patterns.sagas import ELSEWHERE, UNDO, Far, Short, act, revoke

from perdure.patterns import Options, Saga, SagaResume, large_payloads, options, resume, what_is_left
from perdure.patterns.notes import Note, difference, with_difference

QUEUE = "sagas"
RESUMING = importlib.import_module("perdure.patterns.resume")  # the package has a function of that name


async def ended(perdure, workflow, *args):
    """A run that was terminated with two steps to undo."""
    world = sagas.fresh()
    handle = await perdure.start(workflow.run, *args, task_queue=QUEUE)
    while "+room" not in world.log:
        await asyncio.sleep(0.01)
    await perdure.settle()
    await handle.terminate()
    return world, handle


@pytest.mark.perdure(time="manual")
async def test_each_undo_runs_on_its_queue_with_its_options(perdure):
    async with (
        perdure.worker(Far, Short, SagaResume, activities=[act, revoke], task_queue=QUEUE),
        perdure.worker(activities=[act, revoke], task_queue="elsewhere"),
    ):
        world, handle = await ended(perdure, Far)
        room, seat = await what_is_left(perdure.client, handle.id)
        assert (room.task_queue, seat.task_queue) == ("elsewhere", QUEUE)
        assert await (await resume(perdure.client, handle.id)).result() == [room.key, seat.key]
        live = await perdure.start(Far.run, task_queue=QUEUE)
        await perdure.settle()
        await live.cancel()
        with pytest.raises(WorkflowFailureError):
            await live.result()
    resumed = called(await perdure.history(f"saga-resume/{handle.result_run_id}"))
    undone = called(await perdure.history(live))
    assert resumed == undone and [queue for queue, *_ in undone] == ["elsewhere", QUEUE]
    assert not any(world.effects.values())


def called(history):
    """Queue, timeouts and retries of each compensation."""
    scheduled = [event.activity_task_scheduled_event_attributes for event in history.events]
    return [
        (each.task_queue.name, each.schedule_to_close_timeout, each.start_to_close_timeout, each.retry_policy)
        for each in scheduled
        if each.activity_type.name == "revoke"
    ]


@pytest.mark.parametrize("preset", [options.undo, UNDO, ELSEWHERE, options.long_job, options.human])
def test_options_of_an_undo_are_told_by_what_differs(preset):
    note = Note(3, "revoke, and more", difference(preset))
    told = Note.read(str(note))
    assert told == note and with_difference(told.options).config() == preset.config()
    assert str(Note(1, "revoke", difference(options.undo))) == "saga 1, undo by revoke"
    assert with_difference({"of": "a later release"}) == options.undo
    assert isinstance(with_difference(told.options), Options) and Note.read("any other summary") is None


@pytest.mark.perdure(time="manual")
async def test_a_resume_that_was_ended_itself_is_followed_by_one_for_the_rest(perdure):
    async with perdure.worker(Short, SagaResume, activities=[act, revoke], task_queue=QUEUE):
        world, handle = await ended(perdure, Short, "sleep")
        world.broken.add("seat")
        room, seat = await what_is_left(perdure.client, handle.id)
        first = await resume(perdure.client, handle.id)
        await perdure.settle()
        assert await what_is_left(perdure.client, handle.id) == [seat]
        same = await resume(perdure.client, handle.id)
        assert same.result_run_id == first.result_run_id
        await first.terminate()
        second = await resume(perdure.client, handle.id)
        assert second.result_run_id != first.result_run_id
        await perdure.settle()
        assert await what_is_left(perdure.client, handle.id) == [seat]
        await second.signal("perdure_saga_resume", [seat.key])
        assert await second.result() == [seat.key]
        assert await what_is_left(perdure.client, handle.id) == []
    assert world.log == ["+seat", "+room", "-room"] and room.key != seat.key


@pytest.mark.perdure(time="manual")
async def test_a_run_that_is_paused_is_open(perdure):
    async with perdure.worker(Short, SagaResume, activities=[act, revoke], task_queue=QUEUE):
        world = sagas.fresh()
        handle = await perdure.start(Short.run, "sleep", task_queue=QUEUE)
        await perdure.advance(timedelta(minutes=1))
        names = {"namespace": perdure.namespace, "workflow_id": handle.id}
        await perdure.client.workflow_service.pause_workflow_execution(PauseWorkflowExecutionRequest(**names))
        with pytest.raises(ValueError, match="is paused: unpause and cancel it"):
            await resume(perdure.client, handle.id)
        assert len(await what_is_left(perdure.client, handle.id)) == 2
        await perdure.client.workflow_service.unpause_workflow_execution(UnpauseWorkflowExecutionRequest(**names))
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert world.log == ["+seat", "+room", "-room", "-seat"]


LENGTHS: list[int] = []
"""Of the arguments of what was undone."""


@activity.defn
async def store(text: str) -> None: ...


@activity.defn
async def remove(text: str) -> None:
    LENGTHS.append(len(text))


@workflow.defn
class Large:
    """A step for each length, then it is terminated."""

    @workflow.run
    async def run(self, lengths: list[int]) -> None:
        async with Saga(options=options.quick) as saga:
            for length in lengths:
                await saga.step(store, "x" * length, undo=remove)
            self.stored = True
            await asyncio.sleep(7 * 86400)

    @workflow.update
    async def wait(self) -> None:
        await workflow.wait_condition(lambda: hasattr(self, "stored"))


async def terminated(client, lengths, id="large"):
    LENGTHS.clear()
    handle = await client.start_workflow(Large.run, lengths, id=id, task_queue=QUEUE)
    await handle.execute_update(Large.wait)
    await handle.terminate()
    return handle


def large(perdure):
    return perdure.worker(Large, SagaResume, activities=[store, remove], task_queue=QUEUE)


@pytest.mark.perdure(time="manual")
async def test_arguments_may_be_as_large_as_steps_could_have_them(perdure):
    lengths = [10, 1_900_000, 400_000, 700_000, 20, 900_000]
    async with large(perdure):
        handle = await terminated(perdure.client, lengths)
        resumed = await resume(perdure.client, handle.id)
        assert len(await resumed.result()) == len(lengths)
        assert lengths[::-1] == LENGTHS
        assert await what_is_left(perdure.client, handle.id) == []


@pytest.mark.perdure(time="manual")
async def test_a_call_that_got_lost_before_all_arguments_were_sent_is_made_again(perdure, monkeypatch):
    async def lost(*_):
        raise ConnectionError

    async with large(perdure):
        handle = await terminated(perdure.client, [10, 500_000, 600_000])
        with monkeypatch.context() as patch, pytest.raises(ConnectionError):
            patch.setattr(RESUMING, "_send", lost)
            await resume(perdure.client, handle.id)
        await perdure.settle()
        assert LENGTHS == [] and len(await what_is_left(perdure.client, handle.id)) == 3
        for _ in range(2):
            await (await resume(perdure.client, handle.id)).result()
        assert LENGTHS == [600_000, 500_000, 10]


@pytest.mark.perdure(time="manual")
async def test_what_no_history_can_hold_is_refused_before_anything_is_undone(perdure, monkeypatch):
    monkeypatch.setattr(RESUMING, "_MOST_BYTES", 100)
    async with large(perdure):
        handle = await terminated(perdure.client, [200])
        with pytest.raises(ValueError, match="undo them by hand"):
            await resume(perdure.client, handle.id)
    assert LENGTHS == []


@pytest.mark.parametrize("converter", [DataConverter.default, encrypting], ids=["plain", "encrypting"])
@pytest.mark.perdure(time="manual", replay=False)
async def test_arguments_outside_are_given_as_they_were(perdure, tmp_path, converter):
    config = perdure.client.config()
    config["data_converter"] = large_payloads(tmp_path, converter=converter)
    client = Client(**config)
    async with Worker(client, task_queue=QUEUE, workflows=[Large, SagaResume], activities=[store, remove]):
        handle = await terminated(client, [10, 600_000])
        assert len(await what_is_left(client, handle.id)) == 2
        await (await resume(client, handle.id)).result()
    assert LENGTHS == [600_000, 10]


@workflow.defn
class Kept:
    """A step, then a continuation after the signal: nothing is left."""

    def __init__(self) -> None:
        self.go = False

    @workflow.signal
    def on(self) -> None:
        self.go = True

    @workflow.run
    async def run(self, again: bool) -> None:
        async with Saga(options=options.quick) as saga:
            await saga.step(act, "seat", undo=revoke)
            await workflow.wait_condition(lambda: self.go)
        if again:
            workflow.continue_as_new(False)


async def reset(perdure, run, number):
    request = ResetWorkflowExecutionRequest(
        namespace=perdure.namespace,
        workflow_execution=WorkflowExecution(workflow_id="kept", run_id=run),
        reason="again",
        workflow_task_finish_event_id=4,
        request_id=f"reset {number}",
    )
    made = (await perdure.client.workflow_service.reset_workflow_execution(request)).run_id
    await perdure.settle()
    return perdure.client.get_workflow_handle("kept", run_id=made)


@pytest.mark.perdure(time="manual")
async def test_steps_that_a_reset_has_taken_over_are_not_undone(perdure):
    world = sagas.fresh()
    client = perdure.client
    async with perdure.worker(Kept, SagaResume, activities=[act, revoke], task_queue=QUEUE):
        first = await perdure.start(Kept.run, True, id="kept", task_queue=QUEUE)
        await perdure.settle()
        second = await reset(perdure, first.result_run_id, 1)
        third = await reset(perdure, first.result_run_id, 2)
        for told in (first.result_run_id, second.run_id):
            with pytest.raises(ValueError, match=f"its steps are run {third.run_id}'s"):
                await resume(client, "kept", told)
        await third.signal("on")
        await perdure.settle()  # it has continued as new
        for told in (first.result_run_id, second.run_id):
            with pytest.raises(ValueError, match=f"its steps are run {third.run_id}'s"):
                await resume(client, "kept", told)
        assert "-seat" not in world.log
        await client.get_workflow_handle("kept").terminate()
        await (await resume(client, "kept")).result()


@pytest.mark.perdure(time="manual")
async def test_a_run_that_another_with_the_same_id_follows_is_undone(perdure):
    async with perdure.worker(Short, SagaResume, activities=[act, revoke], task_queue=QUEUE):
        world, handle = await ended(perdure, Short, "sleep")
        run = handle.result_run_id
        await perdure.start(Short.run, "stuck fails", id=handle.id, task_queue=QUEUE)
        await (await resume(perdure.client, handle.id, run)).result()
        await perdure.settle()
    assert world.log.count("-seat") == 2

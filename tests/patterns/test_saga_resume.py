"""What is left of a saga whose workflow was ended: where and how it is undone, how often, and when it may not."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.api.workflowservice.v1 import PauseWorkflowExecutionRequest, UnpauseWorkflowExecutionRequest
from temporalio.client import WorkflowFailureError
from tests.patterns import sagas
from tests.patterns.sagas import ELSEWHERE, UNDO, Far, Short, act, revoke

from perdure.patterns import Options, SagaResume, options, resume, what_is_left
from perdure.patterns.notes import Note, difference, with_difference

QUEUE = "sagas"


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

"""The end of an entity by a cancel: what it has accepted is handled and saved before, whatever it was about."""

import asyncio
import contextlib
import json
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from tests.patterns.lives import Nag, kept, load, save


@pytest.fixture(params=["plain", "evicted"], autouse=True)
def faults(request, perdure):
    kept.clear()
    perdure.faults(evict_every_task=request.param == "evicted")


def nag_of(perdure):
    return Nag.of(perdure.client, "n", task_queue="nags")


async def ended(perdure):
    """What was saved when the newest run had ended by a cancel."""
    handle = perdure.client.get_workflow_handle("n")
    with contextlib.suppress(WorkflowFailureError):
        await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    return json.loads(kept["n"])["state"]["json"]["said"]


async def requested(perdure):
    """Until the run has heard that it is cancelled."""
    handle = perdure.client.get_workflow_handle("n")
    await handle.cancel()
    await perdure.settle()


async def test_while_it_loads(perdure):
    loading = perdure.mock(load, side_effect=load, blocks=True)
    async with perdure.worker(Nag, activities=[loading, save], task_queue="nags"):
        await nag_of(perdure).say("before", message_id="before")
        planning = asyncio.ensure_future(nag_of(perdure).plan(10, "later", message_id="plan"))
        while not loading.calls:
            await asyncio.sleep(0.01)
        await requested(perdure)
        await perdure.client.get_workflow_handle("n").signal("say", "since")
        loading.release()
        await planning
        assert await ended(perdure) == ["True before", "True since"]
        await nag_of(perdure).say("anew")
        assert await nag_of(perdure).said() == ["before", "since", "anew"]
        assert (await nag_of(perdure).status())["later"] == 1
        await nag_of(perdure).plan(10, "later", message_id="plan")
        assert len(loading.calls) == 2


async def test_while_it_saves(perdure):
    saving = perdure.mock(save, side_effect=save, blocks=True)
    async with perdure.worker(Nag, activities=[load, saving], task_queue="nags"):
        await nag_of(perdure).say("before")
        await perdure.advance_until(lambda: saving.calls)
        await nag_of(perdure).say("meanwhile")
        await nag_of(perdure).forget("nothing")
        await requested(perdure)
        saving.release()
        assert await ended(perdure) == ["True before", "True meanwhile"]
        assert len(saving.calls) == 2


async def test_while_it_saves_and_nothing_comes(perdure):
    saving = perdure.mock(save, side_effect=save, blocks=True)
    async with perdure.worker(Nag, activities=[load, saving], task_queue="nags"):
        await nag_of(perdure).say("before")
        await perdure.advance_until(lambda: saving.calls)
        await requested(perdure)
        saving.release()
        assert await ended(perdure) == ["True before"]
        assert len(saving.calls) == 1, "what is saved is not saved again"


async def test_a_handler_and_all_that_waits_for_it(perdure):
    async with perdure.worker(Nag, activities=[load, save], task_queue="nags"):
        working = asyncio.ensure_future(nag_of(perdure).work(0.5, message_id="work"))
        await nag_of(perdure).say("first")
        await nag_of(perdure).say("behind")
        await requested(perdure)
        await working
        assert await ended(perdure) == ["True first", "True behind"]


async def test_a_save_that_fails_for_good_is_tried_again(perdure):
    broken = ApplicationError("no disk", non_retryable=True)
    saving = perdure.mock(save, side_effect=save, raises=[broken, broken, None])
    async with perdure.worker(Nag, activities=[load, saving], task_queue="nags"):
        await nag_of(perdure).say("before")
        await requested(perdure)
        assert await ended(perdure) == ["True before"]
        history = await perdure.history("n")
    assert len(saving.calls) == 3
    assert timedelta(minutes=3) <= history.ended - history.began < timedelta(minutes=4)


async def test_a_load_that_fails_for_good_fails_the_entity_and_its_senders(perdure):
    loading = perdure.mock(load, raises=ApplicationError("no such thing", non_retryable=True))
    async with perdure.worker(Nag, activities=[loading, save], task_queue="nags"):
        with pytest.raises(WorkflowUpdateFailedError):
            await nag_of(perdure).forget("x")
        assert (await perdure.client.get_workflow_handle("n").describe()).status is WorkflowExecutionStatus.FAILED

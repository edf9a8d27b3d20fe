"""Sagas whose steps run in tasks of their own: nothing is undone beside a step, and no step is left behind."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError
from tests.patterns import sagas
from tests.patterns.sagas import Aside, Late, Loose, act, revoke

from perdure.patterns import Saga, SagaReport

CHANGE = {EventType.EVENT_TYPE_MARKER_RECORDED, EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES}


@pytest.fixture(params=["plain", "evicted"])
def world(request, perdure):
    perdure.faults(evict_every_task=request.param == "evicted")
    return sagas.fresh()


def workers(perdure):
    return perdure.worker(Loose, Aside, Late, activities=[act, revoke])


async def cause_of(handle):
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    return raised.value.cause


async def state(handle):
    [report] = await handle.query("perdure_saga", result_type=list[SagaReport])
    return report.state


async def assert_undone(perdure, handle, *log):
    """In this order, and not before all steps had ended."""
    history = await perdure.history(handle)
    ended = [step.ended for step in history.activities("act")]
    began = [step.began for step in history.activities("revoke")]
    assert None not in ended and max(ended) <= min(began), str(history)
    assert [entry for entry in sagas.WORLD.log if entry[0] == "-"] == list(log)
    assert not any(sagas.WORLD.effects.values())


async def until(entry):
    while entry not in sagas.WORLD.log:
        await asyncio.sleep(0.01)


async def test_a_step_beside_the_one_that_fails_has_ended_before_anything_is_undone(perdure, world):
    world.fail["money"] = "after"
    world.block.add("room")
    async with workers(perdure):
        handle = await perdure.start(Loose.run, "gather")
        assert str((await cause_of(handle)).cause) == "money failed"
        assert await state(handle) == "compensated"
    await assert_undone(perdure, handle, "-money", "-room", "-seat")
    room = next(step for step in (await perdure.history(handle)).activities("act") if step.args == ["room"])
    assert room.status == "canceled"


async def test_a_step_that_runs_when_the_body_ends_is_waited_for(perdure, world):
    world.block.add("room")
    async with workers(perdure):
        handle = await perdure.start(Loose.run, "left")
        await until("+money")
        world.block.clear()
        assert await handle.result() == "done"
        assert await state(handle) == "completed"
    history = await perdure.history(handle)
    assert {step.status for step in history.activities()} == {"completed"}
    assert max(step.ended for step in history.activities()) <= history.of("memo")[0].began
    assert "-" not in "".join(world.log)


async def test_a_step_that_runs_when_the_body_ends_and_fails_has_all_undone(perdure, world):
    world.block.add("room")
    async with workers(perdure):
        handle = await perdure.start(Loose.run, "left")
        await left(perdure, handle)
        world.fail["room"] = "after"
        world.block.clear()
        cause = await cause_of(handle)
        assert await state(handle) == "compensated"
    assert str(cause.cause) == "room failed"
    await assert_undone(perdure, handle, "-room", "-money", "-seat")


@pytest.mark.parametrize("how", ["deadline", "cancelled"])
async def test_the_wait_for_a_step_ends_with_the_deadline_or_a_cancellation(perdure, world, how):
    world.block.add("room")
    async with workers(perdure):
        handle = await perdure.start(Loose.run, "left", 2.0)
        await until("+room")
        await until("+money")
        if how == "cancelled":
            await handle.cancel()
            assert isinstance(await cause_of(handle), CancelledError)
        else:
            await perdure.advance(timedelta(seconds=3))
            assert (await cause_of(handle)).type == "SagaDeadline"
        assert await state(handle) == "compensated"
    await assert_undone(perdure, handle, "-room", "-money", "-seat")


async def test_a_task_may_go_on_with_a_step_after_another(perdure, world):
    async with workers(perdure):
        handle = await perdure.start(Aside.run, "")
        assert await handle.result() == "aside"
        assert await state(handle) == "completed"
    assert world.log == ["+seat", "+room", "+car"]


async def test_a_task_may_bear_the_failure_of_a_step(perdure, world):
    world.fail["room"] = "after"
    async with workers(perdure):
        handle = await perdure.start(Aside.run, "bears")
        assert await handle.result() == "aside"
        assert await state(handle) == "completed"
    assert world.log == ["+seat", "+room", "+car"]


async def test_a_failure_after_the_pivot_ends_the_steps_beside_it_and_undoes_nothing(perdure, world):
    world.fail["money"] = "after"
    world.block.add("room")
    async with workers(perdure):
        handle = await perdure.start(Aside.run, "pivot")
        assert str((await cause_of(handle)).cause) == "money failed"
        assert await state(handle) == "failed"
    history = await perdure.history(handle)
    assert sorted(step.status for step in history.activities()) == ["canceled", "completed", "failed"]
    assert "-" not in "".join(world.log)


async def left(perdure, handle):
    """The workflow has been told that its body's last step is done, the second of all."""
    step, task = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    while True:
        kinds = [event.event_type for event in (await perdure.history(handle)).events]
        ends = [kind for kind in kinds if kind in (step, task)]
        if ends.count(step) == 2 and ends[-1] == task:
            return
        await asyncio.sleep(0.01)


async def test_it_costs_a_marker_and_a_search_attribute_only_where_steps_run_at_the_end(perdure):
    for then, failing, expected in (("gather", "", 0), ("left", "", 2), ("gather", "money", 2)):
        world = sagas.fresh()
        world.block.add("room" if expected else "")
        world.fail = {failing: "after"}
        async with workers(perdure):
            handle = await perdure.start(Loose.run, then)
            await until("+money")
            if then == "left":
                await left(perdure, handle)
            if not failing:
                world.block.clear()
            await asyncio.wait([asyncio.ensure_future(handle.result())])
        events = (await perdure.history(handle)).events
        assert sum(event.event_type in CHANGE for event in events) == expected, (then, failing)


async def test_the_pivot_is_refused_when_the_deadline_has_passed(perdure, world):
    async with workers(perdure):
        handle = await perdure.start(Loose.run, "late pivot")
        assert (await cause_of(handle)).type == "SagaDeadline"
        assert await state(handle) == "compensated"
    assert world.log == ["+seat", "-seat"]


@pytest.mark.parametrize("then", ["", "pivot", "fails"])
async def test_nothing_is_left_of_the_deadline_s_cancellation(perdure, then):
    world = sagas.fresh()
    async with workers(perdure):
        assert await perdure.execute(Late.run, then) == 0
    assert world.log == ["+seat", "-seat"]


async def no_activity(name: str) -> None: ...


@workflow.defn
class Wrong:
    @workflow.run
    async def run(self) -> list[str]:
        errors = []
        async with Saga() as saga:
            for attempt in (lambda: saga.step(act, "seat", undo=no_activity), lambda: self.on_undo(saga)):
                try:
                    await attempt()
                except TypeError as error:
                    errors.append(str(error))
        return errors

    async def on_undo(self, saga: Saga) -> None:
        saga.on_undo(no_activity, "seat")


async def test_an_undo_that_is_no_activity_is_refused_before_its_step(perdure):
    world = sagas.fresh()
    async with perdure.worker(Wrong, activities=[act, revoke]):
        errors = await perdure.execute(Wrong.run)
    assert len(errors) == 2 and all("no_activity can't undo a step" in error for error in errors)
    assert world.log == []

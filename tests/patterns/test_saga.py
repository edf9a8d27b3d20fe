"""Sagas: what is undone, in which order, whatever goes wrong when."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError
from tests.patterns import sagas
from tests.patterns.sagas import Aside, Careless, Chain, Far, Loose, Short, Trip, act, revoke

from perdure.patterns import Saga, SagaReport, SagaResume, resume, what_is_left
from perdure.testing import assert_replays

HISTORIES = Path(__file__).parent / "histories"
ORDER = {"seat": 0, "room": 1, "car": 1, "money": 2}


@pytest.fixture(params=["plain", "evicted", "duplicated"])
def world(request, perdure):
    perdure.faults(evict_every_task=request.param == "evicted", duplicate_attempts=request.param == "duplicated")
    return sagas.fresh()


def workers(perdure):
    return perdure.worker(Trip, Short, Chain, SagaResume, activities=[act, revoke])


async def cause_of(handle):
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    return raised.value.cause


def assert_undone(world):
    """The effect of each key is zero, and what was done was undone newest first, groups in any order."""
    assert not any(world.effects.values())
    done = [ORDER[entry[1:]] for entry in world.log if entry[0] == "+"]
    undone = [ORDER[entry[1:]] for entry in world.log if entry[0] == "-"]
    assert done == sorted(done) and undone == sorted(undone, reverse=True)
    assert {entry[1:] for entry in world.log if entry[0] == "+"} <= {e[1:] for e in world.log if e[0] == "-"}


async def reports(handle):
    return await handle.query("perdure_saga", result_type=list[SagaReport])


async def test_a_saga_that_goes_well_undoes_nothing(perdure, world):
    async with workers(perdure):
        handle = await perdure.start(Trip.run, 60)
        assert await handle.result() == ["SEAT", "ROOM", "CAR", "MONEY", "MAIL"]
        [report] = await reports(handle)
    assert report == SagaReport(1, "completed", [])
    assert sum(world.effects.values()) == 5 and "-" not in "".join(world.log)
    history = await perdure.history(handle)
    prefix = f"{handle.id}/{handle.first_execution_run_id}"
    assert [step.id for step in history.activities()] == [f"{prefix}/step#{n}" for n in range(1, 6)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", sagas.NAMES[:4])
async def test_a_failure_at_each_step_undoes_all_that_started(perdure, world, name, when):
    world.fail[name] = when
    async with workers(perdure):
        handle = await perdure.start(Trip.run, 60)
        cause = await cause_of(handle)
        [report] = await reports(handle)
    assert str(cause.cause) == f"{name} failed"
    assert report == SagaReport(1, "compensated", [])
    assert_undone(world)
    assert f"-{name}" in world.log, "a step that failed may have acted"


async def test_nothing_is_undone_after_the_pivot(perdure, world):
    world.fail["mail"] = "after"
    async with workers(perdure):
        handle = await perdure.start(Trip.run, 60)
        await cause_of(handle)
        [report] = await reports(handle)
    assert report == SagaReport(1, "failed", [])
    assert sum(world.effects.values()) == 5 and "-" not in "".join(world.log)


@pytest.mark.parametrize("again", [False, True], ids=["once", "again during the undo"])
@pytest.mark.parametrize("name", sagas.NAMES[:4])
async def test_a_cancellation_at_each_step_undoes_all_that_started(perdure, name, again):
    world = sagas.fresh()
    undoing = perdure.mock(revoke, side_effect=revoke, blocks=again)
    blocking = asyncio.Event()
    arrived = asyncio.Event()

    async def step(which):
        result = await act(which)
        if which == name:
            arrived.set()
            await blocking.wait()
        return result

    blocked = perdure.mock(act, side_effect=step)
    async with perdure.worker(Trip, activities=[blocked, undoing]):
        handle = await perdure.start(Trip.run)
        await arrived.wait()
        await handle.cancel()
        blocking.set()
        if again:
            await undoing.called()
            await handle.cancel()
            [report] = await reports(handle)
            assert report.state == "compensating"
            undoing.release()
        assert isinstance(await cause_of(handle), CancelledError)
    assert_undone(world)
    assert world.log[-1] == "-seat"


async def test_a_step_that_hears_of_the_cancellation_is_undone_after_it_has_ended(perdure):
    world = sagas.fresh()
    world.block.add("room")
    async with workers(perdure):
        handle = await perdure.start(Trip.run)
        while "+room" not in world.log:
            await asyncio.sleep(0.01)
        await handle.cancel()
        assert isinstance(await cause_of(handle), CancelledError)
    assert_undone(world)
    history = await perdure.history(handle)
    room = next(step for step in history.activities("act") if step.args == ["room"])
    assert room.status == "canceled"
    assert room.ended <= history.activities("revoke")[0].began


@pytest.mark.parametrize("then", ["sleep", "swallow"])
async def test_the_deadline_undoes(perdure, world, then):
    async with workers(perdure):
        handle = await perdure.start(Short.run, then)
        cause = await cause_of(handle)
    assert isinstance(cause, ApplicationError) and cause.type == "SagaDeadline"
    assert_undone(world)
    assert (await perdure.history(handle)).timers[0].delay.days == 1


async def test_the_body_s_error_can_be_caught_outside(perdure, world):
    async with workers(perdure):
        assert await perdure.execute(Short.run, "caught") == "caught caught"
    assert_undone(world)


async def test_a_compensation_that_fails_does_not_stop_the_others_and_goes_on_by_signal(perdure, world):
    world.fail["money"] = "after"
    world.broken |= {"room", "seat"}
    async with workers(perdure):
        handle = await perdure.start(Trip.run)
        await until_stuck(perdure, handle)
        [report] = await reports(handle)
        assert [(left.key, left.undo) for left in report.left] == [
            (world.keys["room"], "revoke"),
            (world.keys["seat"], "revoke"),
        ]
        assert "room can't be undone" in report.left[0].error
        assert [entry for entry in world.log if entry[0] == "-"] == ["-money", "-car"]
        world.broken.remove("room")
        await handle.signal("perdure_saga_resume")
        await until_stuck(perdure, handle, left=1)
        assert world.log[-1] == "-room"
        await handle.signal("perdure_saga_resume", [world.keys["seat"]])
        cause = await cause_of(handle)
        assert str(cause.cause) == "money failed"
        assert (await reports(handle))[0].state == "compensated"
    assert world.effects[world.keys["seat"]] == 1, "undone by hand, not by us"


async def until_stuck(perdure, handle, left=2):
    """Queries would race with workflow tasks, which a worker without a cache can lose: look at the history instead."""
    while True:
        history = await perdure.history(handle)
        at_rest = history.events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        open_steps = [step for step in history.activities() if step.status == "open"]
        if at_rest and not open_steps and any(step.status == "failed" for step in history.activities("revoke")):
            break
        await asyncio.sleep(0.02)
    [report] = await reports(handle)
    assert report.state == "stuck" and len(report.left) == left


async def test_a_saga_that_is_stuck_ignores_cancellation(perdure):
    world = sagas.fresh()
    world.fail["money"] = "after"
    world.broken |= {"room", "seat"}
    async with workers(perdure):
        handle = await perdure.start(Trip.run)
        await until_stuck(perdure, handle)
        await handle.cancel()
        await until_stuck(perdure, handle)
        world.broken.clear()
        await handle.signal("perdure_saga_resume")
        assert isinstance(await cause_of(handle), CancelledError)
    assert_undone(world)


async def test_a_saga_that_may_not_wait_tells_what_is_left(perdure, world):
    world.broken.add("seat")
    async with workers(perdure):
        handle = await perdure.start(Short.run, "stuck fails")
        cause = await cause_of(handle)
        assert (await reports(handle))[0].state == "stuck"
    assert cause.type == "SagaStuck"
    assert [each["key"] for each in cause.details] == [world.keys["seat"]]


async def test_what_is_no_failure_of_the_workflow_undoes_nothing(perdure):
    perdure.allow_task_failures()
    for then, words in (("bug", "KeyError"), ("continue as new", "continue-as-new inside a saga")):
        world = sagas.fresh()
        async with workers(perdure):
            handle = await perdure.start(Short.run, then)
            while not any(handle.id in text for text in perdure.task_failures):
                await asyncio.sleep(0.01)
            await handle.terminate()
        assert any(handle.id in text and (words in text or "bug" in text) for text in perdure.task_failures)
        assert world.log == ["+seat", "+room"]


async def test_keys_differ_in_every_run_of_a_chain(perdure, world):
    async with workers(perdure):
        await perdure.execute(Chain.run, 3)
    assert len(set(world.keys.values())) == 3


@pytest.mark.perdure(time="manual")
async def test_what_a_terminated_run_has_left_is_undone_by_resume(perdure, world):
    async with workers(perdure):
        handle = await perdure.start(Short.run, "sleep")
        await perdure.advance(timedelta(minutes=1))
        with pytest.raises(ValueError, match="is running"):
            await resume(perdure.client, handle.id)
        await handle.terminate()
        left = await what_is_left(perdure.client, handle.id)
        assert [(each.key, each.undo) for each in left] == [
            (world.keys["room"], "revoke"),
            (world.keys["seat"], "revoke"),
        ]
        resumed = await resume(perdure.client, handle.id)
        assert await resumed.result() == [each.key for each in left]
        assert await what_is_left(perdure.client, handle.id) == []
        again = await resume(perdure.client, handle.id)
        assert (again.id, again.run_id) == (resumed.id, resumed.result_run_id)
        assert await again.result() == [each.key for each in left]
    assert world.log == ["+seat", "+room", "-room", "-seat"]
    assert_undone(world)


@pytest.mark.perdure(time="manual")
async def test_nothing_is_left_of_a_saga_that_is_over(perdure):
    sagas.fresh()
    async with workers(perdure):
        handle = await perdure.start(Short.run, "")
        await perdure.advance(timedelta(minutes=1))
        await handle.terminate()
        assert await what_is_left(perdure.client, handle.id) == []


@pytest.mark.perdure(time="manual")
async def test_what_was_undone_before_the_end_is_not_left(perdure):
    world = sagas.fresh()
    world.broken.add("seat")
    async with workers(perdure):
        handle = await perdure.start(Short.run, "fails")
        await until_stuck(perdure, handle, left=1)
        await handle.terminate()
        assert [each.key for each in await what_is_left(perdure.client, handle.id)] == [world.keys["seat"]]


@workflow.defn
class Misused:
    @workflow.run
    async def run(self) -> list[str]:
        errors = []
        outside = Saga()
        for attempt in (lambda: outside.step(act, "seat"), lambda: self.late_undo()):
            try:
                await attempt()
            except RuntimeError as error:
                errors.append(str(error))
        return errors

    async def late_undo(self) -> None:
        async with Saga() as saga:
            saga.pivot()
            await saga.step(act, "seat", undo=revoke)


async def test_misuse_is_refused_in_words(perdure):
    async with perdure.worker(Misused, activities=[act, revoke]):
        before, late = await perdure.execute(Misused.run)
    assert "inside `async with Saga()`" in before and "after the pivot nothing is undone" in late


def test_histories_of_every_release_replay():
    """`saga-old-*`: of runs that were begun when sagas did not wait for steps that run, or took what is refused by now.
    Nothing makes such any more."""
    assert_replays([Trip, Short, Chain, Loose, Aside, Far, Careless, SagaResume], HISTORIES / "*-saga-*.json")


def test_activities_are_defined():
    assert activity._Definition.must_from_callable(act).name == "act"

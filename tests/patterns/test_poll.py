"""Polling: how often, until when, what it costs, whatever fails meanwhile."""

import asyncio
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import ActivityInboundInterceptor, Interceptor
from tests.patterns import polls
from tests.patterns.polls import (
    Ask,
    AskMany,
    Build,
    ManyWaiter,
    Waiter,
    build_state,
    build_state_in_thread,
    build_states,
    build_states_in_thread,
    soon,
)
from tests.patterns.twins.poll import Twin, TwinOfMany, TwinWithChild, of_many, often, seldom

from perdure.patterns import PollMany, poll, polled
from perdure.testing import assert_replays

HISTORIES = Path(__file__).parent / "histories"


def workers(perdure, **options):
    return perdure.worker(
        Waiter,
        ManyWaiter,
        PollMany,
        activities=[build_state, build_state_in_thread, build_states, build_states_in_thread],
        **options,
    )


async def cause_of(handle):
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    return raised.value.cause


@pytest.mark.parametrize("thread", [False, True])
async def test_seldom_costs_one_activity_however_long(perdure, thread):
    world = polls.fresh(over_at=100)
    async with workers(perdure):
        handle = await perdure.start(Waiter.run, Ask(every_s=3600, give_up_s=1e8, thread=thread))
        assert await handle.result() == Build("b", 100, True)
    history = await perdure.history(handle)
    assert len(history.events) == 11 and history.activities()[0].attempts == 100
    assert len(world.at) == 100


async def test_waits_differ_by_the_jitter_and_no_more(perdure):
    world = polls.fresh(over_at=60)
    async with workers(perdure):
        await perdure.execute(Waiter.run, Ask(every_s=100, give_up_s=1e6))
    waits_s = [(after - before).total_seconds() for before, after in zip(world.at, world.at[1:], strict=False)]
    assert all(89.9 < wait_s < 112 for wait_s in waits_s)
    assert len({round(wait_s) for wait_s in waits_s}) > 5


async def test_no_jitter(perdure):
    world = polls.fresh(over_at=5)
    async with workers(perdure):
        await perdure.execute(Waiter.run, Ask(every_s=1000, give_up_s=1e6, thread=True))
    waits_s = [(after - before).total_seconds() for before, after in zip(world.at, world.at[1:], strict=False)]
    assert waits_s == [pytest.approx(1000, abs=5)] * 4


@pytest.mark.parametrize("until_moment", [False, True])
async def test_the_last_look_is_when_time_is_up(perdure, until_moment):
    world = polls.fresh(over_at=0)
    async with workers(perdure):
        handle = await perdure.start(Waiter.run, Ask(every_s=600, give_up_s=3000, until_moment=until_moment))
        error = await cause_of(handle)
    assert isinstance(error, ApplicationError) and error.type == "GaveUp"
    assert error.message.startswith("gave up on build_state; last seen: Build(name='b'")
    assert error.details[0]["looks"] == len(world.at)
    assert (world.at[-1] - world.at[0]).total_seconds() == pytest.approx(3000, abs=5)


async def test_a_time_that_has_passed_still_has_one_look(perdure):
    polls.fresh(over_at=1)
    async with workers(perdure):
        assert (await perdure.execute(Waiter.run, Ask(give_up_s=-5))).over
        world = polls.fresh(over_at=0)
        handle = await perdure.start(Waiter.run, Ask(give_up_s=-5))
        assert (await cause_of(handle)).type == "GaveUp"
    assert 1 <= len(world.at) <= 2


async def test_errors_are_not_yet(perdure):
    world = polls.fresh(over_at=4, broken={1, 2, 3})
    async with workers(perdure):
        await perdure.execute(Waiter.run, Ask(every_s=1000, give_up_s=1e6))
    assert (world.at[-1] - world.at[0]).total_seconds() == pytest.approx(3000, rel=0.15)


@pytest.mark.parametrize("mode", ["retry", "activity"])
async def test_errors_at_the_end_give_up_with_what_was_seen_before(perdure, mode):
    polls.fresh(over_at=0, broken=set(range(3, 100)))
    async with workers(perdure):
        ask = Ask(every_s=600, give_up_s=3000) if mode == "retry" else Ask("activity", 0.02, 2)
        error = await cause_of(await perdure.start(Waiter.run, ask))
    assert error.type == "GaveUp" and error.details[0]["looks"] == 2


@pytest.mark.parametrize("mode", ["retry", "activity"])
@pytest.mark.parametrize("by_type", [False, True])
async def test_final_errors_end_it_at_once(perdure, mode, by_type):
    world = polls.fresh()
    world.final = LookupError("no such build") if by_type else polls.final()
    async with workers(perdure):
        handle = await perdure.start(Waiter.run, Ask(mode, never_retry=("LookupError",)))
        error = await cause_of(handle)
    assert isinstance(error, ActivityError) and len(world.looks) == 1 and world.looks["b"] == 1


@pytest.mark.parametrize("thread", [False, True])
async def test_often_is_one_attempt(perdure, thread):
    polls.fresh(over_at=6)
    async with workers(perdure):
        handle = await perdure.start(Waiter.run, Ask("activity", 0.02, 60, thread=thread))
        assert (await handle.result()).looks == 6
    [step] = (await perdure.history(handle)).activities()
    assert step.attempts == 1


@pytest.mark.parametrize("thread", [False, True])
async def test_often_gives_up(perdure, thread):
    polls.fresh(over_at=0)
    async with workers(perdure):
        error = await cause_of(await perdure.start(Waiter.run, Ask("activity", 0.02, 2, thread=thread)))
    assert error.type == "GaveUp" and error.details[0]["looks"] > 2


class Ends(Interceptor):
    """Whether an activity has ended; one in a thread is over with its thread."""

    ended = False

    def intercept_activity(self, next):
        class Inbound(ActivityInboundInterceptor):
            async def execute_activity(inbound, input):
                try:
                    return await super().execute_activity(input)
                finally:
                    self.ended = True

        return Inbound(next)


@pytest.mark.parametrize("thread", [False, True])
async def test_often_can_be_cancelled(perdure, thread):
    world = polls.fresh(over_at=0)
    ends = Ends()
    async with workers(perdure, interceptors=[ends]):
        handle = await perdure.start(Waiter.run, Ask("activity", 0.02, 60, thread=thread, look_s=0.3))
        await soon(lambda: len(world.looks))
        await handle.cancel()
        assert "ancel" in str(await cause_of(handle))
        await soon(lambda: ends.ended)


@pytest.mark.perdure(time="manual")
async def test_a_look_that_hangs_is_given_to_another_attempt(perdure):
    world = polls.fresh(over_at=2, hangs=threading.Event())
    async with workers(perdure):
        handle = await perdure.start(Waiter.run, Ask("activity", 1, 3600, thread=True))
        while not [each for each in (await handle.describe()).raw_description.pending_activities if each.attempt]:
            await asyncio.sleep(0.01)
        await perdure.advance(timedelta(seconds=13))
        world.hangs.set()
        world.over_at = 1
        assert (await handle.result()).over
    [step] = (await perdure.history(handle)).activities()
    assert step.attempts == 2


@pytest.mark.perdure(time="manual")
async def test_no_worker_until_it_is_too_late(perdure):
    polls.fresh(over_at=0)
    async with perdure.worker(Waiter, activities=[]):
        handle = await perdure.start(Waiter.run, Ask(give_up_s=60))
        await perdure.advance(timedelta(seconds=80))
        error = await cause_of(handle)
    assert error.type == "GaveUp" and error.details[0] is None


@pytest.mark.perdure(time="manual")
async def test_workers_that_went_away_leave_what_was_seen_last(perdure):
    world = polls.fresh(over_at=0)
    async with workers(perdure, task_queue="q"):
        handle = await perdure.start(Waiter.run, Ask(every_s=60, give_up_s=600), task_queue="q")
        await perdure.advance_until(lambda: len(world.at) == 3)
    async with perdure.worker(Waiter, task_queue="q"):
        await perdure.advance(timedelta(seconds=900))
        error = await cause_of(handle)
    assert error.type == "GaveUp" and error.details[0]["looks"] == 3


@pytest.mark.parametrize("thread", [False, True])
async def test_many_in_one_child(perdure, thread):
    names = [f"b{number}" for number in range(250)]
    world = polls.fresh(over_at=4)
    async with workers(perdure):
        handle = await perdure.start(ManyWaiter.run, AskMany(names, thread=thread))
        done, states = await handle.result()
    assert [state.name for state in states] == names and all(done)
    assert set(world.looks.values()) == {4}
    assert len((await perdure.history(handle)).events) == 14
    [child] = [history for history in await perdure.histories() if history.workflow_type == "perdure.poll"]
    assert len(child.activities()) == 4 * 3 and len(child.timers) == 3


async def test_many_of_which_some_never_come_true(perdure):
    polls.fresh(over_at=2)
    async with workers(perdure):
        ask = AskMany(["a", "never", "b"], every_s=600, give_up_s=3000)
        done, states = await perdure.execute(ManyWaiter.run, ask)
        assert await perdure.execute(ManyWaiter.run, AskMany([])) == ([], [])
    assert done == [True, False, True]
    assert states[1] == Build("never", 0, False)


async def test_many_go_on_as_new_runs(perdure):
    polls.fresh(over_at=600)
    async with workers(perdure):
        handle = await perdure.start(ManyWaiter.run, AskMany(["a"], every_s=60, give_up_s=1e8))
        _, [state] = await handle.result()
    assert state.looks == 600
    runs = [history for history in await perdure.histories() if history.workflow_type == "perdure.poll"]
    assert len(runs) == 2 and all(len(run.events) < 5000 for run in runs)


async def test_many_whose_look_fails_are_looked_at_in_the_next_round(perdure):
    world = polls.fresh(over_at=8, broken=set(range(1, 8)))
    async with workers(perdure):
        _, [state] = await perdure.execute(ManyWaiter.run, AskMany(["a"]))
        assert state.looks == 8
        world = polls.fresh()
        world.final = polls.final()
        error = await cause_of(await perdure.start(ManyWaiter.run, AskMany(["a"])))
    assert "no such build" in str(error.cause.cause)


@pytest.mark.parametrize("faults", [{"evict_every_task": True}, {"duplicate_attempts": True}])
@pytest.mark.parametrize("mode", ["retry", "activity", "child"])
async def test_under_faults(perdure, mode, faults):
    perdure.faults(**faults)
    polls.fresh(over_at=4)
    async with workers(perdure):
        if mode == "child":
            done, _ = await perdure.execute(ManyWaiter.run, AskMany(["a", "b"]))
            assert done == [True, True]
        else:
            ask = Ask(every_s=60) if mode == "retry" else Ask("activity", 0.02, 60)
            assert (await perdure.execute(Waiter.run, ask)).over


@activity.defn
async def plain(name: str) -> Build:
    raise NotImplementedError


@workflow.defn(sandboxed=False)
class Wrong:
    @workflow.run
    async def run(self) -> list[str]:
        told = []
        every, give_up = timedelta(seconds=1), timedelta(hours=1)
        calls: list[Any] = [
            lambda: poll(plain, "b", every=every, give_up=give_up),
            lambda: poll(build_state, ["b"], every=every, give_up=give_up, mode="child"),
            lambda: poll(build_state, "b", every=timedelta(0), give_up=give_up),
        ]
        for call in calls:
            try:
                await call()
            except (TypeError, ValueError) as error:
                told.append(str(error))
        return told


async def test_what_cannot_be_polled_says_what_to_do(perdure):
    async with perdure.worker(Wrong):
        assert await perdure.execute(Wrong.run) == [
            "plain says not what to wait for: put @polled(until) below its @activity.defn",
            "build_state says not what to wait for: put @polled_many(until) below its @activity.defn",
            "every is 0:00:00: it has to be positive",
        ]
    with pytest.raises(ValueError, match="jitter is 1"):
        polled(polls.is_over, jitter=1)(polls.world.look)


def counts(history):
    return Counter(EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events)


@pytest.mark.parametrize("mode", ["retry", "activity"])
async def test_it_costs_what_a_hand_written_one_does(perdure, mode):
    polls.fresh()
    async with workers(perdure), perdure.worker(Twin, activities=[often, seldom]):
        ours = await perdure.start(Waiter.run, Ask() if mode == "retry" else Ask("activity", 0.02))
        await ours.result()
        polls.fresh()
        twin = await perdure.start(Twin.run, mode)
        await twin.result()
    assert counts(await perdure.history(ours)) == counts(await perdure.history(twin))


async def test_many_cost_what_a_hand_written_child_does(perdure):
    polls.fresh()
    async with workers(perdure), perdure.worker(TwinWithChild, TwinOfMany, activities=[of_many]):
        await perdure.execute(ManyWaiter.run, AskMany(["a", "b"]))
        polls.fresh()
        await perdure.execute(TwinWithChild.run, ["a", "b"])
    by_type = {history.workflow_type: counts(history) for history in await perdure.histories()}
    assert by_type["ManyWaiter"] == by_type["TwinWithChild"]
    assert by_type["perdure.poll"] == by_type["TwinOfMany"]


def test_histories_of_every_release_replay():
    assert_replays([Waiter, ManyWaiter, PollMany], str(HISTORIES / "*-poll-*.json"))

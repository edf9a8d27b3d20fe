"""Approvals and callbacks when answers race deadlines, the close and continue-as-new, and under faults."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from tests.patterns import waiting
from tests.patterns.record import HISTORIES
from tests.patterns.record_approval import WORKFLOWS
from tests.patterns.test_approval import said, started
from tests.patterns.test_approval_early import early_reply
from tests.patterns.twins.approval import AskByHand, CallByHand
from tests.patterns.waiting import (
    DAY,
    TOLD,
    Ask,
    AskAndStay,
    AskForever,
    Call,
    CallForever,
    Payload,
    Terms,
    Wanted,
    submit,
    tell,
)

from perdure.patterns import Answer, Approvals, Callbacks, Waits
from perdure.testing import assert_replays

pytestmark = pytest.mark.perdure(time="manual")
DONE = Payload("s3://talk.mp4", 90)
LONG = Terms(quorum=2, escalate=[(2, ["eve"])], remind=3)


@pytest.fixture(autouse=True)
def _fresh():
    waiting.fresh()


@pytest.mark.parametrize("signal", [False, True])
@pytest.mark.parametrize("before_s", [0, 1, 60])
async def test_answers_around_the_deadline(perdure, before_s, signal):
    """One decision, and the reply says which; an answer before the deadline counts."""
    async with perdure.worker(AskAndStay, activities=[tell]):
        handle = await started(perdure, AskAndStay, Terms(days=1))
        approvals = Approvals(perdure.client, handle.id)
        state = await approvals.state()
        await perdure.advance(state.deadline - perdure.now() - timedelta(seconds=before_s))
        reply = None
        if signal:
            await handle.signal("perdure_approval", Answer("approval", "bob", "approve"))
        else:
            reply = await approvals.approve("bob")
        await perdure.advance(31 * DAY)
        decision = await handle.result()
    if before_s:
        assert decision.outcome == "approved"
    if reply is not None:
        assert reply.outcome == decision.outcome and reply.taken == decision.approved
    assert sum(entry.what in ("approved", "expired") for entry in decision.audit) == 1
    assert decision.approved == (decision.at < state.deadline)


async def test_while_no_worker_runs_nothing_is_heard_and_a_late_answer_does_not_count(perdure):
    async with perdure.worker(AskAndStay, activities=[tell], task_queue="q"):
        handle = await started(perdure, AskAndStay, Terms(days=1))
    await handle.signal("perdure_approval", Answer("approval", "bob", "approve"))
    await perdure.advance(2 * DAY)
    async with perdure.worker(AskAndStay, activities=[tell], task_queue="q"):
        await perdure.advance(31 * DAY)
        decision = await handle.result()
    assert decision.outcome == "expired" and "bob ignored" in said(decision)


async def test_answers_that_race_the_decision_and_the_close(perdure):
    """Everybody at once: one decides, all others hear what was decided."""
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms())
        approvals = Approvals(perdure.client, handle.id)
        replies = await asyncio.gather(
            approvals.approve("bob"), approvals.reject("carol"), approvals.approve("dora"), approvals.withdraw("ann")
        )
        decision = await handle.result()
        [taken] = [reply for reply in replies if reply.taken]
        assert taken.outcome == decision.outcome
        assert {reply.outcome for reply in replies} == {decision.outcome}
        assert sum(entry.what in ("approved", "rejected", "withdrawn") for entry in decision.audit) == 1


async def test_the_same_update_again_has_the_same_reply_and_one_effect(perdure):
    async with perdure.worker(AskAndStay, activities=[tell]):
        handle = await started(perdure, AskAndStay, Terms(quorum=2))
        args = {"approval": "approval", "who": "bob", "do": "approve"}
        replies = [await handle.execute_update("perdure_approval", args, id="once") for _ in range(3)]
        assert [reply["status"] for reply in replies] == ["taken"] * 3
        await Approvals(perdure.client, handle.id).approve("carol")
        await perdure.advance(30 * DAY)
        assert said(await handle.result()).count("bob approved") == 1


@pytest.mark.parametrize("faults", [False, True])
async def test_an_approval_crosses_runs(perdure, faults):
    """Votes, deadline, reminders, escalations and who was told are where they were."""
    perdure.faults(evict_every_task=faults, duplicate_attempts=faults)
    async with perdure.worker(AskForever, activities=[tell]):
        handle = await started(perdure, AskForever, LONG)
        approvals = Approvals(perdure.client, handle.id)
        deadline = (await approvals.state()).deadline
        await approvals.approve("bob")
        await perdure.advance(timedelta(hours=1))
        await handle.signal(AskForever.turn)
        await perdure.advance(2.5 * DAY)
        await handle.signal(AskForever.turn)
        await perdure.settle()
        assert (await approvals.approve("bob")).status == "again"
        state = await approvals.state()
        assert state.deadline == deadline and [seat.owner for seat in state.seats][-1] == "eve"
        await perdure.advance(DAY)
        await handle.signal(AskForever.turn)
        await perdure.advance(7 * DAY)
        decision = await handle.result()
        runs = await perdure.histories(handle.id)
    assert len(runs) == 4 and decision.outcome == "expired"
    assert timedelta(0) <= decision.at - deadline < timedelta(seconds=1)
    assert said(decision).count("bob approved") == 1
    told = [f"{notice.kind} {notice.to}" for notice in TOLD]
    wanted = ["asked bob", "asked carol", "asked dora", "escalated eve"]
    wanted += [f"reminder {who}" for who in ("carol", "dora", "eve")] * 3
    assert sorted(told) == sorted(wanted * (2 if faults else 1))


@pytest.mark.parametrize("turns", [1, 3])
async def test_votes_that_race_continue_as_new(perdure, turns):
    """No vote that was acknowledged is lost, and none counts twice."""
    async with perdure.worker(AskForever, activities=[tell]):
        handle = await started(perdure, AskForever, Terms(quorum=3))
        approvals = Approvals(perdure.client, handle.id)
        for who in ("bob", "carol", "dora"):
            calls = [approvals.approve(who)] + [handle.signal(AskForever.turn) for _ in range(turns)]
            [reply, *_] = await asyncio.gather(*calls)
            assert reply.taken
        decision = await handle.result()
    assert sorted(decision.by) == ["bob", "carol", "dora"]


async def test_a_decision_in_the_moment_of_continue_as_new_is_found_by_the_next_run(perdure):
    async with perdure.worker(AskForever, activities=[tell], task_queue="q"):
        handle = await started(perdure, AskForever, Terms())
    await handle.signal("perdure_approval", Answer("approval", "bob", "reject"))
    await handle.signal(AskForever.turn)
    async with perdure.worker(AskForever, activities=[tell], task_queue="q"):
        decision = await handle.result()
        assert decision.outcome == "rejected" and len(await perdure.histories(handle.id)) == 2
        late = await Approvals(perdure.client, handle.id, chain=handle.first_execution_run_id).approve("carol")
        assert (late.status, late.outcome) == ("late", "rejected")


async def test_a_callback_crosses_runs_and_waits_for_its_type(perdure):
    async with perdure.worker(CallForever, activities=[submit]):
        handle = await started(perdure, CallForever, Wanted())
        callbacks = Callbacks(perdure.client, handle.id)
        expires = (await callbacks.state()).expires
        await callbacks.heartbeat(7)
        await handle.signal(CallForever.turn)
        await perdure.settle()
        assert (await callbacks.state()).progress == 7
        assert await early_reply(perdure, callbacks.complete({"url": "x"})) == "early"
        await perdure.advance(timedelta(hours=2))
        assert (await callbacks.state()).expires == expires
        assert (await callbacks.complete(DONE)).taken
        assert await handle.result() == DONE
    assert len(waiting.CALLED) == 1


async def test_a_value_in_the_moment_of_continue_as_new_is_found_by_the_next_run(perdure):
    async with perdure.worker(CallForever, activities=[submit], task_queue="q"):
        handle = await started(perdure, CallForever, Wanted())
    await handle.signal("perdure_callback_complete", args=["callback", DONE])
    await handle.signal(CallForever.turn)
    async with perdure.worker(CallForever, activities=[submit], task_queue="q"):
        await perdure.advance(timedelta(hours=2))
        assert await handle.result() == DONE
        assert len(await perdure.histories(handle.id)) == 2


async def test_another_workflow_of_the_same_id_is_not_answered(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        first = await perdure.start(Ask.run, Terms(), id="same")
        await perdure.settle()
        await Approvals(perdure.client, "same").approve("bob")
        await first.result()
        second = await perdure.start(Ask.run, Terms(), id="same")
        await perdure.settle()
        old = Approvals(perdure.client, "same", chain=first.first_execution_run_id)
        reply = await old.reject("carol")
        assert not reply.taken
        chain = second.first_execution_run_id
        assert (await Approvals(perdure.client, "same", chain=chain).approve("carol")).taken
        assert (await second.result()).by == ["carol"]


async def test_faults_change_nothing(perdure):
    perdure.faults(evict_every_task=True, duplicate_attempts=True)
    async with perdure.worker(Ask, Call, activities=[tell, submit]):
        handle = await started(perdure, Ask, Terms(quorum=2, remind=2, escalate=[(4, ["eve"])]))
        approvals = Approvals(perdure.client, handle.id)
        await perdure.advance(DAY)
        await approvals.delegate("bob", "fred")
        await approvals.approve("fred")
        await perdure.advance(4 * DAY)
        assert (await approvals.approve("eve")).outcome == "approved"
        assert (await handle.result()).by == ["fred", "eve"]
        handle = await started(perdure, Call, Wanted(stall_s=600))
        callbacks = Callbacks(perdure.client, handle.id)
        await callbacks.heartbeat(1)
        await perdure.advance(timedelta(minutes=5))
        await callbacks.heartbeat(2)
        await perdure.advance(timedelta(minutes=8))
        assert (await callbacks.complete(DONE)).taken
        assert await handle.result() == DONE


async def test_waits_of_a_newer_release_are_not_misread():
    with pytest.raises(ValueError, match="upgrade this worker"):
        Waits(version=2).restore()


def test_kept_histories_replay():
    assert_replays(WORKFLOWS, HISTORIES / "*-approval-*.json")


def counts(history):
    return Counter(EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events)


async def test_an_approval_costs_what_a_hand_written_one_does(perdure):
    terms = Terms(approvers=["bob"], remind=2, escalate=[(3, ["eve"])])
    async with perdure.worker(Ask, AskByHand, activities=[tell]):
        handle = await started(perdure, Ask, terms)
        twin = await started(perdure, AskByHand, terms)
        await perdure.advance(timedelta(days=3.5))
        approvals = Approvals(perdure.client, handle.id)
        assert not (await approvals.approve("ann")).taken
        await approvals.approve("eve")
        await twin.execute_update(AskByHand.answer, args=["eve", True])
        await handle.result()
        await twin.result()
        assert counts(await perdure.history(handle)) == counts(await perdure.history(twin))


async def test_a_callback_costs_what_a_hand_written_one_does(perdure):
    async with perdure.worker(Call, CallByHand, activities=[submit]):
        handle = await started(perdure, Call, Wanted())
        twin = await started(perdure, CallByHand, Wanted())
        assert not (await Callbacks(perdure.client, handle.id).complete("no")).taken
        await Callbacks(perdure.client, handle.id).complete(DONE)
        await twin.execute_update(CallByHand.complete, DONE)
        await handle.result()
        await twin.result()
        assert counts(await perdure.history(handle)) == counts(await perdure.history(twin))


@pytest.mark.parametrize("turns", [0, 2])
async def test_signals_that_come_before_it_is_open_wait_for_it(perdure, turns):
    """Those that come with the first workflow task, also when the run is continued before it opens."""
    async with perdure.worker(AskForever, CallForever, activities=[tell, submit], task_queue="q"):
        pass
    asked = await perdure.start(AskForever.run, Terms(), task_queue="q")
    called = await perdure.start(CallForever.run, Wanted(), task_queue="q")
    for _ in range(turns):
        await asked.signal(AskForever.turn)
        await called.signal(CallForever.turn)
    await asked.signal("perdure_approval", Answer("approval", "ann", "approve"))
    await asked.signal("perdure_approval", Answer("approval", "bob", "approve"))
    await called.signal("perdure_callback_complete", args=["callback", {"url": 1}])
    await called.signal("perdure_callback_heartbeat", args=["callback", 7])
    await called.signal("perdure_callback_complete", args=["callback", DONE])
    async with perdure.worker(AskForever, CallForever, activities=[tell, submit], task_queue="q"):
        await perdure.advance(timedelta(hours=2))
        decision = await asked.result()
        assert decision.by == ["bob"] and "ann ignored" in said(decision)
        assert await called.result() == DONE

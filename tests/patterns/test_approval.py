"""Approvals: who decides, when, and what those are told who answer."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError
from tests.patterns import waiting
from tests.patterns.waiting import (
    DAY,
    PEOPLE,
    TOLD,
    WAITING,
    Ask,
    AskAllButBob,
    AskAndStay,
    AskBadly,
    AskTwo,
    Terms,
    tell,
    tell_but_bob,
)

from perdure.patterns import Answer, Approvals, Callbacks, Decision


@pytest.fixture(autouse=True)
def _fresh():
    waiting.fresh()


pytestmark = pytest.mark.perdure(time="manual")


async def started(perdure, workflow, *args):
    """Once it waits."""
    handle = await perdure.start(workflow.run, *args)
    await perdure.settle()
    approvals, callbacks = Approvals(perdure.client, handle.id), Callbacks(perdure.client, handle.id)
    while workflow in WAITING and not (await approvals.states() or await callbacks.states()):
        await asyncio.sleep(0.01)
    return handle


def said(decision: Decision) -> list[str]:
    """The audit trail, a text each."""
    return [
        " ".join(filter(None, [entry.who, entry.what, entry.whom, entry.on_behalf_of and f"for {entry.on_behalf_of}"]))
        for entry in decision.audit
    ]


def told() -> list[str]:
    return [f"{notice.kind} {notice.to}" for notice in TOLD]


async def test_one_approval_decides(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms())
        reply = await Approvals(perdure.client, handle.id).approve("carol", "have fun")
        decision = await handle.result()
    assert reply.taken and reply.outcome == "approved" and "approved by carol" in reply.text
    assert decision.approved and (decision.reason, decision.by) == ("carol: have fun", ["carol"])
    assert said(decision) == ["asked bob", "asked carol", "asked dora", "carol approved"]
    assert decision.audit[-1].why == "have fun" and decision.audit[-1].at == decision.at


async def test_everybody_is_asked_with_what_they_need(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms(days=3))
        await perdure.advance(timedelta(hours=1))
        await Approvals(perdure.client, handle.id).approve("bob")
        await handle.result()
        history = await perdure.history(handle)
    assert sorted(told()) == ["asked bob", "asked carol", "asked dora"]
    assert TOLD[0].request == waiting.REQUEST and TOLD[0].chain == handle.first_execution_run_id
    assert abs(TOLD[0].deadline - history.began - 3 * DAY) < timedelta(seconds=5)


@pytest.mark.parametrize("veto", [True, False])
async def test_rejections(perdure, veto):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms(quorum=2, veto=veto))
        approvals = Approvals(perdure.client, handle.id)
        assert (await approvals.approve("bob")).outcome == ""
        first = await approvals.reject("carol", "too dear")
        assert first.outcome == ("rejected" if veto else "")
        if not veto:
            assert (await approvals.reject("dora")).outcome == "rejected"
        decision = await handle.result()
    assert not decision.approved and decision.by == (["carol"] if veto else ["carol", "dora"])
    assert decision.reason == "carol: too dear"


async def test_without_a_veto_an_escalation_may_still_make_the_quorum(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        terms = Terms(approvers=["bob"], veto=False, escalate=[(2, ["eve"])])
        handle = await started(perdure, Ask, terms)
        approvals = Approvals(perdure.client, handle.id)
        assert (await approvals.reject("bob")).outcome == ""
        assert (await approvals.approve("eve")).status == "refused"
        await perdure.advance(2 * DAY)
        assert (await approvals.approve("eve")).outcome == "approved"
        assert said(await handle.result())[-1] == "eve approved"


async def test_the_quorum_counts_people(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms(quorum=2))
        approvals = Approvals(perdure.client, handle.id)
        assert (await approvals.approve("bob")).text.startswith("It is open until")
        again = await approvals.approve("bob")
        assert again.status == "again" and "Your vote (approved) stands" in again.text
        assert (await approvals.reject("bob")).status == "again"
        assert (await approvals.approve("dora")).outcome == "approved"
        assert (await handle.result()).by == ["bob", "dora"]


async def test_own_votes_can_be_taken_back_until_it_is_decided(perdure):
    async with perdure.worker(AskAndStay, activities=[tell]):
        handle = await started(perdure, AskAndStay, Terms(quorum=2))
        approvals = Approvals(perdure.client, handle.id)
        assert (await approvals.retract("bob")).status == "refused"
        await approvals.approve("bob")
        assert (await approvals.retract("carol")).status == "refused"
        assert (await approvals.retract("bob", "wrong one")).taken
        assert (await approvals.approve("carol")).outcome == ""
        assert (await approvals.approve("bob")).outcome == "approved"
        late = await approvals.retract("bob")
        assert late.status == "late" and "approved by bob, carol" in late.text
        await perdure.advance(30 * DAY)
        decision = await handle.result()
    assert said(decision)[3:] == ["bob approved", "bob retracted", "carol approved", "bob approved"]


async def test_the_requester_never_decides(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms())
        approvals = Approvals(perdure.client, handle.id)
        assert "somebody else has to decide" in (await approvals.approve("ann")).text
        assert (await approvals.reject("ann")).status == "refused"
        delegated = await approvals.delegate("bob", "ann")
        assert (delegated.status, delegated.text) == ("refused", "ann has asked for this: somebody else has to decide.")
        assert (await approvals.approve("mallory")).status == "refused"
        assert (await approvals.withdraw("bob")).status == "refused"
        assert (await approvals.withdraw("ann", "no longer needed")).outcome == "withdrawn"
        decision = await handle.result()
    assert (decision.outcome, decision.reason, decision.by) == ("withdrawn", "no longer needed", ["ann"])


async def test_delegation(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms(quorum=2))
        approvals = Approvals(perdure.client, handle.id)
        assert (await approvals.delegate("bob", "carol")).status == "refused", "she would have two votes"
        assert (await approvals.delegate("bob", "eve", "on holiday")).taken
        assert (await approvals.delegate("carol", "eve")).status == "refused"
        assert (await approvals.delegate("eve", "fred")).taken
        assert (await approvals.approve("eve")).status == "refused"
        assert (await approvals.approve("fred", "fine")).taken
        owner = await approvals.reject("bob")
        assert (owner.status, "fred has voted on your behalf" in owner.text) == ("again", True)
        assert (await approvals.delegate("bob", "gina")).status == "refused", "it has been given"
        assert (await approvals.approve("carol")).outcome == "approved"
        decision = await handle.result()
    assert decision.by == ["fred", "carol"]
    assert said(decision)[3:] == [
        "bob delegated eve",
        "eve delegated fred for bob",
        "fred approved for bob",
        "carol approved",
    ]
    assert {"delegated eve", "delegated fred"} <= set(told())


async def test_spaces_around_a_name_get_nobody_a_second_vote(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms(quorum=2))
        approvals = Approvals(perdure.client, handle.id)
        for name in ("ann ", " bob", "carol\n"):
            refused = await approvals.delegate("bob", name)
            assert refused.status == "refused" and repr(name.strip()) in refused.text
        await handle.signal("perdure_approval", {"approval": "approval", "who": "bob", "do": "delegate", "to": "ann "})
        await approvals.approve("bob")
        assert (await approvals.approve("ann ")).status == "refused"
        await approvals.approve("carol")
        decision = await handle.result()
    assert decision.by == ["bob", "carol"]
    assert "bob ignored" in said(decision)


async def test_who_has_delegated_may_still_answer_and_take_that_back(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms(quorum=2))
        approvals = Approvals(perdure.client, handle.id)
        await approvals.delegate("bob", "eve")
        assert (await approvals.delegate("bob", "bob")).taken
        assert (await approvals.approve("eve")).status == "refused"
        await approvals.delegate("carol", "eve")
        assert (await approvals.approve("carol")).taken
        assert (await approvals.approve("eve")).status == "refused"
        assert (await approvals.approve("bob")).outcome == "approved"
        assert said(await handle.result())[-2:] == ["carol approved", "bob approved"]


async def test_reminders_and_the_escalation_chain(perdure):
    terms = Terms(approvers=["bob", "carol"], quorum=2, remind=3, escalate=[(4, ["eve"]), (8, ["fred", "gina"])])
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, terms)
        approvals = Approvals(perdure.client, handle.id)
        await perdure.advance(timedelta(days=1))
        await approvals.approve("bob")
        await perdure.advance(timedelta(days=8.5))
        state = await approvals.state()
        assert state is not None and state.waiting_for() == ["carol", "eve", "fred", "gina"]
        await perdure.advance(DAY)
        decision = await handle.result()
    assert sorted(told()[:2]) == ["asked bob", "asked carol"]
    assert [line for line in said(decision) if "asked" not in line] == [
        "bob approved",
        "reminded carol",
        "escalated eve",
        "reminded carol",
        "reminded eve",
        "escalated fred",
        "escalated gina",
        "reminded carol",
        "reminded eve",
        "reminded fred",
        "reminded gina",
        "expired",
    ]
    began = decision.audit[0].at
    days = [(entry.at - began).total_seconds() / 86400 for entry in decision.audit if entry.what == "reminded"]
    assert [round(each, 3) for each in days] == [3, 6, 6, 9, 9, 9, 9]
    assert decision.outcome == "expired" and decision.by == []
    assert abs(decision.at - began - 10 * DAY) < timedelta(seconds=1)


async def test_who_is_escalated_to_and_has_a_vote_by_delegation(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        terms = Terms(approvers=["bob", "carol"], quorum=2, escalate=[(2, ["eve"]), (3, ["fred"])])
        handle = await started(perdure, Ask, terms)
        approvals = Approvals(perdure.client, handle.id)
        await approvals.delegate("bob", "eve")
        await approvals.delegate("carol", "fred")
        await approvals.approve("fred")
        await perdure.advance(4 * DAY)
        state = await approvals.state()
        assert [(seat.owner, seat.holder) for seat in state.seats] == [
            ("bob", "bob"),
            ("carol", "fred"),
            ("eve", "eve"),
        ]
        assert (await approvals.approve("eve")).outcome == "approved"
        await handle.result()


@pytest.mark.perdure(time="skip")
async def test_a_deadline_may_be_a_point_in_time(perdure):
    until = perdure.now() + 2 * DAY
    async with perdure.worker(Ask, activities=[tell]):
        decision = await perdure.execute(Ask.run, Terms(until=until))
        assert until <= decision.at < until + timedelta(seconds=1)
        passed = await perdure.execute(Ask.run, Terms(until=until - DAY))
    assert passed.outcome == "expired" and "reminded" not in str(passed.audit)


async def test_late_answers_hear_what_was_decided_and_change_nothing(perdure):
    async with perdure.worker(AskAndStay, activities=[tell]):
        handle = await started(perdure, AskAndStay, Terms())
        approvals = Approvals(perdure.client, handle.id)
        await approvals.reject("bob", "too dear")
        before = (await perdure.history(handle)).events
        late = await approvals.approve("carol")
        assert (late.status, late.outcome) == ("late", "rejected")
        assert late.text.startswith("Nothing has changed: it was rejected by bob on") and "too dear" in late.text
        assert (await approvals.reject("bob")).status == "again"
        assert (await approvals.withdraw("ann")).status == "late"
        with pytest.raises(WorkflowUpdateFailedError) as raised:
            await handle.execute_update("perdure_approval", {"approval": "approval", "who": "dora", "do": "approve"})
        assert isinstance(raised.value.cause, ApplicationError) and "rejected by bob" in str(raised.value.cause)
        assert len((await perdure.history(handle)).events) == len(before), "they cost no events"
        await perdure.advance(30 * DAY)
        decision = await handle.result()
        assert decision.outcome == "rejected" and len(decision.audit) == 4
        closed = await approvals.approve("carol")
        assert (closed.status, closed.outcome) == ("late", "rejected") and "rejected by bob" in closed.text


async def test_answers_that_are_none(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms())
        approvals = Approvals(perdure.client, handle.id)
        unknown = await approvals.approve("bob", id="other")
        assert unknown.text == "There is no approval 'other' in this workflow; open are: approval."
        assert (await approvals.approve("bob", "x" * 2001)).status == "refused"
        assert (await approvals.answer(Answer("approval", "bob", "applaud"))).status == "refused"  # type: ignore
        for wrong in ([], [1], [{"who": "bob"}], [{"approval": "approval", "who": 1, "do": "approve"}], [1, 2]):
            with pytest.raises(WorkflowUpdateFailedError, match="Workflow update failed") as raised:
                await handle.execute_update("perdure_approval", args=wrong)
            assert "This is not an answer" in str(raised.value.cause)
            await handle.signal("perdure_approval", args=wrong)
        await handle.signal("perdure_approval", Answer("approval", "bob", "approve"))
        assert (await handle.result()).by == ["bob"]
        assert (await Approvals(perdure.client, "nobody").approve("bob")).status == "unknown"


async def test_signals_count_and_those_that_do_not_are_noted(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms(quorum=2))
        await handle.signal("perdure_approval", {"approval": "approval", "who": "ann", "do": "approve"})
        await handle.signal("perdure_approval", {"approval": "approval", "who": "bob", "do": "approve"})
        await handle.signal("perdure_approval", {"approval": "approval", "who": "bob", "do": "approve"})
        await handle.signal("perdure_approval", {"approval": "approval", "who": "dora", "do": "approve"})
        decision = await handle.result()
    assert decision.by == ["bob", "dora"]
    assert [line for line in said(decision) if "asked" not in line] == [
        "ann ignored",
        "bob approved",
        "bob ignored",
        "dora approved",
    ]


async def test_several_at_the_same_time(perdure):
    async with perdure.worker(AskTwo):
        handle = await started(perdure, AskTwo)
        approvals = Approvals(perdure.client, handle.id)
        await approvals.reject("bob", id="second")
        assert [state.outcome for state in await approvals.states()] == ["", "rejected"]
        await approvals.approve("bob", id="first")
        assert await handle.result() == ["approved", "rejected"]


async def test_a_notice_that_fails_for_good_is_noted_and_the_waiting_goes_on(perdure):
    async with perdure.worker(AskAllButBob, activities=[tell_but_bob]):
        handle = await started(perdure, AskAllButBob, Terms())
        await perdure.advance(timedelta(hours=2))
        await Approvals(perdure.client, handle.id).approve("dora")
        decision = await handle.result()
    [untold] = [entry for entry in decision.audit if entry.what == "untold"]
    assert (untold.whom, "bob has no address" in untold.why) == ("bob", True)


async def test_cancelled(perdure):
    async with perdure.worker(Ask, activities=[tell]):
        handle = await started(perdure, Ask, Terms())
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as raised:
            await handle.result()
        assert isinstance(raised.value.cause, CancelledError)
        late = await Approvals(perdure.client, handle.id).approve("bob")
        assert (late.status, late.outcome) == ("late", "cancelled") and "has stopped to wait" in late.text


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (Terms(approvers=[]), "approvers is empty"),
        (Terms(approvers=["bob", "bob"]), "bob is named more than once"),
        (Terms(approvers=["bob"], escalate=[(1, ["bob"])]), "bob is named more than once"),
        (Terms(approvers=["ann", "bob"]), "ann is the requester"),
        (Terms(approvers=["bob"], escalate=[(1, ["ann"])]), "ann is the requester"),
        (Terms(approvers=["bob", " "]), "names of the requester"),
        (Terms(approvers=["bob "]), "names of the requester"),
        (Terms(quorum=0), "quorum is 0"),
        (Terms(quorum=4), "quorum is 4: it has to be from 1 to the number of approvers, 3"),
        (Terms(days=0), "deadline is 0:00:00: it has to be positive"),
        (Terms(until=datetime(2026, 1, 1)), "no time zone"),
        (Terms(escalate=[(11, ["eve"])]), "not before the deadline"),
        (Terms(escalate=[(2, ["eve"]), (1, ["fred"])]), "later than the one before"),
        (Terms(escalate=[(1, [])]), "escalate: name somebody"),
        (Terms(remind=[10]), "remind: "),
        (Terms(remind=-1), "remind is -1 day"),
        (Terms(remind=0.01), "more than 200"),
        (Terms(remind=1, told=False), "nobody can be reminded"),
        (Terms(id=""), "the id of an approval"),
    ],
)
async def test_terms_that_are_not_clear(perdure, terms, text):
    async with perdure.worker(AskBadly, activities=[tell]):
        assert text in await perdure.execute(AskBadly.run, terms)


def test_the_people_of_these_tests_are_not_the_requester():
    assert waiting.REQUEST.requester not in PEOPLE and datetime.now(UTC).tzinfo is not None

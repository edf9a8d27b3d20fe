"""Approvals and callbacks under every fault: one decision, which no late answer changes, and a deadline that stays."""

import contextlib
from datetime import timedelta

from temporalio.service import RPCError
from tests.patterns import waiting
from tests.patterns.matrix import Case
from tests.patterns.waiting import AskForever, CallForever, Payload, Terms, Wanted, submit, tell

from perdure.patterns import Approvals, Callbacks

DAYS = 10
DONE = Payload("s3://talk.mp4", 90)
CANCELLED = {"cancelled", "cancelled twice", "killed and cancelled"}
ENDED = {"terminated", "fails before", "fails after", "never in time"}


class World:
    def __init__(self):
        waiting.fresh()
        self.replies = []

    def __str__(self):
        return f"{self.replies}, told {len(waiting.TOLD)}, called {len(waiting.CALLED)}"


async def ask(stage):
    terms = Terms(quorum=2, days=DAYS, escalate=[(2, ["eve"])], remind=1)
    return await stage.client.start_workflow(AskForever.run, terms, id=stage.id, task_queue=stage.queue)


async def turn(stage):
    with contextlib.suppress(RPCError):  # it may be over
        await stage.handle.signal("turn")


async def vote(stage):
    """At once: two in favour with a continue-as-new between them, then two who come late."""
    approvals = Approvals(stage.client, stage.id)
    for who in ("bob", "bob", "", "carol", "dora"):
        if who:
            answer = approvals.reject if who == "dora" else approvals.approve
            stage.world.replies.append((who, await answer(who)))
        else:
            await turn(stage)


async def carol(stage):
    stage.world.replies.append(("carol", await Approvals(stage.client, stage.id).approve("carol")))


def check_approval(world, outcome):
    if outcome.drive_error is not None and outcome.row not in CANCELLED | {"terminated"}:
        raise outcome.drive_error
    if outcome.status == "completed":
        decision = outcome.result
        assert decision.outcome == "approved" and sorted(decision.by) == ["bob", "carol"], decision
        votes = [entry.who for entry in decision.audit if entry.what in ("approved", "rejected")]
        assert sorted(votes) == ["bob", "carol"], "each has one vote, and none comes late"
    else:
        assert outcome.status in ("canceled", "terminated"), outcome.status
        assert outcome.row in CANCELLED | {"terminated"}
    check_waits(world, outcome)


def check_waits(world, outcome):
    told = {reply.outcome for _, reply in world.replies if reply.outcome}
    assert len(told) <= 1 or outcome.row in CANCELLED, f"one decision: {told}"
    if outcome.row == "reset":
        return  # the first run begins again, at a later time
    took = outcome.history.ended - outcome.histories[0].began
    assert took < timedelta(days=DAYS, minutes=1), "the deadline is that of the first run"


async def call(stage):
    return await stage.client.start_workflow(CallForever.run, Wanted(DAYS), id=stage.id, task_queue=stage.queue)


async def complete(stage):
    """At once: a beat, a continue-as-new, the value, and another one, which is late."""
    callbacks = Callbacks(stage.client, stage.id)
    stage.world.replies.append(("beat", await callbacks.heartbeat(1)))
    await turn(stage)
    for value in (DONE, Payload("other", 1)):
        stage.world.replies.append(("", await callbacks.complete(value)))


async def done_too(stage):
    stage.world.replies.append(("", await Callbacks(stage.client, stage.id).complete(DONE)))


def check_callback(world, outcome):
    if outcome.drive_error is not None and outcome.row not in CANCELLED | ENDED:
        raise outcome.drive_error
    if outcome.status == "completed":
        assert outcome.result == DONE
        counted = [reply.status for what, reply in world.replies if not what and reply.status in ("taken", "early")]
        assert counted == ["taken"] or set(counted) == {"early"}, world.replies
    else:
        assert outcome.status in ("canceled", "terminated", "failed"), outcome.status
        assert outcome.row in CANCELLED | ENDED
    check_waits(world, outcome)


def case(name, **options):
    return Case(
        name=name,
        workflows=[AskForever, CallForever],
        world=World,
        activities=lambda world: [tell, submit],
        few=2,
        **options,
    )


APPROVAL = case("approval", start=ask, drive=vote, check=check_approval, messages={"carol": carol, "turn": turn})
CALLBACK = case("callback", start=call, drive=complete, check=check_callback, messages={"done": done_too, "turn": turn})


async def test_an_approval(matrix):
    await matrix(APPROVAL)


async def test_a_callback(matrix):
    await matrix(CALLBACK)

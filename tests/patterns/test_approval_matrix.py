"""Approvals and callbacks under every fault."""

import asyncio

from temporalio.service import RPCError, RPCStatusCode
from tests.patterns import waiting
from tests.patterns.matrix import Case
from tests.patterns.waiting import REQUEST, AskForever, CallForever, Payload, Terms, Wanted, submit, tell

from perdure.patterns import Answer, Approvals, Callbacks

DONE = Payload("s3://talk.mp4", 90)


class World:
    def __init__(self):
        waiting.fresh()


def says(who, do="approve"):
    """By signal: it is there once the server has it."""

    async def say(stage):
        await stage.handle.signal("perdure_approval", Answer("approval", who, do))

    return say


async def turn(stage):
    await stage.handle.signal("turn")


async def ask(stage):
    terms = Terms(quorum=2, remind=3, escalate=[(2, ["eve"])])
    return await stage.client.start_workflow(AskForever.run, terms, id=stage.id, task_queue=stage.queue)


async def two_votes(stage):
    await says("bob")(stage)
    await says("carol")(stage)


async def states_of(waiting):
    """The worker may not have come back yet after the server was killed."""
    for _ in range(200):
        try:
            return await waiting.states()
        except RPCError as error:
            if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
            await asyncio.sleep(0.02)
    raise AssertionError("no worker has come back")


async def check_approval(world, outcome):
    """One decision, by people who may decide, each once; and what the query tells of it does not change any more."""
    if outcome.status == "completed":
        decision = outcome.result
        votes = [entry for entry in decision.audit if entry.what in ("approved", "rejected")]
        voters = [entry.who for entry in votes]
        assert len(set(voters)) == len(voters) and REQUEST.requester not in voters
        if decision.outcome == "approved":
            assert decision.by == voters and len(voters) == 2 and decision.at == votes[-1].at
        elif decision.outcome == "rejected":
            assert decision.by == [votes[-1].who] and votes[-1].what == "rejected"
        elif decision.outcome == "withdrawn":
            assert decision.by == [REQUEST.requester]
        else:
            assert decision.outcome == "expired" and len(voters) < 2
        decided = [entry.what for entry in decision.audit if entry.what in ("expired", "withdrawn")]
        assert decided == [decision.outcome] * (decision.outcome in ("expired", "withdrawn"))
    else:
        assert outcome.status in ("canceled", "terminated"), outcome.status
    if outcome.status in ("completed", "canceled"):
        approvals = Approvals(outcome.stage.client, outcome.handle.id)
        before = await states_of(approvals)
        for state in before:
            late = await approvals.reject("dora")
            assert not late.taken and late.outcome == state.outcome != ""
            if outcome.status == "completed":
                assert (state.outcome, state.audit) == (outcome.result.outcome, outcome.result.audit)
        assert await approvals.states() == before


APPROVAL = Case(
    name="approval",
    workflows=[AskForever],
    world=World,
    activities=lambda world: [tell],
    start=ask,
    drive=two_votes,
    messages={
        "a double vote": says("bob"),
        "a rejection": says("dora", "reject"),
        "the requester's": says("ann"),
        "a withdrawal": says("ann", "withdraw"),
        "continue-as-new": turn,
    },
    check=check_approval,
    few=2,
)


async def call(stage):
    return await stage.client.start_workflow(CallForever.run, Wanted(), id=stage.id, task_queue=stage.queue)


def reports(name, value):
    async def report(stage):
        await stage.handle.signal(f"perdure_callback_{name}", args=["callback", value])

    return report


async def check_callback(world, outcome):
    """The first that was taken is the result, and there is one."""
    if outcome.status == "completed":
        assert outcome.result in (DONE, Payload("other", 1))
    elif outcome.status == "failed":
        kind = getattr(outcome.error, "type", "") or type(outcome.error).__name__
        failed_asking = outcome.row.startswith(("fails", "never", "late"))
        assert kind in ("CallbackFailed", "CallbackExpired") or failed_asking, kind
    else:
        assert outcome.status in ("canceled", "terminated"), outcome.status
    if outcome.status == "completed":
        callbacks = Callbacks(outcome.stage.client, outcome.handle.id)
        [state] = await states_of(callbacks)
        assert not (await callbacks.complete(Payload("late", 1))).taken
        assert state.outcome == "completed"


CALLBACK = Case(
    name="callback",
    workflows=[CallForever],
    world=World,
    activities=lambda world: [submit],
    start=call,
    drive=reports("complete", DONE),
    messages={
        "another value": reports("complete", Payload("other", 1)),
        "nonsense": reports("complete", {"url": 1}),
        "a failure": reports("fail", "no"),
        "a heartbeat": reports("heartbeat", 3),
        "continue-as-new": turn,
    },
    check=check_callback,
    few=2,
)


async def test_an_approval(matrix):
    await matrix(APPROVAL)


async def test_a_callback(matrix):
    await matrix(CALLBACK)

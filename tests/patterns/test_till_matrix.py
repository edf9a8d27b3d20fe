"""Entities under every fault: one effect for each message id, the first reply again, nothing acknowledged is lost."""

from collections import Counter
from dataclasses import dataclass, field

from temporalio import activity
from temporalio.client import WorkflowUpdateFailedError
from tests.patterns.afterwards import all_runs, check_that_cancels_end_runs, undisturbed
from tests.patterns.matrix import Case
from tests.patterns.tills import Till, TillState

SENT = 6
RESET_OF_AN_EARLIER_RUN = {f"to task {number}" for number in range(1, 8)}
"""The server hands the run that begins there all updates again, more than it takes before it ends: it asks the others
to come again, and nobody does."""


@dataclass
class World:
    replies: dict[str, int] = field(default_factory=dict)
    """Acknowledged: message id -> reply."""
    notes: list[str] = field(default_factory=list)
    """Signals that the server has acknowledged."""
    printed: Counter = field(default_factory=Counter)


def till(stage):
    return Till.of(stage.client, stage.id, task_queue=stage.queue)


async def start(stage):
    await till(stage).note("n0", message_id="n0")
    stage.world.notes.append("n0")
    return stage.client.get_workflow_handle(stage.id)


async def drive(stage):
    mine = till(stage)
    for number in range(1, SENT + 1):
        stage.world.replies[f"m{number}"] = await mine.pay(f"m{number}", message_id=f"m{number}")
        await mine.note(f"n{number}", message_id=f"n{number}")
        stage.world.notes.append(f"n{number}")


async def pay_again(stage):
    """A message that comes twice, at once."""
    for _ in range(2):
        reply = await till(stage).pay("extra", message_id="extra")
        assert stage.world.replies.setdefault("extra", reply) == reply


async def note_again(stage):
    for _ in range(2):
        await till(stage).note("extra", message_id="extra note")
    stage.world.notes.append("extra")


def printer(world):
    @activity.defn(name="print_receipt")
    async def run(key: str) -> None:
        world.printed[key] += 1

    return [run]


async def told_in_the_end(stage):
    """Of each life, from its start until it ended other than by continuing: without `load` nothing goes beyond that."""
    for run in await all_runs(stage):
        if run.status != "continued as new":
            handle = stage.client.get_workflow_handle(stage.id, run_id=run.run_id)
            yield await handle.query("told", result_type=TillState)


async def check_cancelled(world, outcome):
    """What it had accepted was handled before it ended."""
    for failed in (outcome.drive_error, *(each.exception() for each in outcome.stage.sent)):
        if failed is not None:
            raise failed
    await check_that_cancels_end_runs(outcome.stage)
    lives = [each async for each in told_in_the_end(outcome.stage)]
    paid, notes = [what for each in lives for what in each.paid], [what for each in lives for what in each.notes]
    assert Counter(paid) == Counter([*world.replies]), "each in one life"
    assert Counter(notes) == Counter(world.notes), "no acknowledged signal is lost, none acts twice"
    for what, reply in world.replies.items():
        assert any(what in each.paid and each.paid.index(what) + 1 == reply for each in lives)


async def check(world, outcome):
    with undisturbed(outcome.stage.probe):
        await check_undisturbed(world, outcome)


async def check_undisturbed(world, outcome):
    if outcome.row in ("cancelled", "cancelled twice", "killed and cancelled"):
        return await check_cancelled(world, outcome)
    if outcome.row in ("fails before", "fails after", "never in time", "late and failing"):
        assert isinstance(outcome.drive_error, WorkflowUpdateFailedError)
    elif outcome.drive_error is not None:
        raise outcome.drive_error
    for sent in outcome.stage.sent:
        sent.result()
    mine = till(outcome.stage)
    told = await mine.told()
    told = TillState(**told) if isinstance(told, dict) else told
    assert not [what for what, times in Counter(told.paid).items() if times > 1], "one effect for each id"
    if outcome.row == "reset" and len(told.paid) < len(world.replies):
        assert outcome.name in RESET_OF_AN_EARLIER_RUN and told.paid == list(world.replies)[: len(told.paid)]
        return
    assert {what: told.paid.index(what) + 1 for what in world.replies} == world.replies, "in the order of replies"
    assert Counter(told.notes) == Counter(world.notes), "no acknowledged signal is lost, none acts twice"
    for what, reply in world.replies.items():
        assert await mine.pay(what, message_id=what) == reply, "the first reply again"
    assert (await mine.told()) is not None


TILL = Case(
    name="entity, a till",
    workflows=[Till],
    world=World,
    activities=printer,
    start=start,
    drive=drive,
    check=check,
    messages={"update": pay_again, "signal": note_again},
    leave_out={
        "terminated": "its state ends with it",
    },
    few=2,
)


async def test_a_till(matrix):
    await matrix(TILL)

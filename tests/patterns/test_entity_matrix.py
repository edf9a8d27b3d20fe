"""Entities under every fault: each message acts once, and nothing that was acknowledged is lost."""

import contextlib
import dataclasses
import json
from collections import Counter

from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError
from tests.patterns.afterwards import check_that_cancels_end_runs, undisturbed
from tests.patterns.matrix import Case
from tests.patterns.piles import Pile


class World:
    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.acknowledged: list[str] = []
        self.replies: dict[str, int] = {}


def activities(world):
    @activity.defn(name="matrix_load")
    async def load(entity_id: str) -> str | None:
        return world.kept.get(entity_id)

    @activity.defn(name="matrix_save")
    async def save(entity_id: str, snapshot: str) -> None:
        world.kept[entity_id] = snapshot

    @activity.defn(name="matrix_weigh")
    async def weigh(what: str) -> int:
        return len(what)

    return [load, save, weigh]


def pile(stage):
    return Pile.of(stage.client, stage.id, task_queue=stage.queue)


async def start(stage):
    return await stage.client.start_workflow("Pile", id=stage.id, task_queue=stage.queue)


async def put(stage, what):
    world = stage.world
    reply = await pile(stage).put(what, message_id=what)
    assert world.replies.setdefault(what, reply) == reply, "the first reply"
    world.acknowledged.append(what)


async def toss(stage, what):
    await pile(stage).toss(what, message_id=what)
    stage.world.acknowledged.append(what)


async def drive(stage):
    """It is left alone then, and ends when it was idle."""
    for number in range(4):
        await put(stage, f"put {number}")
        await toss(stage, f"toss {number}")
    await pile(stage).weigh("heavy", message_id="heavy")
    stage.world.acknowledged.append("heavy")
    for what in [*stage.world.replies]:
        await put(stage, what)


async def drive_and_cancel(stage):
    await drive(stage)
    await stage.client.get_workflow_handle(stage.id).cancel()


async def check(world, outcome):
    """All that was acknowledged is saved when it has ended, and the next message goes on from there."""
    stage = outcome.stage
    if outcome.status == "failed":
        assert "fail" in outcome.row and "load" in outcome.name, "`load` alone may fail it"
        assert not world.acknowledged
        return
    with undisturbed(stage.probe):
        await check_undisturbed(world, stage)


async def check_undisturbed(world, stage):
    await ended(stage)
    await check_that_cancels_end_runs(stage)
    done = json.loads(world.kept[stage.id])["state"]["json"]["done"]
    assert max(Counter(done).values()) == 1, f"each acts once: {done}"
    assert set(world.acknowledged) <= set(done), f"{world.acknowledged} are not all in {done}"
    puts = [each for each in done if each.startswith("put ")]
    assert puts == sorted(puts), f"in the order of delivery: {done}"
    for what, reply in world.replies.items():
        assert await pile(stage).put(what, message_id=what) == reply, "the first reply again"
    number = await pile(stage).put("at last")
    told = await pile(stage).done()
    assert told[: len(done)] == done and told.index("at last") == number - 1, f"{told} goes on from {done}"


async def ended(stage):
    """The newest run, by a cancel at the latest; all that clients wanted is done, so time may move."""
    await stage.env._host.call(stage._move_time(True))
    handle = stage.client.get_workflow_handle(stage.id)
    with contextlib.suppress(RPCError):
        await handle.cancel()
    with contextlib.suppress(WorkflowFailureError):
        await handle.result()


CANCELLED = Case(
    name="entity",
    workflows=[Pile],
    world=World,
    activities=activities,
    start=start,
    drive=drive_and_cancel,
    check=check,
    messages={"update": lambda stage: put(stage, "extra"), "signal": lambda stage: toss(stage, "extra toss")},
    leave_out={
        "never in time": "load and save are tried without an end: nothing can be done without them",
        "terminated": "what came since it was loaded ends with it",
    },
    few=2,
)
IDLE = dataclasses.replace(CANCELLED, name="entity, idle", drive=drive)


async def test_an_entity_under_every_fault(matrix):
    await matrix(CANCELLED)


async def test_an_entity_that_ends_idle_under_every_fault(matrix):
    await matrix(IDLE)

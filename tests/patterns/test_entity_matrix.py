"""Entities under every fault: each message acts once, and nothing that was acknowledged is lost."""

from datetime import timedelta

from temporalio import activity
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
    return Pile.of(stage.client, stage.id, task_queue=stage.queue, patience=timedelta(seconds=1))


async def start(stage):
    return await stage.client.start_workflow("Pile", id=stage.id, task_queue=stage.queue)


async def drive(stage):
    world, to = stage.world, pile(stage)
    for number in range(4):
        world.replies[f"put {number}"] = await to.put(f"put {number}", message_id=f"put {number}")
        world.acknowledged.append(f"put {number}")
        await to.toss(f"toss {number}", message_id=f"toss {number}")
        world.acknowledged.append(f"toss {number}")
    await to.weigh("heavy", message_id="heavy")
    world.acknowledged.append("heavy")
    for name, reply in world.replies.items():
        assert await to.put(name, message_id=name) == reply, "the first reply"
    await stage.client.get_workflow_handle(stage.id).cancel()


async def check(world, outcome):
    try:
        done = await pile(outcome.stage).done()
    except TimeoutError:
        assert not world.acknowledged, "it has ended before its state was loaded"
        return
    assert len(done) == len(set(done)), f"each acts once: {done}"
    if outcome.status not in ("terminated", "failed"):
        assert set(world.acknowledged) <= set(done), f"{world.acknowledged} are not all in {done}"
    assert [each for each in done if each.startswith("put")] == sorted(each for each in done if each.startswith("put"))


CASE = Case(
    name="entity",
    workflows=[Pile],
    world=World,
    activities=activities,
    start=start,
    drive=drive,
    check=check,
    leave_out={
        "never in time": "load and save are tried without an end: nothing can be done without them",
        "terminated": "the next message starts it again",
    },
    few=2,
)


async def test_an_entity_under_every_fault(matrix):
    await matrix(CASE)

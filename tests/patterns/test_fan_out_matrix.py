"""Fan-outs under every fault."""

from collections import Counter

from tests.patterns import crowds
from tests.patterns.crowds import ACTIVITIES, LARGE, Crowded, CrowdedPages, Large, Order, Piece, Total, work
from tests.patterns.matrix import Case

from perdure.patterns import FanOutLeaf, FanOutTree

N, MOST = 5, 2


async def crowd(stage):
    order = Order(N, MOST, "collect")
    return await stage.client.start_workflow(Crowded.run, order, id=stage.id, task_queue=stage.queue)


async def pages(stage):
    order = Large(N, 2, MOST, 2, "collect")
    return await stage.client.start_workflow(CrowdedPages.run, order, id=stage.id, task_queue=stage.queue)


def signal(name):
    async def send(stage):
        await stage.handle.signal(f"perdure_fan_out_{name}")

    return send


async def go_on(stage):
    """What is idle is paused, and goes on. After a restart of the server it may only seem to be idle."""
    told = await stage.handle.query("perdure_fan_out")
    if [each for each in told if each["state"] == "paused"]:
        await stage.handle.signal("perdure_fan_out_resume")
    return True


def check_in_flight(history, most):
    now = 0
    for event in history.events:
        kind = event.WhichOneof("attributes").removesuffix("_event_attributes")
        now += kind == "activity_task_scheduled"
        now -= kind.removeprefix("activity_task_") in ("completed", "failed", "timed_out", "canceled")
        assert now <= most, "never more in flight than allowed"


async def check(world, outcome):
    check_in_flight(outcome.history, MOST)
    if outcome.status == "terminated":
        return
    assert outcome.status in ("completed", "canceled"), outcome.status
    told = await outcome.handle.query(Crowded.outcomes)
    assert [each.index for each in told] == list(range(N)), "each index has one outcome"
    steps = outcome.history.activities("work")
    states = {step.args[0]: step.status for step in steps}
    assert len(steps) == len(states), "each index is scheduled once"
    for each in told:
        was = {"completed": "completed", "failed": "failed", "cancelled": "canceled", "skipped": None}[each.state]
        assert states.get(each.index) in (was, "timed out" if was == "failed" else was)
        assert not (each.state == "completed" and not world.effects[each.key]), "it has acted"
    if outcome.status == "completed":
        assert outcome.result == told
        if not outcome.history.signals():
            assert not {"skipped", "cancelled"} & {each.state for each in told}


async def check_pages(world, outcome):
    if outcome.status in ("terminated", "canceled"):
        return
    if outcome.status == "failed":
        assert outcome.error.type == "FanOutFailed"
        assert outcome.row in BREAKING, "only a page that can't be read, or a fold that fails, breaks it"
        check_broken(outcome)
        return
    told = outcome.result
    assert outcome.status == "completed"
    known = told.completed + told.failed + told.cancelled + told.skipped
    left = sum(end - first + 1 for first, end in told.left if end >= 0)
    assert known <= N and left == known - told.completed, "each index has one outcome"
    if told.read_all:
        assert known == N
    if told.read_all and not told.cancelled and not told.skipped:
        assert set(world.folded) == set(range(N))
    folded = told.folded or Total()
    assert (folded.done, folded.failed) == (told.completed, told.failed), "each is in the fold once"
    assert Counter(world.items).keys() <= set(range(N))


def check_broken(outcome):
    """What was done is told, and what is left."""
    [told] = outcome.error.details
    known = told["completed"] + told["failed"] + told["cancelled"] + told["skipped"]
    left = [index for first, end in told["left"] for index in range(first, N if end < 0 else end + 1)]
    unread = 0 if told["read_all"] else N - told["left"][-1][0]
    assert known + unread == N and len(left) == len(set(left)) == N - told["completed"], "each index has one outcome"


BREAKING = {"never in time", "fails before", "fails after", "late and failing"}
MESSAGES = {"pause": signal("pause"), "cancel": signal("cancel")}
FLAT = Case(
    name="fan_out",
    workflows=[Crowded, Piece],
    world=crowds.fresh,
    activities=lambda world: [work],
    start=crowd,
    when_idle=go_on,
    messages=MESSAGES,
    check=check,
)
PAGES = Case(
    name="fan_out over pages",
    workflows=[*LARGE, FanOutTree, FanOutLeaf],
    world=crowds.fresh,
    activities=lambda world: ACTIVITIES,
    start=pages,
    when_idle=go_on,
    messages=MESSAGES,
    check=check_pages,
    few=2,
)


async def test_a_list(matrix):
    await matrix(FLAT)


async def test_pages(matrix):
    await matrix(PAGES)

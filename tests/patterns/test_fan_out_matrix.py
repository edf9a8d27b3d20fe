"""Fan-outs under every fault: one outcome for each index, never more in flight than allowed."""

from tests.patterns import crowds
from tests.patterns.crowds import ACTIVITIES, Crowded, CrowdedPages, Large, Order, Piece
from tests.patterns.matrix import Case

from perdure.patterns.plugin import WORKFLOWS

MOST = 2
ENDS = {
    "cancelled": {"canceled", "completed"},
    "cancelled twice": {"canceled", "completed"},
    "killed and cancelled": {"canceled", "completed"},
    "terminated": {"terminated", "completed"},
}
FAILING = {"fails before", "fails after", "never in time", "late and failing"}


async def small(stage):
    order = Order(4, most=MOST, on_error="collect")
    return await stage.client.start_workflow(Crowded.run, order, id=stage.id, task_queue=stage.queue)


async def children(stage):
    order = Order(3, most=MOST, on_error="collect", children=True)
    return await stage.client.start_workflow(Crowded.run, order, id=stage.id, task_queue=stage.queue)


async def pages(stage):
    order = Large(4, size=2, most=MOST, on_error="collect")
    return await stage.client.start_workflow(CrowdedPages.run, order, id=stage.id, task_queue=stage.queue)


def check(world, outcome):
    assert outcome.status in ENDS.get(outcome.row, {"completed"}), outcome.status
    if outcome.status != "completed":
        return
    told = outcome.result
    assert [each.index for each in told] == list(range(len(told))), "each index has one outcome"
    for each in told:
        assert each.state in ("completed", "failed")
        assert each.result == (f"done {each.index}" if each.state == "completed" else None)
    failed = [each for each in told if each.state == "failed"]
    assert len(failed) == (outcome.row in FAILING), failed
    if outcome.row in ("clean", "evicted", "cancelled", "message"):
        assert world.most <= MOST and all(count == 1 for count in world.effects.values())


def check_pages(world, outcome):
    if outcome.row in FAILING and outcome.status == "failed":
        return
    assert outcome.status in ENDS.get(outcome.row, {"completed"}), outcome.status
    if outcome.status != "completed":
        return
    told = outcome.result
    assert told.read_all and told.pages == 2
    assert told.completed + told.failed == 4, told
    assert (told.cancelled, told.skipped) == (0, 0)
    assert told.failed <= (outcome.row in FAILING)


def case(name, start, check=check, **options):
    return Case(
        name=name,
        workflows=[Crowded, CrowdedPages, Piece, *WORKFLOWS],
        world=crowds.fresh,
        activities=lambda world: ACTIVITIES,
        start=start,
        check=check,
        few=2,
        **options,
    )


SMALL = case("fan_out", small)
CHILDREN = case("fan_out, children", children)
PAGES = case("fan_out, pages", pages, check_pages)


async def test_activities(matrix):
    await matrix(SMALL)


async def test_children(matrix):
    await matrix(CHILDREN)


async def test_pages(matrix):
    await matrix(PAGES)

"""Polls under every fault: what is over is seen, once it is, and nothing waits for ever."""

from tests.patterns import polls
from tests.patterns.matrix import Case
from tests.patterns.polls import Ask, AskMany, ManyWaiter, Waiter, build_state, build_states

from perdure.patterns import PollMany

BAD_ENDS = {
    "fails before": {"failed"},
    "fails after": {"failed", "completed"},
    "never in time": {"failed", "completed"},
    "late and failing": {"failed"},
    "cancelled": {"canceled", "completed"},
    "cancelled twice": {"canceled", "completed"},
    "killed and cancelled": {"canceled", "completed"},
    "terminated": {"terminated", "completed"},
}
GIVE_UP_S = 3600.0
HANGING = {"never in time": "an hour of attempts that hang, ten seconds each, are more than a worker's threads"}


async def seldom(stage):
    return await stage.client.start_workflow(Waiter.run, Ask(), id=stage.id, task_queue=stage.queue)


async def often(stage):
    ask = Ask("activity", every_s=0.01)
    return await stage.client.start_workflow(Waiter.run, ask, id=stage.id, task_queue=stage.queue)


async def many(stage):
    ask = AskMany(["a", "b"])
    return await stage.client.start_workflow(ManyWaiter.run, ask, id=stage.id, task_queue=stage.queue)


def check(world, outcome):
    assert outcome.status in BAD_ENDS.get(outcome.row, {"completed"}), outcome.status
    took = outcome.history.ended - outcome.history.began
    assert took.total_seconds() < GIVE_UP_S + 60, took
    if outcome.status == "completed":
        done, builds = outcome.result if isinstance(outcome.result, tuple) else ([True], [outcome.result])
        assert all(done) and all(build.over for build in builds)


def case(name, start, **options):
    return Case(
        name=name,
        workflows=[Waiter, ManyWaiter, PollMany],
        world=polls.fresh,
        activities=lambda world: [build_state, build_states],
        start=start,
        check=check,
        few=2,
        **options,
    )


SELDOM = case("poll, retry", seldom)
OFTEN = case("poll, activity", often, leave_out=HANGING)
MANY = case("poll, child", many)


async def test_seldom(matrix):
    await matrix(SELDOM)


async def test_often(matrix):
    await matrix(OFTEN)


async def test_many(matrix):
    await matrix(MANY)

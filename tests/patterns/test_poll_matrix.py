"""Polling under every fault."""

from temporalio.exceptions import ActivityError, ApplicationError
from tests.patterns import polls
from tests.patterns.matrix import Case
from tests.patterns.polls import Ask, AskMany, ManyWaiter, Waiter, build_state, build_states

from perdure.patterns import PollMany

NAMES = ["a", "b", "c"]


def check_one(world, outcome):
    activities = outcome.history.activities("build_state")
    assert len(activities) <= 1, "one activity, however long it takes"
    if outcome.status == "completed":
        assert outcome.result.over and world.looks["b"] >= world.over_at
    elif outcome.status == "failed":
        gave_up_or_failed(outcome.error)
        assert outcome.row != "evicted" and "killed" not in outcome.row
    else:
        assert outcome.status in ("canceled", "terminated"), outcome.status


def gave_up_or_failed(error):
    """Given up, or ended by an error that is not to be retried; never a bare timeout."""
    if isinstance(error, ActivityError):
        assert isinstance(error.cause, ApplicationError) and error.cause.non_retryable, error.cause
    else:
        assert isinstance(error, ApplicationError) and error.type == "GaveUp", error


def check_many(world, outcome):
    if outcome.status == "completed":
        done, states = outcome.result
        assert [state.name for state, over in zip(states, done, strict=True) if over] == [
            name for name, over in zip(NAMES, done, strict=True) if over
        ]
        assert all(state.over for state, over in zip(states, done, strict=True) if over)
        assert all(world.looks[name] >= world.over_at for name, over in zip(NAMES, done, strict=True) if over)
        if outcome.row in ("clean", "evicted", "worker killed", "server killed", "process killed", "duplicate"):
            assert done == [True, True, True]
    else:
        assert outcome.status in ("failed", "canceled", "terminated"), outcome.status


async def start_one(stage):
    return await stage.client.start_workflow(Waiter.run, Ask(), id=stage.id, task_queue=stage.queue)


async def start_many(stage):
    return await stage.client.start_workflow(ManyWaiter.run, AskMany(NAMES), id=stage.id, task_queue=stage.queue)


ONE = Case(
    name="poll",
    workflows=[Waiter],
    world=polls.fresh,
    activities=lambda world: [build_state],
    start=start_one,
    check=check_one,
)
MANY = Case(
    name="poll of many",
    workflows=[ManyWaiter, PollMany],
    world=polls.fresh,
    activities=lambda world: [build_states],
    start=start_many,
    check=check_many,
    few=2,
)


async def test_one(matrix):
    await matrix(ONE)


async def test_many(matrix):
    await matrix(MANY)

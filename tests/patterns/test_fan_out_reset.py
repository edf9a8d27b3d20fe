"""Workflows that are reset while their children and activities are at work, at each moment to each earlier task.

The old run ends at once, its children do not; the new run has the same ids for the same things.
"""

import asyncio

import pytest
from temporalio.api.enums.v1 import EventType
from tests.patterns import crowds
from tests.patterns.conftest import SECONDS
from tests.patterns.crowds import Crowded, Order, Piece, work
from tests.patterns.matrix import SWEEP, Case, Cell, play_one
from tests.patterns.test_fan_out_matrix import FLAT, MOST, PAGES, N, go_on
from tests.patterns.test_poll_matrix import MANY, ONE

pytestmark = pytest.mark.timeout(SECONDS)
MOMENTS = 1_000 if SWEEP else 4
TASKS = 4 if SWEEP else 2
STARTED = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
ENDED = {
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
}


async def children(stage):
    order = Order(N, MOST, "collect", children=True)
    return await stage.client.start_workflow(Crowded.run, order, id=stage.id, task_queue=stage.queue)


def check_children(world, outcome):
    now = 0
    for event in outcome.history.events:
        now += (event.event_type == STARTED) - (event.event_type in ENDED)
        assert now <= MOST, "never more in flight than allowed"
    assert [each.index for each in outcome.result] == list(range(N)), "each index has one outcome"


CHILDREN = Case(
    name="fan_out of children",
    workflows=[Crowded, Piece],
    world=crowds.fresh,
    activities=lambda world: [work],
    start=children,
    when_idle=go_on,
    check=check_children,
)


def spread(found, most):
    return found if len(found) <= most else [found[each * (len(found) - 1) // (most - 1)] for each in range(most)]


async def reset_while_it_runs(case, env):
    """What came out, for each cell in which there was something to reset to."""
    problem, clean = await play_one(case, env, Cell("clean"))
    assert not problem, problem
    tasks = sum(each.kind == "task" for each in clean.probe.moments)
    played, outcomes = 0, []

    async def keep(world, outcome):
        assert outcome.status == "completed", outcome.error
        outcomes.append(outcome)
        checked = case.check(world, outcome)
        if checked is not None:
            await checked

    for moment in spread(clean.probe.moments[1:], MOMENTS):
        for number in spread(range(1, tasks + 1), TASKS):
            done = []
            cell = _cell(moment, number, done)
            problem, _ = await play_one(_with(case, keep), env, cell)
            assert not problem, problem
            played += done == [True]
    assert played >= min(3, MOMENTS)
    return outcomes


def _with(case, check):
    return Case(**{**vars(case), "check": check})


def _cell(moment, number, done):
    def prepare(stage):
        async def reset():
            done.append(await stage.reset(number))

        stage.probe.actions[moment] = reset

    async def follow(stage):
        while stage.probe.acting:
            await asyncio.sleep(0.01)
        return done == [True]

    return Cell("reset", f"to task {number} at {moment}", prepare, (moment,), follow)


async def test_a_list(perdure):
    for outcome in await reset_while_it_runs(FLAT, perdure):
        assert [each.state for each in outcome.result] == ["completed"] * N


async def test_a_list_with_children(perdure):
    for outcome in await reset_while_it_runs(CHILDREN, perdure):
        assert [(each.state, each.error) for each in outcome.result] == [("completed", "")] * N


async def test_pages(perdure):
    for outcome in await reset_while_it_runs(PAGES, perdure):
        told = outcome.result
        assert (told.completed, told.left, told.read_all) == (N, [], True)


async def test_a_poll(perdure):
    assert await reset_while_it_runs(ONE, perdure)


async def test_a_poll_of_many(perdure):
    for outcome in await reset_while_it_runs(MANY, perdure):
        done, _ = outcome.result
        assert done == [True] * len(done)

"""Sagas under every fault."""

from dataclasses import replace

from tests.patterns import sagas
from tests.patterns.matrix import Case
from tests.patterns.sagas import NAMES, Loose, Short, Trip, act, revoke

from perdure.patterns import SagaReport, SagaResume, resume, what_is_left

ORDER = {"seat": 0, "room": 1, "car": 1, "money": 2}
STATES = {"completed": "completed", "failed": "compensated", "canceled": "compensated"}


async def trip(stage):
    return await stage.client.start_workflow(Trip.run, 60.0, id=stage.id, task_queue=stage.queue)


async def in_tasks(stage):
    return await stage.client.start_workflow(Loose.run, args=["gather", 60.0], id=stage.id, task_queue=stage.queue)


async def reports(outcome):
    return await outcome.handle.query("perdure_saga", result_type=list[SagaReport])


async def fix_what_is_stuck(stage):
    """A saga that waits for a person says so, and what is left; then the person comes."""
    [report] = await stage.handle.query("perdure_saga", result_type=list[SagaReport])
    assert report.state == "stuck" and report.left and all(left.error for left in report.left)
    stage.world.was_stuck = True
    stage.probe.choices.clear()
    await stage.handle.signal("perdure_saga_resume")
    return True


async def check(world, outcome):
    history = outcome.history
    over = any(step.kind == "memo" for step in history.steps)
    steps = [step for step in history.activities("act") if step.args != ["mail"]]
    undone = [step for step in history.activities("revoke") if step.status == "completed"]
    if outcome.status == "terminated":
        await check_terminated(world, outcome, over, steps, undone)
    elif over:
        assert not undone, "nothing is undone after the pivot"
        assert all(world.effects[step.id] == 1 for step in steps)
        if outcome.status == "completed":
            trip = outcome.history.workflow_type == "Trip"
            assert outcome.result == ([name.upper() for name in NAMES] if trip else "done")
            assert sorted(world.effects.values()) == [1] * (5 if trip else 3)
    else:
        assert outcome.status in ("failed", "canceled"), outcome.status
        assert not any(world.effects.values()), "the final effect of each key is zero"
        assert {step.id + "/undo" for step in steps} == {step.id for step in undone}
        ended = {step.id + "/undo": step.ended for step in steps}
        assert all(ended[step.id] <= step.began for step in undone), "a step is undone after it has ended"
        order = [ORDER[step.args[0]] for step in undone]
        assert getattr(world, "was_stuck", False) or order == sorted(order, reverse=True), "newest first"
    if outcome.status != "terminated":
        [report] = await reports(outcome)
        expected = "failed" if over and outcome.status != "completed" else STATES[outcome.status]
        assert report == SagaReport(1, expected, [])


async def check_terminated(world, outcome, over, steps, undone):
    client = outcome.stage.client
    left = await what_is_left(client, outcome.handle.id)
    done = {step.id.removesuffix("/undo") for step in undone}
    expected = [] if over else [step.id for step in reversed(steps) if step.id not in done]
    assert [each.key for each in left] == expected
    if left:
        await (await resume(client, outcome.handle.id)).result()
    if not over:
        assert not any(world.effects.values()), "resume has undone what was left"


def failing_world():
    world = sagas.fresh()
    world.fail["money"] = "after"
    return world


TRIP = Case(
    name="saga",
    workflows=[Trip, Short, SagaResume],
    world=sagas.fresh,
    activities=lambda world: [act, revoke],
    start=trip,
    when_idle=fix_what_is_stuck,
    check=check,
)
IN_TASKS = replace(TRIP, name="saga in tasks", workflows=[Loose, SagaResume], start=in_tasks, few=2)
FAILING = replace(TRIP, name="saga that fails", world=failing_world, few=2)


async def test_a_trip(matrix):
    await matrix(TRIP)


async def test_a_trip_that_can_t_be_paid(matrix):
    await matrix(FAILING)


async def test_a_trip_with_steps_in_tasks_of_their_own(matrix):
    await matrix(IN_TASKS)

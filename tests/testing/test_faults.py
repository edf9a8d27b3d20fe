"""Faults that a worker makes: what each does to attempts and to time."""

from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.common import RetryPolicy

LOG = []


@activity.defn
async def act(name: str) -> str:
    LOG.append((name, activity.info().attempt))
    return name


@workflow.defn(sandboxed=False)
class Two:
    @workflow.run
    async def run(self, attempts: int) -> list[str]:
        return [
            await workflow.execute_activity(
                act,
                name,
                start_to_close_timeout=timedelta(hours=1),
                retry_policy=RetryPolicy(maximum_attempts=attempts, initial_interval=timedelta(minutes=1)),
            )
            for name in ("a", "b")
        ]


@pytest.mark.parametrize(
    ("fault", "log", "took"),
    [
        ("duplicate_attempts", [("a", 1), ("a", 2), ("b", 1), ("b", 2)], timedelta(minutes=2)),
        ("lost_replies", [("a", 1), ("a", 2), ("b", 1), ("b", 2)], timedelta(hours=2, minutes=2)),
        ("late_attempts", [("a", 2), ("a", 1), ("b", 2), ("b", 1)], timedelta(hours=2, minutes=2)),
    ],
)
async def test_first_attempts_go_wrong(perdure, fault, log, took):
    LOG.clear()
    perdure.faults(**{fault: True})
    async with perdure.worker(Two, activities=[act]):
        handle = await perdure.start(Two.run, 2)
        assert await handle.result() == ["a", "b"]
    assert [entry for entry in LOG if entry[0] == "a"] == log[:2]
    assert [entry for entry in LOG if entry[0] == "b"] == log[2:]
    history = await perdure.history(handle)
    assert took <= history.ended - history.began < took + timedelta(minutes=1)


@pytest.mark.parametrize("fault", ["duplicate_attempts", "lost_replies", "late_attempts"])
async def test_what_may_not_be_tried_again_is_left_alone(perdure, fault):
    LOG.clear()
    perdure.faults(**{fault: True})
    async with perdure.worker(Two, activities=[act]):
        assert await perdure.execute(Two.run, 1) == ["a", "b"]
    assert LOG == [("a", 1), ("b", 1)]


async def test_one_fault_at_a_time(perdure):
    with pytest.raises(ValueError, match="choose one"):
        perdure.faults(lost_replies=True, late_attempts=True)


async def test_an_activity_of_a_closed_workflow_does_not_hold_time(perdure):
    blocked = perdure.mock(act, returns="late", blocks=True)
    async with perdure.worker(Two, activities=[blocked]):
        handle = await perdure.start(Two.run, 1)
        await blocked.called()
        await handle.terminate()
        other = await perdure.start("Nap", task_queue="nobody", execution_timeout=timedelta(days=1))
        with pytest.raises(Exception, match="execution failed"):
            await other.result()
        blocked.release()

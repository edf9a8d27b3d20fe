"""Each workflow with a clock of its own: `start_time_skipping_v2` of the SDK with Perdure as the dev server."""

from __future__ import annotations

import stat
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = "own-time"
DAY = timedelta(days=1)
YEAR = timedelta(days=365)


@activity.defn
async def flaky() -> int:
    if activity.info().attempt < 5:
        raise ApplicationError("not yet")
    return activity.info().attempt


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, days: float) -> float:
        began = workflow.now()
        await workflow.sleep(timedelta(days=days))
        return (workflow.now() - began) / DAY


@workflow.defn
class Family:
    """Sleeps, has a child that sleeps, and does both once more as a new run."""

    @workflow.run
    async def run(self, began: float) -> float:
        await workflow.sleep(DAY)
        await workflow.execute_child_workflow(Sleeper.run, 5.0)
        if workflow.info().continued_run_id:
            return workflow.now().timestamp() - began
        workflow.continue_as_new(workflow.info().start_time.timestamp())


@workflow.defn
class Retrier:
    @workflow.run
    async def run(self) -> int:
        retries = RetryPolicy(initial_interval=timedelta(hours=1), backoff_coefficient=2)
        return await workflow.execute_activity(flaky, start_to_close_timeout=DAY, retry_policy=retries)


@workflow.defn
class Daily:
    @workflow.run
    async def run(self) -> None:
        pass


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[WorkflowEnvironment]:
    program = tmp_path / "perdure"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m perdure "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    async with await WorkflowEnvironment.start_time_skipping_v2(dev_server_existing_path=str(program)) as environment:
        worker = Worker(
            environment.client,
            task_queue=QUEUE,
            workflows=[Sleeper, Family, Retrier, Daily],
            activities=[flaky],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with worker:
            yield environment


def _id() -> str:
    return str(uuid.uuid4())


async def test_a_year_of_sleep(environment: WorkflowEnvironment) -> None:
    slept = await environment.client.execute_workflow(Sleeper.run, 365.0, id=_id(), task_queue=QUEUE)
    assert slept == pytest.approx(365, abs=0.01)


async def test_retries_of_an_activity(environment: WorkflowEnvironment) -> None:
    assert await environment.client.execute_workflow(Retrier.run, id=_id(), task_queue=QUEUE) == 5


async def test_a_child_and_the_next_run_share_the_clock_at_their_start(environment: WorkflowEnvironment) -> None:
    lived = await environment.client.execute_workflow(Family.run, 0.0, id=_id(), task_queue=QUEUE)
    assert lived / DAY.total_seconds() == pytest.approx(2, abs=0.01)


async def test_a_timeout(environment: WorkflowEnvironment) -> None:
    with pytest.raises(WorkflowFailureError):
        await environment.client.execute_workflow(
            Sleeper.run, 365.0, id=_id(), task_queue=QUEUE, run_timeout=timedelta(days=30)
        )


async def test_cron_ends_with_its_execution_timeout(environment: WorkflowEnvironment) -> None:
    name = _id()
    with pytest.raises(WorkflowFailureError):
        await environment.client.execute_workflow(
            Daily.run, id=name, task_queue=QUEUE, cron_schedule="0 0 * * *", execution_timeout=timedelta(days=10)
        )
    runs = await environment.client.count_workflows(f"WorkflowId = '{name}'")
    assert runs.count in (10, 11)


async def test_fast_forward_moves_one_workflow_alone(environment: WorkflowEnvironment) -> None:
    with environment.with_time_skipping_disabled():
        one: WorkflowHandle[Sleeper, float] = await environment.client.start_workflow(
            Sleeper.run, 365.0, id=_id(), task_queue=QUEUE
        )
        other = await environment.client.start_workflow(Sleeper.run, 365.0, id=_id(), task_queue=QUEUE)
    assert await environment.fast_forward(one, timedelta(days=100))
    ahead = await environment.get_current_time(one) - await environment.get_current_time(other)
    assert ahead / DAY == pytest.approx(100, abs=0.01)
    assert await environment.get_time_skipping_info(other) is None
    assert await environment.fast_forward(one, YEAR) is False
    assert await one.result() == pytest.approx(365, abs=0.01)

"""The pipeline: what runs, what people may do, and what is left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from examples.pipeline.__main__ import People, check, read, show
from examples.pipeline.activities import Job, Runner, Told
from examples.pipeline.workflow import Outcome, Pipeline, PipelineRun, Stage
from perdure.testing import Env

OK = ["{python}", "-S", "-c", "pass"]
BAD = ["{python}", "-S", "-c", "print('no'); raise SystemExit(3)"]


@asynccontextmanager
async def runner_of(perdure: Env, folder: Path, **instead: Any) -> AsyncIterator[tuple[Runner, People]]:
    people = People(perdure.client)
    runner = people.runner = Runner(folder, people.hear, people.decide)
    activities = [instead.get(fn.__name__, fn) for fn in runner.all()]
    async with perdure.worker(Pipeline, activities=activities):
        yield runner, people


async def test_the_story(perdure: Env, capsys: pytest.CaptureFixture[str]) -> None:
    await show(perdure.client)
    printed = capsys.readouterr().out
    assert "hasty      rejected: 6 jobs passed, 1 jobs waiting" in printed and "in production: release.pyz" in printed


@pytest.mark.parametrize("faults", [{"evict_every_task": True}, {"duplicate_attempts": True}])
async def test_under_faults(perdure: Env, tmp_path: Path, faults: dict[str, bool]) -> None:
    perdure.faults(**faults)
    async with runner_of(perdure, tmp_path) as (runner, _):
        outcome = await perdure.execute(Pipeline.run, read("release"))
    assert outcome.ended == "passed" and set(outcome.jobs.values()) == {"passed"}
    check(runner, deployed=["release"], staged=["release"])


async def test_a_cancelled_job_is_dead_before_the_workspace_goes(perdure: Env, tmp_path: Path) -> None:
    alive: list[bool] = []

    @activity.defn
    async def remove_workspace(run: str) -> None:
        alive.append("x/endless" in runner.running)
        await Runner.remove_workspace(runner, run)

    async with runner_of(perdure, tmp_path, remove_workspace=remove_workspace) as (runner, _):
        endless = Job("endless", ["{python}", "-S", "-c", "import time; time.sleep(600)"])
        handle: WorkflowHandle[Any, Outcome] = await perdure.start(
            Pipeline.run, PipelineRun("x", "ann", [Stage("s", [endless])])
        )
        while "x/endless" not in runner.running:
            await asyncio.sleep(0.01)
        pid = runner.running["x/endless"]
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert alive == [False]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_where_one_job_breaks_the_others_are_dead_before_the_workspace_goes(perdure: Env, tmp_path: Path) -> None:
    alive: list[bool] = []

    @activity.defn
    async def tell(told: Told) -> None:
        while "x/endless" not in runner.running:
            await asyncio.sleep(0.01)
        raise ApplicationError("nobody can be told", non_retryable=True)

    @activity.defn
    async def remove_workspace(run: str) -> None:
        alive.append("x/endless" in runner.running)
        await Runner.remove_workspace(runner, run)

    async with runner_of(perdure, tmp_path, tell=tell, remove_workspace=remove_workspace) as (runner, _):
        endless = Job("endless", ["{python}", "-S", "-c", "import time; time.sleep(600)"])
        run = PipelineRun("x", "ann", [Stage("s", [Job("bad", BAD), endless])])
        with pytest.raises(WorkflowFailureError):
            await perdure.execute(Pipeline.run, run)
    assert alive == [False]


@pytest.mark.perdure(time="manual")
async def test_cancelled_while_somebody_may_fix_it(perdure: Env, tmp_path: Path) -> None:
    async with runner_of(perdure, tmp_path) as (runner, people):
        handle = await perdure.start(Pipeline.run, PipelineRun("forgotten", "ann", [Stage("s", [Job("bad", BAD)])]))
        while not people.told["forgotten"]:
            await asyncio.sleep(0.01)
        await perdure.settle()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    check(runner, deployed=[], staged=[])


@pytest.mark.perdure(time="manual")
async def test_only_what_has_failed_is_retried(perdure: Env, tmp_path: Path) -> None:
    async with runner_of(perdure, tmp_path) as (_, people):
        people.told["forgotten"] = 0
        run = PipelineRun("forgotten", "ann", [Stage("s", [Job("good", OK), Job("bad", BAD)])])
        handle = await perdure.start(Pipeline.run, run)
        while not people.told["forgotten"] or (await handle.query(Pipeline.jobs))["good"] == "running":
            await asyncio.sleep(0.01)
        for job, why in (("good", "good is passed"), ("other", "other is no job of this pipeline")):
            with pytest.raises(WorkflowUpdateFailedError) as raised:
                await handle.execute_update(Pipeline.retry, job)
            assert why in str(raised.value.cause)
        assert await handle.execute_update(Pipeline.retry, "bad") == "bad runs again"
        while people.told["forgotten"] < 2:
            await asyncio.sleep(0.01)
        await perdure.advance(timedelta(minutes=59))
        assert (await handle.query(Pipeline.jobs))["bad"] == "failed"
        await perdure.advance(timedelta(minutes=2))
        assert (await handle.result()).ended == "failed"
    history = await perdure.history(handle)
    assert [step.attempts for step in history.activities("run_job")] == [1, 1, 1]

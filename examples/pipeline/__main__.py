"""Four runs of a pipeline, with real processes: one is deployed, one rejected, one never fixed, one cancelled.

A test fails until somebody has opened the post office, and then runs again by itself. Rita has to approve what ann
deploys; ann may not.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.worker import Worker

from examples.pipeline.activities import Job, Runner, Told
from examples.pipeline.workflow import Outcome, Pipeline, PipelineRun, Stage
from examples.show import Mismatch, fresh, run
from perdure.patterns import Approvals, Notice

FILE = Path(__file__).parent / "pipeline.json"
ENDS = {"release": "passed", "hasty": "rejected", "forgotten": "failed", "cancelled": "cancelled"}


def read(name: str) -> PipelineRun:
    """A run of the pipeline, by ann."""
    stages = [
        Stage(stage["name"], [Job(**job) for job in stage["jobs"]], stage.get("approvers", []))
        for stage in json.loads(FILE.read_text())
    ]
    if name == "cancelled":
        stages[0].jobs.append(Job("endless", ["{python}", "-S", "-c", "import time; time.sleep(600)"]))
    return PipelineRun(name, "ann", stages)


class People:
    """Ann opens the post office when she hears of a failed test, but for the run that she forgets. Rita decides."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.runner: Runner
        self.told: Counter[str] = Counter()

    async def hear(self, workflow_id: str, told: Told) -> None:
        self.told[told.run] += 1
        if told.run != "forgotten":
            (self.runner.workspaces / told.run / "post-office-is-open").touch()
            await self._client.get_workflow_handle(workflow_id).execute_update(Pipeline.retry, told.job)

    async def decide(self, workflow_id: str, notice: Notice) -> None:
        approvals = Approvals(self._client, workflow_id, chain=notice.chain)
        reply = await approvals.approve(notice.request.requester, id=notice.approval)
        if reply.taken:
            raise Mismatch("ann has approved what she has asked for")
        if "hasty" in notice.request.subject:
            await approvals.reject(notice.to, "not on a Friday", id=notice.approval)
        else:
            await approvals.approve(notice.to, id=notice.approval)


async def show(client: Client) -> None:
    """All runs, one after the other; then what is on the site, and what is left of the work."""
    people = People(client)
    queue = fresh("pipeline")
    with tempfile.TemporaryDirectory() as folder:
        runner = people.runner = Runner(Path(folder), people.hear, people.decide)
        async with Worker(client, task_queue=queue, workflows=[Pipeline], activities=runner.all()):
            for name, expected in ENDS.items():
                handle: WorkflowHandle[Any, Outcome] = await client.start_workflow(
                    Pipeline.run, read(name), id=f"{queue}-{name}", task_queue=queue
                )
                ended = await _ended(handle, runner, cancel=name == "cancelled")
                print(f"{name:10} {ended}, {people.told[name]} failed jobs were told of")
                if ended.split(":")[0] != expected:
                    raise Mismatch(f"{name} is {ended}, not {expected}")
        check(runner, deployed=["release"], staged=["hasty", "release"])
        print(f"in production: {', '.join(sorted(file.name for file in (runner.site / 'production').iterdir()))}")


async def _ended(handle: WorkflowHandle[Any, Outcome], runner: Runner, *, cancel: bool) -> str:
    if cancel:
        while not await _only_the_endless_runs(handle, runner):
            await asyncio.sleep(0.02)
        await handle.cancel()
    try:
        outcome = await handle.result()
    except WorkflowFailureError as error:
        return "cancelled" if type(error.cause).__name__ == "CancelledError" else f"broken: {error.cause!r}"
    done = Counter(outcome.jobs.values())
    return f"{outcome.ended}: {', '.join(f'{count} jobs {state}' for state, count in done.items())}"


async def _only_the_endless_runs(handle: WorkflowHandle[Any, Outcome], runner: Runner) -> bool:
    states = list((await handle.query(Pipeline.jobs)).values())
    return "cancelled/endless" in runner.running and states.count("running") == 1 and "failed" not in states


def check(runner: Runner, *, deployed: list[str], staged: list[str]) -> None:
    """Raises `Mismatch` unless these are on the site, no workspace is left, and no process."""
    for stage, wanted in (("production", deployed), ("staging", staged)):
        found = sorted(file.stem for file in (runner.site / stage).iterdir())
        if found != wanted:
            raise Mismatch(f"{stage} has {found}, not {wanted}")
    if left := [folder.name for folder in runner.workspaces.iterdir() if folder.is_dir()]:
        raise Mismatch(f"workspaces are left: {left}")
    if running := [name for name, pid in runner.running.items() if _lives(pid)]:
        raise Mismatch(f"processes are left: {running}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    run(show, __doc__)

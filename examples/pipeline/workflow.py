"""A pipeline: stages one after the other, the jobs of each at once, and people who approve, retry and cancel."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from examples.pipeline.activities import Job, Runner, Told
    from perdure.patterns import ApprovalRequest, approval, method, options

JOB = options.long_job.but(heartbeat=timedelta(seconds=3), never_retry=("JobFailed",))
RETRY_WITHIN = timedelta(hours=1)
"""So long somebody may fix what made a job fail, and have it run again."""
APPROVE_WITHIN = timedelta(days=3)
State = Literal["waiting", "running", "passed", "failed"]


@dataclass
class Stage:
    name: str
    jobs: list[Job]
    approvers: list[str] = field(default_factory=list)
    """If there are any, one of them has to approve before the stage begins."""


@dataclass
class PipelineRun:
    name: str
    author: str
    stages: list[Stage]


@dataclass
class Outcome:
    ended: str
    """passed, failed, rejected or expired"""
    jobs: dict[str, str]


@workflow.defn
class Pipeline:
    def __init__(self) -> None:
        self._jobs: dict[str, State] = {}
        self._retry: set[str] = set()

    @workflow.run
    async def run(self, run: PipelineRun) -> Outcome:
        self._jobs = {job.name: "waiting" for stage in run.stages for job in stage.jobs}
        await workflow.execute_activity_method(Runner.check_out, run.name, **options.quick.config())
        try:
            ended = await self._stages(run)
        except (Exception, asyncio.CancelledError):
            # Not `finally`, and not every exception: an evicted workflow leaves by one, too.
            await self._remove_workspace(run)
            raise
        await self._remove_workspace(run)
        return Outcome(ended, dict(self._jobs))

    async def _stages(self, run: PipelineRun) -> str:
        for stage in run.stages:
            if stage.approvers:
                request = ApprovalRequest(f"{stage.name} of {run.name}", requester=run.author)
                decision = await approval(
                    request, stage.approvers, deadline=APPROVE_WITHIN, notify=method(Runner.ask), id=stage.name
                )
                if not decision.approved:
                    return decision.outcome
            if not await self._all_jobs(run, stage):
                return "failed"
        return "passed"

    async def _all_jobs(self, run: PipelineRun, stage: Stage) -> bool:
        """Whether they have passed. When one breaks the others are ended before the workspace goes."""
        jobs = [asyncio.create_task(self._job(run, job)) for job in stage.jobs]
        try:
            return all(await asyncio.gather(*jobs))
        except Exception:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            raise

    async def _job(self, run: PipelineRun, job: Job) -> bool:
        """Whether it has passed, in the end."""
        config = JOB.config()
        config["cancellation_type"] = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        while True:
            self._jobs[job.name] = "running"
            self._retry.discard(job.name)
            try:
                await workflow.execute_activity_method(Runner.run_job, args=[run.name, job], **config)
            except ActivityError as error:
                if not isinstance(error.cause, ApplicationError):
                    raise
                self._jobs[job.name] = "failed"
                told = Told(run.name, run.author, job.name, error.cause.message)
                await workflow.execute_activity_method(Runner.tell, told, **options.quick.config())
            else:
                self._jobs[job.name] = "passed"
                return True
            try:
                await workflow.wait_condition(lambda: job.name in self._retry, timeout=RETRY_WITHIN)
            except TimeoutError:
                return False

    async def _remove_workspace(self, run: PipelineRun) -> None:
        await workflow.execute_activity_method(Runner.remove_workspace, run.name, **options.quick.config())

    @workflow.update
    def retry(self, job: str) -> str:
        """Have a failed job run again."""
        self._retry.add(job)
        return f"{job} runs again"

    @retry.validator
    def _has_failed(self, job: str) -> None:
        if self._jobs.get(job) != "failed":
            raise ApplicationError(f"{job} is {self._jobs.get(job, 'no job of this pipeline')}", type="NotFailed")

    @workflow.query
    def jobs(self) -> dict[str, str]:
        """The state of each job."""
        return dict(self._jobs)

"""Where jobs run: workspaces, processes, and people who are told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure.patterns import Notice, progress

PROJECT = Path(__file__).parent / "project"
SILENCE = timedelta(minutes=10)
"""A job that prints nothing for so long hangs."""
SHOWN = 400
"""Characters of a failed job's output."""


@dataclass
class Job:
    name: str
    command: list[str]
    """{python}, {workspace}, {run} and {site} are filled in."""


@dataclass
class Told:
    """Somebody is told that a job has failed."""

    run: str
    author: str
    job: str
    why: str


class Runner:
    """The activities, on a folder. `tell` and `ask` are how people hear of it."""

    def __init__(
        self,
        folder: Path,
        tell: Callable[[str, Told], Awaitable[None]],
        ask: Callable[[str, Notice], Awaitable[None]],
    ) -> None:
        self.site = folder / "site"
        self.workspaces = folder / "workspaces"
        self.running: dict[str, int] = {}
        """run/job -> process id"""
        self._tell, self._ask = tell, ask
        for stage in ("staging", "production"):
            (self.site / stage).mkdir(parents=True)

    def all(self) -> list[Callable[..., Any]]:
        return [self.check_out, self.run_job, self.remove_workspace, self.tell, self.ask]

    @activity.defn
    async def check_out(self, run: str) -> None:
        """A workspace with the project in it."""
        shutil.copytree(
            PROJECT, self.workspaces / run, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )

    @activity.defn
    async def remove_workspace(self, run: str) -> None:
        shutil.rmtree(self.workspaces / run, ignore_errors=True)

    @activity.defn
    async def run_job(self, run: str, job: Job) -> str:
        """The job's output. Fails with "JobFailed" if it ends with another code than 0. A cancelled job is killed."""
        workspace = self.workspaces / run
        places = {"python": sys.executable, "workspace": workspace, "run": run, "site": self.site}
        process = await asyncio.create_subprocess_exec(
            *(word.format(**places) for word in job.command),
            cwd=workspace,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.running[f"{run}/{job.name}"] = process.pid
        try:
            async with progress(int, stall_timeout=SILENCE) as p:
                output = await _read(process, p.alive)
                code = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            del self.running[f"{run}/{job.name}"]
        if code:
            raise ApplicationError(f"code {code}: {output[-SHOWN:]}", type="JobFailed", non_retryable=True)
        return output[-SHOWN:]

    @activity.defn
    async def tell(self, told: Told) -> None:
        await self._tell(str(activity.info().workflow_id), told)

    @activity.defn
    async def ask(self, notice: Notice) -> None:
        await self._ask(str(activity.info().workflow_id), notice)


async def _read(process: asyncio.subprocess.Process, alive: Callable[[], None]) -> str:
    assert process.stdout is not None
    lines = []
    async for line in process.stdout:
        lines.append(line.decode(errors="replace"))
        alive()
    return "".join(lines)

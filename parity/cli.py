"""The official CLI against both servers: what each command line prints, in text and in JSON, and how it exits.

The program is the one that TEMPORAL_CLI names, or `temporal` on the path or in ~/bin. Each run has a namespace of its
own with a worker of the Python SDK; see `command_lines/` for the command lines.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import shlex
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from parity import cli_workflows
from parity.cli_output import Shown
from parity.programs import Records, Unavailable, finding
from parity.results import Finding

FAMILY = "cli"
TRIES = 3
AT_ONCE = 3
COMMAND_LIMIT_S = 20.0
UNTIL_LIMIT_S = 15.0
PAUSE_S = 0.2
COMMANDS = Path(__file__).parent / "command_lines"
READS = re.compile(
    "count|describe|get|get-build-ids|get-rules|health|list|metadata|query|result|show|stack|system|list-partition"
)
_LINE = re.compile(
    r"(?:(?P<name>\w+) = )?"
    r"(?:until (?P<quote>[\"'])(?P<text>.*?)(?P=quote) )?"
    r"(?P<sorted>sorted )?"
    r"(?P<command>.+)"
)


def program() -> str:
    """Path of the official CLI. Raises `Unavailable` where there is none."""
    home = Path.home() / "bin" / "temporal"
    for path in (os.environ.get("TEMPORAL_CLI"), shutil.which("temporal"), str(home) if home.exists() else None):
        if path:
            return path
    raise Unavailable("there is no official CLI: set TEMPORAL_CLI, or put `temporal` on the path")


@dataclass(frozen=True)
class Line:
    """A line of a scenario; see `command_lines/`."""

    command: str
    name: str = ""
    until: str = ""
    in_any_order: bool = False

    @property
    def reads(self) -> bool:
        """Whether the command only reads, so that it can be run in another form, too."""
        words = [word for word in self.command.split(" -")[0].split() if word]
        return READS.fullmatch(words[-1]) is not None and " -o " not in self.command and "--follow" not in self.command


def scenarios() -> list[str]:
    """Names of all scenarios."""
    return sorted(path.stem for path in COMMANDS.glob("*.txt"))


def parse(text: str) -> list[Line]:
    """The lines of a scenario."""
    lines = []
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            lines.append(Line(match["command"], match["name"] or "", match["text"] or "", bool(match["sorted"])))
    return lines


@dataclass
class Session:
    """The CLI on one server, with the names that the lines have given so far."""

    cli: str
    address: str
    token: str

    def __post_init__(self) -> None:
        self.namespace, self.queue = f"cli-{self.token}", f"queue-{self.token}"
        self.names = {"t": self.token, "queue": self.queue, "namespace": self.namespace}

    async def run(self, command: str) -> tuple[int | None, str, str]:
        """Exit code (None when it took too long), output and errors of a command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        environment = {**kept, "TEMPORAL_ADDRESS": self.address, "TEMPORAL_NAMESPACE": self.namespace}
        for name, value in self.names.items():
            command = command.replace(f"{{{name}}}", value)
        process = await asyncio.create_subprocess_exec(
            self.cli,
            *shlex.split(command),
            "--disable-config-file",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), COMMAND_LIMIT_S)
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            return None, out.decode(), err.decode()
        return process.returncode, out.decode(), err.decode()

    async def until(self, command: str, works: str) -> None:
        """Run a command, and once more until another works. Raises `ConnectionError` if it never does."""
        for _ in range(int(UNTIL_LIMIT_S / PAUSE_S)):
            await self.run(command)
            code, _, err = await self.run(works)
            if code == 0:
                return
            await asyncio.sleep(PAUSE_S)
        raise ConnectionError(f"`{works}` fails on {self.address}: {err}")

    async def line(self, line: Line, shown: Shown) -> dict[str, Any]:
        """What a line printed, by form."""
        loop = asyncio.get_running_loop()
        end = loop.time() + UNTIL_LIMIT_S
        while True:
            code, out, err = await self.run(line.command)
            if not line.until or line.until in out + err or loop.time() > end:
                break
            await asyncio.sleep(PAUSE_S)
        if line.name:
            self.names[line.name] = json.loads(out)["runId"]
        told = {"first": shown.printed(code, out, err, line.in_any_order)}
        if line.reads:
            told["json"] = shown.printed(*await self.run(line.command + " -o json"), line.in_any_order)
        return told

    async def scenario(self, name: str) -> dict[str, Any]:
        """What each line of a scenario printed, by command."""
        shown = Shown(self.token)
        told: dict[str, Any] = {}
        for number, line in enumerate(parse((COMMANDS / f"{name}.txt").read_text()), start=1):
            told[f"{number} {line.command}"] = await self.line(line, shown)
        return told


async def run(address: str, names: Iterable[str], token: str) -> Records:
    """What the scenarios (all if none is named) printed on one server. Raises `Unavailable` without the CLI."""
    cli, gate = program(), asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> tuple[str, dict[str, Any]]:
        async with gate:
            return name, await Session(cli, address, token).scenario(name)

    async with _fixtures(address, Session(cli, address, token)):
        return dict(await asyncio.gather(*(one(name) for name in names or scenarios())))


@asynccontextmanager
async def _fixtures(address: str, session: Session) -> AsyncIterator[None]:
    """A namespace with search attributes, and a worker; the namespace is deleted in the end."""
    # An activity that fails is an everyday thing here, not a warning with a traceback.
    log = logging.getLogger("temporalio")
    level = log.level
    log.setLevel(logging.CRITICAL)
    await session.until("operator namespace create -n {namespace}", "operator namespace describe -n {namespace}")
    create = "operator search-attribute create --name CliKeyword --type Keyword --name CliInt --type Int"
    await session.until(create, "workflow count -q 'CliInt = 1'")
    runtime = Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=timedelta(seconds=1))
    client = await Client.connect(address, namespace=session.namespace, identity="cli-worker", runtime=runtime)
    worker = Worker(
        client,
        task_queue=session.queue,
        workflows=cli_workflows.WORKFLOWS,
        activities=cli_workflows.ACTIVITIES,
        workflow_runner=UnsandboxedWorkflowRunner(),
        build_id="cli-build",  # otherwise it would be made from the code that runs this
    )
    try:
        async with worker:
            yield
    finally:
        log.setLevel(level)
        await session.run("operator namespace delete -n {namespace} -y")


async def compare(perdure: str, reference: str) -> list[Finding]:
    """Every scenario on both servers; those that differ again, since a busy machine changes the order of events."""
    findings: dict[str, Finding] = {}
    names: list[str] = []
    for _ in range(TRIES):
        token = secrets.token_hex(6)
        here, there = await asyncio.gather(run(perdure, names, token), run(reference, names, token))
        findings.update({name: finding(FAMILY, name, there[name], here[name]) for name in here})
        names = [name for name, found in findings.items() if found.state == "unexplained"]
        if not names:
            break
    return [findings[name] for name in sorted(findings)]

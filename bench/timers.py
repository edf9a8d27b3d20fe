"""Many open workflows with a timer each, some of them overdue when the server starts: python -m bench.timers

Prints how long the start takes, how long until all overdue timers have fired, how new starts fare meanwhile, the
server's memory, and what a workflow costs it compared with the same server when it was empty.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from examples.processes import PERDURE_UP, ProcessDied, ServerProcess, answering
from rich.console import Console
from rich.table import Table
from temporalio.api.command.v1 import (
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    StartTimerCommandAttributes,
)
from temporalio.api.common.v1 import Payload, Payloads, WorkflowType
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    StartWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

TASK_QUEUE = TaskQueue(name="timers")
POLLERS = 16
STARTS_AT_ONCE = 32
AN_HOUR_S = 3600
COST_SAMPLE = 500
PROBE_EVERY_S = 0.02


@dataclass
class Figures:
    """What was measured; times in seconds unless the name says otherwise."""

    open: int = 0
    overdue: int = 0
    opened_per_s: float = 0.0
    ready_s: float = 0.0
    all_fired_s: float = 0.0
    fired: int = 0
    starts_ms: list[float] = field(default_factory=list)
    rss_mb: float = 0.0
    cost_empty_ms: float = 0.0
    cost_full_ms: float = 0.0

    def table(self) -> Table:
        """Return the figures for the terminal."""
        starts = sorted(self.starts_ms) or [0.0]
        table = Table("measure", "value", title=f"{self.open} open workflows, {self.overdue} timers overdue")
        table.add_row("opened a second", f"{self.opened_per_s:.0f}")
        table.add_row("ready after", f"{self.ready_s:.2f} s")
        table.add_row("overdue timers fired", f"{self.fired} of {self.overdue} within {self.all_fired_s:.1f} s")
        table.add_row("starts answered meanwhile", str(len(self.starts_ms)))
        table.add_row("their p50, p99", f"{starts[len(starts) // 2]:.1f} ms, {starts[len(starts) * 99 // 100]:.1f} ms")
        table.add_row("server RSS, peak after the start", f"{self.rss_mb:.0f} MB")
        table.add_row("server CPU a workflow, empty", f"{self.cost_empty_ms:.2f} ms")
        table.add_row("server CPU a workflow, full", f"{self.cost_full_ms:.2f} ms")
        if self.cost_empty_ms:
            table.add_row("full to empty", f"{self.cost_full_ms / self.cost_empty_ms:.2f}")
        return table


class Load:
    """Starts workflows and works on them, with bare calls: a worker of the SDK would cost more than the server.

    A workflow's input is the number of seconds of its timer; with 0 it ends at once.
    """

    def __init__(self, client: Client) -> None:
        self._service = client.workflow_service
        self._namespace = client.namespace
        self._changed = asyncio.Condition()
        self.armed = 0
        self.completed = 0
        self.completed_timers = 0

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work on tasks while the context lasts."""
        async with asyncio.TaskGroup() as group:
            pollers = [group.create_task(self._poll()) for _ in range(POLLERS)]
            yield
            for poller in pollers:
                poller.cancel()

    async def start(self, workflow_id: str, timer_s: float) -> None:
        """Start one workflow."""
        request = StartWorkflowExecutionRequest(
            namespace=self._namespace,
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name="Timed"),
            task_queue=TASK_QUEUE,
            input=Payloads(payloads=[Payload(data=str(timer_s).encode())]),
            request_id=str(uuid.uuid4()),
        )
        await self._service.start_workflow_execution(request, retry=True)

    async def open(self, prefix: str, count: int, timer_s: float) -> None:
        """Start `count` workflows, and return when each has its timer, or has ended if it has none."""
        settled = self.armed + self.completed + count
        numbers = iter(range(count))

        async def one_after_another() -> None:
            for number in numbers:
                await self.start(f"{prefix}-{number}", timer_s)

        await asyncio.gather(*(one_after_another() for _ in range(STARTS_AT_ONCE)))
        async with self._changed:
            await self._changed.wait_for(lambda: self.armed + self.completed >= settled)

    async def closed(self, prefix: str) -> int:
        """Return how many workflows that `open` started have ended."""
        query = f"WorkflowId STARTS_WITH '{prefix}-' AND ExecutionStatus = 'Completed'"
        request = CountWorkflowExecutionsRequest(namespace=self._namespace, query=query)
        return (await self._service.count_workflow_executions(request, retry=True)).count

    async def until_completed(self, count: int) -> None:
        """Wait until `count` workflows have ended whose timers fired."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.completed_timers >= count)

    async def _poll(self) -> None:
        request = PollWorkflowTaskQueueRequest(namespace=self._namespace, task_queue=TASK_QUEUE, identity="timers")
        while True:
            task = await self._service.poll_workflow_task_queue(request, retry=True, timeout=timedelta(seconds=70))
            if not task.task_token:
                continue
            try:
                await self._decide(task)
            except RPCError as error:
                # The task timed out before it was done; it comes again.
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise

    async def _decide(self, task: PollWorkflowTaskQueueResponse) -> None:
        fired = any(event.event_type == EventType.EVENT_TYPE_TIMER_FIRED for event in task.history.events)
        started = task.history.events[0].workflow_execution_started_event_attributes
        timer_s = float(started.input.payloads[0].data)
        command = _complete() if fired or timer_s == 0 else _start_timer(timer_s)
        request = RespondWorkflowTaskCompletedRequest(
            namespace=self._namespace, task_token=task.task_token, identity="timers", commands=[command]
        )
        await self._service.respond_workflow_task_completed(request, retry=True)
        async with self._changed:
            if command.command_type == CommandType.COMMAND_TYPE_START_TIMER:
                self.armed += 1
            else:
                self.completed += not fired
                self.completed_timers += fired
            self._changed.notify_all()


async def measure(server: ServerProcess, count: int, overdue: int, cost_sample: int = COST_SAMPLE) -> Figures:
    """Fill `server` with `count` workflows, and measure its start after the timers of `overdue` of them fell due."""
    figures = Figures(open=count, overdue=overdue)
    await server.start_and_wait()
    load = Load(await answering(server.address, server))
    async with load.working():
        await load.open("warm-up", cost_sample, 0)
        figures.cost_empty_ms = await _cost_ms(server, load, "empty", cost_sample)
        began = time.monotonic()
        await load.open("later", count - overdue, AN_HOUR_S)
        figures.opened_per_s = (count - overdue) / (time.monotonic() - began)
        # Long enough that none fires before the last one is set.
        timer_s = round(2 + 2 * overdue / figures.opened_per_s, 1)
        await load.open("overdue", overdue, timer_s)
        all_due = time.monotonic() + timer_s
    server.kill()
    print(f"all open; {overdue} timers fall due within {timer_s:.0f} s", file=sys.stderr)
    await asyncio.sleep(all_due - time.monotonic())
    await _measure_restart(server, figures, cost_sample)
    return figures


async def _measure_restart(server: ServerProcess, figures: Figures, cost_sample: int) -> None:
    figures.ready_s = await server.start_and_wait()
    began = time.monotonic()
    load = Load(await answering(server.address, server))
    before = await load.closed("overdue")  # none, unless the machine was too busy to set all timers in time
    probe = asyncio.create_task(_probe(server, load, figures))
    async with load.working():
        await load.until_completed(figures.overdue - before)
        figures.all_fired_s = time.monotonic() - began
        while not figures.starts_ms and not probe.done():  # the first is still on its way
            await asyncio.sleep(PROBE_EVERY_S)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        figures.cost_full_ms = await _cost_ms(server, load, "full", cost_sample)
    figures.fired = before + load.completed_timers
    figures.rss_mb = max(figures.rss_mb, server.rss_mb)


async def _probe(server: ServerProcess, load: Load, figures: Figures) -> None:
    """Start a workflow every now and then, and note how long the answer takes and how big the server is."""
    number = 0
    while True:
        number += 1
        began = time.monotonic()
        await load.start(f"probe-{number}", 0)
        figures.starts_ms.append((time.monotonic() - began) * 1000)
        figures.rss_mb = max(figures.rss_mb, server.rss_mb)
        await asyncio.sleep(PROBE_EVERY_S)


async def _cost_ms(server: ServerProcess, load: Load, name: str, sample: int) -> float:
    """Return the server's CPU time for a workflow that is started and ends at its first task."""
    before = server.cpu_s
    await load.open(f"cost-{name}", sample, 0)
    return (server.cpu_s - before) * 1000 / sample


def _start_timer(timer_s: float) -> Command:
    attributes = StartTimerCommandAttributes(timer_id="timer")
    attributes.start_to_fire_timeout.FromMilliseconds(round(timer_s * 1000))
    return Command(command_type=CommandType.COMMAND_TYPE_START_TIMER, start_timer_command_attributes=attributes)


def _complete() -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes(),
    )


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.timers", description="Measure a server with many timers.")
    parser.add_argument("--open", type=int, default=100_000, help="workflows with a timer (default: %(default)s)")
    parser.add_argument("--overdue", type=int, default=10_000, help="of these, due at the start (default: %(default)s)")
    parser.add_argument(
        "--server-command",
        default=os.environ.get("PERDURE_SERVER_COMMAND", PERDURE_UP),
        help="{db} and {port} are filled in (default: perdure up)",
    )
    args = parser.parse_args()
    if not 0 < args.overdue < args.open:
        parser.error("--overdue has to be between 0 and --open")
    with tempfile.TemporaryDirectory(prefix="perdure-timers-") as folder:
        server = ServerProcess(Path(folder) / "server.db", Path(folder) / "server.log", args.server_command)
        try:
            figures = asyncio.run(measure(server, args.open, args.overdue))
        except ProcessDied as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        finally:
            server.kill()
    Console().print(figures.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())

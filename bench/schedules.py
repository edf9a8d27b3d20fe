"""Many schedules of which nothing is due: python -m bench.schedules [--schedules N]

Prints how fast they are created, how long a server needs to start with them, and the memory and CPU time that it then
takes, next to an empty one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from examples.processes import ServerProcess, answering
from rich.console import Console
from rich.table import Table
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.schedule.v1 import Schedule
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import CreateScheduleRequest
from temporalio.client import Client

AT_ONCE = 32
SETTLE_S = 2.0
REST_S = 30.0


def _schedule(number: int) -> Schedule:
    """Once a day, at a time of its own, a few hours from now at the earliest."""
    schedule = Schedule()
    interval = schedule.spec.interval.add()
    interval.interval.seconds = 86_400
    interval.phase.seconds = (int(time.time()) + 6 * 3600 + number % 43_200) % 86_400
    schedule.action.start_workflow.CopyFrom(
        NewWorkflowExecutionInfo(
            workflow_id=f"w-{number}", workflow_type=WorkflowType(name="order"), task_queue=TaskQueue(name="orders")
        )
    )
    return schedule


async def _create(client: Client, numbers: list[int]) -> None:
    while numbers:
        number = numbers.pop()
        request = CreateScheduleRequest(
            namespace="default", schedule_id=f"s-{number}", request_id=str(number), schedule=_schedule(number)
        )
        await client.workflow_service.create_schedule(request)


@dataclass
class Rest:
    """What a server takes that has just been started and does nothing."""

    ready_s: float
    """Until it answered."""
    rss_mb: float
    cpu_ms_per_s: float


async def _start(server: ServerProcess) -> tuple[Client, Rest]:
    began = time.monotonic()
    await server.start_and_wait()
    client = await answering(server.address, server)
    ready_s = time.monotonic() - began
    await asyncio.sleep(SETTLE_S)
    before_s = _cpu_s(server)
    await asyncio.sleep(REST_S)
    return client, Rest(ready_s, server.rss_mb, 1000 * (_cpu_s(server) - before_s) / REST_S)


def _cpu_s(server: ServerProcess) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


async def measure(count: int, folder: Path) -> Table:
    """Create `count` schedules and look at a server that starts with them."""
    server = ServerProcess(folder / "server.db", folder / "server.log")
    try:
        client, empty = await _start(server)
        numbers, began = list(range(count)), time.monotonic()
        await asyncio.gather(*(_create(client, numbers) for _ in range(AT_ONCE)))
        created_per_s = count / (time.monotonic() - began)
        server.kill()
        _, full = await _start(server)
    finally:
        server.kill()
    table = Table("schedules", f"{count:,}")
    table.add_row("created per second", f"{created_per_s:,.0f}")
    for name, rest in (("empty", empty), ("with all of them", full)):
        table.add_row(f"start, {name}", f"{rest.ready_s:.2f} s")
        table.add_row(f"memory, {name}", f"{rest.rss_mb:.1f} MB")
        table.add_row(f"CPU at rest, {name}", f"{rest.cpu_ms_per_s:.2f} ms a second")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Console().print(asyncio.run(measure(args.schedules, Path(folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Many schedules of which nothing is due: python -m bench.schedules [--schedules N]

Prints how fast they are created, how long a server needs to start with them, and the memory that it then has, next to
that of an empty one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

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


async def _start(server: ServerProcess) -> tuple[Client, float, float]:
    """A started server: its client, the seconds until it answered, its memory in MB."""
    began = time.monotonic()
    await server.start_and_wait()
    client = await answering(server.address, server)
    ready_s = time.monotonic() - began
    await asyncio.sleep(SETTLE_S)
    return client, ready_s, server.rss_mb


async def measure(count: int, folder: Path) -> Table:
    """Create `count` schedules and look at a server that starts with them."""
    server = ServerProcess(folder / "server.db", folder / "server.log")
    try:
        client, empty_ready_s, empty_mb = await _start(server)
        numbers, began = list(range(count)), time.monotonic()
        await asyncio.gather(*(_create(client, numbers) for _ in range(AT_ONCE)))
        created_per_s = count / (time.monotonic() - began)
        server.kill()
        _, ready_s, full_mb = await _start(server)
    finally:
        server.kill()
    table = Table("schedules", f"{count:,}")
    table.add_row("created per second", f"{created_per_s:,.0f}")
    table.add_row("start, empty", f"{empty_ready_s:.2f} s")
    table.add_row("start, with all of them", f"{ready_s:.2f} s")
    table.add_row("memory, empty", f"{empty_mb:.1f} MB")
    table.add_row("memory, with all of them", f"{full_mb:.1f} MB")
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

"""A fan-out over many activities: what it costs, and whether the server's memory grows with it.

    python -m bench.fan_out --n 100000

The server is a `perdure up` on a file, workers are processes of their own. Exit code 1: its memory at the end is
more than 1.2 times that at a tenth, or a history has more than 10,000 events.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from examples.processes import Process, ServerProcess

    from perdure.patterns import Fold, Page, Pages, PatternsPlugin, fan_out, fan_out_progress, options

QUEUE = "bench-fan-out"
MOST_GROWTH = 1.2
MOST_EVENTS = 10_000
OPTIONS = options.quick.but(schedule_to_close=timedelta(hours=1))
Done = list[tuple[int, int, int]]
Failed = list[tuple[int, int, str]]


@activity.defn
async def read(at: list[int]) -> Page[int, list[int]]:
    """A page: `at` is where it begins, where all ends, and how long it is."""
    first, n, size = at
    end = min(n, first + size)
    return Page(list(range(first, end)), [end, n, size] if end < n else None)


@activity.defn
async def square(item: int) -> int:
    """The work: next to none, so that what is measured is the rest."""
    return item * item


@activity.defn
async def total(done: Done, failed: Failed) -> int:
    """The sum of a page."""
    return sum(result for _, _, result in done)


@activity.defn
async def add(totals: list[int]) -> int:
    """The sum of pages."""
    return sum(totals)


@workflow.defn(sandboxed=False)
class Squares:
    """One fan-out over n items."""

    @workflow.run
    async def run(self, n: int, size: int, most: int, children: int) -> int | None:
        pages = Pages(read, [0, n, size], options=OPTIONS)
        fold = Fold(total, add, options=OPTIONS)
        squaring = fan_out(pages, square, max_in_flight=most, children=children, options=OPTIONS, fold=fold)
        return (await squaring).folded


async def work(address: str) -> None:
    """A worker, until it is killed."""
    client = await Client.connect(address)
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[Squares],
        activities=[read, square, total, add],
        plugins=[PatternsPlugin()],
        build_id="bench",
        max_concurrent_activities=100,
        max_cached_workflows=100,
    )
    await worker.run()


async def measure(given: argparse.Namespace, folder: Path) -> int:
    """Run it, print what it took; the exit code."""
    server = ServerProcess(folder / "fan_out.db", folder / "server.log")
    command = [sys.executable, "-m", "bench.fan_out", "--worker", server.address]
    workers = [Process(f"worker {n}", command, folder / f"worker{n}.log") for n in range(given.workers)]
    try:
        await server.start_and_wait()
        for worker in workers:
            worker.start()
        client = await Client.connect(server.address)
        began, cpu = time.monotonic(), server.cpu_s
        handle = await client.start_workflow(
            Squares.run,
            args=[given.n, given.page, given.in_flight, given.children],
            id="squares",
            task_queue=QUEUE,
        )
        ended = asyncio.ensure_future(handle.result())
        tenth_mb = 0.0
        while not ended.done():
            await asyncio.wait([ended], timeout=2)
            for process in (server, *workers):
                process.check()
            if not tenth_mb or given.verbose:
                progress = await fan_out_progress(client, "squares")
                completed = sum(each.completed for each in progress)
                if not tenth_mb and completed >= given.n / 10:
                    tenth_mb = server.rss_mb
                if given.verbose:
                    print(
                        f"{time.monotonic() - began:6.0f} s {completed:8} done, server {server.rss_mb:.0f} MB",
                        flush=True,
                    )
        took_s, end_mb = time.monotonic() - began, server.rss_mb
        assert ended.result() == sum(n * n for n in range(given.n)), "not every item was done once"
        longest, runs = await histories(client)
        told = {
            "activities": given.n,
            "in_flight": given.in_flight,
            "seconds": round(took_s, 1),
            "activities_per_s": round(given.n / took_s, 1),
            "server_cpu_ms_per_activity": round((server.cpu_s - cpu) / given.n * 1000, 2),
            "worker_cpu_ms_per_activity": round(sum(each.cpu_s for each in workers) / given.n * 1000, 2),
            "server_mb_at_a_tenth": round(tenth_mb),
            "server_mb_at_the_end": round(end_mb),
            "growth": round(end_mb / tenth_mb, 2),
            "runs": runs,
            "longest_history": longest,
            "database_mb": round(sum(file.stat().st_size for file in folder.glob("fan_out.db*")) / 1e6),
        }
        print(json.dumps(told, indent=1))
        return int(end_mb > MOST_GROWTH * tenth_mb or longest > MOST_EVENTS)
    finally:
        for process in (*workers, server):
            process.kill()


async def histories(client: Client) -> tuple[int, int]:
    """The longest history, in events, and how many runs there were."""
    lengths = [run.history_length async for run in client.list_workflows()]
    return max(lengths), len(lengths)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fan_out", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=10_000, help="activities (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=200, help="of them at a time (default: %(default)s)")
    parser.add_argument("--children", type=int, default=4, help="pages at a time (default: %(default)s)")
    parser.add_argument("--page", type=int, default=1000, help="items of a page (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="tell how far it is")
    parser.add_argument("--worker", metavar="ADDRESS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        asyncio.run(work(given.worker))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(given, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())

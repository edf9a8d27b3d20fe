"""What the SQLite writer thread costs a one-activity workflow (20 rows in 5 transitions), by workflows in a batch.

PYTHONPATH=src python bench/storage_writer.py [workflows, default 3000]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from perdure.storage.base import Batch, HistoryBatch, PendingRow, RunChange, RunIdentity, VisibilityRow
from perdure.storage.sqlite import SqliteStorage

NAMESPACE = str(uuid4())
TASK, ACTIVITY, RETENTION = 1, 2, 9
CORE = bytes(200)
HOUR_NS = 3_600_000_000_000


def transitions(run_key: int, now_ns: int) -> Iterator[RunChange]:
    """The changes of one workflow that runs one activity; events as large as usual ones."""
    identity = RunIdentity(NAMESPACE, f"order-{run_key}", str(uuid4()))
    row = VisibilityRow(*identity, "Order", "orders", 1, now_ns, now_ns, identity.workflow_id, identity.run_id)
    task = PendingRow(None, "orders", now_ns, bytes(40))
    yield RunChange(run_key, identity, CORE, [HistoryBatch(1, bytes(350))], {(TASK, ""): task}, row)
    activity = PendingRow(now_ns + HOUR_NS, "orders", now_ns, bytes(300))
    yield RunChange(run_key, None, CORE, [HistoryBatch(3, bytes(350))], {(TASK, ""): None, (ACTIVITY, "5"): activity})
    started = PendingRow(now_ns + HOUR_NS, None, 0, bytes(320))
    yield RunChange(run_key, pending={(ACTIVITY, "5"): started}, core=CORE)
    yield RunChange(run_key, None, CORE, [HistoryBatch(6, bytes(250))], {(ACTIVITY, "5"): None, (TASK, ""): task})
    retention = PendingRow(now_ns + 24 * HOUR_NS, None, 0, b"")
    closed = row._replace(status=2, close_time=now_ns, history_length=11, history_size_bytes=1000)
    pending = {(TASK, ""): None, (RETENTION, ""): retention}
    yield RunChange(run_key, None, CORE, [HistoryBatch(9, bytes(250))], pending, closed)


async def measure(directory: Path, workflows: int, width: int) -> str:
    storage = SqliteStorage.open_file(directory / f"{width}.db")
    loop = asyncio.get_running_loop()
    cpu_at: list[float] = []
    commits = 0
    started = time.perf_counter()
    for first in range(1, workflows + 1, width):
        running = [transitions(run_key, time.time_ns()) for run_key in range(first, first + width)]
        for step in range(5):
            batch = Batch()
            for run in running:
                batch.add(next(run))
            if step == 0:
                batch.current.update({(NAMESPACE, f"order-{first + i}"): first + i for i in range(width)})
            durable = loop.create_future()

            def done(error: BaseException | None, durable: asyncio.Future[None] = durable) -> None:
                cpu_at.append(time.thread_time())
                loop.call_soon_threadsafe(durable.set_result, error)

            storage.submit(batch, done)
            assert await durable is None
            commits += 1
    elapsed = time.perf_counter() - started
    size = (directory / f"{width}.db").stat().st_size
    await storage.close()
    return (
        f"{width:3} a batch: writer {(cpu_at[-1] - cpu_at[0]) / workflows * 1e6:5.0f} us of CPU a workflow, "
        f"{elapsed / commits * 1e3:5.2f} ms a commit, {size / workflows:5.0f} bytes a workflow in the file"
    )


async def main() -> None:
    workflows = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with tempfile.TemporaryDirectory() as directory:
        for width in (1, 8, 64):
            print(await measure(Path(directory), workflows // width * width, width), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

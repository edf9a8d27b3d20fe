"""What the tests of storage share: a model of what is stored, and sample data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from temporalio.api.history.v1 import History, HistoryEvent

from perdure.storage.base import (
    Batch,
    CommitFailed,
    HistoryBatch,
    PendingRow,
    RunChange,
    RunIdentity,
    Storage,
    VisibilityRow,
)

NAMESPACE = "11111111-2222-3333-4444-555555555555"


def run_id(run_key: int) -> str:
    return str(UUID(int=run_key << 64 | 0xABC))


def identity(run_key: int, workflow_id: str | None = None) -> RunIdentity:
    return RunIdentity(NAMESPACE, workflow_id or f"workflow-{run_key}", run_id(run_key))


def events(first: int, count: int = 1) -> HistoryBatch:
    history = History(events=[HistoryEvent(event_id=first + i, event_time=None) for i in range(count)])
    return HistoryBatch(first, history.SerializeToString())


def listed(run_key: int, workflow_id: str | None = None, **fields: Any) -> VisibilityRow:
    who = identity(run_key, workflow_id)
    row = VisibilityRow(*who, "Order", "orders", 1, run_key, run_key, who.workflow_id, who.run_id)
    return row._replace(**fields)


def born(run_key: int, workflow_id: str | None = None, **fields: Any) -> RunChange:
    """The first change of a run, with a batch of two events."""
    who = identity(run_key, workflow_id)
    change = RunChange(run_key, who, b"core", [events(1, 2)], visibility=listed(run_key, workflow_id))
    for name, value in fields.items():
        setattr(change, name, value)
    return change


def batch_of(*changes: RunChange, **parts: Any) -> Batch:
    batch = Batch(**parts)
    for change in changes:
        batch.add(change)
    return batch


class Commits:
    """Submits batches and waits for them on the event loop."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._loop = asyncio.get_running_loop()

    def start(self, batch: Batch) -> asyncio.Future[CommitFailed | None]:
        """Submit; the future gives the error or None."""
        outcome: asyncio.Future[CommitFailed | None] = self._loop.create_future()
        self.storage.submit(batch, lambda error: self._loop.call_soon_threadsafe(outcome.set_result, error))
        return outcome

    async def __call__(self, *changes: RunChange, **parts: Any) -> None:
        """Submit a batch and see it succeed."""
        assert await self.start(batch_of(*changes, **parts)) is None

    async def until_idle(self) -> None:
        """Wait until what was submitted before is written."""
        await self()


class Model:
    """What has to be stored after some changes, applied one by one, in plain dictionaries."""

    def __init__(self) -> None:
        self.runs: dict[int, tuple[RunIdentity, bytes]] = {}
        self.pending: dict[int, dict[tuple[int, str], PendingRow]] = {}
        self.history: dict[int, list[HistoryBatch]] = {}
        self.visibility: dict[int, VisibilityRow] = {}
        self.current: dict[tuple[str, str], int] = {}
        self.meta: dict[str, bytes] = {}

    def apply(self, change: RunChange) -> None:
        key = change.run_key
        if change.insert is not None and change.core is not None:
            self.runs[key] = (change.insert, change.core)
            self.pending[key] = {}
            self.history[key] = []
        if change.delete:
            for table in (self.runs, self.pending, self.history, self.visibility):
                table.pop(key, None)
            return
        if change.core is not None:
            self.runs[key] = (self.runs[key][0], change.core)
        self.history[key] += change.history
        _update(self.pending[key], change.pending)
        if change.visibility is not None:
            self.visibility[key] = change.visibility

    def apply_batch(self, batch: Batch) -> None:
        for change in batch.runs.values():
            self.apply(change)
        _update(self.current, batch.current)
        _update(self.meta, batch.meta)

    def dump(self) -> dict[str, Any]:
        items = [(key, *item, row) for key, rows in self.pending.items() for item, row in rows.items()]
        queues = sorted({row.queue for *_, row in items if row.queue is not None})
        return {
            "runs": {
                key: (*run, sorted((*k, r) for k, r in self.pending[key].items())) for key, run in self.runs.items()
            },
            "history": self.history,
            "due": sorted((row.due_ns, key, kind, name) for key, kind, name, row in items if row.due_ns is not None),
            "ready": {
                queue: sorted((row.order, key, kind, name) for key, kind, name, row in items if row.queue == queue)
                for queue in queues
            },
            "visibility": self.visibility,
            "current": self.current,
            "meta": self.meta,
        }


async def dump(storage: Storage, run_keys: Iterable[int], workflow_ids: Iterable[str]) -> dict[str, Any]:
    """What is stored, in the shape of `Model.dump`, read through the protocol alone."""
    runs, history, current = {}, {}, {}
    for key in run_keys:
        run = await storage.load_run(key)
        if run is not None:
            runs[key] = (run.identity, run.core, run.pending)
            history[key] = await storage.history(key)
            assert await storage.find_run(*run.identity) == key
    for workflow_id in workflow_ids:
        key_now = await storage.find_current(NAMESPACE, workflow_id)
        if key_now is not None:
            current[NAMESPACE, workflow_id] = key_now
    queues = await storage.ready_queues()
    return {
        "runs": runs,
        "history": history,
        "due": await storage.due(None, 1 << 62, 10_000),
        "ready": {queue: await storage.ready(queue, None, 10_000) for queue in queues},
        "visibility": dict(await storage.list_visibility(NAMESPACE, "", (), "run_key", 10_000)),
        "current": current,
        "meta": await storage.meta_all(),
    }


def _update(table: dict[Any, Any], changes: dict[Any, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value

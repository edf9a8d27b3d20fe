"""However changes are cut into batches, the same is stored."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.storage.support import NAMESPACE, Commits, Model, born, dump, events, listed

from perdure.storage.base import Batch, PendingRow, RunChange
from perdure.storage.sqlite import SqliteStorage

RUNS = 2

_rows = st.builds(
    PendingRow,
    st.none() | st.integers(0, 5),
    st.none() | st.sampled_from("pq"),
    st.integers(-2, 2),
    st.binary(max_size=3),
)
_pending = st.dictionaries(st.tuples(st.just(1), st.sampled_from("ab")), st.none() | _rows, max_size=3)
_steps = st.fixed_dictionaries(
    {
        "run": st.integers(1, RUNS),
        "delete": st.sampled_from([False, False, False, True]),
        "core": st.none() | st.binary(max_size=3),
        "events": st.integers(0, 2),
        "pending": _pending,
        "close": st.none() | st.integers(1, 9),
        "meta": st.dictionaries(st.sampled_from("xy"), st.none() | st.binary(max_size=2), max_size=1),
        "cut": st.sampled_from([False, False, False, True]),
    }
)


class Lives:
    """Makes legal changes of runs out of arbitrary steps; a run that is deleted is followed by a new one."""

    def __init__(self) -> None:
        self.keys = {run: run for run in range(1, RUNS + 1)}
        self.next_event_id: dict[int, int] = {}

    def change(self, step: dict[str, Any]) -> Batch:
        run = step["run"]
        key, name = self.keys[run], f"workflow-{run}"
        change = RunChange(key, pending=dict(step["pending"]))
        batch = Batch(meta=dict(step["meta"]))
        if key not in self.next_event_id:
            change = born(key, name, pending=dict(step["pending"]), history=[])
            batch.current[NAMESPACE, name] = key
            self.next_event_id[key] = 1
        elif step["delete"]:
            self.keys[run] = key + RUNS
            batch.current[NAMESPACE, name] = None
            change = RunChange(key, delete=True)
        if not change.delete:
            change.core = step["core"] if change.insert is None else b"first"
            self._grow(change, name, step)
        batch.add(change)
        return batch

    def _grow(self, change: RunChange, name: str, step: dict[str, Any]) -> None:
        if step["events"]:
            first = self.next_event_id[change.run_key]
            change.history = [events(first, step["events"])]
            self.next_event_id[change.run_key] = first + step["events"]
        if step["close"]:
            change.visibility = listed(change.run_key, name, status=2, close_time=step["close"])


def copy_of(batch: Batch) -> Batch:
    """Batches are taken over by whom they are given to."""
    runs = {
        key: RunChange(key, c.insert, c.core, list(c.history), dict(c.pending), c.visibility, c.delete)
        for key, c in batch.runs.items()
    }
    return Batch(runs, dict(batch.current), dict(batch.namespaces), dict(batch.meta))


async def check(steps: list[dict[str, Any]]) -> None:
    storage, model, lives = SqliteStorage.open_memory(), Model(), Lives()
    commits = Commits(storage)
    collected = Batch()
    try:
        for step in steps:
            batch = lives.change(step)
            model.apply_batch(copy_of(batch))
            collected.merge(batch)
            if step["cut"]:
                assert await commits.start(collected) is None
                collected = Batch()
        assert await commits.start(collected) is None
        keys = range(1, RUNS * (len(steps) + 2))
        for key in set(keys) - model.runs.keys():
            while await storage.history(key):
                await commits.until_idle()
        assert await dump(storage, keys, [f"workflow-{run}" for run in range(1, RUNS + 1)]) == model.dump()
    finally:
        await storage.close()


@settings(max_examples=250)
@given(st.lists(_steps, min_size=4, max_size=25))
def test_any_way_of_batching_stores_the_same(steps: list[dict[str, Any]]) -> None:
    asyncio.run(check(steps))

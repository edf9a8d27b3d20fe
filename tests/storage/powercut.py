"""Taking the power away from a storage at a random moment, again and again, and looking at what is left.

    PYTHONPATH=src:. python -m tests.storage.powercut FIRST_SEED [COUNT]

A life is: open the file, submit batches, lose the power. After each, the file is opened anew on what may have survived,
and it must hold exactly the first n of all batches ever submitted, n being at least the number acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import tempfile
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

from temporalio.api.history.v1 import History
from tests.storage.disk import Disk
from tests.storage.support import NAMESPACE, Model, born, dump, events, listed

from perdure.errors import StartupError
from perdure.storage import rows
from perdure.storage.base import Batch, PendingRow, RunChange
from perdure.storage.check import check_file
from perdure.storage.sqlite import SqliteStorage

LIVES = 3
BATCHES_A_LIFE = 25
WORKFLOWS = 6
CHECKPOINT_PAGES = 25
"""Small, so that there are several checkpoints in a life."""

Opener = Callable[[Path, str], SqliteStorage]


class Broken(AssertionError):
    """A promise did not hold; the message names the seed."""


def open_storage(path: Path, vfs: str) -> SqliteStorage:
    return SqliteStorage.open_file(path, vfs=vfs)


class Workload:
    """Batches like those of a server, with what must be stored after each of them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.model = Model()
        self.after = [deepcopy(self.model.dump())]
        self.next_run_key = 1
        self.next_event_id: dict[int, int] = {}

    def next_batch(self) -> Batch:
        batch = Batch(meta={"n": b"%d" % len(self.after)})
        for number in self.rng.sample(range(WORKFLOWS), self.rng.randint(1, 3)):
            self._step(batch, f"workflow-{number}")
        self.model.apply_batch(batch)
        self.after.append(deepcopy(self.model.dump()))
        return batch

    def rewind(self, batches: int) -> None:
        """Go on from the state after so many batches."""
        kept = self.after[: batches + 1]
        fresh = Workload(self.rng)
        self.__dict__.update(fresh.__dict__)
        self.after = kept
        self._restore(kept[-1])

    def _restore(self, state: dict[str, Any]) -> None:
        state = deepcopy(state)
        self.model.runs = {key: run[:2] for key, run in state["runs"].items()}
        self.model.pending = {key: {(k, n): row for k, n, row in run[2]} for key, run in state["runs"].items()}
        self.model.history, self.model.visibility = state["history"], state["visibility"]
        self.model.current, self.model.meta = state["current"], state["meta"]
        self.next_run_key = max(self.model.runs, default=0) + 1000 * len(self.after)
        self.next_event_id = {
            key: History.FromString(batches[-1].blob).events[-1].event_id + 1
            for key, batches in self.model.history.items()
        }

    def _step(self, batch: Batch, workflow_id: str) -> None:
        name = (NAMESPACE, workflow_id)
        key = self.model.current.get(name)
        if key is None:
            key, self.next_run_key = self.next_run_key, self.next_run_key + 1
            batch.add(born(key, workflow_id))
            batch.current[name] = key
            self.next_event_id[key] = 3
        elif self.rng.random() < 0.15:
            batch.add(RunChange(key, delete=True))
            batch.current[name] = None
        else:
            batch.add(self._transition(key, workflow_id))

    def _transition(self, key: int, workflow_id: str) -> RunChange:
        rng = self.rng
        first, count = self.next_event_id[key], rng.randint(1, 3)
        self.next_event_id[key] = first + count
        blob = rng.randbytes(rng.choice((20, 300, 9000)))
        due, queue = rng.choice(((rng.randint(1, 99), None), (None, "q"), (5, "p")))
        row = None if rng.random() < 0.4 else PendingRow(due, queue, rng.randint(0, 9), blob)
        shown = listed(key, workflow_id, status=2, close_time=first) if rng.random() < 0.3 else None
        return RunChange(key, None, blob, [events(first, count)], {(1, rng.choice("abc")): row}, shown)


def run(seed: int, open_it: Opener = open_storage) -> int:
    """Several lives from one seed; the number of batches that were acknowledged. Raises `Broken`."""
    rng = random.Random(seed)
    workload = Workload(rng)
    acknowledged_in_all = 0
    with tempfile.TemporaryDirectory() as scratch, patch.object(rows, "CHECKPOINT_PAGES", CHECKPOINT_PAGES):
        for life in range(LIVES):
            left = Path(scratch) / f"after-{life}"
            before = Path(scratch) / f"after-{life - 1}"
            before.mkdir(exist_ok=True)
            left.mkdir()
            durable_before = len(workload.after) - 1
            acknowledged = _live(before, left, workload, rng, open_it)
            found = _inspect(left / "a.db", workload, f"seed {seed}, life {life}")
            if found < durable_before + acknowledged:
                raise Broken(
                    f"seed {seed}, life {life}: {durable_before + acknowledged} batches were durable, {found} are there"
                )
            acknowledged_in_all += acknowledged
            workload.rewind(found)
    return acknowledged_in_all


def _live(before: Path, left: Path, workload: Workload, rng: random.Random, open_it: Opener) -> int:
    """Open, submit, lose the power; the number of batches acknowledged."""
    # Most often somewhere in the work, at times while opening, at times after all of it.
    disk = Disk(rng.choice((rng.randint(1, 40), rng.randint(40, 700), rng.randint(40, 700), 100_000)))
    disk.characteristics = rng.choice((disk.characteristics, 0))
    disk.load(before)
    acknowledged = 0
    finished = threading.Semaphore(0)

    def done(error: BaseException | None) -> None:
        nonlocal acknowledged
        acknowledged += error is None and not disk.is_off
        finished.release()

    try:
        storage = open_it(before / "a.db", disk.name)
    except StartupError:
        if not disk.is_off:
            raise
    else:
        for _ in range(BATCHES_A_LIFE):
            storage.submit(workload.next_batch(), done)
        for _ in range(BATCHES_A_LIFE):
            finished.acquire()
        disk.is_off = True
        asyncio.run(storage.close())
    disk.survivors(rng, left)
    disk.close()
    return acknowledged


def _inspect(path: Path, workload: Workload, where: str) -> int:
    """How many batches the file holds; `Broken` if that is not a state there ever was, or not sound."""
    try:
        storage = SqliteStorage.open_file(path)
    except StartupError as error:
        raise Broken(f"{where}: {error.message}") from error
    names = [f"workflow-{number}" for number in range(WORKFLOWS)]
    keys = sorted({key for state in workload.after for key in state["runs"]})

    async def read() -> tuple[int, dict[str, Any]]:
        try:
            return int(await storage.meta("n") or 0), await dump(storage, keys, names)
        finally:
            await storage.close()

    found, state = asyncio.run(read())
    if state != workload.after[found]:
        raise Broken(f"{where}: what is stored is not the state after {found} batches")
    if problems := check_file(path):
        raise Broken(f"{where}: {problems}")
    return found


if __name__ == "__main__":
    first_seed, count = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda error: None  # what SQLite ignores in its clean-up
    total = sum(run(seed) for seed in range(first_seed, first_seed + count))
    print(f"{count} seeds, {count * LIVES} power cuts, {total} acknowledged batches, none lost")

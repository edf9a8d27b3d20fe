"""Commits that fail: nothing of them is seen, what follows waits for the caller, and then the server goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.storage.disk import Disk
from tests.storage.support import NAMESPACE, Commits, Model, batch_of, born, dump, events, listed

from perdure.storage import rows
from perdure.storage.base import Batch, CommitFailed, PendingRow, RunChange, Storage
from perdure.storage.sqlite import SqliteStorage


def contradiction() -> Batch:
    """A batch that can't be written: its second run has the run id of the first."""
    batch = batch_of(born(900), born(901), meta={"lost": b""})
    batch.runs[901].insert = batch.runs[900].insert
    return batch


async def test_nothing_of_a_failed_batch_is_seen(storage: Storage, commit: Commits) -> None:
    error = await commit.start(contradiction())
    assert error is not None and not error.refused and isinstance(error.__cause__, Exception)
    assert await storage.max_run_key() == 0
    assert await storage.meta_all() == {}


async def test_batches_behind_a_failure_are_refused_until_the_storage_resumes(
    storage: Storage, commit: Commits
) -> None:
    outcomes = [commit.start(b) for b in (Batch(meta={"a": b""}), contradiction(), Batch(meta={"b": b""}))]
    first, failed, behind = await asyncio.gather(*outcomes)
    assert first is None
    assert failed is not None and not failed.refused
    assert behind is not None and behind.refused and behind.failure == failed.failure
    before_resume = commit.start(Batch(meta={"c": b""}))
    storage.resume(failed)
    await commit(meta={"d": b""})
    refused = await before_resume
    assert refused is not None and refused.refused
    assert set(await storage.meta_all()) == {"a", "d"}


async def test_a_resume_for_an_older_failure_releases_nothing(storage: Storage, commit: Commits) -> None:
    old = await commit.start(contradiction())
    assert old is not None
    storage.resume(old)
    new = await commit.start(contradiction())
    assert new is not None and not new.refused and new.failure != old.failure
    storage.resume(old)
    refused = await commit.start(Batch(meta={"a": b""}))
    assert refused is not None and refused.refused
    storage.resume(refused)
    await commit(meta={"a": b""})


async def test_resuming_twice_or_without_a_failure_does_no_harm(storage: Storage, commit: Commits) -> None:
    storage.resume(CommitFailed("made up", 1, refused=False))
    await commit(meta={"a": b""})
    failed = await commit.start(contradiction())
    assert failed is not None
    storage.resume(failed)
    storage.resume(failed)
    await commit(meta={"b": b""})


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.close()


async def test_a_full_disk_refuses_and_the_storage_goes_on_when_there_is_room(disk: Disk, tmp_path: Path) -> None:
    def full(operation: str, file: str) -> None:
        if operation == "write":
            raise apsw.FullError("no space left")

    storage = SqliteStorage.open_file(tmp_path / "a.db", vfs=disk.name)
    commit = Commits(storage)
    await commit(born(1))
    room = disk.fault
    disk.fault = full
    for _ in range(3):
        failed = await commit.start(batch_of(RunChange(1, core=b"lost"), born(2)))
        assert failed is not None and not failed.refused and isinstance(failed.__cause__, apsw.FullError)
        storage.resume(failed)
        run = await storage.load_run(1)
        assert run is not None and run.core == b"core"
    disk.fault = room
    await commit(RunChange(1, core=b"kept"), born(2))
    await storage.close()
    storage = SqliteStorage.open_file(tmp_path / "a.db")
    run = await storage.load_run(1)
    assert run is not None and run.core == b"kept"
    assert await storage.load_run(2) is not None
    await storage.close()


class FailsOnce:
    """Lets one operation of the disk fail, the `number`th from now on."""

    def __init__(self, number: int, error: Exception) -> None:
        self.left = number
        self.error = error

    def __call__(self, operation: str, file: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error


def steps() -> Iterator[Batch]:
    """Two workflows, one of them deleted; small and large values."""
    pending = {(1, "a"): PendingRow(3, None, 0, b"timer"), (2, ""): PendingRow(None, "q", 1, b"task")}
    yield batch_of(born(1, pending=pending), current={(NAMESPACE, "workflow-1"): 1})
    yield batch_of(born(2), RunChange(1, core=bytes(9000), pending={(2, ""): None}), meta={"m": bytes(5000)})
    yield batch_of(RunChange(1, history=[events(3, 9)], visibility=listed(1, status=2, close_time=5)))
    yield batch_of(RunChange(2, delete=True), meta={"m": None})
    yield batch_of(RunChange(1, core=b"end", pending={(1, "a"): None}))


@pytest.mark.parametrize("error", [apsw.FullError("full"), apsw.IOError("broken")], ids=["full", "broken"])
async def test_whichever_operation_of_the_disk_fails_nothing_is_lost(
    error: Exception, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHECKPOINT_PAGES", 10)
    number, is_reached = 0, True
    while is_reached:
        number += 1
        path = tmp_path / f"{number}.db"
        storage = SqliteStorage.open_file(path, vfs=disk.name)
        commit, model = Commits(storage), Model()
        disk.fault = fault = FailsOnce(number, error)
        for index in range(5):
            await _write_until_it_works(commit, storage, index, model)
        disk.fault = lambda operation, file: None
        is_reached = fault.left <= 0
        assert await dump(storage, (1, 2), ["workflow-1"]) == model.dump()
        await storage.close()
        storage = SqliteStorage.open_file(path)
        assert await dump(storage, (1, 2), ["workflow-1"]) == model.dump()
        await storage.close()
    assert number > 20


async def _write_until_it_works(commit: Commits, storage: Storage, index: int, model: Model) -> None:
    failed = await commit.start(list(steps())[index])
    if failed is not None:
        assert await dump(storage, (1, 2), ["workflow-1"]) == model.dump()
        storage.resume(failed)
        assert await commit.start(list(steps())[index]) is None
    model.apply_batch(list(steps())[index])

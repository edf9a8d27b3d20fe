"""What keeps a database small and quick: the log, the room of deleted runs, the indexes."""

from __future__ import annotations

import asyncio
import itertools
import re
import sqlite3
import threading
from pathlib import Path

import apsw
import pytest
from tests.storage.support import NAMESPACE, Commits, born, listed

from perdure.storage import rows
from perdure.storage.base import VISIBILITY_ORDER, HistoryBatch, RunChange
from perdure.storage.check import check_file
from perdure.storage.queries import queries
from perdure.storage.sqlite import SqliteStorage

PAGE_BYTES = 4096


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> int:
    """Checkpoints come early; gives the size in bytes that the log may have."""
    monkeypatch.setattr(rows, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(rows, "CHECKPOINT_INSIST_PAGES", 80)
    return 120 * PAGE_BYTES


async def test_the_log_stays_bounded_under_constant_load(tmp_path: Path, short_log: int) -> None:
    path = tmp_path / "a.db"
    storage = SqliteStorage.open_file(path)
    commit = Commits(storage)
    for number in range(400):
        await commit(meta={str(number % 50): bytes(3000)})
    assert path.with_name("a.db-wal").stat().st_size < short_log
    await storage.close()


def overlap(path: Path, stop: threading.Event) -> None:
    """Reads hand over hand: one of the two always has a snapshot, some commits old; each lets go of its own in time."""
    connections = [apsw.Connection(str(path)) for _ in range(2)]
    for turn in itertools.count():
        connection = connections[turn % 2]
        if connection.in_transaction:
            connection.execute("COMMIT")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM visibility").fetchall()
        if stop.wait(0.005):
            break
    for connection in connections:
        connection.close()


async def test_readers_that_overlap_for_ever_do_not_let_the_log_grow(
    tmp_path: Path, short_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHECKPOINT_WAIT_S", 10.0)  # until the readers let go, however late they get their turn
    path = tmp_path / "a.db"
    storage = SqliteStorage.open_file(path)
    commit = Commits(storage)
    stop = threading.Event()
    reading = threading.Thread(target=overlap, args=(path, stop))
    reading.start()
    for number in range(600):
        await commit(meta={str(number % 50): bytes(3000)})
    stop.set()
    reading.join()
    assert path.with_name("a.db-wal").stat().st_size < short_log
    await storage.close()


async def test_a_read_left_open_for_ever_does_not_stop_the_writer(
    tmp_path: Path, short_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHECKPOINT_WAIT_S", 0.01)
    path = tmp_path / "a.db"
    storage = SqliteStorage.open_file(path)
    commit = Commits(storage)
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM meta").fetchall()
    for number in range(300):
        await commit(meta={str(number % 50): bytes(3000)})
    assert path.with_name("a.db-wal").stat().st_size > short_log
    reader.close()
    for number in range(300):
        await commit(meta={str(number % 50): bytes(3000)})
    assert storage._log._pages < short_log // PAGE_BYTES
    await storage.close()


async def test_a_history_read_in_part_holds_no_snapshot(tmp_path: Path, short_log: int) -> None:
    path = tmp_path / "a.db"
    storage = SqliteStorage.open_file(path)
    commit = Commits(storage)
    await commit(born(1, history=[HistoryBatch(i, bytes(100)) for i in range(1, 50)]))
    assert len(await storage.history(1, limit_bytes=1)) == 1
    for number in range(400):
        await commit(meta={str(number % 50): bytes(3000)})
    assert path.with_name("a.db-wal").stat().st_size < short_log
    await storage.close()


async def test_a_long_history_is_cleared_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int]] = []
    purge_run = rows.RowWriter._purge_run

    def record(self: rows.RowWriter, *arguments: int) -> tuple[int, int]:
        steps.append(purge_run(self, *arguments))
        return steps[-1]

    monkeypatch.setattr(rows.RowWriter, "_purge_run", record)
    storage = SqliteStorage.open_file(tmp_path / "a.db")
    commit = Commits(storage)
    small = [HistoryBatch(i, bytes(10)) for i in range(1, 1001)]
    large = [HistoryBatch(i, bytes(400_000)) for i in range(1, 10)]
    await commit(born(1, history=small), born(2, history=large), born(3))
    await commit(RunChange(1, delete=True), RunChange(2, delete=True))
    while await storage.history(1, limit_batches=1) or await storage.history(2, limit_batches=1):
        await commit.until_idle()
    await storage.close()
    assert sum(count for count, _ in steps) == 1009
    assert max(count for count, _ in steps) <= rows.PURGE_ROWS
    assert max(size for _, size in steps) <= rows.PURGE_BYTES + 400_000


async def test_clearing_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    storage = SqliteStorage.open_file(path)
    await Commits(storage)(born(1, history=[HistoryBatch(i, b"x") for i in range(1, 1000)]), born(2))
    await storage.close()
    database = sqlite3.connect(path)
    database.execute("DELETE FROM executions WHERE run_key = 1")
    database.execute("DELETE FROM visibility WHERE run_key = 1")
    database.execute("INSERT INTO garbage VALUES (1)")
    database.commit()
    database.close()
    assert check_file(path) == [], "what waits to be cleared is nothing wrong"
    storage = SqliteStorage.open_file(path)
    while await storage.history(1, limit_batches=1):
        await asyncio.sleep(0)
    await storage.close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM garbage").fetchone() == (0,)
    database.close()


async def test_the_room_of_deleted_runs_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    storage = SqliteStorage.open_file(path)
    commit = Commits(storage)
    pages: list[int] = []
    for key in range(1, 13):
        await commit(born(key, history=[HistoryBatch(i, bytes(2000)) for i in range(1, 200)]))
        await commit(RunChange(key, delete=True))
        while await storage.history(key, limit_batches=1):
            await commit.until_idle()
        await commit.until_idle()
        pages.append(storage._read("PRAGMA page_count").fetchall()[0][0])
    await storage.close()
    assert pages[-1] <= pages[1] + 5


def plan(path: Path, sql: str) -> list[str]:
    database = sqlite3.connect(path)
    parameters = max([int(number) for number in re.findall(r"\?(\d)", sql)] or [0]) or sql.count("?")
    steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", (1,) * parameters)]
    database.close()
    return steps


SCANS_ON_PURPOSE = {
    "namespaces": "all are wanted",
    "oldest_garbage": "the first row is enough",
    "ready_queues": "the recursive part is as long as its result",
}


async def test_no_statement_looks_at_more_rows_than_it_needs(tmp_path: Path) -> None:
    await SqliteStorage.open_file(tmp_path / "a.db").close()
    for name, sql in queries().items():
        steps = plan(tmp_path / "a.db", sql)
        assert not any("TEMP B-TREE" in step for step in steps), (name, steps)
        if name not in SCANS_ON_PURPOSE:
            assert not any(re.match(r"SCAN (?!CONSTANT ROW)", step) for step in steps), (name, steps)


async def test_deadlines_backlogs_and_plain_listings_are_read_from_an_index_alone(tmp_path: Path) -> None:
    await SqliteStorage.open_file(tmp_path / "a.db").close()
    for name in ("due", "ready", "ready_count"):
        (step,) = plan(tmp_path / "a.db", queries()[name])
        assert "USING COVERING INDEX" in step or "USING PRIMARY KEY" in step, step
    (step,) = plan(tmp_path / "a.db", f"SELECT * FROM visibility WHERE namespace_id = ? ORDER BY {VISIBILITY_ORDER}")
    assert "USING INDEX visibility_time" in step


async def test_the_check_names_what_does_not_fit_together(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    storage = SqliteStorage.open_file(path)
    commit = Commits(storage)
    for key in range(1, 9):
        await commit(born(key), current={(NAMESPACE, f"workflow-{key}"): key})
    await commit(RunChange(8, visibility=listed(8, status=2)))
    await storage.close()
    assert check_file(path) == []
    database = sqlite3.connect(path)
    for sql in (
        "UPDATE current SET run_key = 99 WHERE run_key = 1",
        "UPDATE current SET run_key = 3 WHERE run_key = 2",
        "INSERT INTO pending (run_key, kind, key, \"order\", blob) VALUES (77, 1, '', 0, x'')",
        "DELETE FROM visibility WHERE run_key = 3",
        "INSERT INTO visibility SELECT 66, namespace_id, workflow_id, run_id, workflow_type, '', 1, 1, 1, '', '',"
        " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM visibility WHERE run_key = 4",
        "UPDATE visibility SET run_id = 'other' WHERE run_key = 4",
        "DELETE FROM history WHERE id >> 20 = 5",
        "UPDATE history SET id = id + 1 WHERE id >> 20 = 6",
        "UPDATE history SET blob = x'ffff' WHERE id >> 20 = 7",
        "INSERT INTO history VALUES (55 << 20 | 1, x'')",
    ):
        database.execute(sql)
    database.commit()
    database.close()
    found = "\n".join(check_file(path))
    for expected in (
        "'workflow-1' of namespace 11111111-2222-3333-4444-555555555555 points to a run that is not there (run key 99)",
        "'workflow-2' of namespace 11111111-2222-3333-4444-555555555555 points to a run of another workflow",
        "1 pending items belong to a run that is not there (run key 77)",
        "A run of workflow 'workflow-3' is in no listing",
        "is listed, but is not there (run key 66)",
        "Run key 4 is listed with other ids",
        "The history of run key 5 is missing",
        "The history of run key 6 has event 2 where 1 is expected",
        "The history of run key 7 can't be read at event 1",
        "no run with run key 55",
    ):
        assert expected in found, found

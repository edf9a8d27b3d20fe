"""Storage that can be made to suspend, to be slow, to fail, and to lose what it had not yet written.

It is the server's own SQLite storage with one connection and no thread. What is written stays with the `Disk`; all else
goes with the process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import apsw

from perdure.storage.base import Batch, CommitFailed, Done
from perdure.storage.opening import connect, migrate, transaction
from perdure.storage.queries import queries
from perdure.storage.rows import RowWriter
from perdure.storage.sqlite import SqliteStorage


class Conditions(Protocol):
    """What becomes of reads and writes."""

    def later(self, write: Callable[[], None]) -> None:
        """Call `write` when the next batch is to be written."""

    def fate(self, batch: Batch) -> str | None:
        """What becomes of a batch: None, it is written; else the words of the failure."""

    def written(self, batch: Batch) -> bool:
        """A batch is durable. False: the process ended before it knew."""

    async def suspend(self) -> None:
        """Comes before and after each read."""

    def read(self) -> AbstractContextManager[object]:
        """Comes around each read, and may raise what a failing disk makes SQLite raise."""


class Calm:
    """Nothing goes wrong: every batch is written in the next turn of the loop."""

    def later(self, write: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(write)

    def fate(self, batch: Batch) -> str | None:
        return None

    def written(self, batch: Batch) -> bool:
        return True

    async def suspend(self) -> None:
        return

    def read(self) -> AbstractContextManager[object]:
        return nullcontext()


class Disk:
    """What outlives a process."""

    _empty: bytes = b""

    def __init__(self) -> None:
        self.connection = connect(":memory:")
        if not Disk._empty:
            migrate(self.connection, None)
            Disk._empty = self.connection.serialize("main")
        else:
            self.connection.deserialize("main", Disk._empty)


def _suspending(name: str) -> Any:
    inner = getattr(SqliteStorage, name)

    async def read(self: SimulatedStorage, *args: Any, **options: Any) -> Any:
        await self.conditions.suspend()
        result = await inner(self, *args, **options)
        await self.conditions.suspend()
        return result

    return read


class SimulatedStorage(SqliteStorage):
    """`Storage` on a disk, under these conditions."""

    def __init__(self, disk: Disk, conditions: Conditions) -> None:
        self.conditions = conditions
        self._lock = None
        self._enter, self._writing = conditions.read, nullcontext
        self._sql = queries()
        self._connection: apsw.Connection = disk.connection
        self._rows = RowWriter(disk.connection)
        self._read = disk.connection.cursor().execute
        self._queue: deque[tuple[Batch, Done] | int] = deque()
        """Batches, and the numbers of failures after which batches are accepted again."""
        self._failures = 0
        self._held_by = 0

    for _name in [
        "find_current",
        "find_run",
        "load_run",
        "history",
        "due",
        "ready",
        "ready_count",
        "ready_queues",
        "list_visibility",
        "count_visibility",
        "closed",
        "namespaces",
        "meta",
        "meta_all",
        "max_run_key",
        "max_order",
    ]:
        locals()[_name] = _suspending(_name)

    def submit(self, batch: Batch, done: Done) -> None:
        self._queue.append((batch, done))
        self.conditions.later(self._write)

    def resume(self, failure: CommitFailed) -> None:
        self._queue.append(failure.failure)

    async def close(self) -> None:
        while self._queue:
            self._write()

    def _write(self) -> None:
        """Write the next batch. One submitted before a failure was known is refused: its place is before the mark."""
        while self._queue and isinstance(self._queue[0], int):
            if self._queue.popleft() == self._held_by:
                self._held_by = 0
        if not self._queue:
            return
        batch, done = self._queue.popleft()  # type: ignore[misc]
        if self._held_by:
            done(CommitFailed("A commit before this one failed.", self._held_by, refused=True))
            return
        words = self.conditions.fate(batch)
        if words is not None:
            self._fail(done, words)
            return
        try:
            with transaction(self._connection):
                self._rows.write(batch)
        except Exception as error:
            self._fail(done, str(error), error)
            return
        while self._rows.has_garbage:
            with transaction(self._connection):
                self._rows.purge()
        if self.conditions.written(batch):
            try:
                done(None)
            except RuntimeError:  # a caller's bug, which every writer outlives
                return

    def _fail(self, done: Done, words: str, cause: Exception | None = None) -> None:
        self._failures += 1
        self._held_by = self._failures
        failure = CommitFailed(f"Commit failed: {words}", self._failures, refused=False)
        failure.__cause__ = cause
        done(failure)

    async def _listing(self, sql: str, params: tuple[Any, ...]) -> list[Any]:
        with self._reading():
            rows: list[Any] = self._connection.execute(sql, params).fetchall()
        return rows

"""Storage in one SQLite file, or in memory.

One connection writes, on the writer thread. Point reads run on a second one, right away on the calling thread: they
take microseconds and never wait for the writer (WAL). Listings may look at every run there is, so they run on a thread
of their own. Each statement is read to its end at once: a cursor left open would hold its snapshot and let the
write-ahead log grow.

An in-memory database has no WAL: there, a `Gate` keeps readers out of the writer's transactions.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw

from perdure.errors import DataLoss
from perdure.storage.base import (
    EVENT_ID_BITS,
    MAX_EVENT_ID,
    MAX_ORDER,
    MIN_ORDER,
    VISIBILITY_ORDER,
    Batch,
    ClosedRun,
    CommitFailed,
    Done,
    DueItem,
    HistoryBatch,
    NamespaceRow,
    PendingRow,
    ReadFailed,
    ReadyItem,
    RunIdentity,
    Scalar,
    StoredRun,
    VisibilityRow,
)
from perdure.storage.commit import Writer
from perdure.storage.gate import Gate
from perdure.storage.lock import FileLock
from perdure.storage.opening import connect, migrate, open_database, transaction
from perdure.storage.queries import queries
from perdure.storage.rows import RowWriter, WriteAheadLog, run_id_bytes

log = logging.getLogger(__name__)

_FIRST = (MIN_ORDER, -1, -1, "")
_LAST_CHARACTER = "\U0010ffff"
_memory_names = itertools.count(1)
_no_gate = nullcontext
_DISK_ERRORS = (apsw.IOError, apsw.CantOpenError, apsw.BusyError, apsw.FullError, apsw.NoMemError)


class SqliteStorage:
    """`Storage` on SQLite. Made by `open_file` or `open_memory`, which start its writer thread."""

    def __init__(
        self,
        connection: apsw.Connection,
        connect_again: Callable[[], apsw.Connection],
        lock: FileLock | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._lock = lock
        self._enter: Callable[[], AbstractContextManager[object]] = gate.reading if gate else _no_gate
        self._writing: Callable[[], AbstractContextManager[object]] = gate.writing if gate else _no_gate
        self._sql = queries()
        self._connection = connection
        self._log = WriteAheadLog(connection)
        self._rows = RowWriter(connection)
        self._read_connection = connect_again()
        self._read: Callable[..., Any] = self._read_connection.cursor().execute
        self._list_connection = connect_again()
        self._list_thread = ThreadPoolExecutor(1, "perdure-listing")
        self._writer = Writer(self._transact, self._keep_up)

    @classmethod
    def open_file(cls, path: str | os.PathLike[str], *, vfs: str | None = None) -> SqliteStorage:
        """Open or create the database at `path` and bring its schema up to date.

        `vfs` names a registered SQLite file layer; tests use it to take the disk away. Raises `StartupError` when the
        file can't be used, with one sentence that says what to do.
        """
        file = Path(path).resolve()
        lock, connection = open_database(file, vfs)
        return cls(connection, lambda: connect(str(file), vfs), lock=lock)

    @classmethod
    def open_memory(cls) -> SqliteStorage:
        """A database that is gone when it is closed."""
        location = f"file:/perdure-{os.getpid()}-{next(_memory_names)}?vfs=memdb"
        connection = connect(location)
        migrate(connection, None)
        return cls(connection, lambda: connect(location), gate=Gate())

    def submit(self, batch: Batch, done: Done) -> None:
        self._writer.submit(batch, done)

    def resume(self, failure: CommitFailed) -> None:
        self._writer.resume(failure)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.stop()
        self._list_thread.shutdown()
        try:
            self._list_connection.close()
            self._read_connection.close()
            self._connection.close()
        except apsw.Error as error:
            # All that was acknowledged is in the log already; the next start reads it from there.
            log.warning("closing the database failed: %s: %s", type(error).__name__, error)
        finally:
            if self._lock is not None:
                self._lock.release()

    def _transact(self, batch: Batch) -> None:
        with self._writing(), transaction(self._connection):
            self._rows.write(batch)

    def _keep_up(self) -> bool:
        self._log.keep_short()
        if not self._rows.has_garbage:
            return False
        with self._writing(), transaction(self._connection):
            self._rows.purge()
        return self._rows.has_garbage

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Around each read. All that SQLite complains of, but for the disk and damage, is our bug."""
        try:
            with self._enter():
                yield
        except _DISK_ERRORS as error:
            log.warning("reading the database failed: %s: %s", type(error).__name__, error)
            raise ReadFailed(f"The database could not be read, please retry: {error}") from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise DataLoss(f"The database is damaged ({error}): check it with `perdure check`.") from error

    async def find_current(self, namespace_id: str, workflow_id: str) -> int | None:
        found: int | None = self._value("find_current", namespace_id, workflow_id)
        return found

    async def find_run(self, namespace_id: str, workflow_id: str, run_id: str) -> int | None:
        try:
            key = run_id_bytes(run_id)
        except ValueError:
            return None
        found: int | None = self._value("find_run", key, namespace_id, workflow_id)
        return found

    async def load_run(self, run_key: int) -> StoredRun | None:
        with self._reading():
            self._read("BEGIN")  # both statements see the same moment
            try:
                runs = self._read(self._sql["load_run"], (run_key,)).fetchall()
                items = self._read(self._sql["load_pending"], (run_key,)).fetchall()
            finally:
                self._read("COMMIT")
        if not runs:
            return None
        namespace_id, workflow_id, run_id, core = runs[0]
        identity = RunIdentity(namespace_id, workflow_id, str(UUID(bytes=run_id)))
        return StoredRun(run_key, identity, core, [(kind, key, PendingRow(*row)) for kind, key, *row in items])

    async def history(
        self,
        run_key: int,
        first_event_id: int = 1,
        before_event_id: int | None = None,
        *,
        limit_batches: int = 1000,
        limit_bytes: int = 4 * 1024 * 1024,
        reverse: bool = False,
    ) -> list[HistoryBatch]:
        base = run_key << EVENT_ID_BITS
        before = MAX_EVENT_ID + 1 if before_event_id is None else before_event_id
        batches: list[HistoryBatch] = []
        size = 0
        with self._reading():
            cursor = self._read(
                self._sql["history_reverse" if reverse else "history"],
                (base + first_event_id, base + before, limit_batches),
            )
            for row_id, blob in cursor:
                batches.append(HistoryBatch(row_id - base, blob))
                size += len(blob)
                if size >= limit_bytes:
                    break
            # Leaving the loop early leaves the statement, and with it a snapshot, open.
            self._read("")
        return batches

    async def due(self, after: DueItem | None, until_ns: int, limit: int) -> list[DueItem]:
        return [DueItem(*row) for row in self._all("due", *(after or _FIRST), until_ns, limit)]

    async def ready(self, queue: str, after: ReadyItem | None, limit: int) -> list[ReadyItem]:
        return [ReadyItem(*row) for row in self._all("ready", queue, *(after or _FIRST), limit)]

    async def ready_count(self, queue: str, from_order: int = MIN_ORDER, before_order: int = MAX_ORDER) -> int:
        return int(self._value("ready_count", queue, from_order, before_order))

    async def ready_queues(self, prefix: str = "") -> list[str]:
        return [name for (name,) in self._all("ready_queues", prefix, prefix + _LAST_CHARACTER)]

    async def list_visibility(
        self, namespace_id: str, where_sql: str, params: Sequence[Scalar], order_by_sql: str, limit: int
    ) -> list[tuple[int, VisibilityRow]]:
        order = order_by_sql or VISIBILITY_ORDER
        sql = f"SELECT * FROM visibility WHERE {_condition(where_sql)} ORDER BY {order} LIMIT ?"
        rows = await self._listing(sql, (namespace_id, *params, limit))
        return [(run_key, VisibilityRow(*row)) for run_key, *row in rows]

    async def count_visibility(
        self, namespace_id: str, where_sql: str, params: Sequence[Scalar], group_by_sql: str | None = None
    ) -> list[tuple[Any, int]]:
        group = group_by_sql or "NULL"
        tail = f" GROUP BY {group} ORDER BY {group}" if group_by_sql else ""
        sql = f"SELECT {group}, count(*) FROM visibility WHERE {_condition(where_sql)}{tail}"
        return [(value, number) for value, number in await self._listing(sql, (namespace_id, *params))]

    async def closed(self, namespace_id: str, after: ClosedRun | None, limit: int) -> list[ClosedRun]:
        return [ClosedRun(*row) for row in self._all("closed", namespace_id, *(after or (-1, -1, -1)), limit)]

    async def namespaces(self) -> list[NamespaceRow]:
        return [NamespaceRow(*row) for row in self._all("namespaces")]

    async def meta(self, key: str) -> bytes | None:
        found: bytes | None = self._value("meta", key)
        return found

    async def meta_all(self, prefix: str = "") -> dict[str, bytes]:
        return dict(self._all("meta_all", prefix, prefix + _LAST_CHARACTER))

    async def max_run_key(self) -> int:
        return int(self._value("max_run_key"))

    async def max_order(self, queue: str) -> int | None:
        found: int | None = self._value("max_order", queue)
        return found

    def _all(self, name: str, *params: Scalar) -> list[Any]:
        with self._reading():
            rows: list[Any] = self._read(self._sql[name], params).fetchall()
        return rows

    def _value(self, name: str, *params: Scalar) -> Any:
        rows = self._all(name, *params)
        return rows[0][0] if rows else None

    async def _listing(self, sql: str, params: tuple[Scalar, ...]) -> list[Any]:
        return await asyncio.get_running_loop().run_in_executor(self._list_thread, self._list, sql, params)

    def _list(self, sql: str, params: tuple[Scalar, ...]) -> list[Any]:
        with self._reading():
            return self._list_connection.execute(sql, params).fetchall()


def _condition(where_sql: str) -> str:
    return f"namespace_id = ? AND ({where_sql})" if where_sql else "namespace_id = ?"

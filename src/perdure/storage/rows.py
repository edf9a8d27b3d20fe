"""What the writer thread does inside SQLite: the rows of a batch, the clearing of garbage, the write-ahead log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import apsw

from perdure.storage.base import EVENT_ID_BITS, MAX_EVENT_ID, MAX_RUN_KEY, Batch, RunChange
from perdure.storage.opening import BUSY_TIMEOUT_MS
from perdure.storage.queries import queries

log = logging.getLogger(__name__)

CHECKPOINT_PAGES = 2000
"""The write-ahead log is copied back into the file each time it has grown by this many pages (4 KiB each)."""

CHECKPOINT_INSIST_PAGES = 4 * CHECKPOINT_PAGES
"""From here on a checkpoint waits for readers, which have kept the log from starting over."""

CHECKPOINT_WAIT_S = 0.5
"""How long it waits for them at most; nothing is written meanwhile."""

PURGE_ROWS = 64
PURGE_BYTES = 1024 * 1024
"""What one step of clearing removes at most (the row that reaches the limit included)."""


def run_id_bytes(run_id: str) -> bytes:
    """The 16 bytes of a UUID in text form; ValueError when it is none."""
    value = bytes.fromhex(run_id.replace("-", ""))
    if len(value) != 16:
        raise ValueError(f"{run_id!r} is not a UUID")
    return value


class RowWriter:
    """Writes batches within the transaction of its caller."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute: Callable[..., Any] = connection.cursor().execute
        self._sql = queries()
        self.has_garbage = bool(self._execute(self._sql["oldest_garbage"]).fetchall())

    def write(self, batch: Batch) -> None:
        execute, sql = self._execute, self._sql
        for change in batch.runs.values():
            if change.delete:
                self._delete(change)
            else:
                self._write_run(change)
        for (namespace_id, workflow_id), run_key in batch.current.items():
            if run_key is None:
                execute(sql["delete_current"], (namespace_id, workflow_id))
            else:
                execute(sql["put_current"], (namespace_id, workflow_id, run_key))
        for namespace_id, namespace in batch.namespaces.items():
            if namespace is None:
                execute(sql["delete_namespace"], (namespace_id,))
            else:
                execute(sql["put_namespace"], namespace)
        for key, value in batch.meta.items():
            if value is None:
                execute(sql["delete_meta"], (key,))
            else:
                execute(sql["put_meta"], (key, value))

    def _write_run(self, change: RunChange) -> None:
        execute, sql, run_key = self._execute, self._sql, change.run_key
        if change.insert is not None:
            assert 0 < run_key <= MAX_RUN_KEY and change.core is not None, f"run {run_key} can't be inserted"
            namespace_id, workflow_id, run_id = change.insert
            execute(sql["insert_run"], (run_key, namespace_id, workflow_id, run_id_bytes(run_id), change.core))
        elif change.core is not None:
            execute(sql["update_run"], (run_key, change.core))
        for first_event_id, blob in change.history:
            assert 0 < first_event_id <= MAX_EVENT_ID
            execute(sql["insert_history"], (run_key << EVENT_ID_BITS | first_event_id, blob))
        put, delete = sql["put_pending"], sql["delete_pending"]
        for (kind, key), row in change.pending.items():
            if row is None:
                execute(delete, (run_key, kind, key))
            else:
                execute(put, (run_key, kind, key, *row))
        if change.visibility is not None:
            execute(sql["put_visibility"], (run_key, *change.visibility))

    def _delete(self, change: RunChange) -> None:
        # The history may be long: it is cleared later, in steps, and nobody asks for that of a run that isn't there.
        for name in ("delete_run", "delete_all_pending", "delete_visibility", "put_garbage"):
            self._execute(self._sql[name], (change.run_key,))
        self.has_garbage = True

    def purge(self) -> None:
        """Clear the history of deleted runs, one step of it."""
        rows_left, bytes_left = PURGE_ROWS, PURGE_BYTES
        while rows_left > 0 and bytes_left > 0:
            found = self._execute(self._sql["oldest_garbage"]).fetchall()
            if not found:
                self.has_garbage = False
                return
            ((run_key,),) = found
            cleared, size = self._purge_run(run_key, rows_left, bytes_left)
            rows_left -= cleared + 1
            bytes_left -= size

    def _purge_run(self, run_key: int, limit_rows: int, limit_bytes: int) -> tuple[int, int]:
        first, end = run_key << EVENT_ID_BITS, (run_key + 1) << EVENT_ID_BITS
        rows = self._execute(self._sql["history_sizes"], (first, end, limit_rows)).fetchall()
        size = cleared = 0
        while cleared < len(rows) and size < limit_bytes:
            size += rows[cleared][1]
            cleared += 1
        if cleared:
            self._execute(self._sql["delete_history"], (first, rows[cleared - 1][0]))
        if cleared == len(rows) < limit_rows:
            self._execute(self._sql["delete_garbage"], (run_key,))
        return cleared, size


class WriteAheadLog:
    """Keeps the log bounded. A log starts over when all of it is in the file and no reader needs it any more.

    SQLite's own checkpoints copy what no reader stands in the way of, so readers that overlap for ever would let the
    log grow for ever. Ours insist once it is long: while nothing is written, every new reader sees the newest state,
    and once that is in the file, readers leave the log alone. So the wait is as long as the longest read. A transaction
    that another program leaves open has no such end: then the log has to grow, and each vain wait doubles the length
    at which the next one comes.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._pages = 0
        self._checkpoint_at = CHECKPOINT_PAGES
        self._insist_at = CHECKPOINT_INSIST_PAGES
        connection.set_wal_hook(self._grown)

    def _grown(self, connection: apsw.Connection, name: str, pages: int) -> int:
        if pages < self._pages:
            self._checkpoint_at = CHECKPOINT_PAGES
            self._insist_at = CHECKPOINT_INSIST_PAGES
        self._pages = pages
        return 0

    def keep_short(self) -> None:
        """Copy the log into the file if it has grown enough since the last time."""
        if self._pages < self._checkpoint_at:
            return
        self._checkpoint_at = self._pages + CHECKPOINT_PAGES
        if self._pages < self._insist_at:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            return
        self._insist_at = self._pages * 2
        if not self._restart():
            log.warning("the write-ahead log has %d pages: another program holds it by an open read", self._pages)

    def _restart(self) -> bool:
        # Many short tries: SQLite's own wait looks at one reader at a time and can miss its moment for ever.
        deadline = time.monotonic() + CHECKPOINT_WAIT_S
        self._connection.set_busy_timeout(0)
        try:
            while True:
                try:
                    self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
                    return True
                except apsw.BusyError:
                    if time.monotonic() > deadline:
                        return False
                    time.sleep(0.001)
        finally:
            self._connection.set_busy_timeout(BUSY_TIMEOUT_MS)

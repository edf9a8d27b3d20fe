"""A deep look into a database file: can all of it be read, and do its tables fit together.

What the blobs in it mean is not known here: `perdure.runtime.check` adds that, for `perdure check FILE`. The file is
only read. A running server may go on using it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import apsw
from google.protobuf.message import DecodeError
from temporalio.api.history.v1 import History

from perdure.errors import DamagedFile
from perdure.storage.base import EVENT_ID_BITS, MAX_EVENT_ID
from perdure.storage.opening import open_to_read, startup_errors

PROGRESS_ROWS = 10_000
INTEGRITY_LIMIT = 100
"""So many findings of SQLite's own check at most."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A step has begun, or goes on: `done` of `total` rows, where they are counted."""

    step: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, in one sentence."""

    message: str


Report: TypeAlias = "Progress | Finding"
Content: TypeAlias = "Callable[[apsw.Connection], Iterator[Report]]"
"""A further look, at a connection that sees one moment of the file."""

_NO_DAMAGE = (apsw.IOError, apsw.CantOpenError, apsw.BusyError, apsw.FullError, apsw.NoMemError, apsw.AuthError)

# Each: what is wrong, and a query for (what to name in the message).
_REFERENCES = (
    (
        "Workflow {1!r} of namespace {0} points to a run that is not there (run key {2}).",
        "SELECT namespace_id, workflow_id, run_key FROM current WHERE run_key NOT IN (SELECT run_key FROM executions)",
    ),
    (
        "Workflow {1!r} of namespace {0} points to a run of another workflow (run key {2}).",
        "SELECT c.namespace_id, c.workflow_id, c.run_key FROM current c JOIN executions e USING (run_key)"
        " WHERE (c.namespace_id, c.workflow_id) <> (e.namespace_id, e.workflow_id)",
    ),
    (
        "{1} pending items belong to a run that is not there (run key {0}).",
        "SELECT run_key, count(*) FROM pending WHERE run_key NOT IN (SELECT run_key FROM executions) GROUP BY run_key",
    ),
    (
        "Run {1} of workflow {0!r} is listed, but is not there (run key {2}).",
        "SELECT workflow_id, run_id, run_key FROM visibility WHERE run_key NOT IN (SELECT run_key FROM executions)",
    ),
    (
        "A run of workflow {0!r} is in no listing (run key {1}).",
        "SELECT workflow_id, run_key FROM executions WHERE run_key NOT IN (SELECT run_key FROM visibility)",
    ),
    (
        "Run key {1} is listed with other ids than its own (workflow {0!r}).",
        "SELECT e.workflow_id, e.run_key FROM executions e JOIN visibility v USING (run_key)"
        " WHERE (e.namespace_id, e.workflow_id, lower(hex(e.run_id)))"
        " <> (v.namespace_id, v.workflow_id, replace(v.run_id, '-', ''))",
    ),
    (
        "{1} namespaces have the name {0!r}.",
        "SELECT name, count(*) FROM namespaces GROUP BY name HAVING count(*) > 1",
    ),
)


def check_file(path: str | os.PathLike[str]) -> list[str]:
    """What is wrong with a file, a sentence each; an empty list means that all is well. Errors: those of `examine`."""
    return [report.message for report in examine(path) if isinstance(report, Finding)]


def examine(path: str | os.PathLike[str], content: Content | None = None) -> Iterator[Report]:
    """Check everything; yields progress and findings as it goes. A large file takes a while.

    Raises `StartupError` when nothing is damaged, but the file can't be looked at: it is not there, not ours, too new.
    """
    file = Path(path).resolve()
    yield Progress("opening the file")
    try:
        with startup_errors(file, reading=True):
            connection = open_to_read(file)
    except DamagedFile as error:
        yield Finding(error.message)
        return
    with closing(connection), startup_errors(file, reading=True):
        yield from _look_at(connection, content)


def _look_at(connection: apsw.Connection, content: Content | None) -> Iterator[Report]:
    try:
        connection.execute("BEGIN")  # one moment for all that follows
        yield from _integrity(connection)
        yield from _references(connection)
        yield from _histories(connection)
        if content is not None:
            yield from content(connection)
    except _NO_DAMAGE:
        raise
    except apsw.Error as error:
        yield Finding(f"The file can't be read further: {error}.")


def _integrity(connection: apsw.Connection) -> Iterator[Report]:
    yield Progress("structure of the file")
    for (message,) in connection.execute(f"PRAGMA integrity_check({INTEGRITY_LIMIT})"):
        if message != "ok":
            yield Finding(f"The structure of the file is damaged: {message}.")


def _references(connection: apsw.Connection) -> Iterator[Report]:
    yield Progress("references between tables")
    for message, sql in _REFERENCES:
        for row in connection.execute(sql):
            yield Finding(message.format(*row))


def _histories(connection: apsw.Connection) -> Iterator[Report]:
    """Runs and histories, side by side in the order of their keys: no more than a batch is in memory."""
    step = "histories"
    total = rows_in(connection, "history")
    # What is in a space beside the namespace is no workflow and has no history.
    workflows = "SELECT run_key FROM executions WHERE instr(namespace_id, '/') = 0 ORDER BY run_key"
    runs = (run_key for (run_key,) in connection.execute(workflows))
    garbage = {run_key for (run_key,) in connection.execute("SELECT run_key FROM garbage")}
    rows = enumerate(connection.execute("SELECT id, blob FROM history ORDER BY id"))
    expected = next(runs, None)
    for run_key, batches in groupby(rows, key=lambda row: row[1][0] >> EVENT_ID_BITS):
        while expected is not None and expected < run_key:
            yield Finding(f"The history of run key {expected} is missing.")
            expected = next(runs, None)
        if expected == run_key:
            expected = next(runs, None)
        elif run_key in garbage:
            continue
        else:
            yield Finding(f"There is a history, but no run with run key {run_key}.")
        next_event_id = 1
        for done, (row_id, blob) in batches:
            if done % PROGRESS_ROWS == 0:
                yield Progress(step, done, total)
            message, next_event_id = _batch(blob, row_id & MAX_EVENT_ID, next_event_id)
            if message:
                yield Finding(f"The history of run key {run_key} {message}.")
    while expected is not None:
        yield Finding(f"The history of run key {expected} is missing.")
        expected = next(runs, None)
    yield Progress(step, total, total)


def rows_in(connection: apsw.Connection, table: str) -> int:
    """For `Progress`."""
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    assert isinstance(count, int)
    return count


def _batch(blob: bytes, first_event_id: int, expected_event_id: int) -> tuple[str, int]:
    """What is wrong with a batch, or "", and the id that the next one has to begin with."""
    try:
        ids = [event.event_id for event in History.FromString(blob).events]
    except DecodeError:
        return f"can't be read at event {first_event_id}", first_event_id + 1
    following = first_event_id + len(ids)
    if first_event_id != expected_event_id:
        return f"has event {first_event_id} where {expected_event_id} is expected", following
    if not ids or ids != list(range(first_event_id, following)):
        return f"has other events than it should in the batch at event {first_event_id}", following
    return "", following

"""The whole of `perdure check`: beside what `perdure.storage.check` looks at, whether what is stored means something.

Each blob is decoded, and what is stored twice is compared: the state of a run with its history (`check_history`), with
the columns beside it and with what listings show. Compared is what the server stands on and no version of it sees in
another way; all else may come from an older version, and is no damage.

Rows of all tables are read side by side in the order of run keys, so that no more than one run is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

import apsw
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Memo, SearchAttributes

import perdure.runtime.runtime  # noqa: F401 - makes all types of entities known to those who decode
from perdure.engine.batch import JobCore
from perdure.engine.entity import SEPARATOR, EntityCore, load_item
from perdure.engine.entity import load as load_core
from perdure.engine.execution import OPEN, RUNNING, Core, Execution, Kind
from perdure.engine.schedule.state import ScheduleCore
from perdure.errors import DataLoss
from perdure.runtime import namespaces, queue_configs
from perdure.runtime.check_history import against_history, named
from perdure.runtime.rows import UNREADABLE, due_ns, engine_key, stored_key, visibility_row
from perdure.storage import check
from perdure.storage.base import EVENT_ID_BITS, MAX_EVENT_ID, NamespaceRow, VisibilityRow
from perdure.storage.check import Finding, Progress, Report

PROGRESS_RUNS = 200
NEEDED: dict[type[EntityCore], tuple[Kind, ...]] = {
    ScheduleCore: (Kind.SCHEDULE,),
    JobCore: (Kind.BATCH, Kind.BATCH_STEP),
}
"""Type of entity -> what it can't be without while it is open."""
LISTED = ("workflow_type", "status", "start_time", "execution_time", "close_time", "history_length")
"""What listings show and is compared."""
_UNREADABLE = (*UNREADABLE, DecodeError)


def check_file(path: str | os.PathLike[str]) -> list[str]:
    """What is wrong with a file, a sentence each; an empty list means that all is well. Errors: those of `examine`."""
    return [report.message for report in examine(path) if isinstance(report, Finding)]


def examine(path: str | os.PathLike[str]) -> Iterator[Report]:
    """Check everything; yields progress and findings as it goes. A large file takes a while.

    Raises `StartupError` when nothing is damaged, but the file can't be looked at: it is not there, not ours, too new.
    """
    return check.examine(path, _content)


def _content(connection: apsw.Connection) -> Iterator[Report]:
    yield from _names(connection)
    yield from _runs(connection)


def _names(connection: apsw.Connection) -> Iterator[Report]:
    yield Progress("namespaces and settings")
    for row in connection.execute("SELECT id, name, blob FROM namespaces"):
        yield from _decoding(namespaces.decoded, NamespaceRow(*row))
    prefix = queue_configs.PREFIX
    settings = "SELECT key, value FROM meta WHERE substr(key, 1, ?) = ?"
    for key, value in connection.execute(settings, (len(prefix), prefix)):
        yield from _decoding(queue_configs.decoded, key, value)
    homeless = (
        f"SELECT substr(namespace_id, 1, instr(namespace_id || '{SEPARATOR}', '{SEPARATOR}') - 1) AS home, count(*)"
        " FROM executions WHERE home NOT IN (SELECT id FROM namespaces) GROUP BY home"
    )
    for namespace_id, count in connection.execute(homeless):
        yield Finding(f"{count} runs belong to a namespace that is not there ({namespace_id}).")


def _decoding(decode: Callable[..., object], *stored: object) -> Iterator[Finding]:
    try:
        decode(*stored)
    except DataLoss as error:
        yield Finding(f"Damaged: {error.message}.")


def _runs(connection: apsw.Connection) -> Iterator[Report]:
    step = "runs"
    total = check.rows_in(connection, "executions")
    tables = _Tables(connection.execute)
    sql = "SELECT run_key, namespace_id, workflow_id, run_id, core FROM executions ORDER BY run_key"
    for done, (run_key, space, workflow_id, run_id_bytes, blob) in enumerate(connection.execute(sql)):
        if done % PROGRESS_RUNS == 0:
            yield Progress(step, done, total)
        run_id = str(UUID(bytes=run_id_bytes)) if len(run_id_bytes) == 16 else repr(run_id_bytes)
        _, _, division = space.partition(SEPARATOR)
        what = f"Entity {workflow_id!r} of {division}" if division else f"Workflow {workflow_id!r}"
        for problem in _run(tables, run_key, (space, workflow_id, run_id), blob):
            yield Finding(f"{what}, run {run_id} (run key {run_key}): {problem}.")
    yield Progress(step, total, total)


class _Tables:
    """What the other tables have of runs, which are to be asked for in order."""

    def __init__(self, execute: Callable[..., Iterator[Any]]) -> None:
        self._execute = execute
        pending = 'SELECT run_key, kind, key, due_ns, queue, "order", blob FROM pending ORDER BY run_key, kind, key'
        history = f"SELECT id >> {EVENT_ID_BITS}, id & {MAX_EVENT_ID}, blob FROM history ORDER BY id"
        listed = f"SELECT run_key, {', '.join(VisibilityRow._fields)} FROM visibility ORDER BY run_key"
        self.pending, self.history, self.listed = (_Following(execute(sql)) for sql in (pending, history, listed))

    def current(self, space: str, workflow_id: str) -> int | None:
        sql = "SELECT run_key FROM current WHERE namespace_id = ? AND workflow_id = ?"
        for (run_key,) in list(self._execute(sql, (space, workflow_id))):
            return int(run_key)
        return None


class _Following:
    """Rows in the order of their run keys, which are the first column, taken run by run."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self._next: Any = next(rows, None)

    def of(self, run_key: int) -> Iterator[Any]:
        """The rows of a run, without the key. Those of runs before it are passed over."""
        while self._next is not None and self._next[0] <= run_key:
            row, self._next = self._next, next(self._rows, None)
            if row[0] == run_key:
                yield row[1:]


def _run(tables: _Tables, run_key: int, identity: tuple[str, str, str], blob: bytes) -> Iterator[str]:
    """What is wrong with a run or an entity."""
    try:
        live = load_core(run_key, blob)
    except UNREADABLE:
        yield "its state can't be read"
        return
    core: Core | EntityCore = live.core
    if (core.space, core.workflow_id, core.run_id) != identity:
        yield "its state is that of another run"
        return
    unreadable: set[tuple[int, str]] = set()
    yield from _take_pending(live, tables.pending.of(run_key), unreadable)
    if isinstance(core, EntityCore):
        needed = NEEDED.get(type(core), ()) if core.status == RUNNING else ()
        missing = [kind for kind in needed if not live.pending[kind] and (kind, "") not in unreadable]
        yield from (f"its {named(kind)} is missing" for kind in missing)
    else:
        yield from against_history(live, tables.history.of(run_key), unreadable)
    for row in tables.listed.of(run_key):
        yield from _listing(core, VisibilityRow(*row))
    if core.status in OPEN and (current := tables.current(core.space, core.workflow_id)) != run_key:
        yield f"it is open, but its workflow id leads to {'no run' if current is None else f'run key {current}'}"


def _take_pending(live: Execution, rows: Iterable[Any], unreadable: set[tuple[int, str]]) -> Iterator[str]:
    """Put the pending items into the execution; what is wrong with them and their columns."""
    for kind, stored, due, queue, order, blob in rows:
        try:
            items, key = live.pending[Kind(kind)], engine_key(kind, stored)
            item = load_item(kind, blob)
        except UNREADABLE:
            unreadable.add((kind, stored))
            yield f"its {named(kind, stored)} can't be read"
            continue
        items[key] = item
        if stored_key(key) != stored:
            yield f"its {named(kind, stored)} has a key that nobody looks for"
        yield from (f"its {named(kind, stored)} {problem}" for problem in _columns(live, item, due, queue, order))


def _columns(live: Execution, item: Any, due: int | None, queue: str | None, order: int) -> Iterator[str]:
    offset_ns = live.core.offset_ns
    expected = due_ns(item, offset_ns)
    # Of a run that skipped time, only the deadlines that come next are written anew: the others are stored as later.
    is_late = due is not None and expected is not None and expected <= due <= expected + offset_ns
    if due != expected and not is_late:
        yield f"is due at {expected}, but is stored as due at {due}"
    if queue != item.queue:
        yield f"belongs to queue {item.queue!r}, but is stored in {queue!r}"
    if queue is not None and not item.order - offset_ns <= order <= item.order:
        yield f"has the order {item.order}, but is stored with {order}"


def _listing(core: Core | EntityCore, row: VisibilityRow) -> Iterator[str]:
    expected = visibility_row(core)
    for name in LISTED:
        if getattr(row, name) != getattr(expected, name):
            yield f"listings show its {name} as {getattr(row, name)!r}, but it is {getattr(expected, name)!r}"
    for name, message in (("memo", Memo), ("attributes", SearchAttributes)):
        try:
            message.FromString(getattr(row, name) or b"")
        except _UNREADABLE:
            yield f"its {name} in listings can't be read"

"""Between the engine's state and the rows that storage keeps."""

from __future__ import annotations

import json
from functools import lru_cache

import msgspec
from temporalio.api.common.v1 import SearchAttributes

from perdure.engine.attributes import shown_serialized
from perdure.engine.entity import EntityCore, encode_core, load_item
from perdure.engine.entity import load as load_core
from perdure.engine.execution import Core, Execution, Item, Key, Kind, encode, weight_bytes
from perdure.engine.transition import Decision
from perdure.errors import DataLoss
from perdure.storage.base import MAX_ORDER, HistoryBatch, PendingRow, RunChange, RunIdentity, StoredRun, VisibilityRow
from perdure.visibility import schema

NUMBERED = frozenset(
    {
        Kind.ACTIVITY,
        Kind.CHILD,
        Kind.EXTERNAL_SIGNAL,
        Kind.EXTERNAL_CANCEL,
        Kind.BUFFERED_EVENT,
        Kind.SCHEDULE_START,
    }
)
"""Kinds whose keys are numbers; stored with leading zeros so that they sort as such."""

UNREADABLE = (msgspec.MsgspecError, ValueError, LookupError, TypeError)
"""What decoding raises on blobs and keys that are not ours."""

_WIDTH = 12


def stored_key(key: Key) -> str:
    return f"{key:0{_WIDTH}d}" if isinstance(key, int) else key


def engine_key(kind: int, key: str) -> Key:
    return int(key) if kind in NUMBERED else key


def run_change(decision: Decision) -> RunChange:
    """What has to be written for a decision."""
    core, execution = decision.core, decision.execution
    offset_ns = core.offset_ns
    return RunChange(
        run_key=execution.run_key,
        insert=RunIdentity(core.space, core.workflow_id, core.run_id) if decision.created else None,
        core=encode_core(core),
        history=[HistoryBatch(*batch) for batch in decision.history],
        pending={
            (int(kind), stored_key(key)): _row(item, offset_ns) if item is not None and not item.volatile else None
            for kind, key, item in decision.changes
        },
        visibility=visibility_row(core) if decision.visibility else None,
    )


def _row(item: Item, offset_ns: int) -> PendingRow:
    due, order = due_ns(item, offset_ns), item.order - offset_ns
    if order > MAX_ORDER or (due is not None and due > MAX_ORDER):  # which would fail the batch, for all in it
        raise OverflowError(f"no column holds {max(order, due or 0)}")
    return PendingRow(due, item.queue, order, encode(item))


def due_ns(item: Item, offset_ns: int) -> int | None:
    """When the item of a run that is `offset_ns` ahead is due, by the clock of its namespace."""
    return None if item.due_ns is None else item.due_ns - offset_ns


def load(stored: StoredRun) -> Execution:
    """A run as it was last written. Raises `DataLoss` when that can't be read."""
    try:
        return _load(stored)
    except UNREADABLE as error:
        _, workflow_id, run_id = stored.identity
        raise DataLoss(
            f"what is stored of workflow {workflow_id!r}, run {run_id}, is damaged: "
            "check the database with `perdure check`, and restore a backup"
        ) from error


def _load(stored: StoredRun) -> Execution:
    execution = load_core(stored.run_key, stored.core)
    for kind, key, row in stored.pending:
        item = load_item(kind, row.blob)
        execution.pending[Kind(kind)][engine_key(kind, key)] = item
        execution.pending_bytes += weight_bytes(item)
    return execution


def visibility_row(core: Core | EntityCore) -> VisibilityRow:
    """What listings show of a run or an entity."""
    if isinstance(core, EntityCore):
        return _entity_row(core)
    closed = core.close_ns > 0
    search_attributes, attributes = _listed(shown_serialized(core))
    return VisibilityRow(
        namespace_id=core.namespace_id,
        workflow_id=core.workflow_id,
        run_id=core.run_id,
        workflow_type=core.workflow_type,
        task_queue=core.task_queue,
        status=core.status,
        start_time=core.start_ns,
        execution_time=core.execution_ns,
        root_workflow_id=core.root_workflow_id,
        root_run_id=core.root_run_id,
        close_time=core.close_ns if closed else None,
        history_length=core.next_event_id - 1 if closed else None,
        history_size_bytes=core.history_size_bytes if closed else None,
        execution_duration=core.close_ns - core.execution_ns if closed else None,
        state_transition_count=core.state_transition_count if closed else None,
        parent_workflow_id=core.parent_workflow_id or None,
        parent_run_id=core.parent_run_id or None,
        search_attributes=search_attributes,
        memo=core.memo or None,
        attributes=attributes,
    )


def _entity_row(core: EntityCore) -> VisibilityRow:
    search_attributes, attributes = _listed(core.search_attributes)
    return VisibilityRow(
        namespace_id=core.space,
        workflow_id=core.workflow_id,
        run_id=core.run_id,
        workflow_type=core.division,
        task_queue="",
        status=core.status,
        start_time=core.start_ns,
        execution_time=core.start_ns,
        root_workflow_id=core.workflow_id,
        root_run_id=core.run_id,
        close_time=core.close_ns or None,
        search_attributes=search_attributes,
        memo=core.memo or None,
        attributes=attributes,
    )


@lru_cache(maxsize=256)
def _listed(serialized: bytes) -> tuple[str | None, bytes | None]:
    """Search attributes as queries find them, in JSON, and as listings show them.

    Most runs have those of runs before them: the builds of their workers."""
    if not serialized:
        return None, None
    attributes = SearchAttributes.FromString(serialized)
    values = schema.plain_values(attributes)
    for name, value in values.items():
        payload = attributes.indexed_fields[name]
        if payload.data.startswith(b"["):  # a list of one value is shown as the value
            payload.data = _json(value if isinstance(value, list) else json.loads(payload.data)[0]).encode()
    return _json(values) if values else None, attributes.SerializeToString() or None


_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

"""Warnings of runs that come near a limit: one for each run and kind, as long as the run is in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from temporalio.api.history.v1 import History

from perdure.config import Dynamic
from perdure.engine import limits
from perdure.engine.decision import Decision
from perdure.engine.entity import is_entity
from perdure.engine.execution import Execution, Kind
from perdure.runtime.namespaces import Namespaces
from perdure.runtime.run import Run

log = logging.getLogger(__name__)


def warn_if_large(run: Run, namespaces: Namespaces, config: Dynamic, decision: Decision) -> None:
    """Say so when `decision` has brought a workflow something large, or has let it grow beyond what is usual."""
    if is_entity(run.execution):
        return
    for what, size in _large_values(config, decision):
        _warn(run, namespaces, what, size)
    for what, size in _large_state(run.execution, config):
        _warn(run, namespaces, what, size)


def _large_values(config: Dynamic, decision: Decision) -> Iterator[tuple[str, int]]:
    limit_bytes = config.blob_size_limit_warn_bytes
    for _, data in decision.history:
        if len(data) > limit_bytes:
            size_bytes = max(event.ByteSize() for event in History.FromString(data).events)
            if size_bytes > limit_bytes:
                yield "blob size", size_bytes
    if (size_bytes := len(decision.core.memo)) > config.memo_size_limit_warn_bytes:
        yield "memo size", size_bytes
    for kind, _, item in decision.changes:
        if kind == Kind.ACTIVITY and item is not None:
            if (size_bytes := len(item.heartbeat_details)) > limit_bytes:
                yield "blob size", size_bytes
            if (size_bytes := len(item.last_failure)) > config.mutable_state_activity_failure_size_limit_warn_bytes:
                yield "activity failure size", size_bytes


def _large_state(execution: Execution, config: Dynamic) -> Iterator[tuple[str, int]]:
    core = execution.core
    if not execution.running:
        return
    if core.history_size_bytes > config.history_size_limit_warn_bytes:
        yield "history size", core.history_size_bytes
    if core.next_event_id - 1 > config.history_count_limit_warn:
        yield "history count", core.next_event_id - 1
    size_bytes = limits.state_size_bytes(execution)
    if size_bytes > config.mutable_state_size_limit_warn_bytes:
        yield "mutable state size", size_bytes


def _warn(run: Run, namespaces: Namespaces, what: str, size: int) -> None:
    if what in run.warned:
        return
    run.warned |= {what}
    core = run.core
    log.warning(
        "%s exceeds warn limit: %d (namespace %s, workflow %s, run %s)",
        what,
        size,
        namespaces.by_id(core.namespace_id).name,
        core.workflow_id,
        core.run_id,
    )

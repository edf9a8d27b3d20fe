"""Warnings of runs that come near a limit: one for each run and kind, as long as the run is in memory."""

from __future__ import annotations

import logging

from temporalio.api.history.v1 import History

from perdure.config import Dynamic
from perdure.engine import limits
from perdure.engine.decision import Decision
from perdure.engine.entity import is_entity
from perdure.engine.execution import Activity
from perdure.runtime.run import Run

log = logging.getLogger(__name__)


def warn_if_large(run: Run, namespace: str, config: Dynamic, decision: Decision) -> None:
    """Say so when `decision` has brought a workflow something large, or has let it grow beyond what is usual."""
    if is_entity(run.execution):
        return
    _warn_of_values(run, namespace, config, decision)
    if run.execution.running:
        _warn_of_growth(run, namespace, config)


def _warn_of_values(run: Run, namespace: str, config: Dynamic, decision: Decision) -> None:
    limit_bytes = config.blob_size_limit_warn_bytes
    if sum(len(data) for _, data in decision.history) > limit_bytes:
        events = History.FromString(b"".join(data for _, data in decision.history)).events
        if (size_bytes := max(event.ByteSize() for event in events)) > limit_bytes:
            _warn(run, namespace, "blob size", size_bytes)
    if (size_bytes := len(run.core.memo)) > config.memo_size_limit_warn_bytes:
        _warn(run, namespace, "memo size", size_bytes)
    for _, _, item in decision.changes:
        if isinstance(item, Activity):
            if (size_bytes := len(item.heartbeat_details)) > limit_bytes:
                _warn(run, namespace, "blob size", size_bytes)
            if (size_bytes := len(item.last_failure)) > config.mutable_state_activity_failure_size_limit_warn_bytes:
                _warn(run, namespace, "activity failure size", size_bytes)


def _warn_of_growth(run: Run, namespace: str, config: Dynamic) -> None:
    core = run.core
    if core.history_size_bytes > config.history_size_limit_warn_bytes:
        _warn(run, namespace, "history size", core.history_size_bytes)
    if core.next_event_id - 1 > config.history_count_limit_warn:
        _warn(run, namespace, "history count", core.next_event_id - 1)
    size_bytes = limits.state_size_bytes(run.execution)
    if size_bytes > config.mutable_state_size_limit_warn_bytes:
        _warn(run, namespace, "mutable state size", size_bytes)


def _warn(run: Run, namespace: str, what: str, size: int) -> None:
    if what in run.warned:
        return
    run.warned |= {what}
    core = run.core
    log.warning(
        "%s exceeds warn limit: %d (namespace %s, workflow %s, run %s)",
        what,
        size,
        namespace,
        core.workflow_id,
        core.run_id,
    )

"""Warnings of runs that grow towards a limit: one for each run and kind, as long as the run is in memory."""

from __future__ import annotations

import logging

from perdure.config import Dynamic
from perdure.engine import limits
from perdure.engine.entity import is_entity
from perdure.runtime.run import Run

log = logging.getLogger(__name__)


def warn_if_large(run: Run, namespace: str, config: Dynamic) -> None:
    """Say so when an open workflow has gone beyond the size from which that is worth it."""
    core = run.core
    if not run.execution.running or is_entity(run.execution):
        return
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

"""What a single request can't be blamed for: a history, a state or a buffer that has grown too large."""

from __future__ import annotations

from perdure.engine.execution import Core, Execution
from perdure.engine.machines import workflow_task
from perdure.engine.transition import Transition

HISTORY_SIZE = "Workflow history size exceeds limit."
HISTORY_COUNT = "Workflow history count exceeds limit."
MUTABLE_STATE_SIZE = "Workflow mutable state size exceeds limit."

GROWTH_BYTES = 6 * 1024 * 1024
"""More than one input can add to a state, since a request is smaller. Farther from the limit nothing is weighed."""


def exceeded(t: Transition) -> str:
    """The reason to end the run, if it is over a limit. A history counts as large from the next transition on."""
    if not t.running or t.created:
        return ""
    config = t.env.config
    if t.execution.core.history_size_bytes > config.history_size_limit_error_bytes:
        return HISTORY_SIZE
    if t.core.next_event_id - 1 > config.history_count_limit_error:
        return HISTORY_COUNT
    limit_bytes = config.mutable_state_size_limit_error_bytes
    near = t.execution.pending_bytes > limit_bytes - GROWTH_BYTES
    if near and t.pending_bytes() + _own_bytes(t.core) > limit_bytes:
        return MUTABLE_STATE_SIZE
    return ""


def state_size_bytes(execution: Execution) -> int:
    """What a run carries from transition to transition, about: its pending items, memo and search attributes."""
    return execution.pending_bytes + _own_bytes(execution.core)


def _own_bytes(core: Core) -> int:
    return len(core.memo) + len(core.search_attributes) + len(core.user_metadata) + len(core.reset_points)


def hold_buffer(t: Transition) -> None:
    """Too many events behind a started task, or too large ones, end it."""
    if not t.has_buffered_events:
        return
    config, task = t.env.config, t.workflow_task
    if t.running and task is not None and task.started_ns:
        count, size_bytes = t.buffered
        if count > config.maximum_buffered_events_batch or size_bytes > config.maximum_buffered_events_size_bytes:
            workflow_task.force_close(t)

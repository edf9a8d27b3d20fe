"""A run's state from its events alone, and what of the state no event carries.

`rebuild` is `apply` over a history, nothing else. Property tests compare what it makes with the live state; wherever
the two may differ stands in `NOT_IN_EVENTS`, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure.config import Dynamic
from perdure.engine.apply import apply
from perdure.engine.execution import Core, Execution, Kind, UpdateState
from perdure.engine.transition import State


@dataclass(frozen=True, slots=True)
class Identity:
    """Which run a history belongs to; `run_key` is storage's."""

    namespace_id: str
    workflow_id: str
    run_id: str
    run_key: int


def rebuild(identity: Identity, events: Iterable[HistoryEvent], config: Dynamic) -> Execution:
    """The run that had these events. Buffered ones, whose id is 0, come last, in the order of their arrival."""
    state = beginning(identity, config)
    for event in events:
        replay(state, event)
    state.fold()
    return state.execution


def beginning(identity: Identity, config: Dynamic) -> State:
    """A run of which nothing has happened, for `replay`."""
    core = Core(namespace_id=identity.namespace_id, workflow_id=identity.workflow_id, run_id=identity.run_id)
    return State(Execution(identity.run_key, core), config.history_max_auto_reset_points)


def replay(state: State, event: HistoryEvent) -> None:
    """Let the next event of a history act."""
    apply(state, event)
    if event.event_id:
        state.core.next_event_id = event.event_id + 1


_STICKY = "a completed task's answer makes the run sticky; histories do not say so"
_UNWRITTEN = "failures of tasks that were never written leave no event"
_BATCHES = "how events are packed into batches is storage's business"
_BUFFER = "the buffer is where events are, not what they say"
_COUNTS = "counts transitions, of which many leave no event"
_ATTEMPTS = "attempts of activities leave no events"
_DELIVERY = "whether a task is in a queue or with a worker is not in history until it closes"
_REQUEST = "request ids of clients are not part of history"
_PAUSES = "activities are paused, unpaused and reset without an event"
_OPTIONS = "options of activities are changed without an event"
_AFTER_CLOSE = "what a closed run still owes is settled without an event"

NOT_IN_EVENTS: dict[str, dict[str, str]] = {
    "Core": {
        "start_request_id": _REQUEST,
        "reset_request_id": _REQUEST,
        "reset_run_id": "it is the new run's history that says from which it was made",
        "cancel_request_id": _REQUEST,
        "sticky_queue": _STICKY,
        "sticky_timeout_ns": _STICKY,
        "workflow_task_attempt": _UNWRITTEN + "; stickiness decides whether one counts",
        "close_attempted": _UNWRITTEN,
        "failed_attempts": _UNWRITTEN + "; stickiness decides whether one counts",
        "reported_problems": _UNWRITTEN,
        "first_task_scheduled": _UNWRITTEN,
        "buffered_count": _BUFFER,
        "buffered_size_bytes": _BUFFER,
        "next_number": _BUFFER,
        "history_size_bytes": _BATCHES,
        "last_first_event_id": _BATCHES,
        "state_transition_count": _COUNTS,
        "pause_info": _PAUSES,
    },
    "Update": {
        "state": "that a worker has been told of an update leaves no event",
    },
    "WorkflowTask": {
        "order": "the priority of the run may have changed since a task was scheduled that is written later",
        "due_ns": _STICKY,
        "queue": _STICKY,
        "original_scheduled_ns": "heartbeats carry it over from task to task",
    },
    "Lifetime": {"due_ns": "a first task that comes due in a paused run waits on"},
    "Activity": {
        "due_ns": _ATTEMPTS,
        "queue": _DELIVERY,
        "order": _ATTEMPTS,
        "scheduled_ns": _ATTEMPTS,
        "attempt": _ATTEMPTS,
        "started_ns": _DELIVERY,
        "request_id": _DELIVERY,
        "last_identity": _DELIVERY,
        "last_heartbeat_ns": _ATTEMPTS,
        "heartbeat_details": _ATTEMPTS,
        "last_failure": _ATTEMPTS,
        "last_attempt_complete_ns": _ATTEMPTS,
        "next_attempt_ns": _ATTEMPTS,
        "current_retry_interval_ns": _ATTEMPTS,
        "stamp": _PAUSES,
        "paused_ns": _PAUSES,
        "paused_by": _PAUSES,
        "pause_reason": _PAUSES,
        "pause_request_id": _PAUSES,
        "held": _DELIVERY,
        "reset": _PAUSES,
        "reset_heartbeat": _PAUSES,
        "original_options": _OPTIONS,
        "task_queue": _OPTIONS,
        "schedule_to_close_ns": _OPTIONS,
        "schedule_to_start_ns": _OPTIONS,
        "start_to_close_ns": _OPTIONS,
        "heartbeat_ns": _OPTIONS,
        "retry_policy": _OPTIONS,
        "priority": _OPTIONS,
    },
}
"""Type of state -> field -> why its value can't be had from events."""


def _unwritten(task: Any) -> bool:
    return bool(task.unwritten)


def _of_start(request: Any) -> bool:
    return bool(request.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)


def _volatile(update: Any) -> bool:
    return bool(update.volatile)


def _in_flight(update: Any) -> bool:
    return bool(update.state <= UpdateState.SENT)


def _always(item: Any) -> bool:
    return True


ITEMS_NOT_IN_EVENTS: dict[Kind, tuple[Callable[[Any], bool], str]] = {
    Kind.WORKFLOW_TASK: (_unwritten, "a later attempt is written when it completes"),
    Kind.REQUEST: (_of_start, _REQUEST),
    Kind.BUFFERED_EVENT: (_always, _BUFFER),
    Kind.SCHEDULED: (_always, "that a schedule started a run is told by nothing but the run's search attributes"),
    Kind.UPDATE: (_volatile, "an update is in memory alone until it is accepted"),
}
"""Kind -> which of its items no event carries, and why."""

ENDS_NOT_IN_EVENTS: dict[Kind, tuple[Callable[[Any], bool], str]] = {
    Kind.UPDATE: (_in_flight, "that a worker rejects an update leaves no event, not even where its admission has one"),
}
"""Kind -> which items events know of may be gone, and why."""

SETTLED_AFTER_CLOSE: dict[Kind, str] = {
    Kind.CHILD: _AFTER_CLOSE,
    Kind.FOLLOW_UP: _AFTER_CLOSE,
    Kind.UPDATE: "one that was only admitted is over when the workflow closes",
    Kind.ACTIVITY: "one that was cancelled, unstarted, together with the close has an end that is not told",
}
"""Kinds whose items, once the run has closed, lose their deadline or go without an event."""

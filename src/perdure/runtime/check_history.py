"""For `perdure check`: a run's state made again from its history, and what the stored state says otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent

from perdure.config import Dynamic
from perdure.engine.execution import PAUSED, Execution, Kind
from perdure.engine.rebuild import (
    ENDS_NOT_IN_EVENTS,
    ITEMS_NOT_IN_EVENTS,
    SETTLED_AFTER_CLOSE,
    Identity,
    beginning,
    replay,
)
from perdure.runtime.rows import stored_key

COMPARED = ("status", "workflow_type", "start_ns", "close_ns", "cancel_requested", "previous_started_event_id")
"""Of the core of a run."""
WITHOUT_EVENT = frozenset({Kind.DELETION})
"""Kinds that no event tells of, besides those that `rebuild` knows."""
WAKING = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_TIMER_FIRED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
    }
)
"""Events that a workflow has to be told of: behind the last task that it has completed, they need another one."""

Unreadable = Collection[tuple[int, str]]
"""(kind, stored key) of items that are there, but can't be read."""


def named(kind: int, stored: str = "") -> str:
    """A pending item, for a sentence."""
    name = Kind(kind).name.lower().replace("_", " ") if kind in set(Kind) else f"item of kind {kind}"
    return f"pending {name}" + (f" {stored!r}" if stored else "")


class _Broken(Exception):
    """The history is no history; the look at histories alone tells what is wrong with it."""


def against_history(live: Execution, batches: Iterable[tuple[int, bytes]], unreadable: Unreadable) -> Iterator[str]:
    """What is wrong with a run, by its batches of (first event id, events), in order."""
    core = live.core
    state = beginning(Identity(core.namespace_id, core.workflow_id, core.run_id, live.run_key), Dynamic())
    last_waking = 0
    try:
        for event in _events(live, batches):
            if event.event_id == 0 and state.core.next_event_id != core.next_event_id:
                break
            replay(state, event)
            if event.event_type in WAKING and event.event_id:
                last_waking = event.event_id
    except _Broken:
        return
    except Exception as error:
        yield f"its history makes no sense behind event {state.core.next_event_id - 1} ({error!r})"
        return
    last, expected = state.core.next_event_id - 1, core.next_event_id - 1
    if last == 0:
        return
    if last != expected:
        yield f"its history ends with event {last}, but its state knows of {expected} events"
        return
    state.fold()
    yield from _differences(live, state.execution, unreadable)
    if not state.execution.pending[Kind.WORKFLOW_TASK]:
        yield from _lost_wake(live, last_waking, unreadable)


def _events(live: Execution, batches: Iterable[tuple[int, bytes]]) -> Iterator[HistoryEvent]:
    """What is written, then what is buffered, in the order of its arrival."""
    expected = 1
    for _, data in batches:
        try:
            events = History.FromString(data).events
        except DecodeError as error:
            raise _Broken from error
        for event in events:
            if event.event_id != expected:
                raise _Broken
            expected += 1
            yield event
    buffered: dict[Any, Any] = live.pending[Kind.BUFFERED_EVENT]
    for key in sorted(buffered):
        yield HistoryEvent.FromString(buffered[key].event)


def _differences(live: Execution, rebuilt: Execution, unreadable: Unreadable) -> Iterator[str]:
    buffered = len(live.pending[Kind.BUFFERED_EVENT]) + sum(kind == Kind.BUFFERED_EVENT for kind, _ in unreadable)
    if live.core.buffered_count != buffered:
        yield f"of its {live.core.buffered_count} buffered events, {buffered} are there"
    for name in COMPARED:
        mine, theirs = getattr(live.core, name), getattr(rebuilt.core, name)
        if mine != theirs:
            yield f"its {name} is {mine!r}, but {theirs!r} by its history"
    for kind in live.core.kinds:
        yield from _pending(kind, live, rebuilt, unreadable)


def _pending(kind: Kind, live: Execution, rebuilt: Execution, unreadable: Unreadable) -> Iterator[str]:
    """What is pending has to be what the history leaves open, but for what no event carries."""
    has_no_event, _ = ITEMS_NOT_IN_EVENTS.get(kind, (lambda item: kind in WITHOUT_EVENT, ""))
    ends_untold, _ = ENDS_NOT_IN_EVENTS.get(kind, (lambda item: False, ""))
    mine, theirs = live.pending[kind], rebuilt.pending[kind]
    settled = kind in SETTLED_AFTER_CLOSE and not live.running
    for key, item in theirs.items():
        if key in mine or settled or ends_untold(item) or has_no_event(item) or (kind, stored_key(key)) in unreadable:
            continue
        yield f"its {named(kind, str(key))} is missing, which its history leaves open"
    for key, item in mine.items():
        if key not in theirs and not has_no_event(item):
            yield f"its {named(kind, str(key))} is not what its history leaves open"
        elif kind == Kind.TIMER and key in theirs and item.due_ns != theirs[key].due_ns:
            yield f"its {named(kind, str(key))} is due at {item.due_ns}, but at {theirs[key].due_ns} by its history"


def _lost_wake(live: Execution, last_waking: int, unreadable: Unreadable) -> Iterator[str]:
    """A task that is not written is in no history; but where the workflow has to be told something, there is one."""
    if not live.running or live.core.status == PAUSED or live.pending[Kind.WORKFLOW_TASK]:
        return
    if "first-task" in live.pending[Kind.LIFETIME] or (Kind.WORKFLOW_TASK, "") in unreadable:
        return
    seen = live.core.previous_started_event_id
    if not seen or last_waking > seen:
        yield f"its pending workflow task is missing, with which it would be told of event {last_waking or 1}"

"""What must be true of a run after every step, whatever was said to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent

from perdure.config import Dynamic
from perdure.engine.execution import (
    PAUSED,
    Activity,
    Execution,
    Kind,
    UpdateState,
    decode_core,
    decode_item,
    encode,
)
from perdure.engine.rebuild import (
    ENDS_NOT_IN_EVENTS,
    ITEMS_NOT_IN_EVENTS,
    NOT_IN_EVENTS,
    SETTLED_AFTER_CLOSE,
    Identity,
    rebuild,
)

if TYPE_CHECKING:
    from tests.engine.driver import Conversation

E = EventType

CLOSES = frozenset(
    {
        E.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)
BEGINNINGS = {
    "ACTIVITY_TASK_SCHEDULED": "scheduled_event_id",
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": "initiated_event_id",
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": "initiated_event_id",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": "initiated_event_id",
    "TIMER_STARTED": "started_event_id",
    "WORKFLOW_TASK_SCHEDULED": "scheduled_event_id",
}
ENDS = {
    "ACTIVITY_TASK_COMPLETED": "ACTIVITY_TASK_SCHEDULED",
    "ACTIVITY_TASK_FAILED": "ACTIVITY_TASK_SCHEDULED",
    "ACTIVITY_TASK_TIMED_OUT": "ACTIVITY_TASK_SCHEDULED",
    "ACTIVITY_TASK_CANCELED": "ACTIVITY_TASK_SCHEDULED",
    "CHILD_WORKFLOW_EXECUTION_COMPLETED": "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "CHILD_WORKFLOW_EXECUTION_FAILED": "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "CHILD_WORKFLOW_EXECUTION_CANCELED": "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "CHILD_WORKFLOW_EXECUTION_TIMED_OUT": "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "CHILD_WORKFLOW_EXECUTION_TERMINATED": "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "START_CHILD_WORKFLOW_EXECUTION_FAILED": "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED": "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED": "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "TIMER_FIRED": "TIMER_STARTED",
    "TIMER_CANCELED": "TIMER_STARTED",
    "WORKFLOW_TASK_COMPLETED": "WORKFLOW_TASK_SCHEDULED",
    "WORKFLOW_TASK_FAILED": "WORKFLOW_TASK_SCHEDULED",
    "WORKFLOW_TASK_TIMED_OUT": "WORKFLOW_TASK_SCHEDULED",
}
"""Type of an event that ends something -> type of the event that began it."""

STARTS = {
    "ACTIVITY_TASK_STARTED": "ACTIVITY_TASK_SCHEDULED",
    "CHILD_WORKFLOW_EXECUTION_STARTED": "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "WORKFLOW_TASK_STARTED": "WORKFLOW_TASK_SCHEDULED",
}


def check(talk: Conversation) -> None:
    events, buffered = talk.written, talk.buffered
    _check_numbers(talk, events)
    _check_references(events, buffered)
    _check_rebuild(talk.execution, [*events, *buffered])
    _check_round_trip(talk.execution)
    _check_wakes(talk.execution, events)
    _check_deadlines(talk.execution)


def fingerprint(execution: Execution) -> bytes:
    """Every byte of the state, as it would be stored."""
    parts = [encode(execution.core)]
    for kind, key, item in sorted(execution.items(), key=lambda entry: (entry[0], str(entry[1]))):
        parts += [f"{kind}/{key}".encode(), encode(item)]
    return b"|".join(parts)


def _check_numbers(talk: Conversation, events: list[HistoryEvent]) -> None:
    """Ids are contiguous, so are batches; at most one event closes the run, and it is the last."""
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    assert talk.execution.core.next_event_id == len(events) + 1
    first = 1
    for first_event_id, data in talk.batches:
        batch = History.FromString(data).events
        assert batch and first_event_id == first == batch[0].event_id
        first += len(batch)
    closes = [event.event_id for event in events if event.event_type in CLOSES]
    assert closes == ([] if talk.execution.running else [len(events)])
    assert not (talk.buffered and not talk.execution.running)
    stored = [len(item.event) for item in talk.execution.pending[Kind.BUFFERED_EVENT].values()]
    core = talk.execution.core
    assert (core.buffered_count, core.buffered_size_bytes) == (len(stored), sum(stored))
    assert core.history_size_bytes == sum(len(data) for _, data in talk.batches)
    assert core.last_first_event_id == talk.batches[-1][0]


def _check_references(events: list[HistoryEvent], buffered: list[HistoryEvent]) -> None:
    """What ends or starts something refers to its beginning, once; a close refers to its start."""
    types = {event.event_id: EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events}
    ended: Counter[int] = Counter()
    started: dict[int, HistoryEvent] = {}
    for event in [*events, *buffered]:
        name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
        begun_as = ENDS.get(name) or STARTS.get(name)
        if begun_as is None:
            continue
        attributes: Any = getattr(event, event.WhichOneof("attributes"))  # type: ignore[arg-type]
        begun = getattr(attributes, BEGINNINGS[begun_as])
        assert types.get(begun) == begun_as, f"{event.event_id} {name} refers to {begun} {types.get(begun)}"
        assert not event.event_id or begun < event.event_id
        if name in STARTS:
            assert begun not in started and begun not in ended, f"{begun} started twice or after its end"
            started[begun] = event
            continue
        ended[begun] += 1
        assert ended[begun] == 1, f"{begun} ended twice"
        if "started_event_id" in attributes.DESCRIPTOR.fields_by_name and begun_as != "TIMER_STARTED":
            start = started.get(begun)
            assert attributes.started_event_id == (start.event_id if start is not None else 0)


def _check_rebuild(execution: Execution, events: list[HistoryEvent]) -> None:
    core = execution.core
    identity = Identity(core.namespace_id, core.workflow_id, core.run_id, execution.run_key)
    found = differences(execution, rebuild(identity, events, Dynamic()))
    assert not found, "live != rebuilt:\n" + "\n".join(found)


def differences(live: Execution, rebuilt: Execution) -> list[str]:
    """Where the two differ, apart from what no event carries."""
    found = _fields("core", live.core, rebuilt.core)
    for kind in live.core.kinds:
        absent, _ = ITEMS_NOT_IN_EVENTS.get(kind, (lambda item: False, ""))
        mine = {key: item for key, item in live.pending[kind].items() if not absent(item)}
        ended, _ = ENDS_NOT_IN_EVENTS.get(kind, (lambda item: False, ""))
        theirs = {key: item for key, item in rebuilt.pending[kind].items() if key in mine or not ended(item)}
        settling = kind in SETTLED_AFTER_CLOSE and not live.running
        if settling:
            theirs = {key: item for key, item in theirs.items() if key in mine}
        found += [f"{kind.name} {key}: only live" for key in mine.keys() - theirs.keys()]
        found += [f"{kind.name} {key}: only rebuilt" for key in theirs.keys() - mine.keys()]
        for key in mine.keys() & theirs.keys():
            found += _fields(f"{kind.name} {key}", mine[key], theirs[key], {"due_ns"} if settling else set())
    return found


def _fields(where: str, live: Any, rebuilt: Any, also: Collection[str] = ()) -> list[str]:
    skipped = {*NOT_IN_EVENTS.get(type(live).__name__, {}), *also}
    return [
        f"{where}.{name}: {getattr(live, name)!r} live, {getattr(rebuilt, name)!r} rebuilt"
        for name in live.__struct_fields__
        if name not in skipped and getattr(live, name) != getattr(rebuilt, name)
    ]


def _check_round_trip(execution: Execution) -> None:
    assert decode_core(encode(execution.core)) == execution.core
    for kind, _, item in execution.items():
        assert decode_item(kind, encode(item)) == item


def _check_activity(activity: Activity) -> None:
    if activity.paused_ns:
        assert activity.due_ns is None and not activity.next_attempt_ns
    else:
        waits = activity.next_attempt_ns or activity.schedule_to_start_ns or activity.schedule_to_close_ns
        assert activity.due_ns or not (activity.started_ns or waits)
    kept = activity.started_ns or activity.next_attempt_ns or activity.paused_ns or activity.held
    assert (activity.queue is None) == bool(kept)
    assert not (activity.held and activity.started_ns)


_SEEN_BY_TASK = frozenset({E.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, E.EVENT_TYPE_WORKFLOW_TASK_STARTED})
_WAKING = frozenset(
    {
        E.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        E.EVENT_TYPE_TIMER_FIRED,
        E.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        E.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
        *(E.Value(f"EVENT_TYPE_{name}") for name in ENDS if name.split("_")[0] in ("ACTIVITY", "CHILD", "EXTERNAL")),
        E.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
        E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED,
    }
)


def _check_wakes(execution: Execution, events: list[HistoryEvent]) -> None:
    """No wake-up is lost: what the workflow has not seen comes with a task, or with the end of the first backoff."""
    if not execution.running or execution.pending_workflow_task is not None:
        return
    if execution.core.status == PAUSED:
        return
    waiting = [key for key, update in execution.pending[Kind.UPDATE].items() if update.state < UpdateState.ACCEPTED]
    assert not waiting, f"no task for updates {waiting}"
    if "first-task" in execution.pending[Kind.LIFETIME]:
        return
    seen = execution.core.previous_started_event_id
    unseen = [event for event in events if event.event_id > seen and event.event_type in _WAKING]
    assert seen and not unseen, f"no task for {[event.event_id for event in unseen]}"


def _check_deadlines(execution: Execution) -> None:
    """What waits for time says until when; what waits for a worker says where."""
    if not execution.running:
        for kind in (Kind.TIMER, Kind.LIFETIME, Kind.BUFFERED_EVENT):
            assert not execution.pending[kind]
        for kind in (Kind.WORKFLOW_TASK, Kind.ACTIVITY):
            assert all(item.due_ns is None and item.queue is None for item in execution.pending[kind].values())
        return
    task = execution.pending_workflow_task
    if task is not None:
        assert (task.queue is None) == bool(task.started_ns)
        assert task.due_ns is not None or not (task.started_ns or task.sticky)
    for timer in execution.pending[Kind.TIMER].values():
        assert timer.due_ns
    for activity in execution.pending[Kind.ACTIVITY].values():
        _check_activity(activity)
    for child in execution.pending[Kind.CHILD].values():
        assert (child.due_ns is None) == child.started
    late = execution.core.status == PAUSED
    assert all(item.due_ns or late for item in execution.pending[Kind.LIFETIME].values())
    for kind in (Kind.EXTERNAL_SIGNAL, Kind.EXTERNAL_CANCEL):
        assert all(item.due_ns for item in execution.pending[kind].values())

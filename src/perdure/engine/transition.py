"""A transition: one input acting on one run, kept whole or dropped whole.

A `Transition` is an overlay on an `Execution`. It reads through, writes to itself, and `commit` folds it in. What it
holds at the end (events, changed items, core) is exactly what storage has to write.

The order of events follows the real server:

* Events that come from outside are put in a buffer, without an id. They act on the state at once.
* The buffer is flushed before a workflow task is scheduled, and at the end of every transition that leaves no task
  started. Closes of activities and children go last, then ids are given, then `started_event_id`s are wired.
* While a task is started, the buffer outlives the transition as `BufferedEvent` items.
* `WorkflowTaskStarted` ends a batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import EventType
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.protocol.v1 import Message as ProtocolMessage

from perdure.engine.apply import apply
from perdure.engine.decision import Decision as Decision
from perdure.engine.decision import UpdateResult as UpdateResult
from perdure.engine.execution import (
    OPEN,
    PAUSED,
    BufferedEvent,
    Core,
    Execution,
    Item,
    Key,
    Kind,
    WorkflowTask,
    weight_bytes,
)
from perdure.engine.messages import copy_present, serialized_history
from perdure.engine.times import set_time
from perdure.errors import InvalidArgument

if TYPE_CHECKING:
    from perdure.config import Dynamic
    from perdure.engine.checks.commands import SearchAttributeRules


class Ids(Protocol):
    """Where identifiers and chance come from."""

    def uuid(self) -> str: ...

    def random(self) -> float: ...


class Namespace(Protocol):
    """What the engine has to know of a namespace."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def retention_ns(self) -> int: ...
    @property
    def custom_search_attributes(self) -> dict[str, int]: ...


@dataclass(slots=True, frozen=True)
class Environment:
    """The inputs that every transition shares: time, settings, identifiers, namespaces."""

    now_ns: int
    """That of the namespace; a run may be ahead of it."""
    config: Dynamic
    ids: Ids
    namespace: Namespace
    find_namespace: Callable[[str], Namespace]
    """By name; raises `NamespaceNotFound`."""
    search_attribute_rules: SearchAttributeRules
    """What search attributes there are, for the checks of commands."""
    new_run_key: Callable[[], int]
    """The key under which storage will know a new run."""


class Overlay:
    """The items of one kind as this transition sees them. `None` in `changes` is a removal."""

    __slots__ = ("_base", "changes")

    def __init__(self, base: dict[Key, Any]) -> None:
        self._base = base
        self.changes: dict[Key, Any] = {}

    def get(self, key: Key) -> Any:
        if key in self.changes:
            return self.changes[key]
        return self._base.get(key)

    def edit(self, key: Key) -> Any:
        """The item, to be changed in place: a copy of the committed one."""
        item = self.changes.get(key)
        if item is None:
            item = self.changes[key] = copy.copy(self._base[key])
        return item

    def put(self, key: Key, item: Item) -> None:
        self.changes[key] = item

    def remove(self, key: Key) -> None:
        if key in self._base:
            self.changes[key] = None
        else:
            self.changes.pop(key, None)

    def clear(self) -> None:
        for key in list(self):
            self.remove(key)

    def __iter__(self) -> Iterator[Key]:
        if not self.changes:
            yield from self._base
            return
        for key in self._base:
            if key not in self.changes or self.changes[key] is not None:
                yield key
        for key, item in self.changes.items():
            if item is not None and key not in self._base:
                yield key

    def values(self) -> Iterator[Any]:
        for key in list(self):
            yield self.get(key)

    def snapshot(self) -> list[tuple[Key, Any]]:
        """All items as they are now, with their keys."""
        return [(key, item) for key, item in {**self._base, **self.changes}.items() if item is not None]

    def replaced(self) -> Iterator[Any]:
        """The committed items that this transition changes or removes."""
        return (self._base[key] for key in self.changes if key in self._base)

    def __len__(self) -> int:
        size = len(self._base)
        for key, item in self.changes.items():
            size += (item is not None) - (key in self._base)
        return size

    def __contains__(self, key: Key) -> bool:
        return self.get(key) is not None


class State:
    """What `apply` changes: the core and the pending items. The base of `Transition`, and all that a rebuild needs."""

    __slots__ = ("_overlays", "core", "execution", "max_reset_points")

    def __init__(self, execution: Execution, max_reset_points: int) -> None:
        self.execution = execution
        self.max_reset_points = max_reset_points
        self.core: Core = copy.copy(execution.core)
        self._overlays: dict[Kind, Overlay] = {}

    def items(self, kind: Kind) -> Overlay:
        overlay = self._overlays.get(kind)
        if overlay is None:
            overlay = self._overlays[kind] = Overlay(self.execution.pending[kind])
        return overlay

    @property
    def running(self) -> bool:
        return self.core.status in OPEN

    @property
    def paused(self) -> bool:
        return self.core.status == PAUSED

    @property
    def workflow_task(self) -> WorkflowTask | None:
        overlay = self._overlays.get(Kind.WORKFLOW_TASK)
        items = self.execution.pending[Kind.WORKFLOW_TASK] if overlay is None else overlay
        task: WorkflowTask | None = items.get("")
        return task

    def changes(self) -> Iterator[tuple[Kind, Key, Any]]:
        for kind, overlay in self._overlays.items():
            for key, item in overlay.changes.items():
                yield kind, key, item

    def pending_bytes(self) -> int:
        """What the pending items weigh with the changes."""
        pending = self.execution.pending
        return self.execution.pending_bytes + sum(
            weight_bytes(item) - weight_bytes(pending[kind].get(key)) for kind, key, item in self.changes()
        )

    def fold(self) -> None:
        """Make the changes those of the execution."""
        self.execution.core = self.core
        for kind, overlay in self._overlays.items():
            base = self.execution.pending[kind]
            for key, item in overlay.changes.items():
                self.execution.pending_bytes += weight_bytes(item) - weight_bytes(base.get(key))
                if item is None:
                    base.pop(key, None)
                else:
                    base[key] = item

    def commit(self) -> None:
        """What the caller of `decide` does with a transition that is kept."""
        self.fold()


class Transition(State):
    """See the module's text."""

    __slots__ = (
        "_arrived",
        "activity_ids",
        "batch",
        "batches",
        "command",
        "created",
        "durable",
        "env",
        "error",
        "messages",
        "new_run",
        "now_ns",
        "updates",
        "visibility",
        "volatile",
    )

    def __init__(self, execution: Execution, env: Environment, *, created: bool = False) -> None:
        super().__init__(execution, env.config.history_max_auto_reset_points)
        self.env = env
        self.now_ns = env.now_ns + self.core.offset_ns
        self.created = created
        self.command: Command | None = None
        """The command being handled. Its metadata goes onto the first event made for it."""
        self.activity_ids: dict[str, int] | None = None
        """Event ids of pending activities by their own ids, once something asked for them."""
        self.batch: list[HistoryEvent] = []
        self.batches: list[tuple[int, bytes]] = []
        self._arrived: list[HistoryEvent] = []
        """Buffered events of this transition."""
        self.visibility = created
        self.durable = True
        self.volatile = False
        """Whether memory alone is meant to change; an event makes it durable all the same."""
        self.updates: dict[str, UpdateResult] = {}
        self.messages: list[ProtocolMessage] = []
        self.error: Exception | None = None
        self.new_run: Transition | None = None

    def event(self, event_type: EventType.ValueType, time_ns: int | None = None) -> HistoryEvent:
        """A new event of that type at `time_ns` (now). Fill it in, then `record` it."""
        event = HistoryEvent(event_type=event_type)
        set_time(event.event_time, self.now_ns if time_ns is None else time_ns)
        if self.command is not None:
            copy_present(self.command, event, ("user_metadata",))
            event.event_group_markers.extend(self.command.event_group_markers)
            self.command = None
        return event

    def record(self, event: HistoryEvent) -> HistoryEvent:
        """Let the event act on the state and put it where it belongs in the history."""
        if event.event_type in _UNBUFFERED:
            self._number(event)
            apply(self, event)
            self.batch.append(event)
        else:
            apply(self, event)
            self._arrived.append(event)
        return event

    def _number(self, event: HistoryEvent) -> None:
        event.event_id = self.core.next_event_id
        event.task_id = TASK_ID_BASE + event.event_id
        self.core.next_event_id += 1

    # The buffer.

    @property
    def has_buffered_events(self) -> bool:
        return bool(self.core.buffered_count or self._arrived)

    @property
    def buffered(self) -> tuple[int, int]:
        """How many events are buffered, and their size in bytes."""
        size_bytes = sum(event.ByteSize() for event in self._arrived)
        return self.core.buffered_count + len(self._arrived), self.core.buffered_size_bytes + size_bytes

    def _stored(self) -> dict[Key, HistoryEvent]:
        """The buffered events of earlier transitions, in order of arrival."""
        items = self.items(Kind.BUFFERED_EVENT)
        return {key: HistoryEvent.FromString(items.get(key).event) for key in sorted(items)}

    def _forget(self, key: Key) -> None:
        items = self.items(Kind.BUFFERED_EVENT)
        self.core.buffered_count -= 1
        self.core.buffered_size_bytes -= len(items.get(key).event)
        items.remove(key)

    def take_buffered_timer_fired(self, timer_id: str) -> HistoryEvent | None:
        """Remove the buffered TimerFired of that timer, and return it."""
        for key, event in self._stored().items():
            if _is_firing(event, timer_id):
                self._forget(key)
                return event
        for event in self._arrived:
            if _is_firing(event, timer_id):
                self._arrived.remove(event)
                return event
        return None

    def has_closed_activity(self, scheduled_event_id: int) -> bool:
        """Whether a close of that activity is buffered or in this transition's own events."""
        events = [*self._stored().values(), *self._arrived, *self.batch]
        return any(
            event.event_type in _ACTIVITY_CLOSED
            and getattr(event, event.WhichOneof("attributes")).scheduled_event_id == scheduled_event_id  # type: ignore[arg-type]
            for event in events
        )

    def flush_buffer(self) -> None:
        """Give the buffered events their places and ids at the end of the current batch."""
        if not self.has_buffered_events:
            return
        assert self.running, "no event after the close"
        stored = self._stored()
        for key in stored:
            self._forget(key)
        events = [*stored.values(), *self._arrived]
        self._arrived = []
        ordered = [e for e in events if e.event_type not in _GO_LAST] + [e for e in events if e.event_type in _GO_LAST]
        started: dict[int, int] = {}
        for event in ordered:
            self._number(event)
            self._wire(event, started)
            self.batch.append(event)

    def _wire(self, event: HistoryEvent, started: dict[int, int]) -> None:
        """Put the ids that came into being at the flush where other events and items refer to them."""
        kind = event.event_type
        if kind == E.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            started[event.activity_task_started_event_attributes.scheduled_event_id] = event.event_id
        elif kind == E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
            initiated = event.child_workflow_execution_started_event_attributes.initiated_event_id
            started[initiated] = event.event_id
            if initiated in self.items(Kind.CHILD):
                self.items(Kind.CHILD).edit(initiated).started_event_id = event.event_id
        elif kind in _GO_LAST:
            attributes: Any = getattr(event, event.WhichOneof("attributes"))  # type: ignore[arg-type]
            origin = attributes.scheduled_event_id if kind in _ACTIVITY_CLOSED else attributes.initiated_event_id
            if origin in started:
                attributes.started_event_id = started[origin]
        elif kind == E.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
            self._wire_request(event.workflow_execution_signaled_event_attributes.request_id, event)
        elif kind == E.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED:
            self._wire_request(event.workflow_execution_options_updated_event_attributes.attached_request_id, event)
        elif kind == E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
            self._wire_request(event.workflow_execution_update_admitted_event_attributes.request.request_id, event)

    def _wire_request(self, request_id: str, event: HistoryEvent) -> None:
        if request_id and request_id in self.items(Kind.REQUEST):
            self.items(Kind.REQUEST).edit(request_id).event_id = event.event_id

    def end_batch(self) -> None:
        """Close the current batch of events: the next event begins another."""
        if not self.batch:
            return
        data = serialized_history(self.batch)
        self.batches.append((self.batch[0].event_id, data))
        self.core.last_first_event_id = self.batch[0].event_id
        self.core.history_size_bytes += len(data)
        self.batch = []

    def finish(self, reply: Any = None) -> Decision:
        """The end of the transition, as a decision. The execution is unchanged until `commit`."""
        task = self.workflow_task
        if not self.running:
            self._drop_buffer()
        elif task is None or not task.started_ns:
            self.flush_buffer()
        else:
            self._store_buffer()
        self.end_batch()
        volatile = self.volatile and not self.batches
        self.core.state_transition_count += not volatile
        decision = Decision(
            self.execution,
            self.created,
            self.core,
            list(self.changes()),
            self.batches,
            reply,
            self.error,
            self.visibility,
            self.durable,
            volatile,
            self.updates,
            self.messages,
        )
        if self.new_run is not None:
            decision.also.append(self.new_run.finish())
        return decision

    def _drop_buffer(self) -> None:
        """What the command before the closing one brought about, such as the end of an activity, is not told."""
        self._arrived = []
        self.core.buffered_count = self.core.buffered_size_bytes = 0

    def _store_buffer(self) -> None:
        for event in self._arrived:
            data = event.SerializeToString()
            self.items(Kind.BUFFERED_EVENT).put(self.next_number(), BufferedEvent(event=data))
            self.core.buffered_count += 1
            self.core.buffered_size_bytes += len(data)
        self._arrived = []

    def next_number(self) -> int:
        """A number that this run has not used before, for keys of items."""
        self.core.next_number += 1
        return self.core.next_number - 1

    def commit(self) -> None:
        """Fold the transition into its execution, together with that of the new run."""
        self.fold()
        if self.new_run is not None:
            self.new_run.commit()


def _is_firing(event: HistoryEvent, timer_id: str) -> bool:
    fired = event.event_type == E.EVENT_TYPE_TIMER_FIRED
    return fired and event.timer_fired_event_attributes.timer_id == timer_id


def illegal(action: str, details: str) -> InvalidArgument:
    """A command that the state does not allow, in the words of the real server."""
    return InvalidArgument(f"invalid history builder state for action: {action}, {details}")


TASK_ID_BASE = 1 << 20
"""Task ids only have to grow with the event id; the real server's begin near here."""

_UNBUFFERED = frozenset(
    {
        E.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        E.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        E.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        E.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        E.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        E.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
        E.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        E.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED,
        E.EVENT_TYPE_TIMER_STARTED,
        E.EVENT_TYPE_TIMER_CANCELED,
        E.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        E.EVENT_TYPE_MARKER_RECORDED,
        E.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
        E.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        E.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        E.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
        E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
        E.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
        E.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED,
    }
)
_ACTIVITY_CLOSED = frozenset(
    {
        E.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        E.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        E.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        E.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
    }
)
_GO_LAST = _ACTIVITY_CLOSED | {
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
}

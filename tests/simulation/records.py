"""What is durable of one run, read from the events that were written, and what may never be found there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent
from tests.simulation import policies

from perdure.engine.apply import RESETTER
from perdure.engine.execution import Kind, decode_item
from perdure.storage.base import RunChange, RunIdentity

Complain = Callable[[str], None]

NAMES = {number: name.removeprefix("EVENT_TYPE_") for name, number in EventType.items()}
ENDS = frozenset(
    f"WORKFLOW_EXECUTION_{end}"
    for end in ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW")
)
FLEETING = frozenset(
    {EventType.Value("EVENT_TYPE_WORKFLOW_TASK_SCHEDULED"), EventType.Value("EVENT_TYPE_WORKFLOW_TASK_STARTED")}
)
"""Events that a worker may be shown at the end of a history before they are written."""

BEGINS = {
    "ACTIVITY_TASK_SCHEDULED": "activity",
    "TIMER_STARTED": "timer",
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": "child",
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": "external signal",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": "external cancel",
    "WORKFLOW_TASK_SCHEDULED": "workflow task",
}
FINISHES = {
    **{f"ACTIVITY_TASK_{end}": ("activity", "scheduled") for end in ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELED")},
    **{f"WORKFLOW_TASK_{end}": ("workflow task", "scheduled") for end in ("COMPLETED", "FAILED", "TIMED_OUT")},
    "TIMER_FIRED": ("timer", "started"),
    "TIMER_CANCELED": ("timer", "started"),
    **{
        f"CHILD_WORKFLOW_EXECUTION_{end}": ("child", "initiated")
        for end in ("COMPLETED", "FAILED", "CANCELED", "TIMED_OUT", "TERMINATED")
    },
    "START_CHILD_WORKFLOW_EXECUTION_FAILED": ("child", "initiated"),
    "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED": ("external signal", "initiated"),
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": ("external signal", "initiated"),
    "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED": ("external cancel", "initiated"),
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": ("external cancel", "initiated"),
}
WAKING = frozenset(
    {
        "WORKFLOW_EXECUTION_SIGNALED",
        "WORKFLOW_EXECUTION_CANCEL_REQUESTED",
        "TIMER_FIRED",
        "CHILD_WORKFLOW_EXECUTION_STARTED",
        *(name for name, (what, _) in FINISHES.items() if what not in ("timer", "workflow task")),
    }
)


class Record:
    """One run. `open` holds what was begun and has not ended: event id -> (what, the event that began it)."""

    def __init__(
        self,
        run_key: int,
        who: RunIdentity,
        complain: Complain,
        touched: Callable[[str], bool],
        set_back: Callable[[], bool],
    ) -> None:
        self.run_key = run_key
        self.who = who
        self._complain = complain
        self._touched = touched
        self.set_back = set_back
        """Whether the server's time may have gone back: events then have the time of those before them."""
        self.events: list[bytes] = []
        self.names: list[str] = []
        self.open: dict[int, tuple[str, Any]] = {}
        self.started: dict[int, int] = {}
        self.ended_as: dict[int, str] = {}
        self.signals: list[str] = []
        self.signal_events: list[tuple[int, str]] = []
        """(event id, name) of each signal."""
        self._signaled_by: set[tuple[str, str]] = set()
        self._applying_again = False
        self.again: list[str] = []
        """Signals that the reset which made the run applied although the run had them."""
        self.gave_way = False
        """It was terminated by a reset: its parent is told nothing, as in the real server."""
        self.reset_from = ""
        """The run that was reset, if this one began so."""
        self.brought_back = False
        """Its workflow had ended before a reset made the run."""
        self.updates: Counter[tuple[str, str]] = Counter()
        self.outcomes: dict[str, bytes] = {}
        self.pending: dict[tuple[int, str], Any] = {}
        self.attempts: dict[int, int] = {}
        self._activities: dict[int, Any] = {}
        """As they were stored last, by the events that scheduled them."""
        self.buffered: dict[str, tuple[str, str]] = {}
        self.request_ids: set[str] = set()
        self.policies: dict[int, Any] = {}
        self.last_started = 0
        self.end = ""
        self.begun_ns = 0
        self.ended_ns = 0
        self.status = 0
        self.deleted = False
        self.first: Any = None

    @property
    def name(self) -> str:
        return f"{self.who.workflow_id}/{self.who.run_id}"

    def complain(self, words: str) -> None:
        self._complain(f"{self.name}: {words}")

    # Writing.

    def write(self, change: RunChange) -> list[HistoryEvent]:
        """A change of the run is durable. Returns the events that it brought."""
        events = []
        for batch in change.history:
            for event in self._batch(*batch):
                self._fold(event)
                events.append(event)
        for key, row in change.pending.items():
            if key[0] == Kind.BUFFERED_EVENT:
                self._buffer(key[1], row)
            if row is None:
                self.pending.pop(key, None)
                continue
            self.pending[key] = row
            if key[0] == Kind.ACTIVITY:
                self._check_attempt(int(key[1]), decode_item(Kind.ACTIVITY, row.blob))
        if change.visibility is not None:
            self.status = change.visibility.status
        if bool(self.end) != (self.status not in (1, 8)) and self.events:
            self.complain(f"visibility says {self.status}, its history ends with {self.names[-1]}")
        return events

    def _batch(self, first_event_id: int, blob: bytes) -> list[HistoryEvent]:
        events = list(History.FromString(blob).events)
        if first_event_id != len(self.events) + 1 or not events:
            self.complain(f"batch {first_event_id} is written behind event {len(self.events)}")
        return events

    def _buffer(self, key: str, row: Any) -> None:
        if row is None:
            name, uid = self.buffered.pop(key, ("", ""))
            if uid and uid not in self.signals:
                self.complain(f"the buffered {name} {uid} is gone")
        else:
            event = HistoryEvent.FromString(decode_item(Kind.BUFFERED_EVENT, row.blob).event)  # type: ignore[attr-defined]
            uid = event.workflow_execution_signaled_event_attributes.signal_name
            self.buffered[key] = (NAMES[event.event_type], uid)

    def _check_attempt(self, key: int, activity: Any) -> None:
        if activity.attempt < self.attempts.get(key, 1) and not self._touched(self.who.workflow_id):
            self.complain(f"activity {key} goes back to attempt {activity.attempt} from {self.attempts[key]}")
        before = self._activities.get(key)
        if before is not None and not self._touched(self.who.workflow_id):
            policies.check_retry(self, before, activity)
        self._activities[key] = activity
        self.attempts[key] = activity.attempt

    # Events.

    def _fold(self, event: HistoryEvent) -> None:
        name = NAMES[event.event_type]
        self.events.append(event.SerializeToString(deterministic=True))
        self.names.append(name)
        number = len(self.events)
        if event.event_id != number:
            self.complain(f"event {number} has the id {event.event_id}")
        if self.end:
            self.complain(f"{name} comes behind {self.end}")
        if (name == "WORKFLOW_EXECUTION_STARTED") != (number == 1):
            self.complain(f"event {number} is {name}")
        attributes: Any = getattr(event, event.WhichOneof("attributes"))  # type: ignore[arg-type]
        what = BEGINS.get(name)
        if what is not None:
            self.open[number] = (what, event)
            self._applying_again = False
        elif name in FINISHES:
            self._finish(event, name, attributes)
        else:
            self._other(event, name, attributes)
        if name in ENDS:
            self.end = name

    def _finish(self, event: HistoryEvent, name: str, attributes: Any) -> None:
        what, by = FINISHES[name]
        begun = getattr(attributes, f"{by}_event_id")
        was, began = self.open.pop(begun, ("", None))
        if was != what:
            self.complain(
                f"{name} {event.event_id} ends {begun}, which is {was or self.ended_as.get(begun, 'nothing')}"
            )
            return
        self.ended_as[begun] = name
        if name == "TIMER_FIRED":
            delay_ns = began.timer_started_event_attributes.start_to_fire_timeout.ToNanoseconds()
            if event.event_time.ToNanoseconds() < began.event_time.ToNanoseconds() + delay_ns:
                self.complain(f"timer {begun} fired early")
        if what == "activity" and not self._touched(self.who.workflow_id):
            policies.check_end(self, began, event, attributes)
        if name == "WORKFLOW_TASK_COMPLETED":
            self.last_started = attributes.started_event_id
        if name == "WORKFLOW_TASK_FAILED":
            self._applying_again = bool(attributes.new_run_id)

    def _other(self, event: HistoryEvent, name: str, attributes: Any) -> None:
        if name == "WORKFLOW_EXECUTION_STARTED":
            self.first = attributes
        elif name == "WORKFLOW_EXECUTION_SIGNALED":
            policies.check_signal(self, attributes)
            sender = attributes.external_workflow_execution.run_id or attributes.request_id
            by = (attributes.signal_name, sender)
            if by in self._signaled_by:  # a run that a reset made may send again what the old one had sent
                if self._applying_again:  # runs that continued one another may each have had it: `resets` looks
                    self.again.append(attributes.signal_name)
                else:
                    self.complain(f"signal {attributes.signal_name} was delivered twice")
            self._signaled_by.add(by)
            self.signals.append(attributes.signal_name)
            self.signal_events.append((event.event_id, attributes.signal_name))
        elif name == "ACTIVITY_TASK_STARTED":
            self._start(event.event_id, name, attributes.scheduled_event_id, "activity")
            policy = self.open[attributes.scheduled_event_id][1].activity_task_scheduled_event_attributes.retry_policy
            most = policy.maximum_attempts
            if most and attributes.attempt > most and not self._touched(self.who.workflow_id):
                self.complain(f"attempt {attributes.attempt} of an activity that may have {policy.maximum_attempts}")
        elif name == "WORKFLOW_TASK_STARTED":
            self._start(event.event_id, name, attributes.scheduled_event_id, "workflow task")
        elif name == "CHILD_WORKFLOW_EXECUTION_STARTED":
            self._start(event.event_id, name, attributes.initiated_event_id, "child")
        elif name == "WORKFLOW_EXECUTION_TERMINATED":
            self.gave_way = attributes.identity == RESETTER
        elif name == "WORKFLOW_EXECUTION_TIMED_OUT":
            policies.check_run_timeout(self, event)
        elif name in ("WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "WORKFLOW_EXECUTION_UPDATE_COMPLETED"):
            self._update(name.rpartition("_")[2], attributes)

    def _start(self, number: int, name: str, begun: int, what: str) -> None:
        if self.open.get(begun, ("",))[0] != what or begun in self.started:
            self.complain(f"{name} {number} starts {begun}, which is {self.open.get(begun, ('nothing',))[0]}")
            self.open.setdefault(begun, (what, HistoryEvent()))
        self.started[begun] = number

    def _update(self, stage: str, attributes: Any) -> None:
        update_id = attributes.meta.update_id if stage == "COMPLETED" else attributes.protocol_instance_id
        self.updates[update_id, stage] += 1
        if self.updates[update_id, stage] > 1:
            self.complain(f"update {update_id} was {stage} twice")
        if stage == "COMPLETED":
            if not self.updates[update_id, "ACCEPTED"]:
                self.complain(f"update {update_id} was completed and not accepted")
            self.outcomes[update_id] = attributes.outcome.SerializeToString(deterministic=True)

    # Reading.

    def check_served(self, events: Any, to_whom: str) -> None:
        """Events that somebody was shown: what is durable, and at the end perhaps a workflow task that is not."""
        events = list(events)
        while events and events[-1].event_type in FLEETING and not self._has(events[-1]):
            events.pop()
        for event in events:
            if not self._has(event):
                self.complain(f"{to_whom} was shown event {event.event_id} {NAMES[event.event_type]}: it isn't durable")
                return

    def event(self, number: int) -> HistoryEvent:
        return HistoryEvent.FromString(self.events[number - 1])

    def _has(self, event: HistoryEvent) -> bool:
        number = event.event_id
        return 0 < number <= len(self.events) and self.events[number - 1] == event.SerializeToString(deterministic=True)

    def heard_of_children(self) -> set[int]:
        """The children, by the events that initiated them, whose ends wait for the end of a workflow task."""
        rows = [row for (kind, _), row in self.pending.items() if kind == Kind.BUFFERED_EVENT]
        events = [HistoryEvent.FromString(decode_item(Kind.BUFFERED_EVENT, row.blob).event) for row in rows]  # type: ignore[attr-defined]
        return {
            getattr(event, event.WhichOneof("attributes")).initiated_event_id  # type: ignore[arg-type]
            for event in events
            if FINISHES.get(NAMES[event.event_type]) == ("child", "initiated")
        }

    def reports_since(self, limit_ns: int) -> bool:
        """Whether it is about to tell its parent of its end, and not for longer than from `limit_ns`."""
        row = self.pending.get((Kind.FOLLOW_UP, "report"))
        return row is not None and row.due_ns is not None and row.due_ns >= limit_ns

    def unseen(self) -> list[str]:
        """Events that the workflow has to be woken for and that no completed task has seen."""
        return [
            f"{number} {name}"
            for number, name in enumerate(self.names, 1)
            if number > self.last_started and name in WAKING
        ]

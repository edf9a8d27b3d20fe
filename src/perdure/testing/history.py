"""A history as a test wants it: what the workflow did, step by step, with values and times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter, PayloadConverter

_OPENING: dict[str, tuple[str, Callable[[Any], str], Callable[[Any], str], str]] = {
    "activity_task_scheduled": ("activity", lambda a: a.activity_type.name, lambda a: a.activity_id, "input"),
    "timer_started": ("timer", lambda a: "timer", lambda a: a.timer_id, ""),
    "start_child_workflow_execution_initiated": (
        "child",
        lambda a: a.workflow_type.name,
        lambda a: a.workflow_id,
        "input",
    ),
    "workflow_execution_signaled": ("signal", lambda a: a.signal_name, lambda a: "", "input"),
    "workflow_execution_update_accepted": (
        "update",
        lambda a: a.accepted_request.input.name,
        lambda a: a.accepted_request.meta.update_id,
        "accepted_request",
    ),
    "signal_external_workflow_execution_initiated": (
        "signal to another",
        lambda a: a.signal_name,
        lambda a: a.workflow_execution.workflow_id,
        "input",
    ),
    "request_cancel_external_workflow_execution_initiated": (
        "cancel of another",
        lambda a: "cancel",
        lambda a: a.workflow_execution.workflow_id,
        "",
    ),
    "nexus_operation_scheduled": ("nexus operation", lambda a: a.operation, lambda a: a.service, ""),
    "marker_recorded": ("marker", lambda a: a.marker_name, lambda a: "", ""),
    "workflow_execution_cancel_requested": ("cancel request", lambda a: "cancel", lambda a: a.cause, ""),
    "upsert_workflow_search_attributes": ("search attributes", lambda a: "upsert", lambda a: "", ""),
    "workflow_properties_modified": ("memo", lambda a: "upsert", lambda a: "", ""),
    "workflow_task_failed": ("workflow task failed", lambda a: a.failure.message, lambda a: "", ""),
    "workflow_task_timed_out": ("workflow task timed out", lambda a: "", lambda a: "", ""),
}
"""Events that begin a step: their kind, name, id, and the field that holds the arguments."""
STORED_OUTSIDE = b"temporal.api.sdk.v1.ExternalStorageReference"
"""The type of payloads that only say where the content is; no codec has seen them."""
_MOMENTS = {"signal", "marker", "cancel request", "search attributes", "memo"}
_CLOSING = {
    "activity_task_completed": "completed",
    "activity_task_failed": "failed",
    "activity_task_timed_out": "timed out",
    "activity_task_canceled": "canceled",
    "timer_fired": "fired",
    "timer_canceled": "canceled",
    "child_workflow_execution_completed": "completed",
    "child_workflow_execution_failed": "failed",
    "child_workflow_execution_canceled": "canceled",
    "child_workflow_execution_timed_out": "timed out",
    "child_workflow_execution_terminated": "terminated",
    "start_child_workflow_execution_failed": "not started",
    "workflow_execution_update_completed": "completed",
    "external_workflow_execution_signaled": "delivered",
    "signal_external_workflow_execution_failed": "failed",
    "external_workflow_execution_cancel_requested": "delivered",
    "request_cancel_external_workflow_execution_failed": "failed",
    "nexus_operation_completed": "completed",
    "nexus_operation_failed": "failed",
    "nexus_operation_canceled": "canceled",
    "nexus_operation_timed_out": "timed out",
}
"""Events that end a step: its status then."""
_REFERENCES = ("scheduled_event_id", "initiated_event_id", "accepted_event_id", "started_event_id")
_ENDS = {
    "completed": "completed",
    "failed": "failed",
    "timed_out": "timed out",
    "canceled": "canceled",
    "terminated": "terminated",
    "continued_as_new": "continued as new",
}


@dataclass
class Step:
    """One thing that a run did, or that was done to it, from its beginning to its end."""

    kind: str
    """activity, timer, child, signal, update, marker, ..."""
    name: str
    """Of the activity, the child's type, the signal, the update; "timer" for timers."""
    id: str
    """Activity, timer, update or workflow id; empty where there is none."""
    event_id: int
    began: datetime
    args: list[Any] = field(default_factory=list)
    ended: datetime | None = None
    status: str = "open"
    """open, completed, failed, timed out, canceled, fired, ..."""
    attempts: int = 0
    """Of an activity: those that the history tells of, which are all once it has ended."""
    result: Any = None
    failure: str = ""
    """The message, if it failed, or that of the attempt before the last."""
    delay: timedelta | None = None
    """Of a timer: how long it was set for."""

    @property
    def duration(self) -> timedelta | None:
        """From its beginning to its end."""
        return self.ended - self.began if self.ended is not None else None


class History:
    """The history of one run. Made by `Env.history`."""

    def __init__(self, history: WorkflowHistory, converter: PayloadConverter) -> None:
        self.raw = history
        """What `temporalio.worker.Replayer` takes."""
        self._converter = converter
        self.events: Sequence[HistoryEvent] = history.events
        self.workflow_id = history.workflow_id
        started = self.events[0].workflow_execution_started_event_attributes
        self.run_id = _run_id(self.events)
        self.workflow_type = started.workflow_type.name
        self.args = self.values(started.input)
        self.began = time_of(self.events[0])
        self.status = "running"
        """running, completed, failed, timed out, canceled, terminated, continued as new"""
        self.ended: datetime | None = None
        self.result: Any = None
        self.failure = ""
        self._read_end(self.events[-1])
        self.steps = list(self._steps())
        """All that happened, in order of the beginnings."""

    @classmethod
    async def decoded(cls, history: WorkflowHistory, converter: DataConverter) -> History:
        """With payloads that the codec of the converter has decoded, if it has one."""
        if converter.payload_codec is None:
            return cls(history, converter.payload_converter)
        events = []
        for event in history.events:
            copy = HistoryEvent()
            copy.CopyFrom(event)
            for payload in _payloads(copy):
                if payload.metadata.get("messageType") == STORED_OUTSIDE:
                    continue
                [plain] = await converter.payload_codec.decode([payload])
                payload.CopyFrom(plain)
            events.append(copy)
        told = cls(WorkflowHistory(history.workflow_id, events), converter.payload_converter)
        told.raw = history
        return told

    def activities(self, name: str | None = None) -> list[Step]:
        """Activities that were scheduled, of that name or all."""
        return self.of("activity", name)

    def activity(self, name: str) -> Step:
        """The only activity of that name."""
        found = self.activities(name)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} activities {name}, not one:\n{self}")
        return found[0]

    @property
    def timers(self) -> list[Step]:
        return self.of("timer")

    def signals(self, name: str | None = None) -> list[Step]:
        """Signals that the run got."""
        return self.of("signal", name)

    def updates(self, name: str | None = None) -> list[Step]:
        """Updates that the run accepted."""
        return self.of("update", name)

    def children(self, workflow_type: str | None = None) -> list[Step]:
        return self.of("child", workflow_type)

    def of(self, kind: str, name: str | None = None) -> list[Step]:
        """The steps of a kind, and of a name if one is given."""
        return [step for step in self.steps if step.kind == kind and name in (None, step.name)]

    def assert_order(self, *names: str) -> None:
        """Steps of these names began in this order, whatever was in between."""
        steps = iter(self.steps)
        for number, name in enumerate(names):
            if not any(step.name == name for step in steps):
                after = f" after {names[number - 1]}" if number else ""
                raise AssertionError(f"no {name}{after}:\n{self}")

    def assert_activities(self, *names: str) -> None:
        """Exactly these activities were scheduled, in this order."""
        found = [step.name for step in self.activities()]
        if found != list(names):
            raise AssertionError(f"the activities were {found}, not {list(names)}:\n{self}")

    def save(self, path: str | Path) -> None:
        """Keep it as JSON, for `assert_replays`."""
        Path(path).write_text(self.raw.to_json() + "\n", "utf-8")

    def __str__(self) -> str:
        from perdure.testing.timeline import timeline

        return timeline(self)

    def values(self, payloads: Payloads) -> list[Any]:
        """Their values, as far as they can be told without types."""
        return [self._value(payload) for payload in payloads.payloads]

    def _value(self, payload: Payload) -> Any:
        try:
            return self._converter.from_payloads([payload])[0]
        except Exception:
            return payload

    def _read_end(self, event: HistoryEvent) -> None:
        name = _name(event)
        status = _ENDS.get(name.removeprefix("workflow_execution_"))
        if status is None or not name.startswith("workflow_execution_"):
            return
        attributes = _attributes(event)
        self.status, self.ended = status, time_of(event)
        if status == "completed":
            self.result = next(iter(self.values(attributes.result)), None)
        elif status == "failed":
            self.failure = _message(attributes.failure)
        elif status == "terminated":
            self.failure = attributes.reason

    def _steps(self) -> Iterator[Step]:
        steps: dict[int, Step] = {}
        for event in self.events:
            name, attributes = _name(event), _attributes(event)
            if name in _OPENING:
                steps[event.event_id] = self._begun(event, name, attributes)
            elif name == "activity_task_started":
                step = steps[attributes.scheduled_event_id]
                step.attempts = attributes.attempt
                step.failure = _message(attributes.last_failure)
            elif name in _CLOSING:
                self._end(steps, event, name, attributes)
        yield from steps.values()

    def _begun(self, event: HistoryEvent, name: str, attributes: Any) -> Step:
        kind, name_of, id_of, args = _OPENING[name]
        step = Step(kind, name_of(attributes), id_of(attributes), event.event_id, time_of(event))
        if args == "accepted_request":
            step.args = self.values(attributes.accepted_request.input.args)
        elif args:
            step.args = self.values(getattr(attributes, args))
        if kind == "timer":
            step.delay = attributes.start_to_fire_timeout.ToTimedelta()
        if kind in _MOMENTS:
            step.ended, step.status = step.began, "done"
        return step

    def _end(self, steps: dict[int, Step], event: HistoryEvent, name: str, attributes: Any) -> None:
        references = (getattr(attributes, each, 0) for each in _REFERENCES)
        step = next((steps[reference] for reference in references if reference in steps), None)
        if step is None:
            return
        step.ended, step.status = time_of(event), _CLOSING[name]
        if name == "workflow_execution_update_completed":
            outcome = attributes.outcome
            if outcome.HasField("failure"):
                step.status, step.failure = "failed", _message(outcome.failure)
            step.result = next(iter(self.values(outcome.success)), None)
            return
        failure = getattr(attributes, "failure", None)
        if failure is not None and failure.ByteSize():
            step.failure = _message(failure)
        result = getattr(attributes, "result", None)
        if isinstance(result, Payloads):
            step.result = next(iter(self.values(result)), None)
        elif isinstance(result, Payload) and result.ByteSize():
            step.result = self._value(result)


def time_of(event: HistoryEvent) -> datetime:
    """With microseconds, in UTC."""
    return event.event_time.ToDatetime(UTC)


def _name(event: HistoryEvent) -> str:
    return (event.WhichOneof("attributes") or "").removesuffix("_event_attributes")


def _attributes(event: HistoryEvent) -> Any:
    name = event.WhichOneof("attributes")
    return getattr(event, name) if name else None


def _message(failure: Any) -> str:
    """Of the failure, and of what caused it."""
    texts = [failure.message]
    while failure.HasField("cause"):
        failure = failure.cause
        texts.append(failure.message)
    return ": ".join(dict.fromkeys(text for text in texts if text))


def _payloads(message: Message) -> Iterator[Payload]:
    """All payloads in a message; search attributes are never encoded, so they are left out."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or descriptor.name == "search_attributes":
            continue
        if descriptor.message_type.GetOptions().map_entry:
            children = [each for each in value.values() if isinstance(each, Message)]
        else:
            children = list(value) if descriptor.is_repeated else [value]
        for child in children:
            if isinstance(child, Payload):
                yield child
            else:
                yield from _payloads(child)


def _run_id(events: Sequence[HistoryEvent]) -> str:
    """A run that a reset has made begins with the events of the one before; the reset names it."""
    resets = [event.workflow_task_failed_event_attributes.new_run_id for event in events]
    first = events[0].workflow_execution_started_event_attributes.original_execution_run_id
    return next((run_id for run_id in reversed(resets) if run_id), first)

"""Turns what a server answered into plain JSON that two servers can be compared by.

What differs from run to run is replaced, and nothing else:

- names of the run lose the run's token: `wf-3f0c1b2a9d4e` is `wf`;
- UUIDs become labels by the field that showed them first, so that equal ids keep equal labels: `run-1`, `namespace-1`;
- timestamps are `set` (the order of events is their order), except an expiration, which is told from the start, and
  the times that a schedule matches, which are kept; in a text one of today is `TODAY`;
- durations are kept; one that a clock had a hand in (not whole milliseconds) is rounded up to seconds: `~1s`;
- what a run has skipped is told in whole seconds: `~86400s`;
- task tokens and page tokens are `token`; sizes of histories are `set`;
- pending items of a description are sorted by their ids: the reference keeps them in a map;
- the identity of the reference's own workers, who do what batch operations ask for, is `temporal-batcher`;
- of the aliases of search attributes the names are kept, not the columns behind them;
- long texts and very long histories are told by their beginnings, ends and lengths;
- fields of `SERVER_INTERNAL` are left out: they count or name what only the server's own machinery knows.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from tests.conformance.driver import Driver, Execution, Refused
from tests.conformance.messages import enum_prefix

SERVER_INTERNAL = {
    "backlog_count_hint",
    "cluster_id",
    "cluster_name",
    "current_cluster",
    "event_time",
    "failover_version",
    "parent_initiated_event_version",
    "poller_group_id",
    "poller_group_infos",
    "poller_groups_info",
    "poller_scaling_decision",
    "server_version",
    "task_id",
    "version_info",
}
SIZES = {"history_size_bytes", "state_transition_count", "execution_duration"}
TOKENS = {"task_token", "next_page_token"}
PENDING = {"pending_activities": "activity_id", "pending_children": "initiated_id"}
LABELS = {
    "run_id": "run",
    "first_run_id": "run",
    "new_execution_run_id": "run",
    "continued_execution_run_id": "run",
    "original_execution_run_id": "run",
    "first_execution_run_id": "run",
    "base_run_id": "run",
    "new_run_id": "run",
    "request_id": "request",
    "namespace_id": "namespace",
    "parent_namespace_id": "namespace",
    "parent_workflow_namespace_id": "namespace",
}
SHOWN_ITEMS = 20
SHOWN_EVENTS = 250
SHOWN_CHARACTERS = 2000
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MATCHING_TIMES = "temporal.api.workflowservice.v1.ListScheduleMatchingTimesResponse.start_time"
SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
EVENT_VERSION = "temporal.api.history.v1.HistoryEvent.version"


class Normaliser:
    """Keeps the labels of one conversation, so that an id has one label wherever it shows up."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._labels: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._expirations: dict[int, str] = {}

    def text(self, text: str, kind: str = "id") -> str:
        """`text` without the run's token and with labels for the UUIDs in it."""
        text = text.replace(f"-{self._token}", "").replace(self._token, "token")
        text = re.sub(r"^\d+@[^@]*@$", "temporal-batcher", text)
        text = re.sub(r"-deleted-[0-9a-f]{5}\b", "-deleted-N", text)
        text = SECOND.sub(_today, text)
        text = UUID.sub(lambda match: self._label(match.group(), kind), text)
        return text if len(text) <= SHOWN_CHARACTERS else f"{text[:80]}... ({len(text)} characters)"

    def _label(self, value: str, kind: str) -> str:
        if value not in self._labels:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._labels[value] = f"{kind}-{self._counts[kind]}"
        return self._labels[value]

    def outcome(self, outcome: Message | Refused | None) -> Any:
        """A reply as `{"reply": ...}`, a refusal as `{"error": ...}`, None for a call that never came back."""
        if outcome is None:
            return {"error": {"code": "NO_ANSWER"}}
        if isinstance(outcome, Refused):
            return {"error": self._refusal(outcome)}
        return {"reply": self.message(outcome)}

    def request(self, request: Message) -> dict[str, Any]:
        """What was asked, for the reader: long lists are cut."""
        return {name: _cut(value) for name, value in self.message(request).items()}

    def _refusal(self, refusal: Refused) -> dict[str, Any]:
        if refusal.code == "DEADLINE_EXCEEDED":
            return {"code": refusal.code}
        # Go's protobuf printer puts one or two spaces between fields, as the build's hash has it.
        message = re.sub(r" {2}(?=\w+:)", " ", self.text(refusal.message))
        message = re.sub(r"please retry \([0-9a-f]{8}\)", "please retry (N)", message)
        message = re.sub(r"(Time since last start:) \d+ ms", r"\1 N ms", message)
        details = [{"type": detail.DESCRIPTOR.name, **self.message(detail)} for detail in refusal.details]
        return {"code": refusal.code, "message": message, "details": details}

    def message(self, message: Message) -> dict[str, Any]:
        """A message as a dict of the fields that are present, in the order of their declaration."""
        if message.DESCRIPTOR.name == "Payload":
            return self._payload(message)
        fields = {
            field.name: self._field(message, field, value)
            for field, value in message.ListFields()
            if field.name not in SERVER_INTERNAL and field.full_name != EVENT_VERSION
        }
        if message.DESCRIPTOR.name == "HistoryEvent":
            return _flat_event(fields)
        return fields

    def _field(self, message: Message, field: FieldDescriptor, value: Any) -> Any:
        if field.name in SIZES:
            return "set"
        if field.name in TOKENS:
            return "token"
        if field.name == "initial_skipped_duration":
            return f"~{round(value.seconds + value.nanos / 10**9)}s"
        if field.name == "custom_search_attribute_aliases":
            return sorted(value.values())
        if field.full_name == MATCHING_TIMES:
            return [each.ToJsonString() for each in value]
        if field.name == "workflow_execution_expiration_time":
            return self._expiration(value)
        if field.message_type and field.message_type.GetOptions().map_entry:
            value_field = field.message_type.fields_by_name["value"]
            return {self.text(str(key)): self._value(value_field, value[key]) for key in sorted(value)}
        if field.name in PENDING:
            return sorted((self._value(field, item) for item in value), key=lambda item: item[PENDING[field.name]])
        if field.is_repeated:
            return [self._value(field, item) for item in value]
        return self._value(field, value)

    def _value(self, field: FieldDescriptor, value: Any) -> Any:
        if field.message_type:
            kind = field.message_type.full_name
            if kind == "google.protobuf.Timestamp":
                return "set" if value.seconds > 0 else "zero"
            if kind == "google.protobuf.Duration":
                return duration(value.seconds, value.nanos)
            if kind == "google.protobuf.Any":
                return self._any(value)
            return self.message(value)
        if field.enum_type:
            known = field.enum_type.values_by_number.get(value)
            return known.name.removeprefix(enum_prefix(field.enum_type.name)) if known else value
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        return self.text(value, LABELS.get(field.name, "id")) if isinstance(value, str) else value

    def _any(self, value: Any) -> Any:
        name = value.type_url.rpartition("/")[2]
        try:
            found = descriptor_pool.Default().FindMessageTypeByName(name)
            body = message_factory.GetMessageClass(found).FromString(value.value)
        except (KeyError, DecodeError):
            return {"type": value.type_url, "value": base64.b64encode(value.value).decode()}
        return {"type": value.type_url, **self.message(body)}

    def _expiration(self, value: Any) -> str:
        """Equal expirations have equal labels: a chain of runs has one."""
        if value.seconds <= 0:
            return "zero"
        nanos = value.seconds * 10**9 + value.nanos
        return self._expirations.setdefault(nanos, f"expiration-{len(self._expirations) + 1}")

    def _payload(self, message: Any) -> dict[str, Any]:
        metadata = {key: message.metadata[key].decode(errors="replace") for key in sorted(message.metadata)}
        try:
            data = self.text(message.data.decode())
        except UnicodeDecodeError:
            data = base64.b64encode(message.data).decode()
        return {**metadata, "data": data}


def _today(match: re.Match[str]) -> str:
    age = datetime.now(UTC) - datetime.fromisoformat(match.group())
    return "TODAY" if abs(age) < timedelta(days=1) else match.group()


def _cut(value: Any) -> Any:
    if isinstance(value, list) and len(value) > SHOWN_ITEMS:
        return [*value[:2], f"and {len(value) - 2} more"]
    return value


def _middle_cut(events: list[Any]) -> list[Any]:
    """A history so long that nobody reads it is told by its ends."""
    if len(events) <= SHOWN_EVENTS:
        return events
    return [*events[:20], f"and {len(events) - 40} more", *events[-20:]]


def _flat_event(fields: dict[str, Any]) -> dict[str, Any]:
    """An event with its attributes under one name, whatever its type."""
    return {"attributes" if name.endswith("_event_attributes") else name: value for name, value in fields.items()}


def duration(seconds: int, nanos: int) -> str:
    """`1.5s`; what is no whole number of milliseconds was computed from a clock and is rounded up to a second."""
    if nanos % 10**6:
        return f"~{seconds + (1 if nanos > 0 else 0)}s"
    return f"{seconds + nanos / 10**9:g}s"


def record(driver: Driver, normaliser: Normaliser | None = None) -> dict[str, Any]:
    """The whole conversation and the runs it touched; a `normaliser` of one's own may replace more."""
    normaliser = normaliser or Normaliser(driver.token)
    calls = [
        {"call": entry.call, "request": normaliser.request(entry.request), **normaliser.outcome(entry.outcome)}
        for entry in driver.entries
    ]
    runs = [_execution(normaliser, execution) for execution in driver.executions.values()]
    return {"calls": calls, "executions": runs}


def _execution(normaliser: Normaliser, execution: Execution) -> dict[str, Any]:
    history = normaliser.outcome(execution.history)
    return {
        "workflow_id": normaliser.text(execution.workflow_id),
        "run_id": normaliser.text(execution.run_id, "run"),
        "namespace": normaliser.text(execution.namespace),
        "history": _middle_cut(history["reply"].get("events", [])) if "reply" in history else history,
        "describe": normaliser.outcome(execution.description),
    }

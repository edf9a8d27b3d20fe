"""Search attributes: which there are, of which type, where they are kept, and whether values fit them.

Numbers of types are those of `temporal.api.enums.v1.IndexedValueType`. *System* attributes are columns of the
visibility table. *Predefined* ones are set by the server or the SDKs and kept with the *custom* ones, those of the
namespace, in one JSON object by name.

A value travels as a payload. It is decoded by the type that the attribute was declared with, whatever the metadata of
the payload says. A list of one value stands for the value; null and an empty list remove the attribute.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from temporalio.api.common.v1 import Payload, SearchAttributes

from perdure.errors import InvalidArgument
from perdure.visibility import values

TEXT, KEYWORD, INT, DOUBLE, BOOL, DATETIME, KEYWORD_LIST = range(1, 8)

TYPE_NAMES: Mapping[int, str] = {
    TEXT: "Text",
    KEYWORD: "Keyword",
    INT: "Int",
    DOUBLE: "Double",
    BOOL: "Bool",
    DATETIME: "Datetime",
    KEYWORD_LIST: "KeywordList",
}
"""The names of the seven types in messages and in the metadata of payloads."""

EXECUTION_STATUS = "ExecutionStatus"
EXECUTION_DURATION = "ExecutionDuration"
NAMESPACE_DIVISION = "TemporalNamespaceDivision"
WORKFLOW_ID = "WorkflowId"
_SCHEDULE_ID = "ScheduleId"
_PREFIX = "Temporal"

SYSTEM: Mapping[str, int] = {
    "WorkflowId": KEYWORD,
    "RunId": KEYWORD,
    "WorkflowType": KEYWORD,
    "StartTime": DATETIME,
    "ExecutionTime": DATETIME,
    "CloseTime": DATETIME,
    "ExecutionStatus": KEYWORD,
    "TaskQueue": KEYWORD,
    "HistoryLength": INT,
    "ExecutionDuration": INT,
    "StateTransitionCount": INT,
    "HistorySizeBytes": INT,
    "ParentWorkflowId": KEYWORD,
    "ParentRunId": KEYWORD,
    "RootWorkflowId": KEYWORD,
    "RootRunId": KEYWORD,
}
"""Attributes that every run has; nobody can set them."""

SETTABLE_PREDEFINED: Mapping[str, int] = {
    "TemporalChangeVersion": KEYWORD_LIST,
    "BinaryChecksums": KEYWORD_LIST,
    "BuildIds": KEYWORD_LIST,
    "BatcherNamespace": KEYWORD,
    "BatcherUser": KEYWORD,
    "TemporalScheduledStartTime": DATETIME,
    "TemporalScheduledById": KEYWORD,
    "TemporalSchedulePaused": BOOL,
    "TemporalNamespaceDivision": KEYWORD,
    "TemporalPauseInfo": KEYWORD_LIST,
    "TemporalReportedProblems": KEYWORD_LIST,
}
"""Predefined attributes that clients may set: SDKs set some, and the real server does not refuse the others."""

PREDEFINED: Mapping[str, int] = {
    **SETTABLE_PREDEFINED,
    "TemporalWorkerDeploymentVersion": KEYWORD,
    "TemporalWorkflowVersioningBehavior": KEYWORD,
    "TemporalWorkerDeployment": KEYWORD,
    "TemporalUsedWorkerDeploymentVersions": KEYWORD_LIST,
    "TemporalExternalPayloadCount": INT,
    "TemporalExternalPayloadSizeBytes": INT,
}

RESERVED = frozenset(("NamespaceId", "MemoEncoding", "Memo", "VisibilityTaskKey"))
"""Further names that no custom attribute may have."""

_COLUMNS: Mapping[str, str] = {
    "WorkflowId": "workflow_id",
    "RunId": "run_id",
    "WorkflowType": "workflow_type",
    "StartTime": "start_time",
    "ExecutionTime": "execution_time",
    "CloseTime": "close_time",
    "ExecutionStatus": "status",
    "TaskQueue": "task_queue",
    "HistoryLength": "history_length",
    "ExecutionDuration": "execution_duration",
    "StateTransitionCount": "state_transition_count",
    "HistorySizeBytes": "history_size_bytes",
    "ParentWorkflowId": "parent_workflow_id",
    "ParentRunId": "parent_run_id",
    "RootWorkflowId": "root_workflow_id",
    "RootRunId": "root_run_id",
}


class Attribute(NamedTuple):
    """A search attribute as a query means it.

    `alias` is the word in the query, `name` the attribute it stands for. `column` is the column of a system attribute;
    None: a member of the JSON object.
    """

    alias: str
    name: str
    type: int
    column: str | None


_BUILT_IN = {name: Attribute(name, name, kind, _COLUMNS.get(name)) for name, kind in {**SYSTEM, **PREDEFINED}.items()}


def built_in(name: str) -> Attribute:
    """A system or predefined attribute."""
    return _BUILT_IN[name]


def is_reserved(name: str) -> bool:
    """Whether no custom attribute may have this name."""
    return name in _BUILT_IN or name in RESERVED or name.startswith(_PREFIX)


def resolve(alias: str, custom: Mapping[str, int]) -> Attribute | None:
    """The attribute that a word in a query stands for; None when there is none.

    `custom`: the types of the namespace's own attributes, by name. A custom ScheduleId hides the one that stands for
    the workflow id of a schedule. The prefix `Temporal` may be left out or put in front of built-in names.
    """
    if found := _BUILT_IN.get(alias):
        return found
    if kind := custom.get(alias):
        return Attribute(alias, alias, kind, None)
    bare = alias.removeprefix(_PREFIX)
    name = WORKFLOW_ID if bare == _SCHEDULE_ID else bare if bare != alias else _PREFIX + alias
    if found := _BUILT_IN.get(name):
        return found._replace(alias=alias)
    return None


# Values that clients set.

JsonValue: TypeAlias = str | int | float | bool | list[str]
"""A value as the column `search_attributes` holds it: Datetime as nanoseconds since the epoch."""

_HALVES = re.compile("[\ud800-\udfff]")
_TYPES = {name: kind for kind, name in TYPE_NAMES.items()}
_INT64 = range(-(2**63), 2**63)
_ZERO_TIME = values.parse_time_ns("0001-01-01T00:00:00Z")
_ZEROS: Final[Mapping[int, Any]] = {
    TEXT: "",
    KEYWORD: "",
    INT: 0,
    DOUBLE: 0.0,
    BOOL: False,
    DATETIME: _ZERO_TIME,
}
"""What a null inside a list stands for, in the real server as here."""


def check_names(fields: Mapping[str, Payload], custom: Mapping[str, int], namespace: str) -> None:
    """Whether there are attributes of these names, in a namespace with these custom ones. Raises InvalidArgument.

    Of several mistakes, here and in `check_values`, the one in the first name by alphabet is told; the real server
    takes any.
    """
    for name in sorted(fields):
        if name not in _BUILT_IN and name not in custom:
            raise InvalidArgument(f"Namespace {namespace} has no mapping defined for search attribute {name}")


def check_values(
    fields: Mapping[str, Payload], custom: Mapping[str, int], number_of_keys_limit: int
) -> dict[str, JsonValue | None]:
    """The values that a client sets, by name; None for one to be removed. The names have been checked.

    Raises InvalidArgument with the real server's message for too many attributes, for one that nobody can set, and for
    a value that is not of the attribute's type. Sizes are not looked at.
    """
    if len(fields) > number_of_keys_limit:
        raise InvalidArgument(f"number of search attributes {len(fields)} exceeds limit {number_of_keys_limit}")
    return {name: _checked(name, fields[name], custom) for name in sorted(fields)}


def set_types(fields: Mapping[str, Payload], custom: Mapping[str, int]) -> None:
    """Write the attribute's type into the metadata of each payload that does not name one."""
    for name, payload in fields.items():
        kind = SETTABLE_PREDEFINED.get(name) or custom.get(name)
        if kind and "type" not in payload.metadata:
            payload.metadata["type"] = TYPE_NAMES[kind].encode()


def plain_values(attributes: SearchAttributes) -> dict[str, JsonValue]:
    """What the column `search_attributes` holds for the attributes of a run.

    Built-in attributes have their own type, others the one that their metadata names. A value that is not of its type
    is left out: nobody can search for it.
    """
    found: dict[str, JsonValue] = {}
    for name, payload in attributes.indexed_fields.items():
        kind = PREDEFINED.get(name) or _TYPES.get(payload.metadata.get("type", b"").decode(errors="replace"))
        try:
            value = decode(payload, kind) if kind else None
        except ValueError:
            continue
        if value is not None:
            found[name] = value
    return found


def encode(value: str | int | float | bool | Iterable[str], kind: int) -> Payload:
    """A payload of a value of a type, as the real server makes them for counts and for attributes of its own.

    A Datetime is given as text here.
    """
    plain = value if isinstance(value, str | int | float) else list(value)
    data = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    return Payload(metadata={"encoding": b"json/plain", "type": TYPE_NAMES[kind].encode()}, data=data)


def encode_group(attribute: Attribute, value: str | int | None) -> Payload:
    """The value of a group of a count, as the real server returns it: a status by name, no division as ''."""
    if attribute.name == EXECUTION_STATUS:
        value = values.STATUSES[int(value or 0)]
    return encode("" if value is None else value, attribute.type)


def decode(payload: Payload, kind: int) -> JsonValue | None:
    """The value of a payload by the type of its attribute; None for no value. Raises ValueError when it is not one."""
    if payload.metadata.get("encoding") == b"binary/null":
        return None
    value = _json(payload)
    if value is None:
        return None
    if kind == KEYWORD_LIST:
        return _keyword_list(value)
    if isinstance(value, list):
        if len(value) > 1:
            raise ValueError("a list of values")
        return _scalar(value[0], kind) if value and value[0] is not None else _ZEROS[kind] if value else None
    return _scalar(value, kind)


def _checked(name: str, payload: Payload, custom: Mapping[str, int]) -> JsonValue | None:
    kind = SETTABLE_PREDEFINED.get(name) if name in _BUILT_IN else custom[name]
    if kind is None:
        raise InvalidArgument(f"{name} attribute can't be set in SearchAttributes")
    try:
        return decode(payload, kind)
    except ValueError:
        what = f"invalid value for search attribute {name} of type {TYPE_NAMES[kind]}"
        raise InvalidArgument(f"{what}: {_spelled(payload)}") from None


def _json(payload: Payload) -> Any:
    if payload.metadata.get("encoding") != b"json/plain":
        raise ValueError("not JSON")
    try:
        return json.loads(payload.data.decode(errors="replace"), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _scalar(value: Any, kind: int) -> JsonValue:
    if kind in (TEXT, KEYWORD) and isinstance(value, str):
        return _whole(value)
    if kind == DATETIME and isinstance(value, str) and (time_ns := values.parse_time_ns(value)) is not None:
        return time_ns
    if isinstance(value, bool):
        if kind == BOOL:
            return value
    elif kind == INT and isinstance(value, int) and value in _INT64:
        return value
    elif kind == DOUBLE and isinstance(value, int | float) and math.isfinite(number := _float(value)):
        return number
    raise ValueError("a value of another type")


def _keyword_list(value: Any) -> list[str] | None:
    if not isinstance(value, list):
        raise ValueError("not a list")
    if len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    words = ["" if word is None else word for word in value]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("not a list of strings")
    return [_whole(word) for word in words] or None


def _whole(text: str) -> str:
    """Text without halves of characters, which JSON can spell and no database takes."""
    return _HALVES.sub("\ufffd", text)


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError("too large") from None


def _spelled(payload: Payload) -> str:
    """A value that does not fit, as the real server writes it."""
    encoding = payload.metadata.get("encoding")
    if encoding == b"binary/plain":
        return values.spell(payload.data)
    try:
        return values.spell(_as_decoded(_json(payload)))
    except ValueError:
        fields = [f'metadata:{{key:"{key}" value:{_quoted(value)}}}' for key, value in sorted(payload.metadata.items())]
        fields += [f"data:{_quoted(payload.data)}"] if payload.data else []
        return f"value from <{' '.join(fields)}>"


def _as_decoded(value: Any) -> Any:
    """A JSON value with its numbers as floats, which is how the real server decodes one of unknown type."""
    if isinstance(value, list):
        return [_as_decoded(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_decoded(item) for key, item in value.items()}
    return _float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _quoted(data: bytes) -> str:
    return values.quoted(data.decode(errors="replace"))

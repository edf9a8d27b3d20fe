"""Search attributes that clients set: checked, decoded, merged, encoded.

A value travels as a payload. It is decoded by the type that the attribute was declared with, whatever the metadata of
the payload says. A list of one value stands for the value; null and an empty list remove the attribute.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from temporalio.api.common.v1 import Payload, SearchAttributes

from perdure.errors import InvalidArgument
from perdure.visibility import schema, values

JsonValue: TypeAlias = str | int | float | bool | list[str]
"""A value as the column `search_attributes` holds it: Datetime as nanoseconds since the epoch."""

_HALVES = re.compile("[\ud800-\udfff]")
_INT64 = range(-(2**63), 2**63)
_ZERO_TIME = values.parse_time_ns("0001-01-01T00:00:00Z")
_ZEROS: Final[Mapping[int, Any]] = {
    schema.TEXT: "",
    schema.KEYWORD: "",
    schema.INT: 0,
    schema.DOUBLE: 0.0,
    schema.BOOL: False,
    schema.DATETIME: _ZERO_TIME,
}
"""What a null inside a list stands for, in the real server as here."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the search attributes of one run; sizes in bytes. Defaults are the real server's."""

    number_of_keys: int = 100
    size_of_value: int = 2 * 1024
    total_size: int = 40 * 1024


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Validated:
    """Search attributes that passed.

    `values`: what is set, for the column; `unset`: names that are to be removed; `attributes`: the message with the
    type in the metadata of each payload that does not name one, what is to be removed included.
    """

    values: dict[str, JsonValue]
    unset: frozenset[str]
    attributes: SearchAttributes


def validate(
    attributes: SearchAttributes, custom: Mapping[str, int], namespace: str, limits: Limits = DEFAULT_LIMITS
) -> Validated:
    """Check what a client sets on a start or with an upsert, in a namespace with these custom attributes.

    Raises InvalidArgument with the real server's message. Of several mistakes, the one in the first name by alphabet
    is told; the real server takes any.
    """
    fields = attributes.indexed_fields
    names = sorted(fields)
    kinds = {name: _settable_type(name, custom, namespace) for name in names}
    if len(names) > limits.number_of_keys:
        raise InvalidArgument(f"number of search attributes {len(names)} exceeds limit {limits.number_of_keys}")
    decoded = {name: _decoded(name, fields[name], _allowed(name, kinds[name])) for name in names}
    _check_size(attributes, names, limits)
    return Validated(
        {name: value for name, value in decoded.items() if value is not None},
        frozenset(name for name, value in decoded.items() if value is None),
        SearchAttributes(indexed_fields={name: _with_type(fields[name], kinds[name]) for name in names}),
    )


def merge(current: SearchAttributes, update: SearchAttributes) -> SearchAttributes:
    """The attributes of a run after an upsert; what the update sets to null or to an empty list is gone."""
    merged = dict(current.indexed_fields)
    for name, payload in update.indexed_fields.items():
        merged.pop(name, None)
        if not is_null(payload):
            merged[name] = payload
    return SearchAttributes(indexed_fields=merged)


def without_nulls(attributes: SearchAttributes) -> SearchAttributes:
    """The attributes without those that are set to null or to an empty list, as a start keeps them."""
    return merge(SearchAttributes(), attributes)


def is_null(payload: Payload) -> bool:
    """Whether a payload stands for "no value"."""
    return payload.data in (b"", b"null", b"[]")


def to_column(attributes: SearchAttributes, custom: Mapping[str, int]) -> str | None:
    """The column `search_attributes` for the attributes of a run; None when there are none.

    Attributes that are no longer declared, or whose value no longer fits, are left out.
    """
    members = {}
    for name, payload in attributes.indexed_fields.items():
        kind = custom.get(name) or schema.PREDEFINED.get(name)
        try:
            value = None if kind is None else decode(payload, kind)
        except ValueError:
            continue
        if value is not None:
            members[name] = value
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")) if members else None


def encode(value: str | int | float | bool | Iterable[str], kind: int) -> Payload:
    """A payload of a value of a type, as the real server makes them for counts and for attributes of its own.

    A Datetime is given as text here.
    """
    plain = value if isinstance(value, str | int | float) else list(value)
    data = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    return Payload(metadata={"encoding": b"json/plain", "type": schema.TYPE_NAMES[kind].encode()}, data=data)


def encode_group(attribute: schema.Attribute, value: str | int | None) -> Payload:
    """The value of a group of a count, as the real server returns it: a status by name, no division as ''."""
    if attribute.name == schema.EXECUTION_STATUS:
        value = values.STATUSES[int(value or 0)]
    return encode("" if value is None else value, attribute.type)


def decode(payload: Payload, kind: int) -> JsonValue | None:
    """The value of a payload by the type of its attribute; None for no value. Raises ValueError when it is not one."""
    if payload.metadata.get("encoding") == b"binary/null":
        return None
    value = _json(payload)
    if value is None:
        return None
    if kind == schema.KEYWORD_LIST:
        return _keyword_list(value)
    if isinstance(value, list):
        if len(value) > 1:
            raise ValueError("a list of values")
        return _scalar(value[0], kind) if value and value[0] is not None else _ZEROS[kind] if value else None
    return _scalar(value, kind)


def _settable_type(name: str, custom: Mapping[str, int], namespace: str) -> int | None:
    """The type of an attribute that may be set; None for one that exists but may not."""
    if name in schema.SYSTEM or name in schema.PREDEFINED:
        return schema.SETTABLE_PREDEFINED.get(name)
    if kind := custom.get(name):
        return kind
    raise InvalidArgument(f"Namespace {namespace} has no mapping defined for search attribute {name}")


def _allowed(name: str, kind: int | None) -> int:
    if kind is None:
        raise InvalidArgument(f"{name} attribute can't be set in SearchAttributes")
    return kind


def _decoded(name: str, payload: Payload, kind: int) -> JsonValue | None:
    try:
        return decode(payload, kind)
    except ValueError:
        type_name = schema.TYPE_NAMES[kind]
        message = f"invalid value for search attribute {name} of type {type_name}: {_spelled(payload)}"
        raise InvalidArgument(message) from None


def _check_size(attributes: SearchAttributes, names: list[str], limits: Limits) -> None:
    for name in names:
        size = len(attributes.indexed_fields[name].data)
        if size > limits.size_of_value:
            raise InvalidArgument(
                f"search attribute {name} value size {size} exceeds size limit {limits.size_of_value}"
            )
    if (total := attributes.ByteSize()) > limits.total_size:
        raise InvalidArgument(f"total size of search attributes {total} exceeds size limit {limits.total_size}")


def _with_type(payload: Payload, kind: int | None) -> Payload:
    typed = Payload()
    typed.CopyFrom(payload)
    if "type" not in typed.metadata and kind is not None:
        typed.metadata["type"] = schema.TYPE_NAMES[kind].encode()
    return typed


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
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case schema.TEXT | schema.KEYWORD if isinstance(value, str):
            return _whole(value)
        case schema.BOOL if isinstance(value, bool):
            return value
        case schema.INT if is_number and isinstance(value, int) and value in _INT64:
            return value
        case schema.DOUBLE if is_number and math.isfinite(number := _float(value)):
            return number
        case schema.DATETIME if isinstance(value, str):
            if (time_ns := values.parse_time_ns(value)) is not None:
                return time_ns
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
        fields = [f'metadata:{{key:"{key}" value:{_quoted(value)}}}' for key, value in payload.metadata.items()]
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

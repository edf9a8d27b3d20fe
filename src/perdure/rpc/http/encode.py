"""Messages into JSON, as the real server writes it.

Fields in the order of their declaration, under their camel-case names, without those that have their default; 64-bit
integers as strings, enums by name, bytes in base64.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Any

import msgspec
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from perdure.rpc.http.gojson import json_float

Encoder = Callable[[Any], object]

INTS_64 = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}
WRAPPED = ("Bool", "Int32", "Int64", "UInt32", "UInt64", "Float", "Double", "String", "Bytes")
WRAPPERS = {f"{name}Value" for name in WRAPPED}


class EncodeProblem(ValueError):
    """A message that has no JSON, in the real server's words."""


def to_json(message: Message, *, shorthand: bool = True, pretty: bool = False) -> bytes:
    """`message` as JSON. `shorthand` writes payloads as the JSON they hold where that loses nothing; `pretty` indents
    by two blanks. Raises `EncodeProblem`."""
    encoded = msgspec.json.encode(_encoder(message.DESCRIPTOR, shorthand)(message))
    try:
        return msgspec.json.format(encoded, indent=2) if pretty else encoded
    except RecursionError:  # nobody reads what is nested that deep
        return encoded


@functools.cache
def _encoder(descriptor: Descriptor, shorthand: bool) -> Encoder:
    special = _SPECIAL.get(descriptor.full_name)
    if special is not None:
        return functools.partial(special, shorthand=shorthand)
    plain = _fields_encoder(descriptor, shorthand)
    if shorthand and descriptor.full_name in ("temporal.api.common.v1.Payload", "temporal.api.common.v1.Payloads"):
        from perdure.rpc.http.shorthand import shorthand_encoder

        return shorthand_encoder(descriptor, plain)
    return plain


def _fields_encoder(descriptor: Descriptor, shorthand: bool) -> Encoder:
    in_order = [field.number for field in descriptor.fields] == sorted(field.number for field in descriptor.fields)
    known: dict[int, tuple[str, Encoder | None]] = {}

    def encode(message: Message) -> dict[str, object]:
        fields: Any = message.ListFields()
        if not in_order:
            fields.sort(key=lambda pair: pair[0].index)
        members = {}
        for field, value in fields:
            entry = known.get(field.number)
            if entry is None:
                entry = known[field.number] = field.json_name, _field_encoder(field, shorthand)
            name, convert = entry
            members[name] = value if convert is None else convert(value)
        return members

    return encode


def _field_encoder(field: FieldDescriptor, shorthand: bool) -> Encoder | None:
    """None: the value is JSON as it stands."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map_encoder(field.message_type, shorthand)
    one = _value_encoder(field, shorthand)
    if not field.is_repeated:
        return one
    return list if one is None else lambda values: [one(value) for value in values]


def _map_encoder(entry: Descriptor, shorthand: bool) -> Encoder:
    key_is_bool = entry.fields_by_name["key"].type == FieldDescriptor.TYPE_BOOL
    one = _value_encoder(entry.fields_by_name["value"], shorthand) or (lambda value: value)

    def encode(values: Any) -> dict[str, object]:
        return {(str(key).lower() if key_is_bool else str(key)): one(values[key]) for key in sorted(values)}

    return encode


def _value_encoder(field: FieldDescriptor, shorthand: bool) -> Encoder | None:
    if field.type in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP):
        return _encoder(field.message_type, shorthand) if not _recursive(field) else _later(field, shorthand)
    if field.type == FieldDescriptor.TYPE_ENUM:
        enum: Any = field.enum_type
        names = {number: value.name for number, value in enum.values_by_number.items()}
        return lambda number: names.get(number, number)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return json_float
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return lambda value: json_float(value, 32)
    return str if field.type in INTS_64 else None


def _recursive(field: FieldDescriptor) -> bool:
    return field.message_type is field.containing_type


def _later(field: FieldDescriptor, shorthand: bool) -> Encoder:
    return lambda message: _encoder(field.message_type, shorthand)(message)


def nanos_text(nanos: int) -> str:
    """A fraction of a second with 0, 3, 6 or 9 digits, and its point."""
    return f".{nanos:09}".removesuffix("000").removesuffix("000").removesuffix(".000") if nanos else ""


def _timestamp(message: Any, *, shorthand: bool) -> str:
    import datetime

    if not -62135596800 <= message.seconds <= 253402300799:
        raise EncodeProblem(f"temporalproto: google.protobuf.Timestamp: seconds out of range {message.seconds}")
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=message.seconds)
    return f"{moment.isoformat()}{nanos_text(message.nanos)}Z"


def _duration(message: Any, *, shorthand: bool) -> str:
    sign = "-" if message.seconds < 0 or message.nanos < 0 else ""
    return f"{sign}{abs(message.seconds)}{nanos_text(abs(message.nanos))}s"


def _wrapper(message: Any, *, shorthand: bool) -> object:
    convert = _value_encoder(message.DESCRIPTOR.fields_by_name["value"], shorthand)
    return message.value if convert is None else convert(message.value)


def _field_mask(message: Any, *, shorthand: bool) -> str:
    return ",".join(camel_case(path) for path in message.paths)


def camel_case(path: str) -> str:
    """`a.field_name` -> `a.fieldName`."""
    first, *others = path.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def _any(message: Any, *, shorthand: bool) -> dict[str, object]:
    if not message.type_url:
        return {}
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(message.type_url.rpartition("/")[2])
        inner = GetMessageClass(descriptor).FromString(message.value)
    except (KeyError, DecodeError):
        raise EncodeProblem(
            f'temporalproto: google.protobuf.Any: unable to resolve "{message.type_url}": proto: not found'
        )
    encoded = _encoder(descriptor, shorthand)(inner)
    if descriptor.full_name in _SPECIAL or not isinstance(encoded, dict):
        return {"@type": message.type_url, "value": encoded}
    return {"@type": message.type_url, **encoded}


_SPECIAL: dict[str, Callable[..., object]] = {
    "google.protobuf.Any": _any,
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.FieldMask": _field_mask,
    **{f"google.protobuf.{name}": _wrapper for name in WRAPPERS},
}

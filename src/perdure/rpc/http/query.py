"""Query parameters into a request, as the real server's gateway takes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from perdure.engine import gotext
from perdure.errors import InvalidArgument
from perdure.rpc.http.decode import INTS_32, TYPE, UNSIGNED
from perdure.rpc.http.encode import INTS_64, WRAPPERS
from perdure.rpc.http.gojson import base64_bytes, base64_problem
from perdure.rpc.http.gotime import BadTime, go_duration_nanos, timestamp_nanos

BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
SECOND_NS = 1_000_000_000


def parse_query(text: str) -> dict[str, list[str]]:
    """The values by name. Raises `InvalidArgument` in Go's words."""
    found: dict[str, list[str]] = {}
    for part in text.split("&"):
        if ";" in part:
            raise InvalidArgument("invalid semicolon separator in query")
        if not part:
            continue
        broken = BROKEN_ESCAPE.search(part)
        if broken:
            raise InvalidArgument(f"invalid URL escape {json.dumps(broken.group())}")
        name, _, value = part.partition("=")
        found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return found


def fill(message: Message, values: Mapping[str, Sequence[str]], taken: Collection[str]) -> None:
    """Set the fields that `values` name, dotted, in either spelling; those in `taken` are the path's.

    Names that are no fields are passed over. Raises `InvalidArgument`.
    """
    for name, given in values.items():
        of_map, bracket, key = name.rpartition("[")
        if bracket and key.endswith("]"):
            name, given = of_map, [key[:-1], *given]
        path = _fields(message, name.split("."))
        if path is not None and not any(
            f"{'.'.join(field.name for field in path)}.".startswith(f"{prefix}.") for prefix in taken
        ):
            _set(message, path, given)


def _fields(message: Message, names: Sequence[str]) -> list[Any] | None:
    descriptor = message.DESCRIPTOR
    path: list[Any] = []
    for index, name in enumerate(names):
        field = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
        if field is None:
            return None
        path.append(field)
        if index < len(names) - 1:
            if field.message_type is None or field.is_repeated:
                raise InvalidArgument(f'invalid path: "{name}" is not a message')
            descriptor = field.message_type
    return path


def _set(message: Any, path: Sequence[FieldDescriptor], values: Sequence[str]) -> None:
    for field in path[:-1]:
        _check_oneof(message, field)
        message = getattr(message, field.name)
        message.SetInParent()
    field = path[-1]
    _check_oneof(message, field)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _set_map(field, getattr(message, field.name), values)
    elif field.is_repeated:
        for value in values:
            _append(getattr(message, field.name), field, _read(field, value, "parsing list", field.name))
    elif len(values) > 1:
        raise InvalidArgument(f'too many values for field "{field.name}": {", ".join(values)}')
    else:
        _assign(message, field, _read(field, values[0], "parsing field", field.name))


def _check_oneof(message: Any, field: FieldDescriptor) -> None:
    oneof = field.containing_oneof
    if oneof is None or (len(oneof.fields) == 1 and oneof.name == f"_{field.name}"):
        return
    already = message.WhichOneof(oneof.name)
    if already is not None and (field.message_type is None or already != field.name):
        raise InvalidArgument(f'field already set for oneof "{oneof.name}"')


def _set_map(field: FieldDescriptor, entries: Any, values: Sequence[str]) -> None:
    if len(values) != 2:
        raise InvalidArgument(f'more than one value provided for key "{values[0]}" in map "{field.full_name}"')
    entry: Any = field.message_type
    parts = entry.fields_by_name
    key = _read(parts["key"], values[0], "parsing map key", field.name)
    value = _read(parts["value"], values[1], "parsing map value", field.name)
    if isinstance(value, Message):
        entries[key].CopyFrom(value)
    else:
        entries[key] = value


def _append(entries: Any, field: FieldDescriptor, value: Any) -> None:
    if isinstance(value, Message):
        entries.add().CopyFrom(value)
    else:
        entries.append(value)


def _assign(message: Any, field: FieldDescriptor, value: Any) -> None:
    if isinstance(value, Message):
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _read(field: FieldDescriptor, text: str, what: str, name: str) -> Any:
    try:
        return _value(field, text)
    except ValueError as error:
        raise InvalidArgument(f'{what} "{name}": {error}')


def _value(field: FieldDescriptor, text: str) -> Any:
    kind = field.type
    if kind == TYPE.TYPE_STRING:
        return text
    if kind == TYPE.TYPE_BOOL:
        if text not in TRUE + FALSE:
            raise ValueError(f"strconv.ParseBool: parsing {json.dumps(text)}: invalid syntax")
        return text in TRUE
    if kind in INTS_64 or kind in INTS_32:
        return _integer(text, 32 if kind in INTS_32 else 64, signed=kind not in UNSIGNED)
    if kind == TYPE.TYPE_ENUM:
        return _enum(field, text)
    if kind == TYPE.TYPE_BYTES:
        data = base64_bytes(text) if len(text) % 4 == 0 else None
        if data is None:
            raise ValueError(base64_problem(text))
        return data
    if field.message_type is not None:
        return _message(field, text)
    return _float(text)


def _integer(text: str, bits: int, *, signed: bool) -> int:
    function = "ParseInt" if signed else "ParseUint"
    if not re.fullmatch(r"[+-]?\d+" if signed else r"\d+", text, re.ASCII):
        raise ValueError(f"strconv.{function}: parsing {json.dumps(text)}: invalid syntax")
    value = gotext.integer(text)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= value <= high:
        raise ValueError(f"strconv.{function}: parsing {json.dumps(text)}: value out of range")
    return value


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {json.dumps(text)}: invalid syntax")


def _enum(field: Any, text: str) -> int:
    found = field.enum_type.values_by_name.get(text)
    if found is None and re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        found = field.enum_type.values_by_number.get(gotext.integer(text))
    if found is None:
        raise ValueError(f"{json.dumps(text)} is not a valid value")
    number: int = found.number
    return number


def _message(field: Any, text: str) -> Any:
    message: Any = GetMessageClass(field.message_type)()
    name = field.message_type.full_name
    if name in _TIMES:
        nanos = _TIMES[name](text)
        message.seconds, message.nanos = divmod(nanos, SECOND_NS)
        if name.endswith("Duration") and nanos < 0 and message.nanos:
            message.seconds, message.nanos = message.seconds + 1, message.nanos - SECOND_NS
    elif name == "google.protobuf.FieldMask":
        message.paths.extend(text.split(","))
    elif name.removeprefix("google.protobuf.") in WRAPPERS:
        message.value = _value(field.message_type.fields_by_name["value"], text)
    else:
        raise ValueError(f'unsupported message type: "{name}"')
    return message


def _time(text: str) -> int:
    try:
        return timestamp_nanos(text)
    except BadTime:
        raise ValueError(go_time_problem(text))
    except OverflowError:
        raise ValueError(f"{text} before 0001-01-01")


LAYOUT = (
    *(("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d")),
    *((":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d(?:[.,]\d+)?"), ("Z07:00", r"Z|[+-]\d\d:\d\d")),
)
"""The parts of a time as Go names them, and what they look like."""


def go_time_problem(text: str) -> str:
    """What Go says of a time that is none."""
    quoted = json.dumps(text, ensure_ascii=False)
    start, rest = f'parsing time {quoted} as "2006-01-02T15:04:05.999999999Z07:00": ', text
    for element, pattern in LAYOUT:
        match = re.match(pattern, rest, re.ASCII)
        if match is None:
            return f'{start}cannot parse {json.dumps(rest, ensure_ascii=False)} as "{element}"'
        rest = rest[match.end() :]
    return f"parsing time {quoted}: extra text: {json.dumps(rest)}" if rest else f"parsing time {quoted}: out of range"


_TIMES: dict[str, Callable[[str], int]] = {
    "google.protobuf.Timestamp": _time,
    "google.protobuf.Duration": go_duration_nanos,
}

"""JSON into messages, by the rules and in the words of the real server.

Both names of a field are taken, enums by either of their names or by number, payloads in their short or long form.
Unknown and repeated fields are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from perdure.rpc.http.encode import INTS_64, WRAPPERS
from perdure.rpc.http.gojson import (
    WHITE_SPACE,
    Number,
    Pairs,
    SyntaxProblem,
    Tree,
    base64_bytes,
    finite,
    integer,
    parse,
)
from perdure.rpc.http.gotime import BadTime, duration_nanos, timestamp_nanos
from perdure.rpc.http.shorthand import payload_from

TYPE: Final = FieldDescriptor
SCALAR_NAMES = (
    *("bool", "int32", "sint32", "sfixed32", "int64", "sint64", "sfixed64", "uint32", "fixed32", "uint64", "fixed64"),
    *("float", "double", "string", "bytes", "enum"),
)
KIND_NAMES = {getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name for name in SCALAR_NAMES}
UNSIGNED = {TYPE.TYPE_UINT32, TYPE.TYPE_FIXED32, TYPE.TYPE_UINT64, TYPE.TYPE_FIXED64}
INTS_32 = {TYPE.TYPE_INT32, TYPE.TYPE_SINT32, TYPE.TYPE_SFIXED32, TYPE.TYPE_UINT32, TYPE.TYPE_FIXED32}
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class DecodeProblem(ValueError):
    """JSON that is not the message, in the real server's words."""


class _Bad(Exception):
    """What is wrong with one value. `{raw}` in `text` is the token at `path`, which grows on the way up."""

    def __init__(self, text: str, *, syntax: bool = False, name: bool = False) -> None:
        self.text = text
        self.syntax = syntax
        self.at_name = name
        self.path: list[int] = []


def from_json(body: bytes, message: Message, *, shorthand: bool = True) -> None:
    """Fill `message`, which is empty, from the first value in `body`; nothing but white space leaves it as it is.

    Raises `DecodeProblem`.
    """
    text = body.decode("utf-8", "surrogateescape").lstrip(WHITE_SPACE)
    if not text:
        return
    try:
        tree, end = parse(text)
    except SyntaxProblem as problem:
        raise DecodeProblem(str(problem))
    text = text[:end]
    if LONE_SURROGATE.search(text) or "\\ud" in text.lower():
        _check_strings(text)
    try:
        _Decoder(shorthand).message(tree, message)
    except _Bad as bad:
        raise DecodeProblem(_words(bad, text))
    except RecursionError:  # of messages; payloads may be as deep as their reader takes
        raise DecodeProblem("exceeded max depth")


def _words(bad: _Bad, text: str) -> str:
    at, raw = _locate(text, bad.path[::-1], bad.at_name)
    return f"temporalproto: {_position(text, at, syntax=bad.syntax)}: {bad.text.replace('{raw}', raw)}"


def _position(text: str, at: int, *, syntax: bool) -> str:
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return f"{'syntax error ' if syntax else ''}(line {line}:{column})"


def _locate(text: str, path: list[int], at_name: bool) -> tuple[int, str]:
    """Where the value (or its name) at `path` begins, and its token as it is written."""
    at = 0
    for depth, wanted in enumerate(path):
        in_object = text[at] == "{"
        at = _skip(text, at + 1)
        for index in range(wanted + 1):
            name_at = at
            if in_object:
                at = _skip(text, parse(text, at)[1])
                at = _skip(text, at + 1)
            if index < wanted:
                at = _skip(text, _skip(text, parse(text, at)[1]) + 1)
        if at_name and depth == len(path) - 1:
            at = name_at
    return at, text[at] if text[at] in "{[" else text[at : parse(text, at)[1]]


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in WHITE_SPACE:
        at += 1
    return at


STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
SURROGATES = re.compile(r"\\u([dD][89a-fA-F][0-9a-fA-F]{2})(\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|\\.", re.DOTALL)


def _check_strings(text: str) -> None:
    """Bytes that are no UTF-8, and halves of characters, are taken by the first reader and refused by the second."""
    for string in STRINGS.finditer(text):
        if LONE_SURROGATE.search(string.group()):
            raise _in_string(text, string.start(), "invalid UTF-8")
        for escape in SURROGATES.finditer(string.group()):
            high, both = escape.group(1), escape.group(2)
            if high and (both is None or int(high, 16) >= 0xDC00):
                following = string.group()[escape.start() + 6 :][:6]
                if len(following) < 6:
                    raise DecodeProblem("temporalproto: unexpected EOF")
                raise _in_string(text, string.start(), f"invalid escape code {json.dumps(following)}")


def _in_string(text: str, at: int, what: str) -> DecodeProblem:
    return DecodeProblem(f"temporalproto: {_position(text, at, syntax=True)}: {what} in string")


class _Decoder:
    def __init__(self, shorthand: bool) -> None:
        self._shorthand = shorthand

    def message(self, tree: Tree, message: Any, *, skip_type: bool = False) -> None:
        descriptor: Descriptor = message.DESCRIPTOR
        if self._shorthand and descriptor.full_name in _PAYLOADS and _PAYLOADS[descriptor.full_name](tree, message):
            return
        special = _SPECIAL.get(descriptor.full_name)
        if special is not None:
            special(self, tree, message)
            return
        if not isinstance(tree, Pairs):
            raise _Bad("unexpected token {raw}", syntax=True)
        self._fields(tree, message, skip_type)

    def _fields(self, pairs: Pairs, message: Any, skip_type: bool) -> None:
        seen: set[int] = set()
        seen_oneofs: set[str] = set()
        fields = _fields_of(message.DESCRIPTOR)
        for index, (name, value) in enumerate(pairs):
            if skip_type and name == "@type":
                continue
            try:
                field = fields.get(name)
                if field is None:
                    raise _Bad("unknown field {raw}", name=True)
                if field.number in seen:
                    raise _Bad("duplicate field {raw}", name=True)
                seen.add(field.number)
                if value is None:
                    continue
                oneof = None if field.is_repeated else field.containing_oneof
                if oneof is not None:
                    if oneof.name in seen_oneofs:
                        text = f"error parsing {{raw}}, oneof {oneof.full_name} is already set"
                        raise _Bad(text, name=True)
                    seen_oneofs.add(oneof.name)
                self._field(field, value, message)
            except _Bad as bad:
                bad.path.append(index)
                raise

    def _field(self, field: FieldDescriptor, value: Tree, message: Any) -> None:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._map(field, value, getattr(message, field.name))
        elif field.is_repeated:
            self._list(field, value, getattr(message, field.name))
        elif field.message_type is not None:
            inner = getattr(message, field.name)
            inner.SetInParent()
            self.message(value, inner)
        else:
            setattr(message, field.name, scalar(field, value))

    def _list(self, field: FieldDescriptor, tree: Tree, values: Any) -> None:
        if not isinstance(tree, list) or isinstance(tree, Pairs):
            raise _Bad("unexpected token {raw}", syntax=True)
        for index, value in enumerate(tree):
            try:
                if field.message_type is not None:
                    self.message(value, values.add())
                else:
                    values.append(scalar(field, value))
            except _Bad as bad:
                bad.path.append(index)
                raise

    def _map(self, field: FieldDescriptor, tree: Tree, values: Any) -> None:
        if not isinstance(tree, Pairs):
            raise _Bad("unexpected token {raw}", syntax=True)
        entry: Any = field.message_type
        key_field, value_field = entry.fields_by_name["key"], entry.fields_by_name["value"]
        for index, (name, value) in enumerate(tree):
            try:
                key = _map_key(key_field, name)
                if key in values:
                    raise _Bad("duplicate map key {raw}", name=True)
                if value_field.message_type is not None:
                    self.message(value, values[key])
                else:
                    values[key] = scalar(value_field, value)
            except _Bad as bad:
                bad.path.append(index)
                raise


_FIELDS: dict[str, dict[str, FieldDescriptor]] = {}


def _fields_of(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields by both of their names."""
    known = _FIELDS.get(descriptor.full_name)
    if known is None:
        known = {field.name: field for field in descriptor.fields}
        known |= {field.json_name: field for field in descriptor.fields}
        _FIELDS[descriptor.full_name] = known
    return known


def _is_text(tree: Tree) -> bool:
    return isinstance(tree, str) and not isinstance(tree, Number)


def scalar(field: FieldDescriptor, tree: Tree) -> Any:
    """The value of a field that is no message. Raises `_Bad`."""
    value = _scalar(field, tree)
    if value is None:
        raise _Bad(f"invalid value for {KIND_NAMES[field.type]} type: {{raw}}")
    return value


def _scalar(field: FieldDescriptor, tree: Tree) -> Any:
    kind = field.type
    if kind == TYPE.TYPE_STRING:
        return tree if _is_text(tree) else None
    if kind == TYPE.TYPE_BOOL:
        return tree if isinstance(tree, bool) else None
    if not isinstance(tree, str):
        return None
    if kind == TYPE.TYPE_ENUM:
        return integer(tree, 32) if isinstance(tree, Number) else enum_number(field.enum_type, tree)
    if kind == TYPE.TYPE_BYTES:
        return base64_bytes(tree) if _is_text(tree) else None
    if kind in INTS_64 or kind in INTS_32:
        return integer(tree, 32 if kind in INTS_32 else 64, signed=kind not in UNSIGNED)
    return _float(kind, tree)


JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


def _float(kind: int, text: str) -> float | None:
    if not isinstance(text, Number) and text in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    if not JSON_NUMBER.fullmatch(text):
        return None
    try:
        value = finite(text)
    except OverflowError:
        return None
    return value if kind == TYPE.TYPE_DOUBLE or abs(value) < 3.4028235677973366e38 else None


def enum_number(enum: Any, name: str) -> int | None:
    """The number in `enum`, a descriptor, by the whole name (`WORKFLOW_EXECUTION_STATUS_RUNNING`) or the end of it in
    camel case (`Running`)."""
    found = enum.values_by_name.get(name) or enum.values_by_name.get(screaming_snake(f"{enum.name}_{name}"))
    return None if found is None else int(found.number)


WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[ _.-]|[^A-Za-z0-9 _.-]+")


def screaming_snake(text: str) -> str:
    """`WorkflowIdReusePolicy_AllowDuplicate` -> `WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE`."""
    out = ""
    for word in WORDS.findall(text.strip()):
        if word in " _.-":
            out += "_"
        else:
            out += ("_" if out and not out.endswith("_") and word[0].isalnum() and out[-1].isalnum() else "") + word
    return out.upper()


def _map_key(field: FieldDescriptor, name: str) -> Any:
    if field.type == TYPE.TYPE_STRING:
        return name
    if field.type == TYPE.TYPE_BOOL:
        key: Any = {"true": True, "false": False}.get(name)
    else:
        bits = 32 if field.type in INTS_32 else 64
        whole = re.fullmatch(r"[+-]?0*(\d+)", name)
        key = integer(("-" if name[0] == "-" else "") + whole.group(1), bits) if whole else None
    if key is None:
        raise _Bad(f"invalid value for {KIND_NAMES[field.type]} key: {{raw}}", name=True)
    return key


# Messages with JSON of their own.


def _payload(tree: Tree, message: Any) -> bool:
    try:
        metadata, data = payload_from(tree)
    except (OverflowError, TypeError):
        return True  # the real server forgets this error: the payload stays empty
    for name, value in metadata.items():
        message.metadata[name] = value
    message.data = data
    return True


def _payloads(tree: Tree, message: Any) -> bool:
    """False: not the short form."""
    if not isinstance(tree, list) or isinstance(tree, Pairs):
        return False
    for each in tree:
        _payload(each, message.payloads.add())
    return True


def _times(parse_nanos: Callable[[str], int]) -> Callable[[_Decoder, Tree, Any], None]:
    def decode(decoder: _Decoder, tree: Tree, message: Any) -> None:
        if not _is_text(tree):
            raise _Bad("unexpected token {raw}", syntax=True)
        full_name = message.DESCRIPTOR.full_name
        try:
            nanos = parse_nanos(tree)
        except OverflowError:
            raise _Bad(f"{full_name} value out of range: {{raw}}")
        except BadTime:
            raise _Bad(f"invalid {full_name} value {{raw}}")
        sign = -1 if nanos < 0 and full_name.endswith("Duration") else 1
        seconds, rest = divmod(nanos * sign, 1_000_000_000)
        message.seconds, message.nanos = seconds * sign, rest * sign

    return decode


def _wrapper(decoder: _Decoder, tree: Tree, message: Any) -> None:
    message.value = scalar(message.DESCRIPTOR.fields_by_name["value"], tree)


def _field_mask(decoder: _Decoder, tree: Tree, message: Any) -> None:
    if not _is_text(tree):
        raise _Bad("unexpected token {raw}", syntax=True)
    for path in tree.strip().split(",") if tree.strip() else ():
        snake = re.sub(r"[A-Z]", lambda letter: "_" + letter.group().lower(), path)
        if "_" in path or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", snake, re.ASCII):
            raise _Bad(f"google.protobuf.FieldMask.paths contains invalid path: {json.dumps(path)}")
        message.paths.append(snake)


def _any(decoder: _Decoder, tree: Tree, message: Any) -> None:
    if not isinstance(tree, Pairs):
        raise _Bad("unexpected token {raw}", syntax=True)
    if not tree:
        return
    members = dict(tree)
    type_url = members.get("@type")
    if type_url is None:
        raise _Bad('missing "@type" field')
    if not _is_text(type_url) or not type_url:
        raise _Bad("@type field contains empty value" if type_url == "" else "@type field value is not a string")
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
    except KeyError:
        raise _Bad(f'unable to resolve {json.dumps(type_url)}: "proto: not found"')
    inner = GetMessageClass(descriptor)()
    if descriptor.full_name in _SPECIAL:
        if "value" not in members:
            raise _Bad('missing "value" field')
        _SPECIAL[descriptor.full_name](decoder, members["value"], inner)
    else:
        decoder.message(tree, inner, skip_type=True)
    message.type_url, message.value = type_url, inner.SerializeToString(deterministic=True)


_PAYLOADS: dict[str, Callable[[Tree, Any], bool]] = {
    "temporal.api.common.v1.Payload": _payload,
    "temporal.api.common.v1.Payloads": _payloads,
}
_SPECIAL: dict[str, Callable[[_Decoder, Tree, Any], None]] = {
    "google.protobuf.Any": _any,
    "google.protobuf.Timestamp": _times(timestamp_nanos),
    "google.protobuf.Duration": _times(duration_nanos),
    "google.protobuf.FieldMask": _field_mask,
    **{f"google.protobuf.{name}": _wrapper for name in WRAPPERS},
}

"""Whether two messages with one id are the same, though one of their senders knows fields that the other doesn't.

A class of arguments gets new fields with defaults, and a client of the newer code sends a message again that one of the
older code has sent. So what is remembered of a message is a print: where each value is and what it is, in eight bytes.
Two messages are the same unless a place that both have holds different values. Keys of dictionaries are values, too.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import typing
from collections.abc import Iterator, Sequence
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Union

from temporalio.api.common.v1 import Payload

PLACES = 64
"""Of one print at most: of arguments with more, what is deeper inside is told apart as a whole."""
DEEPEST = 6


def print_of(name: str, args: Sequence[Payload], types: Sequence[Any]) -> str:
    """Of a message of the handler `name`, whose parameters have these types."""
    for depth in range(DEEPEST, -1, -1):
        places = [*islice(_places(name, args, types, depth), PLACES + 1)]
        if len(places) <= PLACES or depth == 0:
            break
    hashes = b"".join(_hash(place) + _hash(value) for place, value in places)
    return base64.b64encode(bytes([depth]) + hashes).decode()


def is_same(print_: str, name: str, args: Sequence[Payload], types: Sequence[Any]) -> bool:
    """Whether the message may be the one of that print."""
    kept = base64.b64decode(print_)
    known = {kept[at : at + 4]: kept[at + 4 : at + 8] for at in range(1, len(kept), 8)}
    hashes = ((_hash(place), _hash(value)) for place, value in _places(name, args, types, kept[0]))
    return all(known.get(place, value) == value for place, value in hashes)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:4]


def _places(name: str, args: Sequence[Payload], types: Sequence[Any], depth: int) -> Iterator[tuple[str, str]]:
    yield "", name
    for number, payload in enumerate(args):
        if payload.metadata.get("encoding") == b"json/plain":
            type_ = types[number] if number < len(types) else Any
            yield from _inside(str(number), json.loads(payload.data), type_, depth)
        else:
            yield str(number), payload.SerializeToString(deterministic=True).hex()


def _inside(place: str, value: Any, type_: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Where all values are, with what they are; below `depth`, none by itself."""
    if depth == 0 or not isinstance(value, dict | list):
        yield place, json.dumps(value, sort_keys=True)
        return
    fields, items = _shape(type_)
    if isinstance(value, list):
        yield place, f"{len(value)} items"
        for number, each in enumerate(value):
            yield from _inside(f"{place}/{number}", each, items, depth - 1)
        return
    yield place, "an object" if fields is not None else f"keys {sorted(value)}"
    for key, each in value.items():
        yield from _inside(f"{place}/{key!r}", each, items if fields is None else fields.get(key, Any), depth - 1)


def _shape(type_: Any) -> tuple[dict[str, Any] | None, Any]:
    """The fields of a class, by name, or None if it is none of fields; and the type of what is in a collection."""
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is Annotated:
        return _shape(arguments[0])
    if origin in (Union, UnionType):
        shapes = [_shape(each) for each in arguments if each is not type(None)]
        return next((each for each in shapes if each[0] is not None), shapes[0] if len(shapes) == 1 else (None, Any))
    if isinstance(type_, type):
        return _fields(type_), Any
    items = [each for each in arguments if each is not ...]
    return _fields(origin) if isinstance(origin, type) else None, items[-1] if items else Any


def _fields(cls: type) -> dict[str, Any] | None:
    if not (dataclasses.is_dataclass(cls) or hasattr(cls, "__pydantic_fields__") or typing.is_typeddict(cls)):
        return None
    try:
        return typing.get_type_hints(cls)
    except NameError:
        return {}

"""Responses put together from parts that are serialized already."""

from __future__ import annotations

from functools import cache

from google.protobuf.message import Message


def with_history(response: Message, data: bytes) -> bytes:
    """The response, serialized, with `data` (a serialized `History`) in its field `history`."""
    head = response.SerializeToString()
    return b"".join((head, _tag(type(response), "history"), _varint(len(data)), data))


@cache
def _tag(message: type[Message], field: str) -> bytes:
    """What stands before a field that holds a message."""
    return _varint((message.DESCRIPTOR.fields_by_name[field].number << 3) | 2)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

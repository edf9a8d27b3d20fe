"""Responses put together from parts that are serialized already."""

from __future__ import annotations

from google.protobuf.message import Message


def with_history(response: Message, data: bytes) -> bytes:
    """The response, serialized, with `data` (a serialized `History`) in its field `history`."""
    tag = (response.DESCRIPTOR.fields_by_name["history"].number << 3) | 2
    return b"".join((response.SerializeToString(), _varint(tag), _varint(len(data)), data))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

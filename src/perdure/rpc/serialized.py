"""Responses put together from parts that are serialized already."""

from __future__ import annotations

from google.protobuf.message import Message

from perdure.engine.messages import varint


def with_history(response: Message, data: bytes) -> bytes:
    """The response, serialized, with `data` (a serialized `History`) in its field `history`."""
    tag = (response.DESCRIPTOR.fields_by_name["history"].number << 3) | 2
    return b"".join((response.SerializeToString(), varint(tag), varint(len(data)), data))

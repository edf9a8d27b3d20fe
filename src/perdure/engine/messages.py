"""Protobuf messages: copied field by field, and put together serialized.

Where a constant of an enum is needed often, modules import that of the generated module (`event_type_pb2 as E`), which
is an attribute; the enum itself (`EventType`) looks each one up by its name, which takes forty times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message
from temporalio.api.history.v1 import History, HistoryEvent


def copy_present(source: Message, target: Message, names: Iterable[str]) -> None:
    """Copy the message fields of those names, as far as `source` has them; what is absent stays absent."""
    for name in names:
        if source.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))


_EVENTS_TAG = bytes([(History.DESCRIPTOR.fields_by_name["events"].number << 3) | 2])


def serialized_history(events: Sequence[HistoryEvent]) -> bytes:
    """A `History` of these events, serialized, without the copies of them that the message would make."""
    parts: list[bytes] = []
    for event in events:
        data = event.SerializeToString()
        parts += (_EVENTS_TAG, varint(len(data)), data)
    return b"".join(parts)


def varint(value: int) -> bytes:
    """A number as the wire format of protobuf has it."""
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

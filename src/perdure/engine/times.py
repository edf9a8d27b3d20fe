"""Between protobuf times and integers of nanoseconds. Absent and zero are both 0."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

NS = 1_000_000_000
LAST_NS = (1 << 63) - 1 - NS
"""What is stored has 64 bits, so it ends in the year 2262; a second is left to count on."""


def set_time(field: Timestamp, time_ns: int) -> None:
    field.seconds, field.nanos = divmod(time_ns, NS)


def get_time(field: Timestamp) -> int:
    return field.seconds * NS + field.nanos


def get_storable_time(field: Timestamp) -> int:
    """A time that a client may set as it likes, cut to what can be stored."""
    return min(max(get_time(field), -LAST_NS), LAST_NS)


def set_duration(field: Duration, duration_ns: int) -> None:
    field.seconds, field.nanos = divmod(duration_ns, NS)


def get_duration(field: Duration) -> int:
    return field.seconds * NS + field.nanos

"""Values as people write them in queries, and values as the real server writes them in messages."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

STATUSES: Final = (
    "Unspecified",
    "Running",
    "Completed",
    "Failed",
    "Canceled",
    "Terminated",
    "ContinuedAsNew",
    "TimedOut",
    "Paused",
)
"""Names of `WorkflowExecutionStatus` by number, as queries and counts write them."""

_STATUS_NUMBERS = {name: number for number, name in enumerate(STATUSES)} | {
    "WORKFLOW_EXECUTION_STATUS_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper(): number
    for number, name in enumerate(STATUSES)
}

_INT64 = range(-(2**63), 2**63)

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 24 * 3600 * 10**9,
}
_DURATION_PART = re.compile(r"(\d++(?:\.\d*+)?|\.\d++)(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)
_CLOCK_DURATION = re.compile(r"\s*([+-]?\d+):([+-]?\d+):([+-]?\d+)", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_LONGEST_INTEGER = 20
"""Digits and sign of the longest 64-bit integer."""

_LONGEST_DURATION = 200
"""Characters; none of this length fits into 64 bits."""


def parse_status(text: str) -> int | None:
    """The number of a status given by its short or long name; None when there is none of that name."""
    return _STATUS_NUMBERS.get(text)


def parse_number(text: str) -> int | float:
    """A number as written. Integers beyond 64 bits become floats, as in the real server."""
    if len(text) <= _LONGEST_INTEGER and _INTEGER.fullmatch(text) and (value := int(text)) in _INT64:
        return value
    return float(text)


def parse_time_ns(text: str) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 time; None when it is not one. Years run from 1 to 9999."""
    found = _TIME.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = found.groups()[6:]
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    seconds = (moment - _EPOCH).days * 86400 + (moment - _EPOCH).seconds
    if sign:
        if int(offset_hours) > 24 or int(offset_minutes) > 59:
            return None
        offset_s = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds += -offset_s if sign == "+" else offset_s
    return seconds * 10**9 + int(((fraction or "") + "000000000")[:9])


def parse_duration_ns(text: str) -> int | None:
    """Nanoseconds of a duration: an integer of nanoseconds, '1h30m' with units ns to d, or 'HH:MM:SS'."""
    if len(text) > _LONGEST_DURATION:
        return None
    if _INTEGER.fullmatch(text) and len(text) <= _LONGEST_INTEGER and int(text) in _INT64:
        return int(text)
    value = _duration_with_units(text)
    return _clock_duration(text) if value is None else value


def _duration_with_units(text: str) -> int | None:
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    total, at = 0, 0
    while at < len(rest):
        found = _DURATION_PART.match(rest, at)
        if not found:
            return None
        whole, _, fraction = found[1].partition(".")
        unit_ns = _UNITS_NS[found[2]]
        total += int(whole or 0) * unit_ns + int(fraction or 0) * unit_ns // 10 ** len(fraction)
        at = found.end()
    return sign * total if at and sign * total in _INT64 else None


def _clock_duration(text: str) -> int | None:
    found = _CLOCK_DURATION.match(text)
    if not found:
        return None
    hours, minutes, seconds = (int(part) for part in found.groups())
    if hours < 0 or not 0 <= minutes < 60 or not 0 <= seconds < 60:
        return None
    total_ns = (hours * 3600 + minutes * 60 + seconds) * 10**9
    return total_ns if total_ns in _INT64 else None


def spell(value: Any) -> str:
    """A value as Go's %v writes it. Objects are sorted by key."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _spell_float(value)
        case list() | tuple():
            return "[" + " ".join(spell(item) for item in value) + "]"
        case dict():
            return "map[" + " ".join(f"{key}:{spell(value[key])}" for key in sorted(value)) + "]"
        case bytes():
            return spell(list(value))
    return str(value)


def spell_typed(value: str | int | float | bool) -> str:
    """A value and its type, as the real server puts them into messages about a value of the wrong type."""
    match value:
        case str():
            return f"{quoted(value)} (type: string)"
        case bool():
            return f"{spell(value)} (type: bool)"
        case int():
            return f"{value} (type: int64)"
    return f"{spell(value)} (type: float64)"


def quoted(text: str) -> str:
    """A string as Go's %q writes it."""
    return json.dumps(text, ensure_ascii=False)


def _spell_float(value: float) -> str:
    """The shortest form that reads back the same; with an exponent below 0.0001 and from a million on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    shortest = Decimal(repr(value)).normalize()
    exponent = shortest.adjusted()
    if value == 0 or -5 < exponent < 6:
        return f"{shortest:f}"
    return f"{shortest.scaleb(-exponent):f}e{exponent:+03d}"

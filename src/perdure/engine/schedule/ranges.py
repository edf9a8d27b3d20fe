"""What clients write about calendars, in text: fields of ranges, and cron strings.

Errors are `BadSpec`, in the words of the real server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from temporalio.api.schedule.v1 import CalendarSpec, IntervalSpec, Range, StructuredCalendarSpec

from perdure.engine.schedule.calendar import MAX_YEAR, MIN_YEAR
from perdure.engine.times import NS, set_duration

_MONTHS = ["january", "february", "march", "april", "may", "june"]
_MONTHS += ["july", "august", "september", "october", "november", "december"]
_WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
_PREDEFINED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": NS, "m": 60 * NS, "h": 3600 * NS}
_DAYS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)d", re.ASCII)
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_SPACE = re.compile(r"\s+")
_SUNDAY = 7
"""Another number of the first day of the week."""


class BadSpec(ValueError):
    """The specification can't be understood; says why."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a calendar: its name in messages, what it is when left out, its limits, words for its numbers."""

    attribute: str
    name: str
    default: str
    low: int
    high: int
    words: Sequence[str] = ()
    shortest_word: int = 0
    first_word: int = 0


_FIELDS = (
    _Field("second", "Second", "0", 0, 59),
    _Field("minute", "Minute", "0", 0, 59),
    _Field("hour", "Hour", "0", 0, 23),
    _Field("day_of_week", "DayOfWeek", "*", 0, _SUNDAY, _WEEKDAYS, 2),
    _Field("day_of_month", "DayOfMonth", "*", 1, 31),
    _Field("month", "Month", "*", 1, 12, _MONTHS, 3, 1),
    _Field("year", "Year", "*", MIN_YEAR, MAX_YEAR),
)


def structured(calendar: CalendarSpec) -> StructuredCalendarSpec:
    """A calendar of texts as one of ranges."""
    result = StructuredCalendarSpec(comment=calendar.comment)
    problems = []
    for field in _FIELDS:
        try:
            getattr(result, field.attribute).extend(_ranges(getattr(calendar, field.attribute), field))
        except BadSpec as problem:
            problems.append(str(problem))
    if problems:
        raise BadSpec(", ".join(problems))
    return result


def _ranges(text: str, field: _Field) -> list[Range]:
    text = text.strip() or field.default
    if text == "*" and field.attribute == "year":
        return []  # no years means all
    found: list[Range] = []
    for part in text.split(","):
        found += _part(part, field)
    return found


def _part(text: str, field: _Field) -> list[Range]:
    name, low, high = field.name, field.low, field.high
    if text.count("/") > 1:
        raise BadSpec(f"{name} has too many slashes")
    text, slash, step_text = text.partition("/")
    step = _step(step_text, name) if slash else 1
    if text == "*":
        start, end = low, high
    elif "-" in text:
        if text.count("-") > 1:
            raise BadSpec(f"{name} has too many dashes")
        first, _, last = text.partition("-")
        if (begin := _number(first, field)) is None:
            raise BadSpec(f"{name} Start is not in range [{low}-{high}]")
        finish = _number(last, field)
        if finish is None or finish < begin:
            raise BadSpec(f"{name} End is before Start or not in range [{low}-{high}]")
        start, end = begin, finish
    else:
        if (value := _number(text, field)) is None:
            raise BadSpec(f"{name} is not in range [{low}-{high}]")
        start, end = value, high if slash else value
    if field.attribute == "day_of_week" and end == _SUNDAY:
        return _with_sunday(start, step)
    return [_range(start, end, step)]


def _with_sunday(start: int, step: int) -> list[Range]:
    """Ranges up to 7, which is 0: a range of its own unless the rest holds it anyway."""
    found = []
    if (_SUNDAY - start) % step == 0 and (step > 1 or start > 1):
        found.append(Range())
        if start == _SUNDAY:
            return found
    return [*found, _range(start, _SUNDAY - 1, step)]


def _range(start: int, end: int, step: int) -> Range:
    """As short as it can be said: no end that is the start, no step of one."""
    return Range(start=start, end=0 if start == end else end, step=0 if step == 1 else step)


def _step(text: str, name: str) -> int:
    if not text:
        raise BadSpec(f"{name} missing step value")
    if not _INTEGER.fullmatch(text):
        raise BadSpec(f'strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 1:
        raise BadSpec(f"{name} has invalid Step")
    return int(text)


def _number(text: str, field: _Field) -> int | None:
    """A number, or a word of the field or the beginning of one; None for what is neither, or out of the limits."""
    if field.words and len(text) >= field.shortest_word:
        for number, word in enumerate(field.words, field.first_word):
            if word.startswith(text.lower()):
                return number
    if not _INTEGER.fullmatch(text) or not field.low <= int(text) <= field.high:
        return None
    return int(text)


# Cron strings.


@dataclass(frozen=True, slots=True)
class Cron:
    """What a cron string amounts to: a calendar or an interval, and the name of a time zone, perhaps empty."""

    calendar: StructuredCalendarSpec | None
    interval: IntervalSpec | None
    zone: str


def cron(text: str) -> Cron:
    text = text.strip()
    zone = ""
    if text.startswith(("TZ=", "CRON_TZ=")):
        assignment, space, text = text.partition(" ")
        if not space:
            raise BadSpec("CronString has time zone but missing fields")
        zone = assignment.partition("=")[2]
    text, _, comment = (part.strip() for part in text.partition("#"))
    if text.startswith("@every"):
        return Cron(None, _every(text), "")
    fields = [field for field in _SPACE.split(_PREDEFINED.get(text, text)) if field]
    if not 5 <= len(fields) <= 7:
        raise BadSpec("CronString does not have 5-7 fields")
    second = fields.pop(0) if len(fields) == 7 else ""
    minute, hour, day_of_month, month, day_of_week, *year = fields
    calendar = CalendarSpec(
        second=second,
        minute=minute,
        hour=hour,
        day_of_month=day_of_month,
        month=month,
        day_of_week=day_of_week,
        year=year[0] if year else "",
        comment=comment,
    )
    return Cron(structured(calendar), None, zone)


def _every(text: str) -> IntervalSpec:
    """`@every INTERVAL` or `@every INTERVAL/PHASE`."""
    _, space, rest = text.partition(" ")
    if not space:
        raise BadSpec("CronString does not have interval after @every")
    interval, _, phase = rest.partition("/")
    result = IntervalSpec()
    set_duration(result.interval, duration_ns(interval))
    if phase:
        set_duration(result.phase, duration_ns(phase))
    return result


def duration_ns(text: str) -> int:
    """A duration as Go writes them (`1h30m`, `1.5h`, `-5s`), and in days (`2d`)."""
    text = _DAYS.sub(lambda days: f"{24 * float(days[1]):f}h", text)
    quoted = f'"{text}"'
    negative, rest = text.startswith("-"), text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest or not _PART.match(rest):
        raise BadSpec(f"time: invalid duration {quoted}")
    total_ns, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            raise BadSpec(f"time: invalid duration {quoted}")
        if not part[2]:
            raise BadSpec(f"time: missing unit in duration {quoted}")
        if part[2] not in _UNITS_NS:
            raise BadSpec(f'time: unknown unit "{part[2]}" in duration {quoted}')
        total_ns += _scaled(part[1], _UNITS_NS[part[2]])
        at = part.end()
    if total_ns > 2**63 - 1:
        raise BadSpec(f"time: invalid duration {quoted}")
    return -total_ns if negative else total_ns


def _scaled(number: str, unit_ns: int) -> int:
    whole, _, fraction = number.partition(".")
    return int(whole or "0") * unit_ns + (int(fraction) * unit_ns // 10 ** len(fraction) if fraction else 0)

"""What clients write about calendars, in text: fields of ranges, and cron strings.

Errors are `BadSpec`, in the words of the real server.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from temporalio.api.schedule.v1 import CalendarSpec, IntervalSpec, Range, StructuredCalendarSpec

from perdure.engine import gotext
from perdure.engine.gotext import integer
from perdure.engine.schedule.calendar import MAX_YEAR, MIN_YEAR
from perdure.engine.times import set_duration

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
_DAYS = re.compile(r"((?<!\d)\d+(?:\.\d*)?|\.\d+)d", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_SPACE = re.compile(r"\s+")
_MOST_INT = 2**63 - 1
_MOST_STEP = 2**31 - 1
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
    parts = text.split(",")
    meant = {part: _part(part, field) for part in dict.fromkeys(parts)}  # in this order: the first mistake is told
    found: list[Range] = []
    for part in parts:
        found += meant[part]
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
    step = integer(text)
    if not -_MOST_INT - 1 <= step <= _MOST_INT:
        raise BadSpec(f'strconv.Atoi: parsing "{text}": value out of range')
    if step < 1:
        raise BadSpec(f"{name} has invalid Step")
    if step > _MOST_STEP:
        raise BadSpec(f"invalid calendar spec: {name} has invalid Step")
    return step


def _number(text: str, field: _Field) -> int | None:
    """A number, or a word of the field or the beginning of one; None for what is neither, or out of the limits."""
    if field.words and len(text) >= field.shortest_word:
        for number, word in enumerate(field.words, field.first_word):
            if word.startswith(text.lower()):
                return number
    if not _INTEGER.fullmatch(text) or not field.low <= integer(text) <= field.high:
        return None
    return integer(text)


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
    try:
        return gotext.duration_ns(_DAYS.sub(_in_hours, text))
    except ValueError as error:
        raise BadSpec(str(error)) from error


def _in_hours(days: re.Match[str]) -> str:
    hours = 24 * float(days[1])
    return f"{hours:f}h" if math.isfinite(hours) else days[0]

"""Cron schedules of workflows: five fields, `@every` and the other descriptors, `CRON_TZ=`.

The rules are those of the Go library that Temporal uses, whose answers differ from other crons in three ways: `?` is
`*`; a day matches when day of month *and* day of week match if either field has a star, else when one of them does; and
on the days when clocks change, a local time that does not exist is skipped (the schedule waits for the next day that
has it), while one that exists twice matches twice. In one thing we differ: where clocks change at midnight, so that a
day begins at 1:00, that library takes its day fields for those of the day before, or skips the day. No cron package of
Python has these rules, hence this one.

Times are nanoseconds since the epoch. Schedules without a time zone are in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from perdure.engine.gotext import duration_ns, integer
from perdure.errors import InvalidArgument

NANOS = 1_000_000_000
_YEARS_TO_SEARCH = 5

_MONTHS = {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6}
_MONTHS |= {"jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12}
_WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NUMBER = re.compile(r"\+?\d+", re.ASCII)
_MOST_NUMBER = 2**63 - 1
_LONGEST_PERIOD_S = 100 * 365 * 24 * 3600
"""A hundred years, as for all durations: so a deadline fits 64 bits of nanoseconds."""
_LONG = 1000
"""Characters of a schedule that is no longer an ordinary one: few such are remembered."""


class BadCron(ValueError):
    """The text is no schedule; says why."""


class Schedule(Protocol):
    def next(self, after_s: int) -> int | None:
        """The first time after a whole second, in seconds, or None when there is none within five years."""


def check_cron(text: str, now_ns: int = 0) -> None:
    """Refuses, with `InvalidArgument`, what is no schedule or never comes true. An empty text means none, and is right.

    `now_ns`: from when to look for the first time; any moment will do for a schedule without years.
    """
    if not text:
        return
    try:
        schedule = parse(text)
    except BadCron as error:
        raise InvalidArgument("invalid CronSchedule.") from error
    if schedule.next(now_ns // NANOS) is None:
        raise InvalidArgument("invalid CronSchedule, no time can be found to satisfy the schedule")


def next_backoff(schedule: str, scheduled_ns: int, now_ns: int) -> int | None:
    """How long a cron workflow waits for its next run, in nanoseconds: whole seconds, rounded up.

    `scheduled_ns`: when the run that ends now was due (its execution time; for a first run, the time of its start).
    Times between it and now are skipped. None: no further run (no schedule, or nothing matches).
    """
    if not schedule:
        return None
    try:
        parsed = parse(schedule)
    except BadCron:
        return None
    if now_ns < scheduled_ns:
        due_ns = scheduled_ns
    else:
        due_s = parsed.next(scheduled_ns // NANOS)
        while due_s is not None and due_s * NANOS < now_ns:
            due_s = parsed.next(_skip_to(parsed, due_s, now_ns))
        if due_s is None:
            return None
        due_ns = due_s * NANOS
    return -((now_ns - due_ns) // NANOS) * NANOS


def _skip_to(schedule: Schedule, due_s: int, now_ns: int) -> int:
    """The second to search from for the first time not before `now_ns`; spares the walk through all before it."""
    if isinstance(schedule, Every):
        periods = max(0, (now_ns // NANOS - due_s) // schedule.period_s - 1)
        return due_s + periods * schedule.period_s
    return max(due_s, -(-now_ns // NANOS) - 1)


def parse(text: str) -> Schedule:
    """Errors: `BadCron`."""
    return _parse_again(text) if len(text) <= _LONG else _parse_long_again(text)


def _parse(text: str) -> Schedule:
    zone: tzinfo = UTC
    if text.startswith(("TZ=", "CRON_TZ=")):
        name, _, text = text.partition("=")[2].partition(" ")
        zone = _zone(name)
        text = text.strip()
    if text.startswith("@every "):
        return Every(_period_s(text.removeprefix("@every ")))
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise BadCron(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    fields = text.split()
    if len(fields) != 5:
        raise BadCron(f"expected exactly 5 fields, found {len(fields)}: {text}")
    minutes, _ = _field(fields[0], 0, 59)
    hours, _ = _field(fields[1], 0, 23)
    days, days_star = _field(fields[2], 1, 31)
    months, _ = _field(fields[3], 1, 12, _MONTHS)
    weekdays, weekdays_star = _field(fields[4], 0, 6, _WEEKDAYS)
    return Fields(zone, minutes, hours, days, months, weekdays, days_star or weekdays_star)


_parse_again = lru_cache(maxsize=1024)(_parse)
_parse_long_again = lru_cache(maxsize=2)(_parse)


@dataclass(frozen=True, slots=True)
class Every:
    """`@every 90s`: counted from the previous time, not from midnight."""

    period_s: int

    def next(self, after_s: int) -> int | None:
        return after_s + self.period_s


@dataclass(frozen=True, slots=True)
class Fields:
    """The five fields as sets of numbers. `star`: either day field has one, so that both must match."""

    zone: tzinfo
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    star: bool

    def next(self, after_s: int) -> int | None:
        """Walks through months, days, hours and minutes, from the coarse to the fine. Seconds match at 0 only."""
        minute_s = after_s // 60 * 60 + 60
        local = datetime.fromtimestamp(minute_s, self.zone)
        last_year = local.year + _YEARS_TO_SEARCH
        if not (self.hours and self.minutes):
            return None
        while local.year <= last_year:
            if local.month not in self.months:
                local = self._midnight(local.year + local.month // 12, local.month % 12 + 1, 1)
            elif not self._day_matches(local):
                tomorrow = local.replace(tzinfo=None) + timedelta(days=1)
                local = self._midnight(tomorrow.year, tomorrow.month, tomorrow.day)
            elif local.hour not in self.hours:
                local = self._later(local, 60 - local.minute)
            elif local.minute not in self.minutes:
                local = self._later(local, 1)
            else:
                return int(local.timestamp())
        return None

    def _day_matches(self, local: datetime) -> bool:
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return day and weekday if self.star else day or weekday

    def _later(self, local: datetime, minutes: int) -> datetime:
        """Later by real minutes: across a change of clocks the local time jumps."""
        return datetime.fromtimestamp(local.timestamp() + 60 * minutes, self.zone)

    def _midnight(self, year: int, month: int, day: int) -> datetime:
        """The first moment of a day, which is not 0:00 where clocks change at midnight."""
        wanted = datetime(year, month, day, tzinfo=self.zone)
        # A time that does not exist reads differently after a round trip; the day then begins when the gap ends.
        return datetime.fromtimestamp(wanted.timestamp(), self.zone)


def _field(text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> tuple[frozenset[int], bool]:
    """The numbers that a field matches, and whether it has a star."""
    numbers: set[int] = set()
    star = False
    for part in filter(None, set(text.split(","))):
        part_numbers, part_star = _range(part, low, high, names or {})
        numbers |= part_numbers
        star |= part_star
    return frozenset(numbers), star


def _range(text: str, low: int, high: int, names: Mapping[str, int]) -> tuple[frozenset[int], bool]:
    bounds, *steps = text.split("/")
    first, *others = bounds.split("-")
    star = first in ("*", "?")
    if len(steps) > 1 or len(others) > (1 if not star else len(others)):
        raise BadCron(f"too many hyphens or slashes: {text}")
    if star:
        start, end = low, high
    else:
        start = _number(first, names)
        end = _number(others[0], names) if others else start
    step = 1
    if steps:
        step = _number(steps[0], {})
        if not others:
            end = high
        star = star and step <= 1
    if start < low or end > high or start > end or step == 0:
        raise BadCron(f"not a range within {low}-{high}: {text}")
    return frozenset(range(start, end + 1, step)), star


def _number(text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not _NUMBER.fullmatch(text) or integer(text) > _MOST_NUMBER:
        raise BadCron(f"not a number: {text}")
    return integer(text)


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC", "Local"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadCron(f"provided bad location {name}") from error


def _period_s(text: str) -> int:
    try:
        period_s = duration_ns(text) // NANOS
    except ValueError as error:
        raise BadCron(f"failed to parse duration {text}") from error
    return max(1, min(period_s, _LONGEST_PERIOD_S))

"""Calendars: which moments match, and which is the next.

A moment matches when its local time (year, month, day of month, day of week, hour, minute, second, all of them) does.
A local time that a change of clocks skips never comes. One that it repeats comes twice west of Greenwich; east of it
the real server repeats the hour before instead, and so do we. Times are whole seconds since the epoch.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import isleap, monthrange
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, tzinfo
from functools import cached_property, lru_cache

from temporalio.api.schedule.v1 import Range, StructuredCalendarSpec

MIN_YEAR = 2000
MAX_YEAR = 2100
"""Years beyond are not looked at."""

DAY_S = 86_400
_HOUR_S = 3600
_EPOCH = date(1970, 1, 1).toordinal()
_FIRST_YEAR = 1900
FIRST_DAY = date(_FIRST_YEAR, 1, 1).toordinal() - _EPOCH
"""Sets of days are numbers whose lowest bit is this day, counted from the epoch. What comes before is not looked at."""
_DAYS = date(MAX_YEAR + 1, 1, 1).toordinal() - _EPOCH - FIRST_DAY
ALL_DAYS = (1 << _DAYS) - 1


def values(ranges: Iterable[Range]) -> list[int]:
    """The numbers that ranges hold, sorted. An end before the start, such as one left out, is the start."""
    found: set[int] = set()
    for each in ranges:
        found.update(range(each.start, max(each.start, each.end) + 1, each.step or 1))
    return sorted(found)


def lowest(bits: int) -> int:
    """The place of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1


def offset(zone: tzinfo, time_s: int) -> int:
    """How far local time is ahead of UTC."""
    if zone is UTC:
        return 0
    ahead = datetime.fromtimestamp(time_s, zone).utcoffset()
    assert ahead is not None
    return round(ahead.total_seconds())


class Calendar:
    """A structured calendar in a time zone. A field without ranges matches nothing; years without match all."""

    def __init__(self, spec: StructuredCalendarSpec, zone: tzinfo) -> None:
        self._zone = zone
        fields = (spec.year, spec.month, spec.day_of_month, spec.day_of_week)
        self.day_set = _days(*(frozenset(values(field)) for field in fields))
        """The days that match."""
        self._hours = [hour * 3600 for hour in values(spec.hour)]
        self._minutes = [minute * 60 for minute in values(spec.minute)]
        self._seconds = values(spec.second)
        if not (self._hours and self._minutes and self._seconds):
            self.day_set = 0

    @cached_property
    def time_set(self) -> int:
        """The times of day that match, as the bits of a number."""
        of_minute = sum(1 << second for second in self._seconds)
        of_hour = sum(of_minute << minute_s for minute_s in self._minutes)
        return sum(of_hour << hour_s for hour_s in self._hours)

    def matches(self, time_s: int) -> bool:
        day, of_day_s = divmod(time_s + self._offset(time_s), DAY_S)
        return self._day_matches(day) and self._of_day(of_day_s) == of_day_s

    def next(self, after_s: int) -> int | None:
        """The first match after `after_s`; None if there is none until the end of `MAX_YEAR`.

        The search is one by local time. When it comes to the end of a matching hour and the next one begins more than
        an hour later, clocks were put back: the hour is gone through once more.
        """
        wall_s = after_s + self._offset(after_s)
        hour_s = wall_s - wall_s % _HOUR_S
        before_s = after_s - _HOUR_S
        once_more = (before_s + self._offset(before_s)) % DAY_S // _HOUR_S == hour_s % DAY_S // _HOUR_S
        found_s = self._next_wall(wall_s + 1)
        if found_s is not None and found_s < hour_s + _HOUR_S and self._exists(found_s):
            return self._moment(found_s) + (_HOUR_S if once_more else 0)
        next_hour_s = hour_s + _HOUR_S
        if not once_more and self._moment(next_hour_s) - self._moment(hour_s) > _HOUR_S:
            found_s = self._next_wall(hour_s)
            if found_s is not None and found_s < next_hour_s:
                return self._moment(found_s) + _HOUR_S
        return self._first_from(next_hour_s)

    def _first_from(self, wall_s: int) -> int | None:
        """The moment of the first matching local time that exists."""
        while (found_s := self._next_wall(wall_s)) is not None:
            if self._exists(found_s):
                return self._moment(found_s)
            wall_s = found_s - found_s % _HOUR_S + _HOUR_S
        return None

    def _moment(self, wall_s: int) -> int:
        """The moment of a local time. Of the two of one that comes twice, the real server takes this one as well."""
        return wall_s - self._offset(wall_s - self._offset(wall_s))

    def _exists(self, wall_s: int) -> bool:
        """Whether clocks ever show this hour on this day."""
        moment_s = self._moment(wall_s)
        return (moment_s + self._offset(moment_s)) % DAY_S // _HOUR_S == wall_s % DAY_S // _HOUR_S

    def _offset(self, time_s: int) -> int:
        return offset(self._zone, time_s)

    def _next_wall(self, wall_s: int) -> int | None:
        """The first matching local time from `wall_s` on, in seconds as if it were UTC."""
        day, of_day_s = divmod(wall_s, DAY_S)
        if self._day_matches(day) and (found_s := self._of_day(of_day_s)) is not None:
            return day * DAY_S + found_s
        rest = self.day_set >> max(day + 1 - FIRST_DAY, 0)
        if not rest:
            return None
        return (max(day + 1, FIRST_DAY) + lowest(rest)) * DAY_S + self._hours[0] + self._minutes[0] + self._seconds[0]

    def _day_matches(self, day: int) -> bool:
        return day >= FIRST_DAY and self.day_set >> (day - FIRST_DAY) & 1 == 1

    def _of_day(self, from_s: int) -> int | None:
        """The first matching time of day from this second on, of a day that matches."""
        hour_s, minute_s, second = from_s // 3600 * 3600, from_s % 3600 // 60 * 60, from_s % 60
        if hour_s in self._hours:
            if minute_s in self._minutes and (found := _at_least(self._seconds, second)) is not None:
                return hour_s + minute_s + found
            if (found := _at_least(self._minutes, minute_s + 60)) is not None:
                return hour_s + found + self._seconds[0]
        if (found := _at_least(self._hours, hour_s + 3600)) is not None:
            return found + self._minutes[0] + self._seconds[0]
        return None


def _at_least(numbers: Sequence[int], low: int) -> int | None:
    at = bisect_left(numbers, low)
    return numbers[at] if at < len(numbers) else None


@lru_cache(maxsize=512)
def _days(years: frozenset[int], months: frozenset[int], days: frozenset[int], weekdays: frozenset[int]) -> int:
    """The set of all days that match."""
    result, first = 0, 0
    of_year = {leap: _days_of_year(2000 if leap else 2001, months, days) for leap in (False, True)}
    for year in range(_FIRST_YEAR, MAX_YEAR + 1):
        if not years or year in years:
            result |= of_year[isleap(year)] << first
        first += 366 if isleap(year) else 365
    begins = (_EPOCH + FIRST_DAY) % 7
    of_week = sum(1 << (weekday - begins) % 7 for weekday in weekdays)
    return result & _weeks(of_week)


def _days_of_year(year: int, months: frozenset[int], days: frozenset[int]) -> int:
    first = date(year, 1, 1).toordinal()
    return sum(
        1 << date(year, month, day).toordinal() - first
        for month in months
        for day in days
        if day <= monthrange(year, month)[1]
    )


def _weeks(of_week: int) -> int:
    return of_week * (((1 << 7 * (_DAYS // 7 + 1)) - 1) // 127)

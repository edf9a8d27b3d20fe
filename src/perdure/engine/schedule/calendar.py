"""Calendars: which moments match, and which is the next.

A moment matches when its local time (year, month, day of month, day of week, hour, minute, second, all of them) does.
A local time that a change of clocks skips never comes. One that it repeats comes twice west of Greenwich; east of it
the real server repeats the hour before instead, and so do we. Times are whole seconds since the epoch.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache

from temporalio.api.schedule.v1 import Range, StructuredCalendarSpec

MIN_YEAR = 2000
MAX_YEAR = 2100
"""Years beyond are not looked at."""

_DAY_S = 86_400
_HOUR_S = 3600
_EPOCH = date(1970, 1, 1).toordinal()


def values(ranges: Iterable[Range]) -> list[int]:
    """The numbers that ranges hold, sorted. An end before the start, such as one left out, is the start."""
    found: set[int] = set()
    for each in ranges:
        found.update(range(each.start, max(each.start, each.end) + 1, each.step or 1))
    return sorted(found)


class Calendar:
    """A structured calendar in a time zone. A field without ranges matches nothing; years without match all."""

    def __init__(self, spec: StructuredCalendarSpec, zone: tzinfo) -> None:
        self._zone = zone
        self._years = frozenset(values(spec.year))
        self._months = frozenset(values(spec.month))
        self._days = frozenset(values(spec.day_of_month))
        self._weekdays = frozenset(values(spec.day_of_week))
        self._hours = [hour * 3600 for hour in values(spec.hour)]
        self._minutes = [minute * 60 for minute in values(spec.minute)]
        self._seconds = values(spec.second)

    def matches(self, time_s: int) -> bool:
        wall_s = time_s + self._offset(time_s)
        of_day_s = wall_s % _DAY_S
        return self._day_matches(date.fromordinal(_EPOCH + wall_s // _DAY_S)) and self._of_day(of_day_s) == of_day_s

    def next(self, after_s: int) -> int | None:
        """The first match after `after_s`; None if there is none until the end of `MAX_YEAR`.

        The search is one by local time. When it comes to the end of a matching hour and the next one begins more than
        an hour later, clocks were put back: the hour is gone through once more.
        """
        wall_s = after_s + self._offset(after_s)
        hour_s = wall_s - wall_s % _HOUR_S
        before_s = after_s - _HOUR_S
        once_more = (before_s + self._offset(before_s)) % _DAY_S // _HOUR_S == hour_s % _DAY_S // _HOUR_S
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
        return (moment_s + self._offset(moment_s)) % _DAY_S // _HOUR_S == wall_s % _DAY_S // _HOUR_S

    def _offset(self, time_s: int) -> int:
        """How far local time is ahead of UTC."""
        if self._zone is UTC:
            return 0
        ahead = datetime.fromtimestamp(time_s, self._zone).utcoffset()
        assert ahead is not None
        return round(ahead.total_seconds())

    def _next_wall(self, wall_s: int) -> int | None:
        """The first matching local time from `wall_s` on, in seconds as if it were UTC."""
        day, of_day_s = divmod(wall_s, _DAY_S)
        start = date.fromordinal(_EPOCH + day)
        if self._day_matches(start):
            found_s = self._of_day(of_day_s)
            if found_s is not None:
                return day * _DAY_S + found_s
        first_s = self._of_day(0)
        following = self._next_day(start)
        if first_s is None or following is None:
            return None
        return (following.toordinal() - _EPOCH) * _DAY_S + first_s

    def _day_matches(self, day: date) -> bool:
        return (
            self._year_matches(day.year)
            and day.month in self._months
            and day.day in self._days
            and day.isoweekday() % 7 in self._weekdays
        )

    def _year_matches(self, year: int) -> bool:
        return year <= MAX_YEAR and (not self._years or year in self._years)

    def _next_day(self, after: date) -> date | None:
        for year in range(after.year, MAX_YEAR + 1):
            if not self._year_matches(year):
                continue
            for month in range(after.month if year == after.year else 1, 13):
                if month not in self._months:
                    continue
                first = after.day + 1 if (year, month) == (after.year, after.month) else 1
                for day in range(first, _days_in(year, month) + 1):
                    if day in self._days and date(year, month, day).isoweekday() % 7 in self._weekdays:
                        return date(year, month, day)
        return None

    def _of_day(self, from_s: int) -> int | None:
        """The first matching time of day from this second of a day on."""
        if not (self._hours and self._minutes and self._seconds):
            return None
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


@lru_cache(maxsize=4096)
def _days_in(year: int, month: int) -> int:
    return monthrange(year, month)[1]

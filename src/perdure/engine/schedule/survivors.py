"""What excluded calendars leave of a specification, found by days: to go over long stretches of excluded times at once.

Days are bits of one number and the times of a day those of another. The excluded calendars divide all days into groups
on which the same times of day are excluded. Where local time goes on evenly this is exact. Around a change of clocks,
where a calendar may come an hour late, times are gone through one by one, unless those an hour off are all excluded,
too. So this only ever tells from where on to look.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from perdure.engine.schedule.calendar import ALL_DAYS, DAY_S, FIRST_DAY, MAX_YEAR, Calendar, lowest, offset

_HOUR_S = 3600
_WEEK_S = 7 * DAY_S
_ALL_TIMES = (1 << DAY_S) - 1
_END_S = int(datetime(MAX_YEAR + 1, 1, 2, tzinfo=UTC).timestamp())
_MAX_GROUPS = 64
"""Excluded calendars that would make more groups of days are left out, and what they exclude is gone through."""


class Survivors:
    def __init__(
        self,
        zone: tzinfo,
        calendars: Iterable[Calendar],
        intervals: Iterable[tuple[int, int]],
        excludes: Iterable[Calendar],
    ) -> None:
        self._zone = zone
        changes = _changes(zone)
        offsets = {offset(zone, 0), *(each.after_s for each in changes)}
        self._named = [(each.day_set, each.time_set) for each in calendars]
        self._named += [(ALL_DAYS, _times_of(*each, offsets)) for each in intervals]
        groups = _groups(excludes)
        self._left = list(_left(self._named, groups))
        uneven = 0
        for days, _ in _left(_shifted(self._named, {_HOUR_S, *(each.length_s for each in changes)}), groups):
            uneven |= days
        self._changes = [each for each in changes if each.days & uneven]

    def skip(self, after_s: int) -> int | None:
        """A moment, not before `after_s`, up to which all times are excluded; None if all are that come after it."""
        if after_s < 0:
            return after_s
        at = bisect_right(self._changes, after_s, key=_until)
        change_s = self._changes[at].from_s if at < len(self._changes) else None
        if change_s is not None and change_s <= after_s:
            return after_s
        ahead_s = offset(self._zone, after_s)
        wall_s = self._first(after_s + ahead_s + 1)
        if wall_s is None:
            return change_s
        found_s = wall_s - offset(self._zone, wall_s - ahead_s) - 1
        return max(found_s if change_s is None else min(found_s, change_s), after_s)

    def _first(self, wall_s: int) -> int | None:
        """The first local time from `wall_s` on that is not excluded."""
        day, of_day_s = divmod(wall_s - FIRST_DAY * DAY_S, DAY_S)
        found = []
        for days, times in self._left:
            if days >> day & 1 and (rest := times >> of_day_s):
                found.append(day * DAY_S + of_day_s + lowest(rest))
            elif rest := days >> day + 1:
                found.append((day + 1 + lowest(rest)) * DAY_S + lowest(times))
        return min(found) + FIRST_DAY * DAY_S if found else None

    def count(self, after_s: int, until_s: int | None) -> int:
        """About how many times the specification names between the two moments; without the second, until the end."""
        length_s = (_END_S if until_s is None else until_s) - after_s
        if length_s < DAY_S:
            return max((times.bit_count() * length_s // DAY_S for _, times in self._named), default=0)
        first = after_s // DAY_S - FIRST_DAY
        among = (1 << length_s // DAY_S) - 1
        return max(((days >> first & among).bit_count() * times.bit_count() for days, times in self._named), default=0)


def _groups(excludes: Iterable[Calendar]) -> dict[int, int]:
    """Days by the times that are excluded on them."""
    by_times: dict[int, int] = {}
    for each in excludes:
        by_times[each.time_set] = by_times.get(each.time_set, 0) | each.day_set
    groups = {0: ALL_DAYS}
    for times, days in by_times.items():
        divided: dict[int, int] = {}
        for group_times, group_days in groups.items():
            for key, part in ((group_times | times, group_days & days), (group_times, group_days & ~days)):
                if part:
                    divided[key] = divided.get(key, 0) | part
        if len(divided) <= _MAX_GROUPS:
            groups = divided
    return groups


@lru_cache(maxsize=128)
def _every(step_s: int) -> int:
    """The times of a day that are multiples of a divisor of its length."""
    return _ALL_TIMES // ((1 << step_s) - 1)


class _Change(NamedTuple):
    """A change of clocks: when calendars may feel it, on which days, by how much, and the offset afterwards."""

    from_s: int
    until_s: int
    days: int
    length_s: int
    after_s: int


def _until(change: _Change) -> int:
    return change.until_s


@lru_cache(maxsize=64)
def _changes(zone: tzinfo) -> Sequence[_Change]:
    """All of a zone since the epoch. None has two within a week."""
    if zone is UTC:
        return ()
    found = []
    before_s = offset(zone, 0)
    for time_s in range(_WEEK_S, _END_S, _WEEK_S):
        ahead_s = offset(zone, time_s)
        if ahead_s != before_s:
            low, high = time_s - _WEEK_S, time_s
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, middle) == before_s else (low, middle)
            length_s = abs(ahead_s - before_s)
            from_s, until_s = high - length_s - _HOUR_S, high + length_s + _HOUR_S
            days = 0
            for wall_s in (from_s + before_s, from_s + ahead_s, until_s + before_s, until_s + ahead_s):
                days |= 1 << max(wall_s // DAY_S - FIRST_DAY, 0)
            found.append(_Change(from_s, until_s, days, min(length_s, DAY_S), ahead_s))
            before_s = ahead_s
    return found


def _times_of(interval_s: int, phase_s: int, offsets: Iterable[int]) -> int:
    """The times of day that an interval comes to, on one day or another."""
    step_s = gcd(interval_s, DAY_S)
    result = 0
    for residue_s in {(phase_s + ahead_s) % step_s for ahead_s in offsets}:
        result |= _every(step_s) << residue_s
    return result & _ALL_TIMES


def _left(named: Iterable[tuple[int, int]], groups: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Days, and the times on them that are named and not excluded."""
    for named_days, named_times in named:
        for excluded_times, group_days in groups.items():
            days, times = named_days & group_days, named_times & ~excluded_times
            if days and times:
                yield days, times


def _shifted(named: Sequence[tuple[int, int]], lengths: Iterable[int]) -> Iterator[tuple[int, int]]:
    """What is named, and what is by so much earlier or later."""
    yield from named
    for length_s in lengths:
        for days, times in named:
            yield days, times << length_s & _ALL_TIMES
            yield days << 1, times >> DAY_S - length_s
            yield days, times >> length_s
            yield days >> 1, times << DAY_S - length_s & _ALL_TIMES

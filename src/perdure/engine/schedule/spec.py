"""A schedule's specification: brought into its one form, checked, and asked for times."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, tzinfo
from functools import cached_property, lru_cache
from io import BytesIO
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.protobuf.duration_pb2 import Duration
from temporalio.api.schedule.v1 import IntervalSpec, Range, ScheduleSpec, StructuredCalendarSpec

from perdure.engine.schedule.calendar import MAX_YEAR, MIN_YEAR, Calendar
from perdure.engine.schedule.jitter import jitter_ms
from perdure.engine.schedule.ranges import BadSpec, cron, structured
from perdure.engine.schedule.survivors import Survivors
from perdure.engine.times import NS, get_duration, get_time

MAX_COMMENT_BYTES = 200
MAX_EXCLUDED = 2 * 7 * 24 * 60 * 60
"""So many excluded times in a row end the search for the next, as in the real server."""
MAX_STEPS = 20_000
"""As do so many that had to be looked at one by one."""

CONFLICTING_ZONES = "conflicting timezone names"
TOO_MANY_EXCLUSIONS = "the schedule calendar specification has too many exclusions. Please modify the specification."
_MAX_DURATION_S = 315_576_000_000
_END_S = 4_133_980_800
"""The first moment after `MAX_YEAR`, in UTC."""
_LIMITS = (
    ("second", "Second", 0, 59),
    ("minute", "Minute", 0, 59),
    ("hour", "Hour", 0, 23),
    ("day_of_month", "DayOfMonth", 1, 31),
    ("month", "Month", 1, 12),
    ("year", "Year", MIN_YEAR, MAX_YEAR),
    ("day_of_week", "DayOfWeek", 0, 6),
)
_MAX_COMPILED = 256


class TooManyExclusions(Exception):
    """The search for the next time was given up."""


def canonical(spec: ScheduleSpec) -> ScheduleSpec:
    """The same specification in structured calendars and intervals alone, checked. Raises `BadSpec`."""
    _check_durations(spec.interval)
    result = ScheduleSpec()
    result.CopyFrom(spec)
    del result.calendar[:], result.exclude_calendar[:], result.cron_string[:]
    result.structured_calendar.extend(structured(calendar) for calendar in spec.calendar)
    result.exclude_structured_calendar.extend(structured(calendar) for calendar in spec.exclude_calendar)
    zones = []
    for text in spec.cron_string:
        parsed = cron(text)
        zones.append(parsed.zone)
        if parsed.zone != zones[0]:
            raise BadSpec(CONFLICTING_ZONES)
        if parsed.calendar is not None:
            result.structured_calendar.append(parsed.calendar)
        if parsed.interval is not None:
            result.interval.append(parsed.interval)
    if zones and zones[0]:
        if spec.timezone_data or spec.timezone_name not in ("", zones[0]):
            raise BadSpec(CONFLICTING_ZONES)
        result.timezone_name = zones[0]
    for calendar in result.structured_calendar:
        _check_calendar(calendar)
    for interval in result.interval:
        _check_interval(interval)
    _zone(result.timezone_name, result.timezone_data)
    return result


def fill_ranges(spec: ScheduleSpec) -> None:
    """Say in each range what its absent fields mean, as clients are shown it."""
    for calendar in (*spec.structured_calendar, *spec.exclude_structured_calendar):
        for attribute, *_ in _LIMITS:
            for each in getattr(calendar, attribute):
                each.end = max(each.end, each.start)
                each.step = each.step or 1


def _check_durations(intervals: Iterable[IntervalSpec]) -> None:
    for each in intervals:
        for name, duration in (("interval", each.interval), ("phase", each.phase)):
            if problem := _invalid(duration):
                raise BadSpec(f"{name} is not a valid duration: {problem}")


def _invalid(duration: Duration) -> str:
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > _MAX_DURATION_S:
        bounds = "exceeds -10000 years" if seconds < 0 else "exceeds +10000 years"
        return f"proto: duration ({_printed(duration)}) {bounds}"
    if abs(nanos) >= NS:
        return f"proto: duration ({_printed(duration)}) has out-of-range nanos"
    if seconds * nanos < 0:
        return f"proto: duration ({_printed(duration)}) has seconds and nanos with different signs"
    return ""


def _printed(duration: Duration) -> str:
    parts = [f"{name}:{value}" for name, value in (("seconds", duration.seconds), ("nanos", duration.nanos)) if value]
    return " ".join(parts)


def _check_calendar(calendar: StructuredCalendarSpec) -> None:
    problems: list[str] = []
    for attribute, name, low, high in _LIMITS:
        for each in getattr(calendar, attribute):
            problems += _problems(each, name, low, high)
    if len(calendar.comment.encode()) > MAX_COMMENT_BYTES:
        problems.append("comment is too long")
    if problems:
        raise BadSpec("invalid calendar spec: " + ", ".join(problems))


def _problems(each: Range, name: str, low: int, high: int) -> Iterable[str]:
    if not low <= each.start <= high:
        yield f"{name} Start is not in range [{low}-{high}]"
    if each.end and not each.start <= each.end <= high:
        yield f"{name} End is before Start or not in range [{low}-{high}]"
    if each.step < 0:
        yield f"{name} has invalid Step"


def _check_interval(each: IntervalSpec) -> None:
    interval_ns, phase_ns = get_duration(each.interval), get_duration(each.phase)
    if interval_ns < NS:
        raise BadSpec("interval is too small")
    if phase_ns < 0:
        raise BadSpec("phase is negative")
    if phase_ns >= interval_ns:
        raise BadSpec("phase cannot be greater than Interval")


@lru_cache(maxsize=1024)
def _zone(name: str, data: bytes) -> tzinfo:
    """A time zone by its own data if there are any, else by its name."""
    if data:
        try:
            return ZoneInfo.from_file(BytesIO(data), key=name)
        except (ValueError, EOFError, IndexError, OverflowError) as error:
            raise BadSpec("malformed time zone information") from error
    if name in ("", "UTC", "Local"):
        return UTC
    if ".." in name or name[0] in "/\\":
        raise BadSpec("time: invalid location name")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSpec(f"unknown time zone {name}") from error


class Time(NamedTuple):
    """A time of a schedule, in nanoseconds: by its specification, and with its jitter."""

    nominal_ns: int
    actual_ns: int


class Times:
    """The times of a canonical specification. Raises `BadSpec` for one that is not."""

    def __init__(self, spec: ScheduleSpec) -> None:
        zone = _zone(spec.timezone_name, spec.timezone_data)
        self._calendars = [Calendar(each, zone) for each in spec.structured_calendar]
        self._excludes = [Calendar(each, zone) for each in spec.exclude_structured_calendar]
        self._intervals = [
            (max(get_duration(each.interval) // NS, 1), max(get_duration(each.phase) // NS, 0))
            for each in spec.interval
        ]
        self._zone = zone
        self._before_start_s = (get_time(spec.start_time) - NS) // NS
        self._end_ns = get_time(spec.end_time) if spec.HasField("end_time") else _END_S * NS
        self._jitter_ms = get_duration(spec.jitter) // 1_000_000
        self._over_ns = _END_S * NS
        """From here on there is known to be no time any more."""

    def next(self, seed: str, after_ns: int) -> Time | None:
        """The first time whose specified moment is after `after_ns`; None if there is none.

        Raises `TooManyExclusions`.
        """
        if after_ns >= self._over_ns:
            return None
        found = self._next(seed, after_ns)
        if found is None:
            self._over_ns = after_ns
        return found

    def _next(self, seed: str, after_ns: int) -> Time | None:
        after_s = max(after_ns // NS, self._before_start_s)
        passed = 0
        for _ in range(MAX_STEPS):
            nominal_s = self._nominal(after_s)
            if nominal_s is None or nominal_s * NS > self._end_ns or nominal_s >= _END_S:
                return None
            if not any(each.matches(nominal_s) for each in self._excludes):
                return self._with_jitter(seed, nominal_s)
            if nominal_s <= after_s:  # a zone that skips a whole day: the real server goes around in circles, too
                break
            following_s = self._survivors.skip(nominal_s)
            passed += 1 + self._survivors.count(nominal_s, following_s)
            if passed >= MAX_EXCLUDED:
                break
            if following_s is None:
                return None
            after_s = following_s
        raise TooManyExclusions(TOO_MANY_EXCLUSIONS)

    @cached_property
    def _survivors(self) -> Survivors:
        return Survivors(self._zone, self._calendars, self._intervals, self._excludes)

    def _with_jitter(self, seed: str, nominal_s: int) -> Time:
        """Never later than the next specified moment."""
        maximum_ms = self._jitter_ms
        if maximum_ms <= 0:
            return Time(nominal_s * NS, nominal_s * NS)
        following_s = self._nominal(nominal_s)
        if following_s is not None:
            maximum_ms = min(maximum_ms, (following_s - nominal_s) * 1000)
        return Time(nominal_s * NS, nominal_s * NS + jitter_ms(seed, nominal_s, maximum_ms) * 1_000_000)

    def _nominal(self, after_s: int) -> int | None:
        found = [next_s for each in self._calendars if (next_s := each.next(after_s)) is not None]
        for interval_s, phase_s in self._intervals:
            found.append((max(after_s - phase_s, 0) // interval_s + 1) * interval_s + phase_s)
        return min(found, default=None)


_compiled: OrderedDict[bytes, Times] = OrderedDict()


def times(spec: ScheduleSpec) -> Times:
    """The times of a canonical specification; the last ones that were asked for are kept. Raises `BadSpec`."""
    key = spec.SerializeToString(deterministic=True)
    known = _compiled.get(key)
    if known is None:
        known = _compiled[key] = Times(spec)
        if len(_compiled) > _MAX_COMPILED:
            _compiled.popitem(last=False)
    else:
        _compiled.move_to_end(key)
    return known

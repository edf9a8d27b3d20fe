"""Times and durations as the real server reads them, in nanoseconds."""

from __future__ import annotations

import datetime
import re

from perdure.engine import gotext

SECOND_NS = 1_000_000_000
MAX_DURATION_S = 315_576_000_000
EPOCH = datetime.datetime(1970, 1, 1)

STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
DURATION = re.compile(r"([+-]?)(0|[1-9]\d*)?(?:\.(\d*))?s", re.ASCII)


class BadTime(ValueError):
    """Text that is none, in Go's words."""


def timestamp_nanos(text: str) -> int:
    """An RFC 3339 time, since 1970. Raises `BadTime`, or `OverflowError` when it is before year 1 or after 9999."""
    match = STAMP.fullmatch(text)
    if match is None:
        raise BadTime(text)
    *fields, fraction, sign, hours, minutes = match.groups()
    if fraction and len(fraction) > 9:
        raise BadTime(text)
    try:
        moment = datetime.datetime(*(int(field) for field in fields))  # type: ignore[arg-type]
    except ValueError:
        if fields[0] == "0000":
            raise OverflowError(text)
        raise BadTime(text)
    seconds = (moment - EPOCH) // datetime.timedelta(seconds=1)
    if sign:
        if int(hours) > 24 or int(minutes) > 60:
            raise BadTime(text)
        seconds -= (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1)
    if not -62_135_596_800 <= seconds <= 253_402_300_799:
        raise OverflowError(text)
    return seconds * SECOND_NS + int((fraction or "0").ljust(9, "0"))


def duration_nanos(text: str) -> int:
    """`1.5s`, as in JSON. Raises `BadTime`, or `OverflowError` beyond 10,000 years."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise BadTime(text)
    sign, whole, fraction = match.groups()
    if (whole is None and not fraction) or len(fraction or "") > 9:
        raise BadTime(text)
    seconds = gotext.integer(whole or "0")
    if seconds >= 1 << 63:
        raise BadTime(text)
    if seconds > MAX_DURATION_S:
        raise OverflowError(text)
    nanos = seconds * SECOND_NS + int((fraction or "0").ljust(9, "0"))
    return -nanos if sign == "-" else nanos


def go_duration_nanos(text: str) -> int:
    """`1h30m`, as in a query. Raises `BadTime`."""
    try:
        return gotext.duration_ns(text)
    except ValueError as error:
        raise BadTime(str(error)) from error

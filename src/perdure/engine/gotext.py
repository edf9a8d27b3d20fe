"""Integers and durations in text, as Go reads them."""

from __future__ import annotations

import re
from typing import Final

from perdure.engine.times import NS

TOO_LARGE: Final = 1 << 64
"""Stands for every integer that 64 bits do not hold."""

UNITS_NS: Final = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": NS, "m": 60 * NS}
UNITS_NS["h"] = 3600 * NS

_MOST_DIGITS = 20
_FRACTION_DIGITS = 18
"""What comes after these is less than a nanosecond of any unit."""
_MOST_NS = 1 << 63
_TERM = re.compile(r"(\d*)(?:\.(\d*))?([^\d.]*)", re.ASCII)


def integer(text: str) -> int:
    """What decimal digits spell, perhaps with a sign before them; `TOO_LARGE` or minus that beyond 64 bits. There may
    be any number of digits; `int` itself fails beyond 4,300."""
    if len(text) > _MOST_DIGITS:
        sign = text[:1] if text[:1] in ("+", "-") else ""
        digits = text.removeprefix(sign).lstrip("0")
        text = sign + (digits if len(digits) <= _MOST_DIGITS else str(TOO_LARGE)) if digits else "0"
    return max(-TOO_LARGE, min(TOO_LARGE, int(text)))


def duration_ns(text: str) -> int:
    """A duration in 64 bits: `1h30m`, `1.5h`, `-5s`; `0` needs no unit. Raises `ValueError` with Go's words."""
    at = 1 if text[:1] in ("+", "-") else 0
    if text[at:] == "0":
        return 0
    total_ns = -1 if at == len(text) else 0
    while at < len(text) and 0 <= total_ns <= _MOST_NS:
        term = _TERM.match(text, at)
        assert term is not None
        whole, fraction, unit = term.groups()
        if (not whole and not fraction) or integer(whole or "0") > _MOST_NS:
            total_ns = -1
            break
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in UNITS_NS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total_ns += integer(whole or "0") * UNITS_NS[unit]
        if fraction:
            fraction = fraction[:_FRACTION_DIGITS]
            total_ns += int(int(fraction) * (UNITS_NS[unit] / 10 ** len(fraction)))  # in floats, as Go
        at = term.end()
    negative = text.startswith("-")
    if not 0 <= total_ns < _MOST_NS + negative:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total_ns if negative else total_ns

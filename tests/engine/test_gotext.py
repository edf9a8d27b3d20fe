"""Numbers and durations in text: any number of digits, and Go's answers at the edges."""

from __future__ import annotations

import pytest

from perdure.engine.gotext import TOO_LARGE, duration_ns, integer
from perdure.engine.schedule import ranges

MANY = 5000
"""Digits; more than Python's own integers are read from."""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("+7", 7), ("-7", -7), ("0" * MANY, 0), ("-" + "0" * MANY + "7", -7), ("9" * MANY, TOO_LARGE),
        ("-" + "9" * MANY, -TOO_LARGE), ("9223372036854775808", 2**63), ("99999999999999999999", TOO_LARGE),
    ],
)  # fmt: skip
def test_integers_have_any_number_of_digits(text: str, value: int) -> None:
    assert integer(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1h30m", 5400 * 10**9), ("-1.5s", -1_500_000_000), ("0", 0), ("+.5us", 500), ("1.s", 10**9),
        ("0" * MANY + "1s", 10**9), ("1." + "0" * MANY + "s", 10**9), ("1." + "9" * MANY + "s", 2 * 10**9),
        ("9223372036854775807ns", 2**63 - 1), ("-9223372036854775808ns", -(2**63)),
    ],
)  # fmt: skip
def test_durations(text: str, value: int) -> None:
    assert duration_ns(text) == value


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "invalid"), ("-", "invalid"), (".s", "invalid"), ("s", "invalid"), ("9223372036854775808ns", "invalid"),
        ("9223372036s9223372036s", "invalid"), ("9" * MANY, "invalid"), ("9" * MANY + "x", "invalid"),
        ("5", "missing unit in"), ("5s6", "missing unit in"), ("5x", 'unknown unit "x" in'),
    ],
)  # fmt: skip
def test_what_is_no_duration(text: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        duration_ns(text)
    assert str(caught.value) == f'time: {what} duration "{text}"'


@pytest.mark.parametrize("text", ["9" * 1_000_000, "1." * 500_000, "." + "9" * 1_000_000])
def test_what_is_long_and_no_duration_of_a_schedule_takes_a_walk_through_it(text: str) -> None:
    with pytest.raises(ranges.BadSpec):
        ranges.duration_ns(text)

"""Durations and numbers read as Temporal's dynamic configuration reads them."""

import pytest

from perdure import values
from perdure.errors import StartupError


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("10s", 10), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25), ("7d", 604_800), ("1d12h", 129_600),
        ("10", 10), ("0", 0), ("0s", 0), (".5s", 0.5), ("1us", 1e-6), ("3ns", 3e-9),
    ],
)  # fmt: skip
def test_durations_are_those_of_go_with_days_and_bare_seconds(text, expected_s):
    assert values.go_duration_s(text) == pytest.approx(expected_s)


@pytest.mark.parametrize("text", ["", "s", "10 s", "10sec", "1m 30s", "--1s", "1:30", "ten"])
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError):
        values.go_duration_s(text)


@pytest.mark.parametrize("value", [-1, "-5s", True, None, [1], float("inf"), float("nan"), "soon"])
def test_a_duration_is_finite_and_not_negative(value):
    with pytest.raises(StartupError, match=r"^here: expected a duration such as 10s or 1m30s, got "):
        values.seconds(value, "here")


def test_numbers_of_seconds_are_durations():
    assert values.seconds(2, "") == 2.0
    assert values.seconds(0.5, "") == 0.5


@pytest.mark.parametrize("value", [1.5, True, "1", -1, None])
def test_a_whole_number_is_an_int_and_nothing_else(value):
    with pytest.raises(StartupError, match="here: expected a whole number"):
        values.integer(value, "here")


def test_booleans_may_be_text():
    assert values.boolean("true", "") and values.boolean("1", "") and values.boolean(True, "")
    assert not values.boolean("F", "") and not values.boolean(False, "")
    with pytest.raises(StartupError, match="here: expected true or false, got 'yes'"):
        values.boolean("yes", "here")


def test_what_is_not_json_is_text():
    assert values.scalar("1") == 1
    assert values.scalar('"1"') == "1"
    assert values.scalar("10s") == "10s"
    assert values.scalar("true") is True


@pytest.mark.parametrize("value", [-1, 65536, True, None])
def test_a_port_says_its_range(value):
    with pytest.raises(StartupError, match=rf"here: {value} is not a TCP port; give one from 0 \(any .* to 65535"):
        values.port(value, "here")

"""Cron schedules, with the rules of the library that the real server uses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.engine import cron
from perdure.engine.cron import NANOS, BadCron, check_cron, next_backoff, parse
from perdure.errors import InvalidArgument

S = 1_000_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def following(schedule: str, after: str) -> str | None:
    due_s = parse(schedule).next(at(after))
    return None if due_s is None else datetime.fromtimestamp(due_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        ("* * * * *", "2024-05-06T07:08:09", "2024-05-06T07:09:00"),
        ("* * * * *", "2024-05-06T07:09:00", "2024-05-06T07:10:00"),
        ("*/15 * * * *", "2024-05-06T07:46:00", "2024-05-06T08:00:00"),
        ("5/20 * * * *", "2024-05-06T07:08:00", "2024-05-06T07:25:00"),
        ("0 12 * * ?", "2024-05-06T12:00:00", "2024-05-07T12:00:00"),
        ("0 0 1 jan *", "2024-05-06T07:08:00", "2025-01-01T00:00:00"),
        ("0 0 * * mon-fri", "2024-05-04T00:00:00", "2024-05-06T00:00:00"),
        ("0 0 31 * *", "2024-05-31T00:00:00", "2024-07-31T00:00:00"),
        ("0 0 29 2 *", "2024-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("30 4,16 * * *", "2024-05-06T04:30:00", "2024-05-06T16:30:00"),
        ("@hourly", "2024-05-06T07:08:09", "2024-05-06T08:00:00"),
        ("@daily", "2024-05-06T07:08:09", "2024-05-07T00:00:00"),
        ("@weekly", "2024-05-06T07:08:09", "2024-05-12T00:00:00"),
        ("@monthly", "2024-12-06T07:08:09", "2025-01-01T00:00:00"),
        ("@yearly", "2024-05-06T07:08:09", "2025-01-01T00:00:00"),
        ("@every 1h30m", "2024-05-06T07:08:09", "2024-05-06T08:38:09"),
        ("@every 10ms", "2024-05-06T07:08:09", "2024-05-06T07:08:10"),
        ("@every -5s", "2024-05-06T07:08:09", "2024-05-06T07:08:10"),
        ("CRON_TZ=Asia/Tokyo 0 6 * * *", "2024-05-06T00:00:00", "2024-05-06T21:00:00"),
        ("TZ=Asia/Tokyo @daily", "2024-05-06T00:00:00", "2024-05-06T15:00:00"),
    ],
)
def test_next_time(schedule: str, after: str, due: str) -> None:
    assert following(schedule, after) == due


def test_day_fields_join_with_or_unless_one_has_a_star() -> None:
    assert following("0 0 13 * fri", "2024-05-06T00:00:00") == "2024-05-10T00:00:00"
    assert following("0 0 13 * *", "2024-05-06T00:00:00") == "2024-05-13T00:00:00"
    assert following("0 0 */2 * fri", "2024-05-06T00:00:00") == "2024-05-07T00:00:00"
    assert following("0 0 */1 * fri", "2024-05-06T00:00:00") == "2024-05-10T00:00:00"


def test_a_time_that_the_change_of_clocks_skips_waits_for_the_next_day() -> None:
    # New York goes from 2:00 to 3:00 on March 10, 2024.
    schedule = "CRON_TZ=America/New_York 30 2 * * *"
    assert following(schedule, "2024-03-09T12:00:00") == "2024-03-11T06:30:00"


def test_a_time_that_the_change_of_clocks_repeats_comes_twice() -> None:
    # New York goes from 2:00 back to 1:00 on November 3, 2024.
    schedule = "CRON_TZ=America/New_York 30 1 * * *"
    assert following(schedule, "2024-11-03T00:00:00") == "2024-11-03T05:30:00"
    assert following(schedule, "2024-11-03T05:30:00") == "2024-11-03T06:30:00"
    assert following(schedule, "2024-11-03T06:30:00") == "2024-11-04T06:30:00"


def test_a_day_may_begin_at_one_o_clock() -> None:
    # Sao Paulo went from 0:00 to 1:00 on November 4, 2018: that day has no midnight.
    assert following("CRON_TZ=America/Sao_Paulo 0 0 * * *", "2018-11-03T12:00:00") == "2018-11-05T02:00:00"
    assert following("CRON_TZ=America/Sao_Paulo 30 * 4 11 *", "2018-11-03T12:00:00") == "2018-11-04T03:30:00"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "5-1 * * * *",
        "*/0 * * * *",
        "1-2-3 * * * *",
        "*/2/3 * * * *",
        "-1 * * * *",
        "x * * * *",
        "@never",
        "@every",
        "@every x",
        "@every 5",
        f"@every {'9' * 5000}s",
        f"*/{2**63} * * * *",
        f"*/{'9' * 5000} * * * *",
        f"{'9' * 5000} * * * *",
        "TZ=Nowhere/Else * * * * *",
        "TZ=../../etc/passwd * * * * *",
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(BadCron):
        parse(text)
    with pytest.raises(InvalidArgument, match=r"^invalid CronSchedule.$"):
        check_cron(text)


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6 *", ", * * * *"])
def test_what_never_comes_true(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_cron(text)
    assert caught.value.message == "invalid CronSchedule, no time can be found to satisfy the schedule"


def test_numbers_of_any_length_are_read() -> None:
    assert parse(f"*/{'0' * 5000}15 * * * *") == parse("*/15 * * * *")
    assert parse(f"5/{2**63 - 1} * * * *") == parse("5 * * * *")


def test_the_longest_period_leaves_its_deadline_in_64_bits() -> None:
    now_ns = 1_800_000_000 * NANOS
    backoff_ns = next_backoff(f"@every {2**63 - 1}ns", now_ns, now_ns)
    assert backoff_ns is not None and now_ns + 2 * backoff_ns < 2**63


def test_what_is_said_many_times_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(text: str, *rest: Any) -> Any:
        read.append(text)
        return in_earnest(text, *rest)

    in_earnest = cron._range
    monkeypatch.setattr(cron, "_range", counted)
    schedule = parse("1-59," * 10_000 + "1 * * * *")
    assert schedule == parse("1-59 * * * *") and len(read) < 20


def test_no_schedule_is_right_and_never_due() -> None:
    check_cron("")
    assert next_backoff("", 0, 0) is None
    assert next_backoff("nonsense", 0, 0) is None


def test_backoff_is_in_whole_seconds_rounded_up() -> None:
    assert next_backoff("* * * * *", 0, S // 2) == 60 * S
    assert next_backoff("* * * * *", 0, 30 * S + 1) == 30 * S


def test_times_missed_while_a_run_went_on_are_skipped() -> None:
    assert next_backoff("*/5 * * * *", 0, 1_000_000 * S) == 200 * S
    assert next_backoff("@every 7s", 10 * S, 30 * S) == S
    assert next_backoff("@every 1s", 0, 10**9 * S + 1) == S


def test_a_run_that_ends_before_it_was_due_is_followed_when_it_was_due() -> None:
    assert next_backoff("@hourly", 3600 * S, 3000 * S) == 600 * S


def test_a_time_that_is_now_counts() -> None:
    assert next_backoff("* * * * *", 0, 60 * S) == 0

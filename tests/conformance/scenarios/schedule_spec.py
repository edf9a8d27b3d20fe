"""Specifications of schedules: their canonical form, what is wrong with them, and the times that they match."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.schedule.v1 import IntervalSpec
from tests.conformance.driver import Driver
from tests.conformance.schedules import MIXED, at, create, delete, describe

# ---- specifications ----------------------------------------------------------------------------------------------

RIGHT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "intervals": {"interval": [{"interval": 60}, {"interval": 3600, "phase": 1800}]},
    "calendar": {"calendar": [{"hour": "9-17/2,20", "day_of_week": "mon-FRI", "month": "jan,Octob", "comment": "c"}]},
    "calendar_of_nothing": {"calendar": [{}]},
    "every_field": {
        "calendar": [
            {
                "second": "*/5",
                "minute": "3/10",
                "hour": "*",
                "day_of_month": "1-31/2",
                "month": "*",
                "year": "2026-2030",
                "day_of_week": "0-7",
            }
        ]
    },
    "sundays": {"calendar": [{"day_of_week": each} for each in ("7", "3-7", "1-7", "0-7", "3-7/3", "1-7/2", "7/2")]},
    "cron": {"cron_string": ["0 12 * * MON-WED # lunch", "15 8 1 1 * 2027", "30 0 12 * * 5 2028", " 5 4 * * * "]},
    "cron_words": {"cron_string": ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]},
    "cron_intervals": {"cron_string": ["@every 90m", "@every 1d/2h", "@every 1h30m20s", "@every 1.5h"]},
    "cron_of_many_digits": {"cron_string": [f"*/{'0' * 5000}5 * * * *", f"@every 1.{'9' * 5000}s"]},
    "cron_zone": {"cron_string": ["CRON_TZ=Europe/Berlin 0 9 * * *", "TZ=Europe/Berlin 0 10 * * *"]},
    "cron_zone_as_in_the_spec": {"cron_string": ["TZ=Asia/Tokyo 0 9 * * *"], "timezone_name": "Asia/Tokyo"},
    "zone": {"calendar": [{"hour": "9"}], "timezone_name": "America/New_York"},
    "structured": {
        "structured_calendar": [
            {
                "second": [{"start": 0}],
                "minute": [{"start": 0, "end": 30, "step": 10}],
                "hour": [{"start": 9, "end": 17}],
                "day_of_month": [{"start": 1, "end": 31}],
                "month": [{"start": 1, "end": 12, "step": 3}],
                "year": [{"start": 2027}],
                "day_of_week": [{"start": 1, "end": 5}],
                "comment": "office hours",
            }
        ]
    },
    "excludes": {
        "interval": [{"interval": 60}],
        "exclude_calendar": [{"hour": "1-5", "minute": "*"}],
        "exclude_structured_calendar": [{"hour": [{"start": 12}]}],
    },
    "everything_beside": {
        "interval": [{"interval": 3600}],
        "start_time": at("2030-01-01T00:00:00+00:00"),
        "end_time": at("2031-01-01T00:00:00+00:00"),
        "jitter": 0.5,
        "timezone_name": "UTC",
    },
    "words_shortened": {"calendar": [{"day_of_week": "su,Th", "month": "sept,dec"}]},
    "spaces": {"calendar": [{"hour": " 5 ", "minute": "1,2"}]},
}
"""Specifications, of which the description shows the canonical form."""

WRONG: dict[str, dict[str, Any]] = {
    "interval_of_nothing": {"interval": [{}]},
    "interval_too_small": {"interval": [{"interval": 0.5}]},
    "interval_negative": {"interval": [{"interval": -5}]},
    "interval_of_mixed_signs": {"interval": [IntervalSpec(interval=Duration(seconds=5, nanos=-1))]},
    "interval_beyond": {"interval": [IntervalSpec(interval=Duration(seconds=400_000_000_000))]},
    "phase_beyond": {"interval": [{"interval": 60, "phase": 60}]},
    "phase_negative": {"interval": [{"interval": 60, "phase": -1}]},
    "phase_of_mixed_signs": {"interval": [MIXED]},
    "cron_short": {"cron_string": ["* * *"]},
    "cron_long": {"cron_string": ["* * * * * * * *"]},
    "cron_empty": {"cron_string": [""]},
    "cron_unknown_word": {"cron_string": ["@sometimes"]},
    "cron_zone_alone": {"cron_string": ["CRON_TZ=UTC"]},
    "cron_zone_unknown": {"cron_string": ["TZ=Nowhere/Here * * * * *"]},
    "cron_zones_differ": {"cron_string": ["TZ=UTC * * * * *", "* * * * *"]},
    "cron_zone_other_than_in_the_spec": {"cron_string": ["TZ=Asia/Tokyo * * * * *"], "timezone_name": "UTC"},
    "cron_every_without": {"cron_string": ["@every"]},
    "cron_every_without_unit": {"cron_string": ["@every 5"]},
    "cron_every_of_unknown_unit": {"cron_string": ["@every 5x"]},
    "cron_every_of_nonsense": {"cron_string": ["@every soon"]},
    "cron_every_with_bad_phase": {"cron_string": ["@every 5m/y"]},
    "cron_every_of_many_digits": {"cron_string": [f"@every {'9' * 300}s"]},
    "cron_step_of_many_digits": {"cron_string": [f"*/{'9' * 300} * * * *"]},
    "cron_step_over_32_bits": {"cron_string": [f"*/{2**31} * * * *"]},
    "cron_of_many_digits": {"cron_string": [f"{'9' * 5000} * * * *"]},
    "cron_every_too_small": {"cron_string": ["@every 1ms"]},
    "zone_unknown": {"timezone_name": "Nowhere/Here"},
    "zone_outside": {"timezone_name": "../secrets"},
    "zone_absolute": {"timezone_name": "/etc/passwd"},
    "zone_data": {"timezone_data": b"nonsense"},
    "second": {"calendar": [{"second": "60"}]},
    "minute": {"calendar": [{"minute": "-5"}]},
    "hour": {"calendar": [{"hour": "24"}]},
    "hour_backwards": {"calendar": [{"hour": "5-3"}]},
    "hour_dashes": {"calendar": [{"hour": "1-2-3"}]},
    "hour_slashes": {"calendar": [{"hour": "1/2/3"}]},
    "hour_without_step": {"calendar": [{"hour": "1/"}]},
    "hour_step_zero": {"calendar": [{"hour": "1/0"}]},
    "hour_step_word": {"calendar": [{"hour": "1/x"}]},
    "hour_start": {"calendar": [{"hour": "x-5"}]},
    "hour_nothing_between_commas": {"calendar": [{"hour": "1,,2"}]},
    "day_of_month": {"calendar": [{"day_of_month": "0"}]},
    "month": {"calendar": [{"month": "ja"}]},
    "month_unknown": {"calendar": [{"month": "brumaire"}]},
    "day_of_week": {"calendar": [{"day_of_week": "8"}]},
    "day_of_week_unknown": {"calendar": [{"day_of_week": "m"}]},
    "days_of_week_backwards": {"calendar": [{"day_of_week": "fri-mon"}]},
    "year": {"calendar": [{"year": "1999"}]},
    "many": {"calendar": [{"year": "1999", "hour": "x", "second": "5/0", "month": "13"}]},
    "excluded": {"exclude_calendar": [{"hour": "25"}]},
    "structured_start": {"structured_calendar": [{"hour": [{"start": 24}], "month": [{"start": 0}]}]},
    "structured_end": {"structured_calendar": [{"hour": [{"start": 5, "end": 4}], "minute": [{"end": 60}]}]},
    "structured_step": {"structured_calendar": [{"hour": [{"step": -1}]}]},
    "structured_comment": {"structured_calendar": [{"comment": "x" * 201}]},
    "structured_excluded": {"exclude_structured_calendar": [{"day_of_week": [{"start": 7}]}]},
}


def _specified(spec: Mapping[str, Any]) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        await create(d, spec or {"jitter": 0})
        await describe(d)
        await delete(d)

    return scenario


def _refused(spec: Mapping[str, Any]) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        await create(d, spec)

    return scenario


# ---- times -------------------------------------------------------------------------------------------------------

DECEMBER = ("2026-01-01T00:00:00+00:00", "2030-12-31T00:00:00+00:00")
TIMES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "of_intervals": (
        {"interval": [{"interval": 3600, "phase": 60}, {"interval": 5400}]},
        [("2026-03-01T00:00:00+00:00", "2026-03-01T12:00:00+00:00"), ("2026-03-01T00:01:00+00:00",) * 2],
    ),
    "of_a_long_interval": ({"interval": [{"interval": 86400 * 7, "phase": 86400 * 3}]}, [DECEMBER]),
    "of_leap_days": ({"calendar": [{"month": "2", "day_of_month": "29"}]}, [DECEMBER]),
    "of_fridays_the_13th": ({"calendar": [{"day_of_month": "13", "day_of_week": "fri", "hour": "13"}]}, [DECEMBER]),
    "of_ends_of_months": ({"calendar": [{"day_of_month": "28-31", "hour": "23", "minute": "59"}]}, [DECEMBER]),
    "that_never_come": ({"calendar": [{"month": "2", "day_of_month": "30"}]}, [DECEMBER]),
    "of_years": ({"calendar": [{"year": "2027,2029", "month": "6"}]}, [DECEMBER]),
    "of_the_last_year": (
        {"calendar": [{"month": "12", "day_of_month": "31"}]},
        [("2098-01-01T00:00:00+00:00", "2120-01-01T00:00:00+00:00")],
    ),
    "of_seconds": (
        {"calendar": [{"second": "*/7", "minute": "59", "hour": "23"}]},
        [("2026-05-05T23:59:10+00:00", "2026-05-06T23:59:20+00:00")],
    ),
    "with_start_and_end": (
        {
            "interval": [{"interval": 3600}],
            "start_time": at("2026-06-01T03:00:00+00:00"),
            "end_time": at("2026-06-01T08:00:00+00:00"),
        },
        [DECEMBER, ("2026-06-01T04:30:00+00:00", "2026-06-01T05:30:00+00:00")],
    ),
    "with_excludes": (
        {
            "calendar": [{"hour": "*", "minute": "0,30"}],
            "exclude_calendar": [{"hour": "1-22", "minute": "*"}, {"day_of_week": "sun", "hour": "*", "minute": "*"}],
        },
        [("2026-08-07T00:00:00+00:00", "2026-08-11T00:00:00+00:00")],
    ),
    "more_than_a_thousand": (
        {"interval": [{"interval": 60}]},
        [("2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00")],
    ),
    "backwards": ({"interval": [{"interval": 60}]}, [(DECEMBER[1], DECEMBER[0])]),
}
"""Specifications, and ranges of time."""

CHANGES = {
    "America/New_York": ("2026-03-07T00:00:00+00:00", "2026-10-31T00:00:00+00:00"),
    "Europe/Berlin": ("2026-03-28T00:00:00+00:00", "2026-10-24T00:00:00+00:00"),
    "Australia/Sydney": ("2026-10-03T00:00:00+00:00", "2026-04-04T00:00:00+00:00"),
    "Asia/Kolkata": ("2026-03-07T00:00:00+00:00", "2026-10-31T00:00:00+00:00"),
    "Africa/Casablanca": ("2026-02-14T00:00:00+00:00", "2026-03-21T00:00:00+00:00"),
    "America/St_Johns": ("2026-03-07T12:00:00+00:00", "2026-10-31T12:00:00+00:00"),
    "Africa/Cairo": ("2026-04-23T00:00:00+00:00", "2026-10-29T00:00:00+00:00"),
    "Pacific/Auckland": ("2026-09-26T00:00:00+00:00", "2026-04-04T00:00:00+00:00"),
    "America/Santiago": ("2026-09-05T12:00:00+00:00", "2026-04-04T12:00:00+00:00"),
}
"""Time zones, and the days before their clocks change."""

AROUND_A_CHANGE = {
    "skipped_or_repeated": [{"hour": "0-3", "minute": "0,30,45"}],
    "daily": [{"hour": "2", "minute": "30"}, {"hour": "1", "minute": "30"}],
    "each_hour": [{"hour": "*", "minute": "15"}],
    "at_midnight": [{"hour": "0"}],
}


def _later(text: str, hours: int) -> Timestamp:
    return Timestamp(seconds=at(text).seconds + 3600 * hours)


def _matching(
    spec: Mapping[str, Any], ranges: list[tuple[Timestamp, Timestamp]]
) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        await create(d, spec, state={"paused": True})
        for start, end in ranges:
            await d.call("ListScheduleMatchingTimes", schedule_id=d.name("s"), start_time=start, end_time=end)
        await delete(d)

    return scenario


async def times_need_both_ends(d: Driver) -> None:
    await create(d)
    await d.call("ListScheduleMatchingTimes", schedule_id=d.name("s"))
    await d.call("ListScheduleMatchingTimes", schedule_id=d.name("s"), start_time=at(DECEMBER[0]))
    await delete(d)
    await d.call(
        "ListScheduleMatchingTimes",
        schedule_id=d.name("s"),
        start_time=at("2026-01-01T00:00:00+00:00"),
        end_time=at("2026-01-01T02:00:00+00:00"),
    )


TABLE: dict[str, Callable[[Driver], Awaitable[None]]] = {
    **{f"spec_{name}": _specified(spec) for name, spec in RIGHT.items()},
    **{f"bad_{name}": _refused(spec) for name, spec in WRONG.items()},
    **{
        f"times_{name}": _matching(spec, [(at(start), at(end)) for start, end in ranges])
        for name, (spec, ranges) in TIMES.items()
    },
    **{
        f"times_{name}_in_{zone.rpartition('/')[2].lower()}": _matching(
            {"calendar": calendar, "timezone_name": zone}, [(at(day), _later(day, 60)) for day in days]
        )
        for zone, days in CHANGES.items()
        for name, calendar in AROUND_A_CHANGE.items()
    },
}

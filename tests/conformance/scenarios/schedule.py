"""Schedules: specifications and their times, actions and what they meet, changes, listings, refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.schedule.v1 import IntervalSpec
from tests.conformance.driver import Driver
from tests.conformance.messages import cancel_workflow, continue_as_new, fail_workflow, succeed

LONG = "x" * 1001
PAUSED = {"paused": True, "notes": "n"}
MIXED = IntervalSpec(interval=Duration(seconds=9), phase=Duration(seconds=1, nanos=-1))
HOURLY = {"interval": [{"interval": 3600}]}
SECONDLY = {"interval": [{"interval": 1}]}
POLICIES = ("SKIP", "BUFFER_ONE", "BUFFER_ALL", "CANCEL_OTHER", "TERMINATE_OTHER", "ALLOW_ALL")


def at(text: str) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text).astimezone(UTC))
    return stamp


def action(d: Driver, **fields: Any) -> dict[str, Any]:
    start = {"workflow_id": d.workflow_id, "workflow_type": "order", "task_queue": d.task_queue, **fields}
    return {"start_workflow": start}


async def _create(d: Driver, spec: Mapping[str, Any] | None = None, **fields: Any) -> Any:
    """Creates the schedule `s`. Fields of the schedule itself are among `fields`."""
    schedule = {"spec": spec or HOURLY, "action": fields.pop("action", None) or action(d)}
    schedule |= {name: fields.pop(name) for name in ("policies", "state") if name in fields}
    return await d.call(
        "CreateSchedule", **{"schedule_id": d.name("s"), "schedule": schedule, "request_id": "create", **fields}
    )


async def _describe(d: Driver) -> Any:
    return await d.call("DescribeSchedule", schedule_id=d.name("s"))


async def _patch(d: Driver, **fields: Any) -> Any:
    return await d.call("PatchSchedule", schedule_id=d.name("s"), patch=fields)


async def _trigger(d: Driver, second: int = 0, policy: str = "UNSPECIFIED") -> None:
    when = at(f"2026-01-01T00:00:{second:02}+00:00")
    await _patch(d, trigger_immediately={"overlap_policy": policy, "scheduled_time": when})


async def _backfill(d: Driver, start: str, end: str, policy: str = "UNSPECIFIED") -> None:
    await _patch(d, backfill_request=[{"start_time": at(start), "end_time": at(end), "overlap_policy": policy}])


async def _delete(d: Driver) -> None:
    await d.call("DeleteSchedule", schedule_id=d.name("s"), identity="client")


async def _until(d: Driver, condition: Callable[[Any], Any]) -> Any:
    """Waits until the description of the schedule is so, and records it."""

    async def so() -> bool:
        reply = await d.quietly("DescribeSchedule", schedule_id=d.name("s"))
        return bool(reply) and bool(condition(reply))

    await d.until(so)
    return await _describe(d)


async def _until_acted(d: Driver, count: int) -> Any:
    return await _until(d, lambda it: it.info.action_count >= count)


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
        await _create(d, spec or {"jitter": 0})
        await _describe(d)
        await _delete(d)

    return scenario


def _refused(spec: Mapping[str, Any]) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        await _create(d, spec)

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
        await _create(d, spec, state={"paused": True})
        for start, end in ranges:
            await d.call("ListScheduleMatchingTimes", schedule_id=d.name("s"), start_time=start, end_time=end)
        await _delete(d)

    return scenario


async def times_need_both_ends(d: Driver) -> None:
    await _create(d)
    await d.call("ListScheduleMatchingTimes", schedule_id=d.name("s"))
    await d.call("ListScheduleMatchingTimes", schedule_id=d.name("s"), start_time=at(DECEMBER[0]))
    await _delete(d)
    await d.call(
        "ListScheduleMatchingTimes",
        schedule_id=d.name("s"),
        start_time=at("2026-01-01T00:00:00+00:00"),
        end_time=at("2026-01-01T02:00:00+00:00"),
    )


# ---- actions -----------------------------------------------------------------------------------------------------


async def starts_a_workflow(d: Driver) -> None:
    everything = action(
        d,
        input=["x", 1],
        header={"h": 1},
        memo={"m": 1},
        search_attributes={"ConfKeyword": "k"},
        workflow_execution_timeout=600,
        workflow_run_timeout=500,
        workflow_task_timeout=7,
        retry_policy={"maximum_attempts": 3},
        user_metadata={"summary": "s", "details": "d"},
        priority={"priority_key": 2},
    )
    await _create(d, action=everything)
    await _trigger(d)
    await d.step(succeed("done"))
    await _until(d, lambda it: not it.info.running_workflows and it.info.recent_actions[0].start_workflow_status != 1)


async def starts_by_the_clock(d: Driver) -> None:
    await _create(d, SECONDLY, state={"limited_actions": True, "remaining_actions": 1})
    await d.step(succeed())
    await _until(d, lambda it: it.info.action_count == 1 and not it.info.running_workflows)


async def starts_with_an_initial_patch(d: Driver) -> None:
    when = at("2026-01-01T00:00:00+00:00")
    patch = {"trigger_immediately": {"scheduled_time": when}, "pause": "not yet"}
    await _create(d, initial_patch=patch)
    await d.step(succeed())
    await _until(d, lambda it: it.info.action_count == 1 and not it.info.running_workflows)


async def passes_results_and_failures_on(d: Driver) -> None:
    await _create(d)
    for second, command in enumerate((succeed("first"), fail_workflow(message="second"), succeed(), succeed("last"))):
        await _trigger(d, second)
        await d.step(command)
        await _until(d, lambda it, count=second + 1: it.info.action_count == count and not it.info.running_workflows)


async def follows_a_chain(d: Driver) -> None:
    await _create(d)
    await _trigger(d)
    await d.step(continue_as_new())
    await d.poll_wft()
    await _trigger(d, 1)
    await _until(d, lambda it: it.info.overlap_skipped == 1)


async def pauses_on_failure(d: Driver) -> None:
    await _create(d, policies={"pause_on_failure": True})
    await _trigger(d)
    await d.step(fail_workflow(message="broken"))
    await _until(d, lambda it: it.schedule.state.paused)


async def pauses_on_timeout(d: Driver) -> None:
    await _create(d, policies={"pause_on_failure": True}, action=action(d, workflow_run_timeout=1))
    await _trigger(d)
    await _until(d, lambda it: it.schedule.state.paused)


async def goes_on_after_a_termination(d: Driver) -> None:
    await _create(d, policies={"pause_on_failure": True})
    await _trigger(d)
    reply = await _until_acted(d, 1)
    await d.terminate(reply.info.recent_actions[0].start_workflow_result.workflow_id, reason="enough")
    await _until(d, lambda it: not it.info.running_workflows and it.info.recent_actions[0].start_workflow_status != 1)


async def start_that_is_refused(d: Driver) -> None:
    await _create(d, action=action(d, retry_policy={"backoff_coefficient": 0.5}))
    await _trigger(d)
    await d.poll_wft_in_vain()
    await _describe(d)


async def acts_while_paused_if_asked_to(d: Driver) -> None:
    await _create(d, SECONDLY, state={"paused": True, "notes": "wait"})
    await _trigger(d)
    await d.step(succeed())
    await _until(d, lambda it: it.info.action_count == 1 and not it.info.running_workflows)


async def without_action(d: Driver) -> None:
    await d.call("CreateSchedule", schedule_id=d.name("s"), request_id="create")
    await _trigger(d)
    await _describe(d)
    await _delete(d)


def _overlap(policy: str) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        """Three actions, one behind the other, while the first workflow runs."""
        await _create(d, policies={"overlap_policy": policy})
        await _trigger(d, 0)
        await _until_acted(d, 1)
        first = await d.poll_wft()
        await _trigger(d, 1)
        if policy == "ALLOW_ALL":
            await _until_acted(d, 2)
        elif policy == "TERMINATE_OTHER":
            await _until_acted(d, 2)
            second = await d.poll_wft()
            await d.complete(second, succeed())
            await _until(d, lambda it: not it.info.running_workflows)
            return
        elif policy == "SKIP":
            await _until(d, lambda it: it.info.overlap_skipped == 1)
        elif policy == "CANCEL_OTHER":
            await _until(d, lambda it: it.info.buffer_size == 1)
            await d.until_event("WORKFLOW_EXECUTION_CANCEL_REQUESTED", f"{d.workflow_id}-2026-01-01T00:00:00Z")
            await d.complete(first)
            await d.step(cancel_workflow())
            await _until_acted(d, 2)
            await d.step(succeed())
            await _until(d, lambda it: not it.info.running_workflows)
            return
        else:
            await _until(d, lambda it: it.info.buffer_size == 1)
            await _trigger(d, 2)
            await _until(d, lambda it: it.info.buffer_size + it.info.overlap_skipped == 2)
            await d.complete(first, succeed())
            await _until_acted(d, 2)
            await d.step(succeed())
            count = 2 if policy == "BUFFER_ONE" else 3
            if count == 3:
                await _until_acted(d, 3)
                await d.step(succeed())
            await _until(d, lambda it: it.info.action_count == count and not it.info.running_workflows)
            return
        await d.complete(first, succeed())
        await _until(d, lambda it: not it.info.running_workflows)

    return scenario


def _backfilled(policy: str, count: int) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        await _create(d, state={"paused": True})
        await _backfill(d, "2026-01-01T00:00:00+00:00", "2026-01-01T03:00:00+00:00", policy)
        if policy == "ALLOW_ALL":
            await _until_acted(d, count)
            return
        for number in range(count):
            await _until_acted(d, number + 1)
            await d.step(succeed())
        await _until(d, lambda it: it.info.action_count == count and not it.info.running_workflows)

    return scenario


async def backfill_of_more_than_fits_at_once(d: Driver) -> None:
    await _create(d, state={"paused": True})
    await _backfill(d, "2026-01-01T00:00:00+00:00", "2026-01-01T13:00:00+00:00", "ALLOW_ALL")
    await _until_acted(d, 14)


async def limited_actions(d: Driver) -> None:
    await _create(
        d, SECONDLY, policies={"overlap_policy": "ALLOW_ALL"}, state={"limited_actions": True, "remaining_actions": 2}
    )
    await _until_acted(d, 2)
    await _trigger(d)
    await _until_acted(d, 3)


# ---- changes -----------------------------------------------------------------------------------------------------


async def _update(d: Driver, spec: Mapping[str, Any] | None = None, **fields: Any) -> Any:
    schedule = {"spec": spec or HOURLY, "action": fields.pop("action", None) or action(d)}
    schedule |= {name: fields.pop(name) for name in ("policies", "state") if name in fields}
    return await d.call("UpdateSchedule", **{"schedule_id": d.name("s"), "schedule": schedule, **fields})


async def is_updated(d: Driver) -> None:
    await _create(d, memo={"m": 1}, search_attributes={"ConfKeyword": "k", "ConfInt": 1})
    before = await _until(d, lambda it: True)
    await _update(
        d,
        {"calendar": [{"hour": "5"}]},
        policies={"overlap_policy": "BUFFER_ALL", "catchup_window": 3, "keep_original_workflow_id": True},
        state={"paused": True, "notes": "changed", "limited_actions": True, "remaining_actions": 5},
        conflict_token=before.conflict_token,
        search_attributes={"ConfKeyword": "new"},
        identity="client",
        request_id="update",
    )
    await _until(d, lambda it: it.schedule.state.paused)
    await _update(d, search_attributes={})
    await _until(d, lambda it: not it.schedule.state.paused)


async def update_that_conflicts(d: Driver) -> None:
    await _create(d)
    await _update(d, state={"notes": "lost"}, conflict_token=(7).to_bytes(8, "big"))
    await _update(d, state={"notes": "kept"}, conflict_token=b"short")
    await _until(d, lambda it: it.schedule.state.notes == "kept")


async def one_request_is_one_change(d: Driver) -> None:
    await _create(d)
    await d.call("PatchSchedule", schedule_id=d.name("s"), patch={"pause": "once"}, request_id="r")
    await _until(d, lambda it: it.schedule.state.paused)
    await d.call("PatchSchedule", schedule_id=d.name("s"), patch={"pause": "twice"}, request_id="r")
    await _update(d, state={"notes": "not this"}, request_id="r")
    await _patch(d, unpause="on we go")
    await _until(d, lambda it: not it.schedule.state.paused)


async def is_paused_and_unpaused(d: Driver) -> None:
    await _create(d)
    await _patch(d, pause="tea")
    await _until(d, lambda it: it.schedule.state.paused)
    await _patch(d, unpause="work")
    await _until(d, lambda it: not it.schedule.state.paused)
    await _patch(d)
    await _describe(d)


async def is_deleted_and_made_again(d: Driver) -> None:
    await _create(d, request_id="one")
    await _create(d, request_id="one")
    await _create(d, request_id="two")
    await _delete(d)
    await _delete(d)
    await _describe(d)
    await _patch(d, pause="late")
    await _update(d)
    await _create(d, request_id="one")
    await _describe(d)
    await _create(d, request_id="three", state={"notes": "second life"})
    await _describe(d)


async def what_runs_outlives_it(d: Driver) -> None:
    await _create(d)
    await _trigger(d)
    await _until_acted(d, 1)
    await _delete(d)
    await d.step(succeed())


# ---- refusals ----------------------------------------------------------------------------------------------------


async def create_is_refused(d: Driver) -> None:
    await _create(d, schedule_id="")
    await _create(d, schedule_id=LONG)
    await _create(d, request_id="")
    await _create(d, request_id=LONG)
    await _create(d, namespace="nowhere")
    await _create(d, namespace="")
    await _create(d, search_attributes={"Unknown": 1})
    await _create(d, search_attributes={"ConfInt": "x"})


async def action_is_refused(d: Driver) -> None:
    for wrong in (
        {"workflow_id": "x" * 990},
        {"workflow_type": ""},
        {"workflow_type": LONG},
        {"task_queue": ""},
        {"task_queue": LONG},
        {"task_queue": "temporal-sys-per-ns-tq"},
        {"workflow_execution_timeout": -1},
        {"workflow_run_timeout": -1},
        {"workflow_task_timeout": -1},
        {"cron_schedule": "* * * * *"},
        {"workflow_id_reuse_policy": "REJECT_DUPLICATE"},
        {"search_attributes": {"Unknown": 1}},
    ):
        await _create(d, action=action(d, **wrong))
        await _update(d, action=action(d, **wrong))


async def change_is_refused(d: Driver) -> None:
    for schedule_id in ("", d.name("unknown")):
        await d.call("DescribeSchedule", schedule_id=schedule_id)
        await d.call("PatchSchedule", schedule_id=schedule_id)
        await d.call("PatchSchedule", schedule_id=schedule_id, patch={})
        await _update(d, schedule_id=schedule_id)
        await d.call("DeleteSchedule", schedule_id=schedule_id)
        await d.call("ListScheduleMatchingTimes", schedule_id=schedule_id)
    await _create(d)
    await d.call("PatchSchedule", schedule_id=d.name("s"), patch={"pause": LONG})
    await d.call("PatchSchedule", schedule_id=d.name("s"), patch={"unpause": LONG})
    await d.call("PatchSchedule", schedule_id=d.name("s"), patch={}, request_id=LONG)
    await _update(d, request_id=LONG)
    await _update(d, memo={"m": 1})
    await _update(d, {"cron_string": ["never"]})
    await _update(d, search_attributes={"Unknown": 1})
    await d.call("UpdateSchedule", schedule_id=d.name("s"))
    await d.call("UpdateSchedule", schedule_id=d.name("s"), schedule={"spec": HOURLY})


# ---- listings ----------------------------------------------------------------------------------------------------


async def is_listed(d: Driver) -> None:
    await _create(
        d, memo={"m": 1}, search_attributes={"ConfKeyword": d.name("k")}, state={"paused": True, "notes": "n"}
    )
    await _create(d, schedule_id=d.name("t"), search_attributes={"ConfKeyword": d.name("k")})
    mine = f"ConfKeyword = '{d.name('k')}'"

    async def both() -> bool:
        counted = await d.quietly("CountSchedules", query=f"{mine} AND TemporalSchedulePaused IS NOT NULL")
        return bool(counted) and counted.count == 2

    await d.until(both)
    for query in (
        f"ScheduleId = '{d.name('s')}'",
        f"{mine} AND TemporalSchedulePaused = true",
        f"{mine} AND TemporalSchedulePaused = false",
        f"{mine} AND ScheduleId IN ('{d.name('s')}', 'x')",
        f"{mine} AND ScheduleId STARTS_WITH 's-'",
        f"{mine} AND ScheduleId != '{d.name('s')}'",
    ):
        await d.call("ListSchedules", query=query)
        await d.call("CountSchedules", query=query)
    await d.call("CountWorkflowExecutions", query=mine)
    await _delete(d)

    async def one() -> bool:
        counted = await d.quietly("CountSchedules", query=mine)
        return bool(counted) and counted.count == 1

    await d.until(one)
    await d.call("ListSchedules", query=mine, maximum_page_size=5)


async def list_is_refused(d: Driver) -> None:
    for query in (
        "WorkflowId = 's'",
        "ExecutionStatus = 'Running'",
        "StartTime > '2026-01-01T00:00:00Z'",
        "TemporalNamespaceDivision = 'x'",
        "BuildIds = 'x'",
        "TemporalScheduledById = 'x'",
        "GROUP BY ExecutionStatus",
    ):
        await d.call("ListSchedules", query=query)
        await d.call("CountSchedules", query=query)
    await d.call("ListSchedules", namespace="nowhere")
    await d.call("CountSchedules", namespace="nowhere")


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
    **{f"overlap_{policy.lower()}": _overlap(policy) for policy in POLICIES},
    "backfill_allow_all": _backfilled("ALLOW_ALL", 4),
    "backfill_buffer_all": _backfilled("BUFFER_ALL", 4),
    "backfill_buffer_one": _backfilled("BUFFER_ONE", 2),
    "backfill_skip": _backfilled("SKIP", 1),
}

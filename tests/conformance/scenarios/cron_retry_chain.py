"""Chains of runs by cron and retries: what is carried along, how long they go on, and schedules that are refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    activity,
    cancel_workflow,
    child,
    continue_as_new,
    fail_workflow,
    marker,
    modify,
    succeed,
    timer,
    upsert,
)

Scenario = Callable[[Driver], Awaitable[None]]
EVERY = "@every 1s"
NEVER = "@every 5h"
QUICK = {"initial_interval": 0.1, "backoff_coefficient": 1}

REFUSED = {
    "word": "nonsense",
    "space": " ",
    "four_fields": "* * * *",
    "six_fields": "0 * * * * *",
    "minute_60": "60 * * * *",
    "hour_24": "0 24 * * *",
    "day_0": "0 0 0 * *",
    "month_13": "0 0 1 13 *",
    "weekday_7": "0 0 * * 7",
    "range_backwards": "30-10 * * * *",
    "step_zero": "*/0 * * * *",
    "step_twice": "*/5/5 * * * *",
    "hyphens": "1-2-3 * * * *",
    "negative": "-1 * * * *",
    "long_name": "0 0 * * monday",
    "never": "0 0 31 2 *",
    "every_nothing": "@every",
    "every_space": "@every ",
    "every_word": "@every day",
    "every_number": "@every 5",
    "descriptor": "@fortnightly",
    "descriptor_in_capitals": "@Daily",
    "reboot": "@reboot",
    "zone_alone": "CRON_TZ=UTC",
    "zone_unknown": "CRON_TZ=Mars/Olympus 0 0 * * *",
    "zone_empty": "CRON_TZ= 0 0 * * *",
    "zone_behind": "0 0 * * * CRON_TZ=UTC",
    "zone_in_small_letters": "cron_tz=UTC 0 0 * * *",
    "seconds": "@every 1s 5",
    "last_day": "0 0 L * *",
    "nearest_weekday": "0 0 1W * *",
    "hash": "0 0 * * 1#2",
    "comment": "0 0 * * * # daily",
}
ACCEPTED = {
    "stars": "* * * * *",
    "question_marks": "? ? ? ? ?",
    "names": "0 0 * JAN-mar Sun,tue-SAT",
    "lists": "1,2,3-5,10-20/2 */6 1-31/10 */2 0-6",
    "open_step": "5/15 * * * *",
    "spaces": "  0   0 * * *  ",
    "tabs": "0\t0\t*\t*\t*",
    "plus": "+5 * * * *",
    "star_with_bounds": "*-5 * * * *",
    "empty_parts": "1,,2 * * * *",
    "leap_day": "0 0 29 2 *",
    "zone": "CRON_TZ=Europe/Vienna 0 0 * * *",
    "short_zone": "TZ=America/New_York 0 0 * * *",
    "zone_with_descriptor": "TZ=UTC @daily",
    "zone_with_every": "CRON_TZ=Asia/Tokyo @every 1h30m",
    "yearly": "@yearly",
    "annually": "@annually",
    "monthly": "@monthly",
    "weekly": "@weekly",
    "midnight": "@midnight",
    "hourly": "@hourly",
    "every_fraction": "@every 1.5h",
    "every_mixed": "@every 1h2m3s4ms",
    "every_less_than_a_second": "@every 1ms",
    "every_zero": "@every 0",
    "every_negative": "@every -5m",
    "every_century": "@every 876000h",
    "every_too_long": "@every 9999999h",
}


def _words(schedules: dict[str, str]) -> Scenario:
    async def words(d: Driver) -> None:
        for schedule in schedules.values():
            # An unknown search attribute is found only after the schedule was, so that nothing is started.
            await d.start(cron_schedule=schedule, search_attributes={"NoSuch": 1})

    return words


async def _early_in_a_second() -> None:
    """Waits for a moment from which `@every 2s` leads to a steady wait: it leaves out fractions of seconds."""
    await asyncio.sleep(1.1 - time.time() % 1)


async def refused_elsewhere(d: Driver) -> None:
    await d.signal_with_start(cron_schedule="nonsense")
    await d.start(cron_schedule=EVERY, workflow_start_delay=5)
    await d.signal_with_start(cron_schedule=EVERY, workflow_start_delay=5)
    await d.start(cron_schedule=EVERY, request_eager_execution=True, retry_policy={"initial_interval": -1})
    await d.start(retry_policy={"initial_interval": 5, "maximum_interval": 1})


async def long_run_skips_times(d: Driver) -> None:
    await _early_in_a_second()
    await d.start(cron_schedule="@every 2s")
    task = await d.poll_wft()
    await asyncio.sleep(1.5)
    await _early_in_a_second()
    await d.complete(task, succeed("late"))
    await d.describe()
    await d.step(succeed("next"))


async def long_failing_run_skips_times(d: Driver) -> None:
    await _early_in_a_second()
    await d.start(cron_schedule="@every 2s")
    task = await d.poll_wft()
    await asyncio.sleep(1.5)
    await _early_in_a_second()
    await d.complete(task, fail_workflow(message="late"))
    await d.step(succeed("next"))


async def last_result_is_carried_over_failures(d: Driver) -> None:
    await d.start(cron_schedule=EVERY, retry_policy={**QUICK, "maximum_attempts": 2})
    await d.step(succeed("one"))
    for n in range(3):
        await d.step(fail_workflow(message=f"failure {n}"))
    await d.step(succeed("two"))
    await d.describe()


async def result_is_empty_after_one_that_was_not(d: Driver) -> None:
    await d.start(cron_schedule=EVERY)
    await d.step(succeed("one"))
    await d.step(succeed())
    await d.step(fail_workflow())
    await d.poll_wft()


async def upserts_are_lost(d: Driver) -> None:
    await d.start(cron_schedule=EVERY, memo={"m": 1}, search_attributes={"ConfInt": 1})
    await d.step(upsert({"ConfKeyword": "late", "ConfInt": 2}), modify({"n": 2, "m": None}), succeed("one"))
    await d.describe()


async def upserts_are_lost_at_a_retry(d: Driver) -> None:
    await d.start(retry_policy=QUICK, memo={"m": 1}, search_attributes={"ConfInt": 1})
    await d.step(upsert({"ConfKeyword": "late", "ConfInt": 2}), modify({"n": 2, "m": None}), fail_workflow())
    await d.describe()


async def changed_options_are_lost(d: Driver) -> None:
    await d.start(cron_schedule=EVERY, priority={"priority_key": 2})
    fields = {"workflow_execution": d.workflow_id, "update_mask": {"paths": ["priority"]}}
    options = {"priority": {"priority_key": 4}}
    await d.call("UpdateWorkflowExecutionOptions", workflow_execution_options=options, **fields)
    await d.step(succeed("one"))
    await d.describe()


async def pending_items_end_with_their_run(d: Driver) -> None:
    await d.start(cron_schedule=EVERY)
    abandoned = child(d.name("kid"), task_queue=d.name("kids"), parent_close_policy="ABANDON")
    await d.step(activity(), timer(), abandoned, marker(), succeed("one"))
    await d.step(succeed("two"))


async def signal_behind_the_task(d: Driver) -> None:
    await d.start(cron_schedule=EVERY)
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, succeed("one"))
    await d.step(succeed("two"))
    await d.poll_wft()


async def cancel_behind_the_task_that_fails(d: Driver) -> None:
    await d.start(retry_policy=QUICK)
    task = await d.poll_wft()
    await d.cancel()
    await d.complete(task, fail_workflow())
    await d.step(fail_workflow(message="after the cancel"))
    await d.describe()
    await d.step(cancel_workflow())


async def cancel_is_not_carried(d: Driver) -> None:
    await d.start(cron_schedule=EVERY)
    await d.step(timer())
    await d.cancel()
    await d.step(succeed("ignored it"))
    await d.describe()
    await d.step(succeed("two"))


async def cancelled_in_the_wait_of_the_next(d: Driver) -> None:
    await d.start(cron_schedule=NEVER)
    await d.cancel()
    await d.step(succeed("one"))
    await d.cancel()
    await d.step(cancel_workflow())


async def named_by_its_first_run(d: Driver) -> None:
    first = await d.start(retry_policy={"initial_interval": 3600})
    await d.step(fail_workflow())
    await d.signal(execution=(d.workflow_id, first.run_id))
    await d.cancel((d.workflow_id, first.run_id))
    await d.terminate((d.workflow_id, first.run_id))
    await d.cancel(first_execution_run_id=d.name("other"))
    await d.cancel(first_execution_run_id=first.run_id)
    await d.terminate(first_execution_run_id=d.name("other"))
    await d.terminate(first_execution_run_id=first.run_id)


async def same_request_after_a_retry(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 3600}, request_id="same")
    await d.step(fail_workflow())
    await d.start(retry_policy={"initial_interval": 3600}, request_id="same")


async def reset_of_the_run_that_failed(d: Driver) -> None:
    first = await d.start(retry_policy={"initial_interval": 3600, "maximum_attempts": 2}, memo={"m": 1})
    await d.step(fail_workflow())
    await d.reset(4, first.run_id)
    await d.step(fail_workflow(message="after the reset"))
    await d.describe()


async def reset_of_a_cron_run_that_completed(d: Driver) -> None:
    first = await d.start(cron_schedule=EVERY)
    await d.step(succeed("one"))
    await d.reset(4, first.run_id)
    await d.step(succeed("once more"))
    await d.step(succeed("two"))


async def reset_of_a_second_attempt(d: Driver) -> None:
    await d.start(retry_policy={**QUICK, "maximum_attempts": 3})
    await d.step(fail_workflow(message="first"))
    await d.step(timer())
    await d.reset()
    await d.step(fail_workflow(message="after the reset"))
    await d.step(succeed())


async def execution_timeout_cuts_the_last_run(d: Driver) -> None:
    await d.start(cron_schedule=EVERY, workflow_execution_timeout=4, workflow_run_timeout=3)
    await d.step(succeed("one"))
    await d.step(timer())
    await d.until_closed()
    await d.describe()


async def execution_timeout_comes_in_a_wait(d: Driver) -> None:
    await _early_in_a_second()
    await d.start(cron_schedule="@every 3s", workflow_execution_timeout=4)
    await d.step(succeed("one"))
    await d.describe()
    await d.until_closed()
    await d.describe()


async def execution_timeout_comes_before_the_first_time(d: Driver) -> None:
    await d.start(cron_schedule=NEVER, workflow_execution_timeout=1)
    await d.until_closed()


async def run_timeout_begins_after_the_wait(d: Driver) -> None:
    await _early_in_a_second()
    await d.start(cron_schedule="@every 2s", workflow_run_timeout=1)
    await d.step(succeed("one"))
    await d.step(succeed("two"))


async def run_times_out_again_and_again(d: Driver) -> None:
    await d.start(retry_policy={**QUICK, "maximum_attempts": 3}, workflow_run_timeout=1)
    first = await d.poll_wft()
    await d.complete(first, timer())
    second = await d.poll_wft()
    await d.complete(second, timer())
    await d.step(timer())
    await d.until_closed()
    await d.describe()


async def retry_is_cut_by_the_execution_timeout(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 2}, workflow_execution_timeout=3)
    await d.step(fail_workflow(message="one"))
    await d.step(fail_workflow(message="two"))


async def retry_delay_beyond_the_maximum(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 1, "maximum_interval": 2})
    await d.step(fail_workflow(next_retry_delay=3600))
    await d.step(fail_workflow(next_retry_delay=-1))
    await d.poll_wft()


async def retry_delay_beyond_the_execution_timeout(d: Driver) -> None:
    await d.start(retry_policy=QUICK | {"maximum_interval": 100}, workflow_execution_timeout=30)
    await d.step(fail_workflow(next_retry_delay=60))


async def continued_attempts_begin_anew(d: Driver) -> None:
    policy = {**QUICK, "maximum_attempts": 2}
    await d.start(retry_policy=policy)
    await d.step(fail_workflow(message="one"))
    await d.step(continue_as_new(retry_policy=policy))
    await d.step(fail_workflow(message="two"))
    await d.step(fail_workflow(message="three"))


async def continued_with_another_queue_and_type_is_retried(d: Driver) -> None:
    await d.start(workflow_execution_timeout=300, memo={"m": 1})
    fields: dict[str, Any] = {"workflow_type": "other", "task_queue": d.name("other"), "input": ["second"]}
    await d.step(continue_as_new(retry_policy=QUICK, memo={"n": 2}, header={"h": 2}, workflow_run_timeout=50, **fields))
    await d.complete(await d.poll_wft(d.name("other")), fail_workflow())
    await d.complete(await d.poll_wft(d.name("other")), succeed())


async def eager_start_is_retried(d: Driver) -> None:
    started = await d.start(request_eager_execution=True, retry_policy=QUICK)
    await d.complete(started.eager_workflow_task, fail_workflow())
    await d.step(succeed())


async def eager_start_waits_for_its_time(d: Driver) -> None:
    await d.start(request_eager_execution=True, cron_schedule=EVERY)
    await d.step(succeed())


async def delayed_start_is_retried(d: Driver) -> None:
    await d.start(workflow_start_delay=1, retry_policy=QUICK)
    await d.step(fail_workflow())
    await d.step(succeed())


async def signal_with_start_begins_a_cron(d: Driver) -> None:
    await d.signal_with_start(cron_schedule=EVERY, signal_input="x")
    await d.step(succeed("one"))
    await d.step(succeed("two"))


async def signal_with_start_is_retried(d: Driver) -> None:
    await d.signal_with_start(retry_policy=QUICK)
    await d.step(fail_workflow())
    await d.step(succeed())


async def is_deleted_in_its_wait(d: Driver) -> None:
    await d.start(cron_schedule=NEVER)
    await d.call("DeleteWorkflowExecution", workflow_execution=d.workflow_id)

    async def gone() -> bool:
        return not await d.quietly("DescribeWorkflowExecution", execution=d.workflow_id)

    await d.until(gone)
    await d.describe()


# ---- children --------------------------------------------------------------------------------------------------


async def _born(d: Driver, **fields: Any) -> Any:
    """Starts a parent and its child; returns the child's first task."""
    await d.start()
    await d.step(child(d.name("kid"), task_queue=d.name("kids"), **fields))
    return await d.poll_wft(d.name("kids"))


async def child_fails_and_goes_on_by_cron(d: Driver) -> None:
    kid = await _born(d, cron_schedule=EVERY, memo={"m": 1}, retry_policy={**QUICK, "maximum_attempts": 2})
    await d.complete(kid, fail_workflow(message="one"))
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, fail_workflow(message="two"))
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, succeed("three"))
    await d.describe()
    await d.cancel(d.name("kid"))
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, cancel_workflow())
    await d.until_event("CHILD_WORKFLOW_EXECUTION_CANCELED")
    await d.step(succeed())


async def child_times_out_and_goes_on_by_cron(d: Driver) -> None:
    kid = await _born(d, cron_schedule=EVERY, workflow_run_timeout=1)
    await d.complete(kid, timer())
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, continue_as_new())
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, succeed("the end"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_COMPLETED")
    await d.step(succeed())


async def child_runs_out_of_time_in_its_wait(d: Driver) -> None:
    kid = await _born(d, retry_policy={"initial_interval": 2}, workflow_execution_timeout=3)
    await d.complete(kid, fail_workflow())
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, fail_workflow())
    await d.until_event("CHILD_WORKFLOW_EXECUTION_FAILED")
    await d.step(succeed())


async def child_waits_in_vain_for_its_time(d: Driver) -> None:
    await d.start()
    await d.step(child(d.name("kid"), task_queue=d.name("kids"), cron_schedule=NEVER, workflow_execution_timeout=1))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_TIMED_OUT")
    await d.poll_wft()


async def child_has_a_bad_schedule(d: Driver) -> None:
    await d.start()
    await d.step(child(d.name("kid"), cron_schedule="nonsense"))


def _parent_closes(policy: str, **fields: Any) -> Scenario:
    async def parent_closes(d: Driver) -> None:
        await d.start()
        await d.step(child(d.name("kid"), task_queue=d.name("kids"), parent_close_policy=policy, **fields))
        if "retry_policy" in fields:
            kid = await d.poll_wft(d.name("kids"))
            await d.complete(kid, fail_workflow())
        else:
            await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
        await d.step(succeed())
        if policy == "REQUEST_CANCEL":
            await d.until_event("WORKFLOW_EXECUTION_CANCEL_REQUESTED", d.name("kid"))
            kid = await d.poll_wft(d.name("kids"))
            await d.complete(kid, cancel_workflow())
        elif policy == "TERMINATE":
            await d.until_closed(d.name("kid"))
        await d.describe(d.name("kid"))

    return parent_closes


POLICIES = ("ABANDON", "REQUEST_CANCEL", "TERMINATE")
LATER = {"initial_interval": 3600}
TABLE: dict[str, Scenario] = {"schedules_that_are_refused": _words(REFUSED), "schedules": _words(ACCEPTED)}
TABLE |= {f"parent_of_a_cron_child_closes_{p.lower()}": _parent_closes(p, cron_schedule=NEVER) for p in POLICIES}
TABLE |= {f"parent_of_a_retried_child_closes_{p.lower()}": _parent_closes(p, retry_policy=LATER) for p in POLICIES}

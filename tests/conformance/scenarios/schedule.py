"""Schedules: actions and what they meet, changes, listings, refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from tests.conformance.driver import Driver
from tests.conformance.messages import cancel_workflow, continue_as_new, fail_workflow, succeed, timer
from tests.conformance.schedules import (
    HOURLY,
    LONG,
    POLICIES,
    SECONDLY,
    action,
    at,
    backfill,
    create,
    delete,
    describe,
    patch,
    trigger,
    until,
    until_acted,
)

BEYOND = (10**13, -62_135_596_801, 2**63 - 1, -(2**63))
"""Seconds: before the year 1 and after the year 9999."""

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
    await create(d, action=everything)
    await trigger(d)
    await d.step(succeed("done"))
    await until(d, lambda it: not it.info.running_workflows and it.info.recent_actions[0].start_workflow_status != 1)


async def starts_by_the_clock(d: Driver) -> None:
    await create(d, SECONDLY, state={"limited_actions": True, "remaining_actions": 1})
    await d.step(succeed())
    await until(d, lambda it: it.info.action_count == 1 and not it.info.running_workflows)


async def starts_with_an_initial_patch(d: Driver) -> None:
    when = at("2026-01-01T00:00:00+00:00")
    patch = {"trigger_immediately": {"scheduled_time": when}, "pause": "not yet"}
    await create(d, initial_patch=patch)
    await d.step(succeed())
    await until(d, lambda it: it.info.action_count == 1 and not it.info.running_workflows)


async def passes_results_and_failures_on(d: Driver) -> None:
    await create(d)
    for second, command in enumerate((succeed("first"), fail_workflow(message="second"), succeed(), succeed("last"))):
        await trigger(d, second)
        await d.step(command)
        await until(d, lambda it, count=second + 1: it.info.action_count == count and not it.info.running_workflows)


async def follows_a_chain(d: Driver) -> None:
    await create(d)
    await trigger(d)
    await d.step(continue_as_new())
    await d.poll_wft()
    await trigger(d, 1)
    await until(d, lambda it: it.info.overlap_skipped == 1)


async def follows_a_reset(d: Driver) -> None:
    """The run that a reset makes stands in the way like the one it was made from, and its end is the workflow's."""
    await create(d)
    await trigger(d)
    first = await d.step(timer())
    await d.reset(4, first.workflow_execution.run_id, workflow_execution=first.workflow_execution)
    await trigger(d, 1)
    await until(d, lambda it: it.info.overlap_skipped == 1)
    await d.step(succeed("done"))
    await until(d, lambda it: not it.info.running_workflows and it.info.recent_actions[0].start_workflow_status != 1)


async def pauses_on_failure(d: Driver) -> None:
    await create(d, policies={"pause_on_failure": True})
    await trigger(d)
    await d.step(fail_workflow(message="broken"))
    await until(d, lambda it: it.schedule.state.paused)


async def pauses_on_timeout(d: Driver) -> None:
    await create(d, policies={"pause_on_failure": True}, action=action(d, workflow_run_timeout=1))
    await trigger(d)
    await until(d, lambda it: it.schedule.state.paused)


async def goes_on_after_a_termination(d: Driver) -> None:
    await create(d, policies={"pause_on_failure": True})
    await trigger(d)
    reply = await until_acted(d, 1)
    await d.terminate(reply.info.recent_actions[0].start_workflow_result.workflow_id, reason="enough")
    await until(d, lambda it: not it.info.running_workflows and it.info.recent_actions[0].start_workflow_status != 1)


async def start_that_is_refused(d: Driver) -> None:
    await create(d, action=action(d, retry_policy={"backoff_coefficient": 0.5}))
    await trigger(d)
    await d.poll_wft_in_vain()
    await describe(d)


async def acts_while_paused_if_asked_to(d: Driver) -> None:
    await create(d, SECONDLY, state={"paused": True, "notes": "wait"})
    await trigger(d)
    await d.step(succeed())
    await until(d, lambda it: it.info.action_count == 1 and not it.info.running_workflows)


async def takes_times_beyond_all_calendars(d: Driver) -> None:
    for number, seconds in enumerate(BEYOND):
        when = Timestamp(seconds=seconds)
        beyond = {"trigger_immediately": {"scheduled_time": when}, "backfill_request": [{"end_time": when}]}
        name = d.name(f"s{number}")
        await create(d, schedule_id=name, initial_patch=beyond)
        await d.call("PatchSchedule", schedule_id=name, patch=beyond)
        await create(d, schedule_id=name, request_id="again")
        await d.call("DeleteSchedule", schedule_id=name)


async def without_action(d: Driver) -> None:
    await d.call("CreateSchedule", schedule_id=d.name("s"), request_id="create")
    await trigger(d)
    await describe(d)
    await delete(d)


def _overlap(policy: str) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        """Three actions, one behind the other, while the first workflow runs."""
        await create(d, policies={"overlap_policy": policy})
        await trigger(d, 0)
        await until_acted(d, 1)
        first = await d.poll_wft()
        await trigger(d, 1)
        if policy == "ALLOW_ALL":
            await until_acted(d, 2)
        elif policy == "TERMINATE_OTHER":
            await until_acted(d, 2)
            second = await d.poll_wft()
            await d.complete(second, succeed())
            await until(d, lambda it: not it.info.running_workflows)
            return
        elif policy == "SKIP":
            await until(d, lambda it: it.info.overlap_skipped == 1)
        elif policy == "CANCEL_OTHER":
            await until(d, lambda it: it.info.buffer_size == 1)
            await d.until_event("WORKFLOW_EXECUTION_CANCEL_REQUESTED", f"{d.workflow_id}-2026-01-01T00:00:00Z")
            await d.complete(first)
            await d.step(cancel_workflow())
            await until_acted(d, 2)
            await d.step(succeed())
            await until(d, lambda it: not it.info.running_workflows)
            return
        else:
            await until(d, lambda it: it.info.buffer_size == 1)
            await trigger(d, 2)
            await until(d, lambda it: it.info.buffer_size + it.info.overlap_skipped == 2)
            await d.complete(first, succeed())
            await until_acted(d, 2)
            await d.step(succeed())
            count = 2 if policy == "BUFFER_ONE" else 3
            if count == 3:
                await until_acted(d, 3)
                await d.step(succeed())
            await until(d, lambda it: it.info.action_count == count and not it.info.running_workflows)
            return
        await d.complete(first, succeed())
        await until(d, lambda it: not it.info.running_workflows)

    return scenario


def _backfilled(policy: str, count: int) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        await create(d, state={"paused": True})
        await backfill(d, "2026-01-01T00:00:00+00:00", "2026-01-01T03:00:00+00:00", policy)
        if policy == "ALLOW_ALL":
            await until_acted(d, count)
            return
        for number in range(count):
            await until_acted(d, number + 1)
            await d.step(succeed())
        await until(d, lambda it: it.info.action_count == count and not it.info.running_workflows)

    return scenario


async def backfill_of_more_than_fits_at_once(d: Driver) -> None:
    await create(d, state={"paused": True})
    await backfill(d, "2026-01-01T00:00:00+00:00", "2026-01-01T13:00:00+00:00", "ALLOW_ALL")
    await until_acted(d, 14)


async def limited_actions(d: Driver) -> None:
    await create(
        d, SECONDLY, policies={"overlap_policy": "ALLOW_ALL"}, state={"limited_actions": True, "remaining_actions": 2}
    )
    await until_acted(d, 2)
    await trigger(d)
    await until_acted(d, 3)


# ---- changes -----------------------------------------------------------------------------------------------------


async def _update(d: Driver, spec: Mapping[str, Any] | None = None, **fields: Any) -> Any:
    schedule = {"spec": spec or HOURLY, "action": fields.pop("action", None) or action(d)}
    schedule |= {name: fields.pop(name) for name in ("policies", "state") if name in fields}
    return await d.call("UpdateSchedule", **{"schedule_id": d.name("s"), "schedule": schedule, **fields})


async def is_updated(d: Driver) -> None:
    await create(d, memo={"m": 1}, search_attributes={"ConfKeyword": "k", "ConfInt": 1})
    before = await until(d, lambda it: True)
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
    await until(d, lambda it: it.schedule.state.paused)
    await _update(d, search_attributes={})
    await until(d, lambda it: not it.schedule.state.paused)


async def update_that_conflicts(d: Driver) -> None:
    await create(d)
    await _update(d, state={"notes": "lost"}, conflict_token=(7).to_bytes(8, "big"))
    await _update(d, state={"notes": "kept"}, conflict_token=b"short")
    await until(d, lambda it: it.schedule.state.notes == "kept")


async def one_request_is_one_change(d: Driver) -> None:
    await create(d)
    await d.call("PatchSchedule", schedule_id=d.name("s"), patch={"pause": "once"}, request_id="r")
    await until(d, lambda it: it.schedule.state.paused)
    await d.call("PatchSchedule", schedule_id=d.name("s"), patch={"pause": "twice"}, request_id="r")
    await _update(d, state={"notes": "not this"}, request_id="r")
    await patch(d, unpause="on we go")
    await until(d, lambda it: not it.schedule.state.paused)


async def is_paused_and_unpaused(d: Driver) -> None:
    await create(d)
    await patch(d, pause="tea")
    await until(d, lambda it: it.schedule.state.paused)
    await patch(d, unpause="work")
    await until(d, lambda it: not it.schedule.state.paused)
    await patch(d)
    await describe(d)


async def is_deleted_and_made_again(d: Driver) -> None:
    await create(d, request_id="one")
    await create(d, request_id="one")
    await create(d, request_id="two")
    await delete(d)
    await delete(d)
    await describe(d)
    await patch(d, pause="late")
    await _update(d)
    await create(d, request_id="one")
    await describe(d)
    await create(d, request_id="three", state={"notes": "second life"})
    await describe(d)


async def what_runs_outlives_it(d: Driver) -> None:
    await create(d)
    await trigger(d)
    await until_acted(d, 1)
    await delete(d)
    await d.step(succeed())


# ---- refusals ----------------------------------------------------------------------------------------------------


async def create_is_refused(d: Driver) -> None:
    await create(d, schedule_id="")
    await create(d, schedule_id=LONG)
    await create(d, request_id="")
    await create(d, request_id=LONG)
    await create(d, namespace="nowhere")
    await create(d, namespace="")
    await create(d, search_attributes={"Unknown": 1})
    await create(d, search_attributes={"ConfInt": "x"})


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
        await create(d, action=action(d, **wrong))
        await _update(d, action=action(d, **wrong))


async def change_is_refused(d: Driver) -> None:
    for schedule_id in ("", d.name("unknown")):
        await d.call("DescribeSchedule", schedule_id=schedule_id)
        await d.call("PatchSchedule", schedule_id=schedule_id)
        await d.call("PatchSchedule", schedule_id=schedule_id, patch={})
        await _update(d, schedule_id=schedule_id)
        await d.call("DeleteSchedule", schedule_id=schedule_id)
        await d.call("ListScheduleMatchingTimes", schedule_id=schedule_id)
    await create(d)
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
    await create(d, memo={"m": 1}, search_attributes={"ConfKeyword": d.name("k")}, state={"paused": True, "notes": "n"})
    await create(d, schedule_id=d.name("t"), search_attributes={"ConfKeyword": d.name("k")})
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
    await delete(d)

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
    **{f"overlap_{policy.lower()}": _overlap(policy) for policy in POLICIES},
    "backfill_allow_all": _backfilled("ALLOW_ALL", 4),
    "backfill_buffer_all": _backfilled("BUFFER_ALL", 4),
    "backfill_buffer_one": _backfilled("BUFFER_ONE", 2),
    "backfill_skip": _backfilled("SKIP", 1),
}

"""How punctual both servers are: intervals between the times of events, next to what they are due to be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance import schedules
from tests.conformance.driver import Driver, connect
from tests.conformance.messages import activity, continue_as_new, fail_workflow, succeed, timer

from parity.results import Interval

TOLERANCE_S = 0.25
"""How much later than due something may come: the time of a commit and of a poll, on a machine with other work."""
TRIES = 3
Measure = Callable[[Driver], Awaitable[float]]


async def compare(perdure: str, reference: str) -> list[Interval]:
    """All measures on both servers at the same time; what drifts is measured again."""
    intervals: dict[str, Interval] = {}
    names = list(MEASURES)
    for _ in range(TRIES):
        here, there = await asyncio.gather(_measure(perdure, names), _measure(reference, names))
        for name in names:
            intervals[name] = Interval(name, MEASURES[name][0], here[name], there[name], TOLERANCE_S)
        names = [name for name, interval in intervals.items() if interval.drifted]
        if not names:
            break
    return list(intervals.values())


async def _measure(address: str, names: list[str]) -> dict[str, float]:
    async with connect(address) as channel:

        async def one(name: str) -> float:
            driver = Driver(channel)
            try:
                return await MEASURES[name][1](driver)
            finally:
                await driver.finish()

        return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


async def _between(d: Driver, first: str, second: str, execution: Any = None) -> float:
    """Seconds from the last event of one type to the last of another."""
    await d.until_event(second, execution)
    at = {}
    for event in await d.events(execution or d.workflow_id):
        at[event.WhichOneof("attributes").removesuffix("_event_attributes").upper()] = _seconds(event.event_time)
    return at[second] - at[first]


def _seconds(timestamp: Any) -> float:
    return float(timestamp.seconds) + timestamp.nanos / 1e9


def _timer(seconds: float) -> Measure:
    async def measure(d: Driver) -> float:
        await d.start()
        await d.step(timer("t", seconds))
        return await _between(d, "TIMER_STARTED", "TIMER_FIRED")

    return measure


async def _start_delay(d: Driver) -> float:
    await d.start(workflow_start_delay=1.5)
    return await _between(d, "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED")


async def _signal_with_delayed_start(d: Driver) -> float:
    await d.signal_with_start(workflow_start_delay=1.5)
    return await _between(d, "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED")


async def _run_timeout(d: Driver) -> float:
    await d.start(workflow_run_timeout=1)
    return await _between(d, "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_TIMED_OUT")


async def _task_timeout(d: Driver) -> float:
    await d.start(workflow_task_timeout=1)
    await d.poll_wft()
    return await _between(d, "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_TIMED_OUT")


def _activity_retry(attempt: int) -> Measure:
    """From a failure to the next attempt, which the server says when it hands it out."""

    async def measure(d: Driver) -> float:
        policy = {"initial_interval": 0.5, "backoff_coefficient": 2}
        await d.start()
        await d.step(activity(retry_policy=policy, start_to_close_timeout=10))
        task = await d.poll_activity()
        while task.attempt < attempt:
            await d.fail_activity(task)
            before, task = task, await d.poll_activity()
        return _seconds(task.started_time) - _seconds(before.started_time)

    return measure


def _activity_timeout(field: str, first: str, polled: bool) -> Measure:
    async def measure(d: Driver) -> float:
        await d.start()
        timeouts = {"start_to_close_timeout": 10, "schedule_to_close_timeout": 20, field: 1}
        await d.step(activity(retry_policy={"maximum_attempts": 1}, **timeouts))
        if polled:
            await d.poll_activity()
        return await _between(d, first, "ACTIVITY_TASK_TIMED_OUT")

    return measure


async def _next_run(d: Driver, closed: str) -> float:
    """From the close of the first run to the first task of the second."""
    run_id = next(iter(d.executions.values())).run_id
    first = await d.events((d.workflow_id, run_id))
    attributes = getattr(first[-1], first[-1].WhichOneof("attributes") or "")
    following = (d.workflow_id, attributes.new_execution_run_id)
    await d.until_event("WORKFLOW_TASK_SCHEDULED", following)
    scheduled = [e for e in await d.events(following) if e.HasField("workflow_task_scheduled_event_attributes")]
    assert first[-1].WhichOneof("attributes") == f"{closed}_event_attributes"
    return _seconds(scheduled[0].event_time) - _seconds(first[-1].event_time)


async def _workflow_retry(d: Driver) -> float:
    await d.start(retry_policy={"initial_interval": 1.5, "backoff_coefficient": 1})
    await d.step(fail_workflow())
    return await _next_run(d, "workflow_execution_failed")


async def _continue_as_new_backoff(d: Driver) -> float:
    await d.start()
    await d.step(continue_as_new(backoff_start_interval=1.5))
    return await _next_run(d, "workflow_execution_continued_as_new")


async def _cron(d: Driver) -> float:
    """How far after a whole two seconds since the start the second run's first task came, plus those two seconds."""
    await d.start(cron_schedule="@every 2s")
    await d.poll_wft()
    started = _seconds((await d.events(d.workflow_id))[0].event_time)
    scheduled = await _scheduled(d, d.workflow_id)
    return scheduled - started


async def _by_schedule(d: Driver) -> float:
    """From the time a schedule is due to the start of its workflow."""
    limited = {"limited_actions": True, "remaining_actions": 1}
    await schedules.create(d, schedules.SECONDLY, state=limited)
    described = await schedules.until_acted(d, 1)
    acted = described.info.recent_actions[0]
    started = acted.start_workflow_result
    events = await d.events((started.workflow_id, started.run_id))
    await schedules.delete(d)
    return _seconds(events[0].event_time) - _seconds(acted.schedule_time)


async def _scheduled(d: Driver, execution: Any) -> float:
    events = await d.events(execution)
    return next(
        _seconds(event.event_time) for event in events if event.HasField("workflow_task_scheduled_event_attributes")
    )


async def _cron_next(d: Driver) -> float:
    await d.start(cron_schedule="@every 2s")
    await d.step(succeed())
    run_id = next(iter(d.executions.values())).run_id
    first = await _scheduled(d, (d.workflow_id, run_id))
    close = (await d.events((d.workflow_id, run_id)))[-1].workflow_execution_completed_event_attributes
    following = (d.workflow_id, close.new_execution_run_id)
    await d.until_event("WORKFLOW_TASK_SCHEDULED", following)
    return await _scheduled(d, following) - first


MEASURES: dict[str, tuple[float, Measure]] = {
    "timer of 0.5 s": (0.5, _timer(0.5)),
    "timer of 2 s": (2, _timer(2)),
    "start delay of 1.5 s": (1.5, _start_delay),
    "start delay of 1.5 s with a signal": (1.5, _signal_with_delayed_start),
    "workflow run timeout of 1 s": (1, _run_timeout),
    "workflow task timeout of 1 s": (1, _task_timeout),
    "second attempt of an activity, after 0.5 s": (0.5, _activity_retry(2)),
    "fourth attempt of an activity, after 2 s": (2, _activity_retry(4)),
    "start to close of 1 s": (1, _activity_timeout("start_to_close_timeout", "ACTIVITY_TASK_STARTED", polled=True)),
    "schedule to start of 1 s": (
        1,
        _activity_timeout("schedule_to_start_timeout", "ACTIVITY_TASK_SCHEDULED", polled=False),
    ),
    "schedule to close of 1 s": (
        1,
        _activity_timeout("schedule_to_close_timeout", "ACTIVITY_TASK_SCHEDULED", polled=True),
    ),
    "heartbeat of 1 s": (1, _activity_timeout("heartbeat_timeout", "ACTIVITY_TASK_STARTED", polled=True)),
    "retry of a workflow, after 1.5 s": (1.5, _workflow_retry),
    "continue as new, after 1.5 s": (1.5, _continue_as_new_backoff),
    "workflow of a schedule, after it is due": (0, _by_schedule),
    "first run of a cron every 2 s": (2, _cron),
    "second run of a cron every 2 s": (2, _cron_next),
}
"""What is measured: name -> seconds due, measure."""

"""Priorities: inherited, shown, and refused."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, child, continue_as_new, succeed

FULL = {"priority_key": 2, "fairness_key": "tenant", "fairness_weight": 1.5}


async def activities_inherit_what_they_leave_open(d: Driver) -> None:
    await d.start(priority=FULL)
    for number, priority in enumerate(({}, {"priority_key": 5}, {"fairness_key": "other"}, {"fairness_weight": 3})):
        fields: dict[str, Any] = {"priority": priority} if priority else {}
        await d.step(activity(str(number), **fields))
        await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def activities_of_a_workflow_without_one(d: Driver) -> None:
    await d.start()
    await d.step(activity("a", priority={"priority_key": 4}))
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def children_inherit_what_they_leave_open(d: Driver) -> None:
    await d.start(priority=FULL)
    await d.step(child(d.name("kid"), task_queue=d.name("kids"), priority={"priority_key": 4}))
    await d.complete(await d.poll_wft(d.name("kids")), activity("a"))
    await d.poll_activity()


async def a_continued_run_keeps_it(d: Driver) -> None:
    await d.start(priority=FULL)
    await d.step(continue_as_new())
    await d.step(succeed())


async def signal_with_start_sets_it(d: Driver) -> None:
    await d.call(
        "SignalWithStartWorkflowExecution",
        workflow_id=d.workflow_id,
        workflow_type="flow",
        task_queue=d.task_queue,
        signal_name="s",
        request_id="r",
        priority=FULL,
    )
    await d.step(activity("a"))
    await d.complete_activity(await d.poll_activity())


async def keys_beyond_the_levels_are_kept(d: Driver) -> None:
    await d.start(priority={"priority_key": 9})
    await d.step(activity("a", priority={"priority_key": 100}))
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def refused(d: Driver) -> None:
    for priority in (
        {"priority_key": -1},
        {"fairness_key": "k" * 65},
        {"fairness_weight": -0.5},
        {"priority_key": -1, "fairness_weight": -1},
    ):
        await d.start(priority=priority)


async def bad_command(d: Driver) -> None:
    await d.start()
    await d.step(activity("a", priority={"priority_key": -1}))

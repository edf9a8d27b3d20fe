"""Resets of workflows with something pending: activities, timers, children, requests to other workflows."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    activity,
    cancel_activity,
    cancel_external,
    child,
    signal_external,
    succeed,
    timer,
)

ALL = ["SIGNAL", "UPDATE", "NEXUS", "CANCEL_REQUEST"]


async def activity_that_was_started(d: Driver) -> None:
    """It comes back as if no worker had ever had it."""
    await d.start()
    await d.step(activity(heartbeat_timeout=30))
    task = await d.poll_activity()
    await d.heartbeat(task, "half")
    await d.signal()
    await d.step(timer())
    await d.reset(9)
    await d.describe()
    await d.complete_activity(task)
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def activity_that_was_retried(d: Driver) -> None:
    await d.start()
    retry = {"initial_interval": 0.01, "backoff_coefficient": 1.0}
    await d.step(activity(retry_policy=retry))
    await d.fail_activity(await d.poll_activity())
    await d.poll_activity()
    await d.signal()
    await d.step()
    await d.reset(8)
    await d.describe()
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def activity_behind_the_point(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.reset(4)
    await d.complete_activity(task)
    await d.describe()
    await d.step(activity("b"), succeed())


async def activity_that_was_completed(d: Driver) -> None:
    """In front of the point its result stays; behind it, the activity is there again."""
    await d.start()
    await d.step(activity())
    await d.complete_activity(await d.poll_activity())
    await d.step(timer())
    await d.reset(10)
    await d.describe()


async def activity_that_was_canceled(d: Driver) -> None:
    await d.start()
    await d.step(activity(), timer("t", 0.01))
    await d.poll_activity()
    await d.step(cancel_activity(5))
    await d.signal()
    await d.step()
    await d.reset(14)
    await d.describe()
    await d.cancel_activity(await d.poll_activity())
    await d.step(succeed())


async def activity_close_is_cut_off_from_its_task(d: Driver) -> None:
    """A started and a close event of one batch, behind a task that waits: the point may not lie between them."""
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.signal()
    await d.complete_activity(task)
    await d.poll_wft()
    for event_id in (7, 8, 9, 10, 11):
        await d.reset(event_id)
        await d.poll_wft()


async def timers_keep_their_times(d: Driver) -> None:
    await d.start()
    await d.step(timer("short", 1.2), timer("long", 60))
    await d.signal()
    await d.step()
    await d.reset(9)
    await d.step()
    await d.until_event("TIMER_FIRED")
    await d.step(succeed())


async def timer_that_has_fired_meanwhile(d: Driver) -> None:
    await d.start()
    await d.step(timer("short", 0.5))
    await d.signal()
    await d.step()
    await d.until_event("TIMER_FIRED")
    await d.step()
    await d.reset(8)
    await d.until_event("TIMER_FIRED")
    await d.step(succeed())


async def child_that_runs(d: Driver) -> None:
    """It goes on, and reports to the new run."""
    name, queue = d.name("child"), d.name("child-queue")
    await d.start()
    await d.step(child(name, task_queue=queue, parent_close_policy="TERMINATE"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.step(timer())
    await d.reset(9)
    await d.step()
    await d.describe(name)
    await d.complete(await d.poll_wft(queue), succeed("child"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_COMPLETED")
    await d.step(succeed())


async def child_that_started_behind_the_point(d: Driver) -> None:
    """It was initiated in front of the point, and its start came behind it."""
    name, queue = d.name("child"), d.name("child-queue")
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, child(name, task_queue=queue, parent_close_policy="REQUEST_CANCEL"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.step(timer())
    await d.reset(8)
    await d.step()
    await d.describe()
    await d.complete(await d.poll_wft(queue), succeed("child"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_COMPLETED")
    await d.step(succeed())


async def child_that_completed_behind_the_point(d: Driver) -> None:
    name, queue = d.name("child"), d.name("child-queue")
    await d.start()
    await d.step(child(name, task_queue=queue))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.step(timer())
    await d.complete(await d.poll_wft(queue), succeed("child"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_COMPLETED")
    await d.step()
    await d.reset(9)
    await d.describe()
    await d.step(succeed())


async def child_that_completed_and_nothing_is_applied_again(d: Driver) -> None:
    name, queue = d.name("child"), d.name("child-queue")
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, child(name, task_queue=queue))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.step(timer())
    await d.complete(await d.poll_wft(queue), succeed("child"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_COMPLETED")
    await d.step()
    await d.reset(8, reset_reapply_exclude_types=ALL)
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.describe()


async def child_behind_the_point(d: Driver) -> None:
    """The new run does not know it; if it starts it again, the id is in use."""
    name, queue = d.name("child"), d.name("child-queue")
    await d.start()
    await d.step(child(name, task_queue=queue, parent_close_policy="TERMINATE"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.reset(4)
    await d.step(child(name, task_queue=queue))
    await d.until_event("START_CHILD_WORKFLOW_EXECUTION_FAILED")
    await d.describe(name)
    await d.step(succeed())


async def child_is_reset_to(d: Driver) -> None:
    """The new run of the child reports to the parent; the old one does not."""
    queue = d.name("child-queue")
    parent = d.name("parent")
    await d.start(parent, task_queue=queue)
    await d.complete(await d.poll_wft(queue), child(d.workflow_id, task_queue=d.task_queue))
    await d.step(timer())
    await d.reset(4)
    await d.step(succeed("again"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_COMPLETED", parent)


async def signal_to_another_on_its_way(d: Driver) -> None:
    """What was answered behind the point is asked once more."""
    other = await _other(d)
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, signal_external(other))
    await d.until_event("EXTERNAL_WORKFLOW_EXECUTION_SIGNALED")
    await d.step(timer())
    await d.reset(8)
    await d.until_event("EXTERNAL_WORKFLOW_EXECUTION_SIGNALED")
    await d.until_event("WORKFLOW_EXECUTION_SIGNALED", other, count=2)
    await d.step(succeed())


async def cancel_of_another_on_its_way(d: Driver) -> None:
    other = await _other(d)
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, cancel_external(other))
    await d.until_event("EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED")
    await d.step(timer())
    await d.reset(8)
    await d.until_event("EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED")
    await d.step(succeed())


async def _other(d: Driver) -> str:
    """Starts the driver's workflow and another one without a worker."""
    other = d.name("other")
    await d.start(other, task_queue=d.name("other-queue"))
    await d.start()
    return other

"""Events that arrive while a workflow task is started: kept back, ordered, and what they do to close commands."""

from __future__ import annotations

import asyncio

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    activity,
    cancel_activity,
    cancel_timer,
    cancel_workflow,
    child,
    continue_as_new,
    fail_workflow,
    failure,
    marker,
    succeed,
    timer,
)


async def signals_wait_for_the_completion(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal("one", input=1)
    await d.signal("two", input=2)
    await d.history()
    await d.describe()
    await d.complete(task, timer())
    await d.step(succeed())


async def activity_closes_come_after_signals(d: Driver) -> None:
    await d.start()
    elsewhere = d.name("elsewhere")
    await d.step(activity("a"), activity("b", task_queue=elsewhere), force_create_new_workflow_task=True)
    one = await d.poll_activity()
    other = await d.poll_activity(elsewhere)
    task = await d.poll_wft()
    await d.complete_activity(one)
    await d.signal("between")
    await d.fail_activity(other)
    await d.signal("after")
    await d.describe()
    await d.complete(task, marker())
    await d.step(succeed())


async def timer_fires_behind_a_task(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0.2), force_create_new_workflow_task=True)
    task = await d.poll_wft()
    await asyncio.sleep(2)
    await d.signal()
    await d.complete(task, marker())
    await d.step(succeed())


async def cancel_of_a_timer_that_fired_behind_the_task(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0.2), force_create_new_workflow_task=True)
    task = await d.poll_wft()
    await asyncio.sleep(0.6)
    await d.complete(task, cancel_timer())
    await d.describe()
    await d.poll_wft_in_vain()


async def cancel_of_a_timer_that_fired_behind_the_task_with_a_signal(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0.2), force_create_new_workflow_task=True)
    task = await d.poll_wft()
    await d.signal()
    await asyncio.sleep(0.6)
    await d.complete(task, cancel_timer())
    await d.step(succeed())


async def cancel_of_an_activity_that_closed_behind_the_task(d: Driver) -> None:
    await d.start()
    await d.step(activity(), force_create_new_workflow_task=True)
    work = await d.poll_activity()
    task = await d.poll_wft()
    await d.complete_activity(work)
    await d.complete(task, cancel_activity(5))
    await d.step(succeed())


async def cancel_of_an_activity_that_closed_before_the_task(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.complete_activity(await d.poll_activity())
    await d.step(cancel_activity(5))


async def complete_with_a_signal_behind_the_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, marker("dropped"), succeed())
    await d.describe()
    again = await d.poll_wft()
    await d.complete(again, succeed())


async def fail_with_a_signal_behind_the_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, fail_workflow())
    await d.step(fail_workflow())


async def cancel_with_a_signal_behind_the_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, cancel_workflow())
    await d.step(cancel_workflow())


async def continue_as_new_with_a_signal_behind_the_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, continue_as_new())
    await d.step(continue_as_new())


async def complete_with_a_cancel_request_behind_the_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.cancel()
    await d.complete(task, succeed())
    await d.step(cancel_workflow())


async def complete_with_an_activity_close_behind_the_task(d: Driver) -> None:
    await d.start()
    await d.step(activity(), force_create_new_workflow_task=True)
    work = await d.poll_activity()
    task = await d.poll_wft()
    await d.complete_activity(work)
    await d.complete(task, succeed())
    await d.step(succeed())


async def signals_are_held_off_while_a_workflow_closes(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal("one")
    await d.complete(task, succeed())
    task = await d.poll_wft()
    await d.signal("two")
    await d.cancel()
    await d.signal_with_start(name="three")
    await d.complete(task, succeed())


async def terminate_with_events_behind_the_task(d: Driver) -> None:
    await d.start()
    await d.poll_wft()
    await d.signal("one")
    await d.terminate(reason="enough", details="more")


async def failed_task_lets_the_events_through(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.fail(task)
    await d.describe()
    await d.step(succeed())


async def bad_command_lets_the_events_through(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, timer(""))
    await d.describe()
    await d.step(succeed())


async def child_closes_behind_the_task(d: Driver) -> None:
    await d.start()
    await d.step(child(d.name("kid"), task_queue=d.name("kids")))
    kid = await d.poll_wft(d.name("kids"))
    task = await d.poll_wft()
    await d.signal("first")
    await d.complete(kid, succeed("grown"))
    await asyncio.sleep(0.3)
    await d.signal("second")
    await d.complete(task, marker())
    await d.step(succeed())


async def retried_activity_behind_the_task(d: Driver) -> None:
    await d.start()
    policy = {"initial_interval": 0.1, "backoff_coefficient": 1}
    await d.step(activity(retry_policy=policy), force_create_new_workflow_task=True)
    task = await d.poll_wft()
    await d.fail_activity(await d.poll_activity(), failure("again"))
    await d.complete_activity(await d.poll_activity())
    await d.complete(task, marker())
    await d.step(succeed())


async def more_than_a_hundred_events_end_the_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    for number in range(101):
        await d.quietly("SignalWorkflowExecution", workflow_execution=d.workflow_id, signal_name=f"s{number}")
    await d.describe()
    await d.complete(task, succeed())
    again = await d.poll_wft()
    await d.complete(again, succeed())


async def two_megabytes_of_events_end_the_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    for _ in range(3):
        await d.signal(input="x" * 900_000)
    await d.describe()
    await d.complete(task, succeed())

"""Workflow tasks: handing out, completing, failing, timing out."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import failure, succeed, timer


async def completes_the_workflow(d: Driver) -> None:
    await d.start(input=["hello", 1])
    await d.step(succeed("bye"))


async def completes_without_commands(d: Driver) -> None:
    await d.start()
    await d.step()
    await d.describe()


async def fails_and_is_tried_again(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.fail(task, "NON_DETERMINISTIC_ERROR", failure=failure("lost the thread"))
    task = await d.poll_wft()
    await d.describe()
    await d.fail(task)
    task = await d.poll_wft()
    await d.complete(task, timer())
    await d.history()

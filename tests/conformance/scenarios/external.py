"""Signals and cancel requests that workflows send to each other."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import cancel_external, cancel_workflow, signal_external, succeed

NO_RUN = "11111111-2222-4333-8444-555555555555"


async def _target(d: Driver, *, closed: bool = False) -> Any:
    queue = d.name("targets")
    started = await d.start(d.name("target"), task_queue=queue)
    task = await d.poll_wft(queue)
    await d.complete(task, *([succeed()] if closed else []))
    return started


async def signal_arrives(d: Driver) -> None:
    await _target(d)
    await d.start()
    await d.step(signal_external(d.name("target"), "hello", input=["x"], header={"h": 1}, control="c"))
    await d.poll_wft(d.name("targets"))
    await d.step(succeed())


async def signal_arrives_at_a_run(d: Driver) -> None:
    started = await _target(d)
    await d.start()
    await d.step(signal_external((d.name("target"), started.run_id)))
    await d.step(succeed())


async def signal_to_a_missing_workflow(d: Driver) -> None:
    await d.start()
    await d.step(signal_external(d.name("nobody"), control="c"))
    await d.step(succeed())


async def signal_to_a_missing_run(d: Driver) -> None:
    await _target(d)
    await d.start()
    await d.step(signal_external((d.name("target"), NO_RUN)))
    await d.step(succeed())


async def signal_to_a_closed_workflow(d: Driver) -> None:
    await _target(d, closed=True)
    await d.start()
    await d.step(signal_external(d.name("target")))
    await d.step(succeed())


async def signal_to_itself(d: Driver) -> None:
    await d.start()
    await d.step(signal_external(d.workflow_id))
    await d.step(succeed())


async def signal_to_a_workflow_that_is_no_child(d: Driver) -> None:
    await _target(d)
    await d.start()
    await d.step(signal_external(d.name("target"), child_workflow_only=True))
    await d.step(succeed())


async def signal_in_the_task_that_closes(d: Driver) -> None:
    await _target(d)
    await d.start()
    await d.step(signal_external(d.name("target")), succeed())
    await d.poll_wft_in_vain(d.name("targets"))


async def cancel_arrives(d: Driver) -> None:
    await _target(d)
    await d.start()
    await d.step(cancel_external(d.name("target"), reason="because", control="c"))
    await d.complete(await d.poll_wft(d.name("targets")), cancel_workflow())
    await d.step(succeed())


async def cancel_arrives_at_a_run(d: Driver) -> None:
    started = await _target(d)
    await d.start()
    await d.step(cancel_external(d.name("target"), run_id=started.run_id))
    await d.step(succeed())


async def cancel_of_a_missing_workflow(d: Driver) -> None:
    await d.start()
    await d.step(cancel_external(d.name("nobody"), control="c"))
    await d.step(succeed())


async def cancel_of_a_closed_workflow(d: Driver) -> None:
    await _target(d, closed=True)
    await d.start()
    await d.step(cancel_external(d.name("target")))
    await d.step(succeed())


async def cancel_of_a_cancelled_workflow(d: Driver) -> None:
    await _target(d)
    await d.cancel(d.name("target"))
    await d.start()
    await d.step(cancel_external(d.name("target")))
    await d.step(succeed())


async def cancel_of_itself(d: Driver) -> None:
    await d.start()
    await d.step(cancel_external(d.workflow_id))
    await d.step(cancel_workflow())


async def cancel_of_a_workflow_that_is_no_child(d: Driver) -> None:
    await _target(d)
    await d.start()
    await d.step(cancel_external(d.name("target"), child_workflow_only=True))
    await d.step(succeed())

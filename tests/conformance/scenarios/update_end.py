"""Updates of workflows that close or go on as another run, and updates that are refused."""

from __future__ import annotations

import asyncio

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    cancel_workflow,
    continue_as_new,
    fail_workflow,
    succeed,
    timer,
)
from tests.conformance.updates import accept, answer, poll, reject, request, respond, send, sent

DISCARD = {"discard_speculative_workflow_task_with_events": True}


async def _begun(d: Driver) -> None:
    await d.start()
    await d.step(timer())


async def workflow_completes_with_it(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[succeed()])
    await update
    await send(d)
    await send(d, "unknown")
    await poll(d)


async def workflow_completes_before_it(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    accepting = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[succeed()])
    await update
    await accepting
    await poll(d)
    await send(d)


async def workflow_completes_instead(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    await d.step(succeed())
    await update
    await poll(d)


async def workflow_completes_in_front_of_its_messages(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await d.complete(task, succeed(), messages=[accept(task), respond()])
    await update


async def workflow_completes_in_front_of_its_rejection(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await d.complete(task, succeed(), messages=[reject(task)])
    await update


async def workflow_completes_while_it_waits(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    update = await sent(d)
    await d.complete(task, succeed())
    await update


async def workflow_completes_after_acceptance(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    await d.signal()
    await d.step(succeed())
    await update
    await poll(d)


async def workflow_fails_after_acceptance(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[fail_workflow()])
    await update


async def workflow_is_canceled_after_acceptance(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[cancel_workflow()])
    await update


async def workflow_is_terminated(d: Driver) -> None:
    await _begun(d)
    accepted = await sent(d, "accepted")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "accepted"))
    admitted = await sent(d, "admitted")
    await d.terminate()
    await accepted
    await admitted
    await poll(d, "accepted")
    await poll(d, "admitted")


async def workflow_is_terminated_with_the_task_started(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    await d.poll_wft()
    await d.terminate()
    await update


async def workflow_times_out(d: Driver) -> None:
    await d.start(workflow_run_timeout=2)
    await d.step(timer())
    accepted = await sent(d, "accepted")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "accepted"))
    admitted = await sent(d, "admitted")
    await accepted
    await admitted


async def workflow_continues_as_new(d: Driver) -> None:
    await _begun(d)
    await asyncio.sleep(1.1)
    accepted = await sent(d, "accepted", stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "accepted"))
    await accepted
    waiting = await sent(d, "accepted")
    task = await d.poll_wft() if await d.signal() else None
    late = await sent(d, "late")
    await d.complete(task, continue_as_new())
    await waiting
    await late
    late = await sent(d, "late")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "late"), respond("late"))
    await late


async def workflow_continues_as_new_for_a_run_by_id(d: Driver) -> None:
    started = await d.start()
    await d.step(timer())
    await asyncio.sleep(1.1)
    await d.signal()
    task = await d.poll_wft()
    late = await sent(d, "late", workflow_execution=(d.workflow_id, started.run_id))
    await d.complete(task, continue_as_new())
    await late


async def is_refused(d: Driver) -> None:
    no_run = "11111111-2222-4333-8444-555555555555"
    await send(d)
    await _begun(d)
    await send(d, workflow_execution=("", ""))
    await send(d, workflow_execution=(d.workflow_id, no_run))
    await send(d, workflow_execution=(d.workflow_id, "not-a-uuid"))
    await send(d, workflow_execution=None)
    await send(d, stage="ADMITTED")
    await send(d, first_execution_run_id=no_run)
    await send(d, namespace="nowhere")
    await send(d, namespace="")
    await send(d, request=None)
    await send(d, request={"input": {"name": "x"}})
    await send(d, request={"meta": {"update_id": "u"}})
    await send(d, request=request("u", name=""))
    await send(d, "x" * 1001)
    await send(d, "u", "x" * (2 * 1024 * 1024), timeout_s=1)


async def poll_is_refused(d: Driver) -> None:
    await poll(d)
    await d.call("PollWorkflowExecutionUpdate")
    await _begun(d)
    await poll(d)
    await poll(d, stage="COMPLETED")
    await poll(d, execution=(d.workflow_id, "11111111-2222-4333-8444-555555555555"))
    await poll(d, execution=(d.workflow_id, "not-a-uuid"))
    await poll(d, execution="")
    await poll(d, execution=("", "11111111-2222-4333-8444-555555555555"))
    await poll(d, "")
    await poll(d, namespace="nowhere")

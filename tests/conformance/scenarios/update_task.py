"""Workflow tasks that carry updates: speculative or written, sticky, failing, timing out."""

from __future__ import annotations

import asyncio

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    marker,
    succeed,
    timer,
)
from tests.conformance.updates import accept, answer, reject, respond, send, sent

DISCARD = {"discard_speculative_workflow_task_with_events": True}


async def _begun(d: Driver) -> None:
    await d.start()
    await d.step(timer())


async def is_rejected_after_a_signal(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    await d.signal()
    task = await d.poll_wft()
    await answer(d, task, reject(task), capabilities=DISCARD)
    await update


async def is_rejected_by_a_task_with_a_command(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task), then=[marker()])
    await update


async def is_rejected_with_a_heartbeat(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task), force_create_new_workflow_task=True)
    await update


async def is_rejected_behind_a_command_of_events(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal()
    await d.step(timer("second"), timer("third"))
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task))
    await update


async def many_events_are_not_discarded(d: Driver) -> None:
    await d.start()
    await d.step(*[marker(f"m{i}") for i in range(12)])
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task), capabilities=DISCARD)
    await update


async def few_events_are_discarded_if_the_worker_can(d: Driver) -> None:
    await d.start()
    await d.step(*[marker(f"m{i}") for i in range(9)])
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task), capabilities=DISCARD)
    await update
    await d.events(d.workflow_id)


async def is_ignored(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    await d.step()
    await update


async def is_ignored_on_a_written_task(d: Driver) -> None:
    await d.start()
    update = await sent(d, stage="ACCEPTED")
    await d.step(timer())
    await update


async def survives_a_heartbeat(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    reply = await d.complete(task, force_create_new_workflow_task=True, return_new_workflow_task=True)
    task = reply.workflow_task
    await answer(d, task, accept(task), respond())
    await update


async def comes_while_a_task_is_started(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    update = await sent(d)
    await d.complete(task, timer())
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def comes_while_a_task_is_started_and_follows_in_the_reply(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    update = await sent(d)
    reply = await d.complete(task, timer(), return_new_workflow_task=True)
    task = reply.workflow_task
    await answer(d, task, accept(task), respond())
    await update


async def follows_in_the_reply_and_is_rejected(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    update = await sent(d)
    reply = await d.complete(task, timer(), return_new_workflow_task=True)
    task = reply.workflow_task
    await answer(d, task, reject(task), return_new_workflow_task=True, capabilities=DISCARD)
    await update


async def two_follow_each_other(d: Driver) -> None:
    await _begun(d)
    one = await sent(d, "one")
    task = await d.poll_wft()
    other = await sent(d, "other")
    reply = await answer(d, task, reject(task, "one"), return_new_workflow_task=True)
    await one
    task = reply.workflow_task
    await answer(d, task, accept(task, "other"), respond("other"))
    await other


async def two_follow_each_other_without_a_reply(d: Driver) -> None:
    await _begun(d)
    one = await sent(d, "one")
    task = await d.poll_wft()
    other = await sent(d, "other")
    await answer(d, task, reject(task, "one"))
    await one
    task = await d.poll_wft()
    await answer(d, task, reject(task, "other"))
    await other


async def a_signal_writes_the_scheduled_task(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    await d.signal()
    await d.events(d.workflow_id)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def a_signal_writes_the_started_task(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await d.signal()
    await answer(d, task, reject(task))
    await update
    await d.step()


async def the_task_fails(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    await d.fail(await d.poll_wft())
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def the_task_fails_and_then_it_is_rejected(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    await d.fail(await d.poll_wft())
    task = await d.poll_wft()
    await answer(d, task, reject(task))
    await update


async def the_task_times_out(d: Driver) -> None:
    await d.start(workflow_task_timeout=1)
    await d.step(timer())
    update = await sent(d)
    await d.poll_wft()
    await d.until_event("WORKFLOW_TASK_TIMED_OUT")
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def nobody_takes_the_task(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    await d.until_event("WORKFLOW_TASK_TIMED_OUT")
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def nobody_takes_the_sticky_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.poll_wft_in_vain(d.sticky_queue())
    await d.complete(task, timer(), sticky_attributes=d.sticky(1))
    update = await sent(d)
    await d.until_event("WORKFLOW_TASK_TIMED_OUT")
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def rides_on_a_sticky_task(d: Driver) -> None:
    await d.start()
    poll_of_worker = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    update = await sent(d)
    task = await poll_of_worker
    await answer(d, task, reject(task), sticky_attributes=d.sticky())
    await update
    poll_of_worker = await d.listen()
    update = await sent(d, "other")
    task = await poll_of_worker
    await answer(d, task, accept(task, "other"), respond("other"), sticky_attributes=d.sticky())
    await update


async def of_a_delayed_workflow(d: Driver) -> None:
    await d.start(workflow_start_delay=60)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def of_a_delayed_workflow_is_rejected(d: Driver) -> None:
    await d.start(workflow_start_delay=60)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task))
    await update


async def two_queries_and_an_update_on_one_task(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    query = d.query()
    await asyncio.sleep(0.3)
    task = await d.poll_wft()
    results = {key: {"result_type": "ANSWERED", "answer": ["fine"]} for key in task.queries}
    await answer(d, task, accept(task), respond(), query_results=results)
    await update
    await query


async def query_and_rejected_update_on_one_task(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    query = d.query()
    await asyncio.sleep(0.3)
    task = await d.poll_wft()
    results = {key: {"result_type": "ANSWERED", "answer": ["fine"]} for key in task.queries}
    await answer(d, task, reject(task), query_results=results)
    await update
    await query


async def is_shown_in_history(d: Driver) -> None:
    """An SDK sees the events of a task that is not written."""
    await _begun(d)
    update = await sent(d)
    await d.call("GetWorkflowExecutionHistory", execution=d.workflow_id)
    await d.describe()
    task = await d.poll_wft()
    await d.call("GetWorkflowExecutionHistory", execution=d.workflow_id)
    await d.describe()
    await answer(d, task, reject(task))
    await update
    await d.describe()
    await d.call("GetWorkflowExecutionHistory", execution=d.workflow_id)


async def keeps_failing(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    await d.fail(await d.poll_wft())
    await send(d, "late")
    await d.step(timer())
    update = await sent(d, "early")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "early"), respond("early"))
    await update


async def comes_while_the_workflow_is_closing(d: Driver) -> None:
    await _begun(d)
    await d.signal()
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, succeed())
    task = await d.poll_wft()
    update = await sent(d, timeout_s=2)
    await d.complete(task, succeed())
    await update

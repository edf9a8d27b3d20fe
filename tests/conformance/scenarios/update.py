"""Updates: accepted, completed, rejected, deduplicated, waited for; the tasks that carry them."""

from __future__ import annotations

import asyncio

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    cancel_workflow,
    continue_as_new,
    fail_workflow,
    failure,
    marker,
    succeed,
    timer,
)
from tests.conformance.updates import accept, answer, poll, reject, request, respond, send, sent

DISCARD = {"discard_speculative_workflow_task_with_events": True}


async def _begun(d: Driver) -> None:
    await d.start()
    await d.step(timer())


async def completes_at_once(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, "u", "a", 1)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await poll(d)
    await poll(d, stage="COMPLETED")


async def completes_on_the_first_task(d: Driver) -> None:
    await d.start()
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await update


async def completes_later(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[timer("other")])
    await poll(d, stage="ACCEPTED")
    await d.signal()
    task = await d.poll_wft()
    await answer(d, task, respond())
    await update


async def is_accepted_and_then_polled(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    await update
    await d.signal()
    await answer(d, await d.poll_wft(), respond(fails=failure("no luck")))
    await poll(d, stage="COMPLETED")
    await d.step(succeed()) if await d.signal() else None
    await poll(d)


async def fails(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(fails=failure("no luck")))
    await update


async def waits_for_acceptance_and_gets_the_outcome(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def is_rejected(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task))
    await update
    await poll(d)
    again = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await again


async def is_rejected_on_the_first_task(d: Driver) -> None:
    await d.start()
    update = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, reject(task))
    await update


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


async def two_on_one_task(d: Driver) -> None:
    await _begun(d)
    one = await sent(d, "one")
    other = await sent(d, "other")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "one"), reject(task, "other"), respond("one"))
    await one
    await other


async def same_id_twice(d: Driver) -> None:
    await _begun(d)
    one = await sent(d)
    other = await sent(d, "u", "ignored", stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    await other
    await d.signal()
    await answer(d, await d.poll_wft(), respond())
    await one
    await send(d)


async def without_id(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, "")
    task = await d.poll_wft()
    update_id = task.messages[0].protocol_instance_id
    await answer(d, task, accept(task, update_id), respond(update_id))
    await update


async def with_header_and_request_id(d: Driver) -> None:
    await _begun(d)
    inner = request("u", "a", header={"h": 1}, request_id="its-request")
    update = await sent(d, request=inner)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await d.describe()


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


async def waits_for_nobody(d: Driver) -> None:
    await _begun(d)
    await send(d, timeout_s=1)
    await send(d, stage="ACCEPTED", timeout_s=1)
    await poll(d)
    await poll(d, stage="ADMITTED")
    await poll(d, stage="ACCEPTED", timeout_s=1)


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


async def too_many_in_flight(d: Driver) -> None:
    await _begun(d)
    updates = []
    for i in range(10):
        updates.append(send(d, f"u{i}"))
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    await send(d, "eleventh")
    task = await d.poll_wft()
    ids = [f"u{i}" for i in range(10)]
    await answer(d, task, *[accept(task, i) for i in ids], *[respond(i) for i in ids])
    for update in updates:
        await update
    update = await sent(d, "eleventh")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "eleventh"), respond("eleventh"))
    await update


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
    early = await sent(d, "early", timeout_s=8)
    await d.fail(await d.poll_wft())
    await send(d, "late")
    await send(d, "early")
    task = await d.poll_wft()
    await answer(d, task, accept(task, "early"), respond("early"), then=[timer()])
    await early


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
    await poll(d, "")
    await poll(d, namespace="nowhere")


async def without_wait_policy(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, stage=None)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update


async def with_first_run_id(d: Driver) -> None:
    started = await d.start()
    await d.step(timer())
    update = await sent(d, first_execution_run_id=started.run_id)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update

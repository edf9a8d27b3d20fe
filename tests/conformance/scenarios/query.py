"""Queries: straight to a worker, with a workflow task, buffered, rejected, failed."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import failure, payloads, succeed, timer

NO_RUN = "11111111-2222-4333-8444-555555555555"


def _answers(task: Any, answer: str = "fine") -> dict[str, Any]:
    """Answers to all queries that ride on a workflow task."""
    return {key: {"result_type": "ANSWERED", "answer": payloads(answer)} for key in task.queries}


async def goes_straight_to_a_worker(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    query = d.query(args=["a", 1])
    task = await d.poll_wft()
    await d.answer(task, "fine")
    await query


async def has_headers(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    fields = {"execution": d.workflow_id, "query": {"query_type": "state", "header": {"h": 1}}}
    query = d.begin("QueryWorkflow", **fields)
    await d.answer(await d.poll_wft())
    await query


async def fails(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    query = d.query()
    task = await d.poll_wft()
    await d.answer(task, None, completed_type="FAILED", error_message="no such query", failure=failure("typed"))
    await query


async def fails_without_failure(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    query = d.query()
    await d.answer(await d.poll_wft(), None, completed_type="FAILED", error_message="no such query")
    await query


async def is_answered_with_no_type(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    query = d.query(timeout_s=3)
    await d.answer(await d.poll_wft(), completed_type="UNSPECIFIED")
    await query


async def is_answered_twice(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    query = d.query()
    task = await d.poll_wft()
    await d.answer(task)
    await query
    await d.answer(task)


async def is_answered_with_a_bad_token(d: Driver) -> None:
    await d.call("RespondQueryTaskCompleted", task_token=b"nonsense", completed_type="ANSWERED")
    await d.call("RespondQueryTaskCompleted", task_token=b"", completed_type="ANSWERED")


async def is_answered_with_too_much(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    query = d.query()
    await d.answer(await d.poll_wft(), "x" * (2 * 1024 * 1024))
    await query


async def rides_on_a_workflow_task(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal()
    query = d.query()
    await asyncio.sleep(0.3)
    task = await d.poll_wft()
    await d.complete(task, query_results=_answers(task))
    await query


async def rides_on_the_first_task(d: Driver) -> None:
    await d.start()
    query = d.query()
    await asyncio.sleep(0.3)
    task = await d.poll_wft()
    await d.complete(task, timer(), query_results=_answers(task))
    await query


async def fails_on_a_workflow_task(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal()
    query = d.query()
    await asyncio.sleep(0.3)
    task = await d.poll_wft()
    results = {key: {"result_type": "FAILED", "error_message": "no", "failure": failure("no")} for key in task.queries}
    await d.complete(task, query_results=results)
    await query


async def waits_for_the_next_task_while_one_is_started(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal()
    task = await d.poll_wft()
    query = d.query()
    await asyncio.sleep(0.3)
    await d.complete(task)
    task = await d.poll_wft()
    await d.answer(task)
    await query


async def follows_a_started_task_in_its_reply(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal()
    task = await d.poll_wft()
    query = d.query()
    await asyncio.sleep(0.3)
    reply = await d.complete(task, return_new_workflow_task=True, force_create_new_workflow_task=True)
    await d.complete(reply.workflow_task, query_results=_answers(reply.workflow_task))
    await query


async def waits_while_a_task_with_commands_closes_the_workflow(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    query = d.query()
    await asyncio.sleep(0.3)
    await d.complete(task, succeed())
    task = await d.poll_wft()
    await d.answer(task, "after the close")
    await query


async def rides_on_a_task_that_ignores_it(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal()
    query = d.query()
    await asyncio.sleep(0.3)
    task = await d.poll_wft()
    await d.complete(task)
    await d.answer(await d.poll_wft())
    await query


async def rides_on_a_task_that_fails(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal()
    query = d.query()
    await asyncio.sleep(0.3)
    await d.fail(await d.poll_wft())
    task = await d.poll_wft()
    await d.complete(task, query_results=_answers(task))
    await query


async def of_a_workflow_that_was_terminated(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.terminate()
    query = d.query()
    await d.answer(await d.poll_wft())
    await query


async def of_a_completed_workflow(d: Driver) -> None:
    await d.start()
    await d.step(succeed())
    query = d.query()
    await d.answer(await d.poll_wft())
    await query


async def of_a_workflow_without_any_completed_task(d: Driver) -> None:
    await d.start()
    await d.terminate()
    await d.query()


async def of_a_delayed_workflow(d: Driver) -> None:
    await d.start(workflow_start_delay=60)
    await d.query()


async def of_a_workflow_whose_task_keeps_failing(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    await d.fail(await d.poll_wft())
    await d.fail(await d.poll_wft())
    await d.query()


async def of_a_workflow_whose_second_attempt_is_due(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    query = d.query()
    await asyncio.sleep(0.3)
    task = await d.poll_wft()
    await d.complete(task, timer(), query_results=_answers(task))
    await query


async def rejected_when_not_open(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    query = d.query(query_reject_condition="NOT_OPEN")
    await d.answer(await d.poll_wft())
    await query
    await d.signal()
    await d.step(succeed())
    await d.query(query_reject_condition="NOT_OPEN")
    await d.query(query_reject_condition="NOT_COMPLETED_CLEANLY", timeout_s=1)


async def rejected_when_not_completed_cleanly(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.terminate()
    await d.query(query_reject_condition="NOT_COMPLETED_CLEANLY")
    query = d.query(query_reject_condition="NONE")
    await d.answer(await d.poll_wft())
    await query


async def is_refused(d: Driver) -> None:
    await d.query()
    await d.start()
    await d.step(timer())
    await d.query("")
    await d.query(execution=("", ""))
    await d.query(execution=(d.workflow_id, NO_RUN))
    await d.query(execution=(d.workflow_id, "not-a-uuid"))
    await d.query(namespace="nowhere")
    await d.call("QueryWorkflow", execution=d.workflow_id)
    await d.call("QueryWorkflow", query={"query_type": "state"})


async def nobody_answers(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.query(timeout_s=1.5)


async def sticky(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    query = d.query()
    await d.answer(await poll)
    await query
    await d.describe()


async def sticky_queue_that_times_out(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.poll_wft_in_vain(d.sticky_queue())
    await d.complete(task, timer(), sticky_attributes=d.sticky(1))
    query = d.query()
    await d.answer(await d.poll_wft())
    await query


async def sticky_queue_that_was_never_polled(d: Driver) -> None:
    await d.start()
    await d.step(timer(), sticky_attributes=d.sticky())
    query = d.query()
    await d.answer(await d.poll_wft())
    await query


async def two_at_once_on_one_task(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal()
    one = d.query()
    await asyncio.sleep(0.2)
    other = d.query()
    await asyncio.sleep(0.3)
    task = await d.poll_wft()
    await d.complete(task, query_results=_answers(task))
    await one
    await other

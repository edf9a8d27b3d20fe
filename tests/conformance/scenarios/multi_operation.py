"""Update-with-start: id policies, deduplication, stages to wait for, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import fail_workflow, failure, succeed, timer
from tests.conformance.updates import accept, answer, begin_with_start, poll, reject, respond, send, sent, with_start


async def begins_a_workflow(d: Driver) -> None:
    call = await with_start(d, "u", "a", 1)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def waits_for_acceptance(d: Driver) -> None:
    call = await with_start(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[timer()])
    await call
    await d.signal()
    await answer(d, await d.poll_wft(), respond())
    await poll(d)


async def without_ids(d: Driver) -> None:
    call = await with_start(d, "", start={"request_id": ""})
    task = await d.poll_wft()
    update_id = task.messages[0].protocol_instance_id
    await answer(d, task, accept(task, update_id), respond(update_id), then=[timer()])
    await call


async def without_wait_policy(d: Driver) -> None:
    call = await with_start(d, stage=None)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def is_rejected(d: Driver) -> None:
    call = await with_start(d)
    task = await d.poll_wft()
    await answer(d, task, reject(task), then=[timer()])
    await call


async def fails(d: Driver) -> None:
    call = await with_start(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(fails=failure("no luck")), then=[timer()])
    await call


async def without_namespaces_of_their_own(d: Driver) -> None:
    await begin_with_start(d, start={"namespace": ""}, update={"namespace": ""})
    call = await with_start(d, update={"namespace": ""})
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def workflow_completes_with_it(d: Driver) -> None:
    call = await with_start(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[succeed()])
    await call
    await with_start(d)


async def workflow_completes_without_it(d: Driver) -> None:
    call = await with_start(d)
    await d.step(succeed())
    await call


async def workflow_completes_after_its_acceptance(d: Driver) -> None:
    call = await with_start(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[succeed()])
    await call


async def first_task_fails(d: Driver) -> None:
    call = await with_start(d)
    await d.fail(await d.poll_wft())
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def ignored_by_the_worker(d: Driver) -> None:
    call = await with_start(d)
    await d.step(timer())
    await call


# The workflow runs.


async def _running(d: Driver, **fields: Any) -> None:
    await d.start(**fields)
    await d.step(timer())


async def uses_a_running_one(d: Driver) -> None:
    await _running(d)
    call = await with_start(d, start={"workflow_id_conflict_policy": "USE_EXISTING"})
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await call


async def uses_a_running_one_and_is_rejected(d: Driver) -> None:
    await _running(d)
    call = await with_start(d, start={"workflow_id_conflict_policy": "USE_EXISTING"})
    task = await d.poll_wft()
    await answer(d, task, reject(task))
    await call


async def refuses_a_running_one(d: Driver) -> None:
    await _running(d)
    await begin_with_start(d)
    await begin_with_start(d, start={"workflow_id_conflict_policy": "FAIL"})


async def terminates_a_running_one(d: Driver) -> None:
    await _running(d)
    await asyncio.sleep(1.1)
    call = await with_start(d, start={"workflow_id_conflict_policy": "TERMINATE_EXISTING"})
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def terminates_a_running_one_by_the_old_policy(d: Driver) -> None:
    await _running(d)
    await asyncio.sleep(1.1)
    call = await with_start(d, start={"workflow_id_reuse_policy": "TERMINATE_IF_RUNNING"})
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def completed_update_of_a_running_one(d: Driver) -> None:
    await _running(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await begin_with_start(d)
    await begin_with_start(d, start={"workflow_id_conflict_policy": "USE_EXISTING"}, stage="ACCEPTED")


async def known_update_of_a_running_one(d: Driver) -> None:
    await _running(d)
    update = await sent(d)
    call = await with_start(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    accepted = await with_start(d, stage="ACCEPTED")
    await accepted
    await d.signal()
    await answer(d, await d.poll_wft(), respond())
    await update
    await call


async def same_request_again(d: Driver) -> None:
    start = {"request_id": "the-start"}
    call = await with_start(d, start=start)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call
    await begin_with_start(d, start=start)
    other = await with_start(d, "other", start=start)
    task = await d.poll_wft()
    await answer(d, task, accept(task, "other"), respond("other"))
    await other


async def same_request_while_the_first_waits(d: Driver) -> None:
    start = {"request_id": "the-start"}
    one = await with_start(d, start=start)
    other = await with_start(d, start=start)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await one
    await other


async def request_of_a_plain_start_again(d: Driver) -> None:
    await _running(d, request_id="the-start")
    call = await with_start(d, start={"request_id": "the-start"})
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await call


async def two_updates_of_one_that_they_start(d: Driver) -> None:
    start = {"workflow_id_conflict_policy": "USE_EXISTING"}
    one = await with_start(d, "one", start=start)
    other = await with_start(d, "other", start=start)
    task = await d.poll_wft()
    messages = [accept(task, "one"), respond("one"), accept(task, "other"), respond("other")]
    await answer(d, task, *messages, then=[timer()])
    await one
    await other


async def uses_one_whose_task_keeps_failing(d: Driver) -> None:
    await d.start()
    for _ in range(2):
        await d.fail(await d.poll_wft())
    await begin_with_start(d, start={"workflow_id_conflict_policy": "USE_EXISTING"})


async def uses_one_that_has_too_many(d: Driver) -> None:
    await _running(d)
    updates = []
    for i in range(10):
        updates.append(send(d, f"u{i}", timeout_s=3))
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    await begin_with_start(d, "eleventh", start={"workflow_id_conflict_policy": "USE_EXISTING"})
    for update in updates:
        await update


async def used_one_completes_before_acceptance(d: Driver) -> None:
    """The update is aborted, so another workflow is started for it."""
    await _running(d)
    call = await with_start(d, start={"workflow_id_conflict_policy": "USE_EXISTING"})
    await d.step(succeed())
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def used_one_completes_and_the_id_is_not_used_again(d: Driver) -> None:
    await _running(d)
    policies = {"workflow_id_conflict_policy": "USE_EXISTING", "workflow_id_reuse_policy": "REJECT_DUPLICATE"}
    call = await with_start(d, start=policies)
    await d.step(succeed())
    await call


async def used_one_completes_after_acceptance(d: Driver) -> None:
    await _running(d)
    call = await with_start(d, start={"workflow_id_conflict_policy": "USE_EXISTING"})
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[succeed()])
    await call


async def used_one_is_terminated(d: Driver) -> None:
    await _running(d)
    policies = {"workflow_id_conflict_policy": "USE_EXISTING", "workflow_id_reuse_policy": "REJECT_DUPLICATE"}
    call = await with_start(d, start=policies)
    await d.terminate()
    await call


# The workflow is closed.


async def _closed(d: Driver, *commands: Any) -> None:
    await d.start()
    await d.step(*commands or (succeed(),))
    await asyncio.sleep(1.1)


async def starts_again_after_a_close(d: Driver) -> None:
    await _closed(d)
    call = await with_start(d, start={"workflow_id_conflict_policy": "USE_EXISTING"})
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def id_is_not_used_again(d: Driver) -> None:
    await _closed(d)
    await begin_with_start(d, start={"workflow_id_reuse_policy": "REJECT_DUPLICATE"})
    await begin_with_start(d, start={"workflow_id_reuse_policy": "ALLOW_DUPLICATE_FAILED_ONLY"})


async def id_is_used_again_after_a_failure(d: Driver) -> None:
    await _closed(d, fail_workflow())
    call = await with_start(d, start={"workflow_id_reuse_policy": "ALLOW_DUPLICATE_FAILED_ONLY"})
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


async def completed_update_of_a_closed_one(d: Driver) -> None:
    await _running(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[succeed()])
    await update
    await begin_with_start(d)
    await begin_with_start(d, start={"workflow_id_reuse_policy": "REJECT_DUPLICATE"})


async def accepted_update_of_a_closed_one(d: Driver) -> None:
    await _running(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), then=[succeed()])
    await update
    await begin_with_start(d, start={"workflow_id_reuse_policy": "REJECT_DUPLICATE"})
    await asyncio.sleep(0.8)
    call = await with_start(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await call


# Refused.


async def not_a_start_and_an_update(d: Driver) -> None:
    start = {"start_workflow": d.start_fields()}
    update = {"update_workflow": {"workflow_execution": d.workflow_id}}
    for operations in ([], [start], [update], [start, start], [update, start], [start, update, update], [{}, {}]):
        await d.call("ExecuteMultiOperation", operations=operations)


async def names_two_workflows(d: Driver) -> None:
    await begin_with_start(d, update={"workflow_execution": d.name("other")})


async def names_another_namespace(d: Driver) -> None:
    await begin_with_start(d, start={"namespace": "other"})
    await begin_with_start(d, update={"namespace": "other"})
    await begin_with_start(d, start={"namespace": "other"}, update={"namespace": "another"})


async def names_an_unknown_namespace(d: Driver) -> None:
    await begin_with_start(d, namespace="nowhere")
    await begin_with_start(d, namespace="")


async def refused_start(d: Driver) -> None:
    for fields in (
        {"cron_schedule": "* * * * *"},
        {"request_eager_execution": True},
        {"workflow_start_delay": 5},
        {"cron_schedule": "never"},
        {"workflow_type": None},
        {"workflow_id": ""},
        {"task_queue": None},
        {"workflow_id_reuse_policy": "TERMINATE_IF_RUNNING", "workflow_id_conflict_policy": "FAIL"},
        {"request_id": "r" * 1001},
    ):
        await begin_with_start(d, start=fields)


async def refused_update(d: Driver) -> None:
    run_id = "11111111-1111-4111-8111-111111111111"
    for fields in (
        {"workflow_execution": None},
        {"workflow_execution": {"workflow_id": d.workflow_id, "run_id": run_id}},
        {"first_execution_run_id": run_id},
        {"request": None},
        {"request": {"meta": {"update_id": "u" * 1001}, "input": {"name": "change"}}},
        {"request": {"meta": {"update_id": "u"}}},
        {"request": {"meta": {"update_id": "u"}, "input": {"name": ""}}},
        {"wait_policy": {"lifecycle_stage": "ADMITTED"}},
    ):
        await begin_with_start(d, update=fields)


async def both_are_refused(d: Driver) -> None:
    await begin_with_start(d, start={"workflow_type": None}, update={"request": None})


async def request_of_a_closed_one_again(d: Driver) -> None:
    start = {"request_id": "the-start"}
    await d.start(**start)
    await d.step(succeed())
    await begin_with_start(d, start=start, timeout_s=5)


async def uses_a_paused_one(d: Driver) -> None:
    await _running(d)
    await d.call("PauseWorkflowExecution", workflow_id=d.workflow_id, reason="r", request_id="p", identity="client")
    await begin_with_start(d, start={"workflow_id_conflict_policy": "USE_EXISTING"})

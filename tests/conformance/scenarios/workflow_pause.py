"""Workflows that are paused: what goes on, what is held until they are unpaused, and what is refused meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, child, continue_as_new, succeed, timer
from tests.conformance.updates import accept, answer, respond, sent

QUICK = {"initial_interval": 0.1, "backoff_coefficient": 1}
NO_RUN = "11111111-2222-4333-8444-555555555555"
LONG = "x" * 1001


async def _pause(d: Driver, **fields: Any) -> Any:
    fields = {"workflow_id": d.workflow_id, "identity": "operator", "request_id": "pause", **fields}
    return await d.call("PauseWorkflowExecution", **fields)


async def _unpause(d: Driver, **fields: Any) -> Any:
    fields = {"workflow_id": d.workflow_id, "identity": "operator", "request_id": "unpause", **fields}
    return await d.call("UnpauseWorkflowExecution", **fields)


async def before_its_first_task_starts(d: Driver) -> None:
    await d.start()
    await _pause(d, reason="maintenance")
    await d.describe()
    await d.poll_wft_in_vain()
    await _unpause(d, reason="done")
    await d.describe()
    await d.step(succeed())
    await d.describe()


async def between_tasks(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await _pause(d)
    await d.describe()
    await _unpause(d)
    await d.step(succeed())


async def while_a_task_is_started(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _pause(d)
    await d.describe()
    await d.complete(task, timer())
    await d.describe()
    await d.poll_wft_in_vain()
    await _unpause(d)
    await d.step(succeed())


async def while_a_task_is_started_that_closes_it(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _pause(d)
    await d.complete(task, succeed())
    await d.describe()
    await _unpause(d)
    await d.step(succeed())


async def unpaused_while_the_task_is_started(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _pause(d)
    await _unpause(d)
    await d.complete(task, timer())
    await d.step(succeed())


async def while_a_task_is_started_that_fails(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _pause(d)
    await d.fail(task)
    await d.describe()
    await _unpause(d)
    await d.step(succeed())


async def while_a_task_is_started_that_times_out(d: Driver) -> None:
    await d.start(workflow_task_timeout=1)
    await d.poll_wft()
    await _pause(d)
    await d.until_event("WORKFLOW_TASK_TIMED_OUT")
    await d.describe()
    await _unpause(d)
    await d.step(succeed())


async def while_a_later_attempt_waits(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    await _pause(d)
    await d.describe()
    await _unpause(d)
    await d.describe()
    await d.step(succeed())


async def while_a_later_attempt_is_started(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    task = await d.poll_wft()
    await _pause(d)
    await d.complete(task, timer())
    await _unpause(d)
    await d.step(succeed())


async def with_a_bad_command_under_way(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _pause(d)
    await d.complete(task, timer(""))
    await _unpause(d)
    await d.step(succeed())


async def task_asks_for_another(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _pause(d)
    await d.complete(task, force_create_new_workflow_task=True)
    await d.complete(task, return_new_workflow_task=True)
    await _unpause(d)
    await d.step(succeed())


async def update_waits_behind_the_started_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    update = await sent(d, "u")
    await _pause(d)
    await d.complete(task)
    await d.poll_wft_in_vain()
    await d.describe()
    await _unpause(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task, "u"), respond("u"))
    await update


async def update_waits_behind_the_task_whose_worker_wants_the_next(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    update = await sent(d, "u")
    await _pause(d)
    await d.complete(task, return_new_workflow_task=True)
    await d.poll_wft_in_vain()
    await d.terminate()
    await update


async def an_update_is_refused_while_another_waits(d: Driver) -> None:
    await d.start()
    update = await sent(d, "u")
    await _pause(d)
    await (await sent(d, "refused"))
    await d.terminate()
    await update


async def while_the_task_of_an_update_waits(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    update = await sent(d, "u")
    await _pause(d)
    await d.cancel()
    await d.reset(8)
    await d.poll_wft()
    await update


async def is_signalled(d: Driver) -> None:
    await d.start()
    await d.step()
    await _pause(d)
    await d.signal()
    await d.signal_with_start(request_id="again")
    await d.describe()
    await d.poll_wft_in_vain()
    await _unpause(d)
    await d.step(succeed())


async def is_cancelled(d: Driver) -> None:
    await d.start()
    await d.step()
    await _pause(d)
    await d.cancel()
    await d.describe()
    await _unpause(d)
    await d.step(succeed())


async def is_terminated(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d)
    await d.terminate()
    await d.describe()


async def is_terminated_with_a_task_started(d: Driver) -> None:
    await d.start()
    await d.poll_wft()
    await _pause(d)
    await d.terminate()


async def is_queried(d: Driver) -> None:
    await d.start()
    await d.step()
    await _pause(d)
    await d.query()
    await d.query(query_reject_condition="NOT_OPEN")
    await d.query(query_reject_condition="NOT_COMPLETED_CLEANLY")


async def run_times_out(d: Driver) -> None:
    await d.start(workflow_run_timeout=1)
    await d.step()
    await _pause(d)
    await d.until_closed()
    await d.until_event("WORKFLOW_EXECUTION_TIMED_OUT")
    await d.describe()


async def timer_fires(d: Driver) -> None:
    await d.start()
    await d.step(timer(seconds=0.5))
    await _pause(d)
    await d.until_event("TIMER_FIRED")
    await d.describe()
    await d.poll_wft_in_vain()
    await _unpause(d)
    await d.step(succeed())


async def child_completes(d: Driver) -> None:
    await d.start()
    await d.step(child(d.name("child"), task_queue=d.name("elsewhere")))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.step()
    await _pause(d)
    await d.complete(await d.poll_wft(d.name("elsewhere")), succeed())
    await d.until_event("CHILD_WORKFLOW_EXECUTION_COMPLETED")
    await d.poll_wft_in_vain()
    await _unpause(d)
    await d.step(succeed())


async def activity_waits(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d)
    await d.describe()
    await d.poll_activity_in_vain()
    await _unpause(d)
    await d.complete_activity(await d.poll_activity())


async def activity_runs_on(d: Driver) -> None:
    await d.start()
    await d.step(activity(heartbeat_timeout=20))
    task = await d.poll_activity()
    await _pause(d)
    await d.heartbeat(task, "some")
    await d.describe()
    await d.complete_activity(task)
    await d.poll_wft_in_vain()
    await _unpause(d)
    await d.step(succeed())


async def activity_times_out(d: Driver) -> None:
    await d.start()
    await d.step(activity(start_to_close_timeout=None, schedule_to_close_timeout=1))
    await _pause(d)
    await d.until_event("ACTIVITY_TASK_TIMED_OUT")
    await d.describe()


async def activity_attempt_times_out(d: Driver) -> None:
    await d.start()
    await d.step(activity(start_to_close_timeout=1))
    await d.poll_activity()
    await _pause(d)
    await d.until_event("ACTIVITY_TASK_TIMED_OUT")


async def activity_fails_and_is_retried(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await _pause(d)
    await d.fail_activity(task)
    await d.poll_activity()


async def activity_waits_for_its_next_attempt(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 1, "backoff_coefficient": 1}))
    await d.fail_activity(await d.poll_activity())
    await _pause(d)
    await d.describe()
    await d.poll_activity_in_vain()
    await _unpause(d)
    await d.complete_activity(await d.poll_activity())


async def activity_waits_on_after_the_pause(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 30, "backoff_coefficient": 1}))
    await d.fail_activity(await d.poll_activity())
    await _pause(d)
    await _unpause(d)
    await d.describe()


async def activity_is_scheduled_meanwhile(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _pause(d)
    await d.complete(task, activity(request_eager_execution=True))
    await d.describe()
    await d.poll_activity_in_vain()
    await _unpause(d)
    await d.poll_activity()


async def activity_is_paused_as_well(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d, reason="both")
    await d.call("PauseActivity", execution=d.workflow_id, id="a", identity="operator")
    await d.describe()
    await _unpause(d)
    await d.describe()
    await d.poll_activity_in_vain()
    await d.call("UnpauseActivity", execution=d.workflow_id, id="a", identity="operator")
    await d.poll_activity()


async def activity_is_unpaused_alone(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.call("PauseActivity", execution=d.workflow_id, id="a", identity="operator")
    await _pause(d)
    await d.call("UnpauseActivity", execution=d.workflow_id, id="a", identity="operator")
    await d.describe()
    await d.poll_activity()


async def activity_is_reset_meanwhile(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d)
    await d.call("ResetActivity", execution=d.workflow_id, id="a", identity="operator")
    await d.poll_activity()


async def activity_options_are_updated_meanwhile(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d)
    await d.call(
        "UpdateActivityOptions",
        execution=d.workflow_id,
        id="a",
        activity_options={"heartbeat_timeout": 5},
        update_mask={"paths": ["heartbeat_timeout"]},
    )
    await d.poll_activity()


async def again(d: Driver) -> None:
    await d.start()
    await _pause(d, request_id="one")
    await _pause(d, request_id="one")
    await _pause(d, request_id="two")
    await _pause(d, request_id="")
    await _unpause(d)
    await _unpause(d)
    await _pause(d, request_id="")
    await _pause(d, request_id="")


async def continues_as_new_under_way(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _pause(d)
    await d.complete(task, continue_as_new())
    await d.describe()
    await _unpause(d)
    await d.step(succeed())


async def its_id_is_taken_over(d: Driver) -> None:
    await d.start()
    await d.step()
    await _pause(d)
    await d.start()
    await d.start(workflow_id_conflict_policy="USE_EXISTING")
    await asyncio.sleep(1.1)
    await d.start(workflow_id_conflict_policy="TERMINATE_EXISTING")


async def is_waited_for(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await _pause(d)
    close = {"execution": d.workflow_id, "history_event_filter_type": "CLOSE_EVENT"}
    await d.call("GetWorkflowExecutionHistory", **close)
    await d.call("GetWorkflowExecutionHistory", **close, wait_new_event=True, timeout_s=2)
    await d.call("GetWorkflowExecutionHistory", execution=d.workflow_id, wait_new_event=True)


async def is_listed(d: Driver) -> None:
    mine = f"WorkflowId = '{d.workflow_id}'"
    await d.start()
    await d.step()
    await _pause(d, reason="maintenance")
    await d.until_listed(f"{mine} AND ExecutionStatus = 'Paused'", 1)
    await d.call("ListWorkflowExecutions", query=mine)
    await d.call("CountWorkflowExecutions", query=f"{mine} AND ExecutionStatus = 'Running'")
    await d.call("CountWorkflowExecutions", query=f"{mine} AND ExecutionStatus = 8")
    await d.call("CountWorkflowExecutions", query=f"{mine} AND TemporalPauseInfo = 'Workflow:{d.workflow_id}'")
    await d.call("CountWorkflowExecutions", query=f"{mine} AND TemporalPauseInfo = 'Reason:maintenance'")
    await d.call("ListOpenWorkflowExecutions", execution_filter={"workflow_id": d.workflow_id}, start_time_filter={})
    await _unpause(d)
    await d.until_listed(f"{mine} AND ExecutionStatus = 'Running'", 1)
    await d.call("ListWorkflowExecutions", query=mine)


async def is_deleted(d: Driver) -> None:
    await d.start()
    await d.step()
    await _pause(d)
    await d.call("DeleteWorkflowExecution", workflow_execution=d.workflow_id)


async def is_refused(d: Driver) -> None:
    await d.start()
    for operate in (_pause, _unpause):
        await operate(d, namespace="")
        await operate(d, namespace="nowhere")
        await operate(d, workflow_id="")
        await operate(d, workflow_id="no such workflow")
        await operate(d, run_id=NO_RUN)
        await operate(d, run_id="no uuid")
        await operate(d, reason=LONG)
        await operate(d, request_id=LONG)
        await operate(d, identity=LONG)
    await _unpause(d)
    await d.terminate()
    await _pause(d)
    await _unpause(d)

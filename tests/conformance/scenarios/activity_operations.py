"""Activities that are paused, unpaused and reset, and whose options are changed, while they run or wait."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, cancel_activity, succeed

QUICK = {"initial_interval": 0.1, "backoff_coefficient": 1}
SLOW = {"initial_interval": 30, "backoff_coefficient": 1}
NO_RUN = "11111111-2222-4333-8444-555555555555"
LONG = "x" * 1001


async def _pause(d: Driver, **fields: Any) -> Any:
    return await _operate(d, "PauseActivity", **fields)


async def _unpause(d: Driver, **fields: Any) -> Any:
    return await _operate(d, "UnpauseActivity", **fields)


async def _reset(d: Driver, **fields: Any) -> Any:
    return await _operate(d, "ResetActivity", **fields)


async def _update(d: Driver, *paths: str, **fields: Any) -> Any:
    if paths:
        fields["update_mask"] = {"paths": paths}
    return await _operate(d, "UpdateActivityOptions", **fields)


async def _operate(d: Driver, method: str, **fields: Any) -> Any:
    if not {"id", "type", "match_all", "unpause_all"} & fields.keys():
        fields["id"] = "a"
    return await d.call(method, **{"execution": d.workflow_id, "identity": "operator", **fields})


# ---- pause and unpause -----------------------------------------------------------------------------------------


async def paused_before_it_starts(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d, reason="maintenance")
    await d.describe()
    await d.poll_activity_in_vain()
    await _unpause(d)
    await d.describe()
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())
    await d.describe()


async def paused_while_it_runs(d: Driver) -> None:
    await d.start()
    await d.step(activity(heartbeat_timeout=20, retry_policy=QUICK))
    task = await d.poll_activity()
    await d.heartbeat(task, "some")
    await _pause(d)
    await d.heartbeat(task, "more")
    await d.describe()
    await d.fail_activity(task)
    await d.describe()
    await d.poll_activity_in_vain()
    await _unpause(d)
    again = await d.poll_activity()
    await d.describe()
    await d.heartbeat(again, "again")
    await d.complete_activity(again)


async def completes_while_paused(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await _pause(d)
    await d.complete_activity(task)
    await d.describe()
    await d.step(succeed())
    await d.describe()


async def fails_for_good_while_paused(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await _pause(d)
    await d.fail_activity(task)
    await d.describe()


async def heartbeat_by_id_while_paused(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.poll_activity()
    await _pause(d)
    await d.call(
        "RecordActivityTaskHeartbeatById", workflow_id=d.workflow_id, activity_id="a", identity="worker", details="x"
    )


async def paused_between_attempts(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=SLOW))
    await d.fail_activity(await d.poll_activity())
    await d.describe()
    await _pause(d)
    await d.describe()
    await _unpause(d)
    await d.complete_activity(await d.poll_activity())


async def unpaused_with_attempts_and_heartbeat_reset(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await d.heartbeat(task, "some")
    await d.fail_activity(task)
    task = await d.poll_activity()
    await _pause(d)
    await d.fail_activity(task)
    await d.describe()
    await _unpause(d, reset_attempts=True, reset_heartbeat=True)
    await d.describe()
    await d.poll_activity()


async def unpaused_while_it_runs_with_attempts_reset(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    await d.fail_activity(await d.poll_activity())
    task = await d.poll_activity()
    await d.heartbeat(task, "some")
    await _pause(d)
    await _unpause(d, reset_attempts=True, reset_heartbeat=True)
    await d.describe()
    await d.heartbeat(task, "more")
    await d.complete_activity(task)


async def unpaused_with_jitter(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d)
    await _unpause(d, jitter=0.2)
    await d.complete_activity(await d.poll_activity())


async def paused_again(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d, request_id="one", reason="first")
    await _pause(d, request_id="one", reason="second")
    await _pause(d, request_id="two")
    await d.describe()
    await _unpause(d)
    await _unpause(d)
    await d.describe()


async def paused_again_without_request_id(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d, reason="first")
    await _pause(d, reason="second")
    await d.describe()


async def by_type(d: Driver) -> None:
    await d.start()
    await d.step(activity("a"), activity("b"), activity("c", activity_type="other"))
    await _pause(d, type="work")
    await d.describe()
    await _pause(d, id="c")
    await _unpause(d, type="work")
    await d.describe()
    await _unpause(d, unpause_all=True)
    await d.describe()


async def paused_does_not_time_out(d: Driver) -> None:
    await d.start()
    await d.step(activity(schedule_to_close_timeout=1, start_to_close_timeout=None))
    await _pause(d)
    await asyncio.sleep(1.6)
    await d.describe()
    await _unpause(d)
    await d.until_event("ACTIVITY_TASK_TIMED_OUT")


async def paused_attempt_does_not_time_out(d: Driver) -> None:
    await d.start()
    await d.step(activity(start_to_close_timeout=1))
    await d.poll_activity()
    await _pause(d)
    await asyncio.sleep(1.6)
    await d.describe()
    await _unpause(d)
    await d.until_event("ACTIVITY_TASK_TIMED_OUT")


async def paused_attempt_misses_its_heartbeat(d: Driver) -> None:
    await d.start()
    await d.step(activity(heartbeat_timeout=1, retry_policy=QUICK))
    await d.poll_activity()
    await _pause(d)
    await asyncio.sleep(1.6)
    await d.describe()
    await _unpause(d)
    await d.complete_activity(await d.poll_activity())


async def paused_and_cancelled(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d)
    await d.signal()
    await d.step(cancel_activity(5))
    await d.step(succeed())
    await d.describe()


async def paused_and_cancelled_while_it_runs(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await _pause(d)
    await d.signal()
    await d.step(cancel_activity(5))
    await d.describe()
    await d.heartbeat(task)
    await _unpause(d)
    await d.describe()
    await d.cancel_activity(task)


async def cancelled_and_then_paused(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.signal()
    await d.step(cancel_activity(5))
    await _pause(d)
    await _reset(d)
    await d.describe()
    await _unpause(d)
    await d.cancel_activity(task)


async def completed_by_id_while_paused(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _pause(d)
    await d.call("RespondActivityTaskCompletedById", workflow_id=d.workflow_id, activity_id="a", identity="client")
    await d.describe()


async def of_a_workflow_with_a_task_under_way(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.signal()
    task = await d.poll_wft()
    await _pause(d)
    await _unpause(d)
    await _reset(d)
    await d.complete(task)
    await d.poll_activity()


async def eager_one_is_paused(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    reply = await d.complete(task, activity(request_eager_execution=True, retry_policy=QUICK))
    await _pause(d)
    await d.describe()
    await d.fail_activity(reply.activity_tasks[0])
    await d.describe()
    await _unpause(d)
    await d.complete_activity(await d.poll_activity())


async def listed_by_pause_info(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    query = f"WorkflowId = '{d.workflow_id}' AND TemporalPauseInfo = 'property:activityType=work'"
    await _pause(d)
    await d.until_listed(query, 1)
    await d.call("ListWorkflowExecutions", query=f"WorkflowId = '{d.workflow_id}'")
    await _unpause(d)
    await d.until_listed(query, 0)
    await d.call("ListWorkflowExecutions", query=f"WorkflowId = '{d.workflow_id}'")


# ---- reset -----------------------------------------------------------------------------------------------------


async def reset_between_attempts(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=SLOW))
    task = await d.poll_activity()
    await d.heartbeat(task, "some")
    await d.fail_activity(task)
    await _reset(d)
    await d.describe()
    await d.complete_activity(await d.poll_activity())


async def reset_between_attempts_with_heartbeat(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=SLOW))
    task = await d.poll_activity()
    await d.heartbeat(task, "some")
    await d.fail_activity(task)
    await _reset(d, reset_heartbeat=True)
    await d.describe()
    await d.poll_activity()


async def reset_while_it_runs(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    await d.fail_activity(await d.poll_activity())
    task = await d.poll_activity()
    await d.heartbeat(task, "some")
    await _reset(d)
    await d.describe()
    await d.heartbeat(task, "more")
    await d.fail_activity(task)
    await d.describe()


async def first_attempt_is_reset_while_it_runs(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await _reset(d, reset_heartbeat=True)
    await d.heartbeat(task, "more")
    await d.describe()
    await d.fail_activity(task)
    again = await d.poll_activity()
    await d.heartbeat(again)
    await d.complete_activity(again)


async def reset_before_it_starts(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _reset(d, jitter=0.2)
    await d.complete_activity(await d.poll_activity())


async def reset_unpauses(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await _pause(d)
    await d.fail_activity(task)
    await _reset(d)
    await d.describe()
    await d.complete_activity(await d.poll_activity())


async def reset_keeps_it_paused(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await d.heartbeat(task, "some")
    await _pause(d)
    await d.fail_activity(task)
    await _reset(d, keep_paused=True, reset_heartbeat=True)
    await d.describe()
    await d.poll_activity_in_vain()
    await _unpause(d)
    await d.poll_activity()


async def reset_paused_while_it_runs(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await _pause(d)
    await _reset(d)
    await d.heartbeat(task)
    await d.describe()
    await d.complete_activity(task)


async def reset_all(d: Driver) -> None:
    await d.start()
    await d.step(activity("a", retry_policy=SLOW), activity("b", retry_policy=SLOW, activity_type="other"))
    await _update(d, "task_queue.name", id="b", activity_options={"task_queue": d.name("elsewhere")})
    await d.fail_activity(await d.poll_activity())
    await d.fail_activity(await d.poll_activity(d.name("elsewhere")))
    await _reset(d, match_all=True)
    await d.poll_activity()
    await d.poll_activity(d.name("elsewhere"))
    await _reset(d, type="other")
    await d.describe()


async def reset_restores_options(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=SLOW, priority={"priority_key": 2}))
    await _update(
        d,
        "start_to_close_timeout",
        "priority.priority_key",
        "retry_policy.maximum_attempts",
        activity_options={
            "start_to_close_timeout": 33,
            "priority": {"priority_key": 4},
            "retry_policy": {"maximum_attempts": 7},
        },
    )
    await _reset(d, restore_original_options=True)
    await d.describe()
    await d.poll_activity()


# ---- refusals --------------------------------------------------------------------------------------------------

METHODS = ("PauseActivity", "UnpauseActivity", "ResetActivity", "UpdateActivityOptions")


async def is_refused(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    for method in METHODS:
        more: dict[str, Any] = {"restore_original": True} if method == "UpdateActivityOptions" else {}
        await d.call(method, namespace="", execution=d.workflow_id, id="a", **more)
        await d.call(method, namespace="nowhere", execution=d.workflow_id, id="a", **more)
        await d.call(method, id="a", **more)
        await d.call(method, execution="", id="a", **more)
        await d.call(method, execution=d.workflow_id, **more)
        await d.call(method, execution=d.workflow_id, id="", **more)
        await d.call(method, execution=d.workflow_id, type="", **more)
        await d.call(method, execution=d.workflow_id, id="none", **more)
        await d.call(method, execution=d.workflow_id, type="none", **more)
        await d.call(method, execution=(d.workflow_id, NO_RUN), id="a", **more)
        await d.call(method, execution=(d.workflow_id, "no uuid"), id="a", **more)
        await d.call(method, execution="no such workflow", id="a", **more)
        await d.call(method, execution=d.workflow_id, id="a", identity=LONG, **more)
    await _unpause(d, jitter=-1)
    await _pause(d)
    await _reset(d, match_all=False)
    await _unpause(d, unpause_all=False)
    await _pause(d, reason="x" * 5000, request_id=LONG)


async def of_a_closed_workflow(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.terminate()
    await _pause(d)
    await _unpause(d)
    await _reset(d)
    await _update(d, "heartbeat_timeout", activity_options={"heartbeat_timeout": 1})


async def of_a_workflow_without_any(d: Driver) -> None:
    await d.start()
    await _pause(d)
    await _unpause(d, unpause_all=True)
    await _reset(d, match_all=True)
    await _update(d, match_all=True, restore_original=True)

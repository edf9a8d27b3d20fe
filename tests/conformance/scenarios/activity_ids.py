"""Answers of activity workers by token and by id, good and stale."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, cancel_activity, failure, succeed, timer

QUICK = {"initial_interval": 0.1, "backoff_coefficient": 1}


async def answered_twice(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.complete_activity(task)
    await d.complete_activity(task)
    await d.fail_activity(task)
    await d.cancel_activity(task)
    await d.heartbeat(task)


async def answered_with_a_bad_token(d: Driver) -> None:
    for method in ("Completed", "Failed", "Canceled"):
        await d.call(f"RespondActivityTask{method}", task_token=b"nonsense")
        await d.call(f"RespondActivityTask{method}", task_token=b"")
    await d.call("RecordActivityTaskHeartbeat", task_token=b"nonsense")
    await d.call("RecordActivityTaskHeartbeat", task_token=b"")


async def answered_with_another_namespace(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.complete_activity(task, namespace="conformance-other")
    await d.complete_activity(task, namespace="nowhere")


async def answered_with_the_token_of_an_earlier_attempt(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    first = await d.poll_activity()
    await d.fail_activity(first)
    await d.heartbeat(first)
    second = await d.poll_activity()
    await d.complete_activity(first)
    await d.heartbeat(first)
    await d.complete_activity(second)


async def answered_with_a_long_identity(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.complete_activity(task, identity="x" * 1001)
    await d.fail_activity(task, identity="x" * 1001)
    await d.poll_activity(identity="x" * 1001)


def _by_id(d: Driver, **fields: Any) -> dict[str, Any]:
    return {"workflow_id": d.workflow_id, "activity_id": "a", "identity": "outside", **fields}


async def completed_by_id(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.poll_activity()
    await d.call("RecordActivityTaskHeartbeatById", **_by_id(d, details="beat"))
    await d.call("RespondActivityTaskCompletedById", **_by_id(d, result="by id"))
    await d.step(succeed())


async def failed_by_id(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.poll_activity()
    await d.call("RespondActivityTaskFailedById", **_by_id(d, failure=failure("by id")))


async def cancelled_by_id(d: Driver) -> None:
    await d.start()
    await d.step(activity(), force_create_new_workflow_task=True)
    await d.poll_activity()
    await d.call("RespondActivityTaskCanceledById", **_by_id(d))
    await d.step(cancel_activity(5))
    await d.call("RecordActivityTaskHeartbeatById", **_by_id(d))
    await d.call("RespondActivityTaskCanceledById", **_by_id(d, details="by id"))


async def by_id_before_it_starts(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.call("RecordActivityTaskHeartbeatById", **_by_id(d))
    await d.call("RespondActivityTaskCompletedById", **_by_id(d))
    await d.call("RespondActivityTaskFailedById", **_by_id(d, failure=failure()))


async def by_id_between_attempts(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 60}))
    await d.fail_activity(await d.poll_activity())
    await d.call("RecordActivityTaskHeartbeatById", **_by_id(d))
    await d.call("RespondActivityTaskFailedById", **_by_id(d, failure=failure()))
    await d.call("RespondActivityTaskCompletedById", **_by_id(d))


async def by_id_that_is_unknown(d: Driver) -> None:
    await d.call("RespondActivityTaskCompletedById", **_by_id(d))
    await d.start()
    await d.step(timer())
    for method in ("RespondActivityTaskCompletedById", "RespondActivityTaskFailedById"):
        await d.call(method, **_by_id(d))
        await d.call(method, **_by_id(d, workflow_id=""))
        await d.call(method, **_by_id(d, activity_id=""))
        await d.call(method, **_by_id(d, run_id="not-a-uuid"))
    await d.call("RespondActivityTaskCanceledById", **_by_id(d))
    await d.call("RespondActivityTaskCanceledById", **_by_id(d, activity_id=""))
    await d.call("RecordActivityTaskHeartbeatById", **_by_id(d))
    await d.call("RecordActivityTaskHeartbeatById", **_by_id(d, workflow_id=""))


async def by_id_of_another_run(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.poll_activity()
    run_id = "11111111-2222-4333-8444-555555555555"
    await d.call("RespondActivityTaskCompletedById", **_by_id(d, run_id=run_id))

"""The newer calls on activities, which name one by its id: they do as those that say which activities are meant."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity

SLOW = {"initial_interval": 30, "backoff_coefficient": 1}
NO_RUN = "11111111-2222-4333-8444-555555555555"
LONG = "x" * 1001


async def operate(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=SLOW))
    one = {"workflow_id": d.workflow_id, "activity_id": "a", "identity": "operator"}
    await d.call("PauseActivityExecution", **one, reason="maintenance", request_id="one")
    await d.call("PauseActivityExecution", **one, reason="again", request_id="one")
    await d.call("PauseActivityExecution", **one)
    await d.describe()
    await d.call("UnpauseActivityExecution", **one, jitter=0.1)
    await d.fail_activity(await d.poll_activity())
    await d.call("ResetActivityExecution", **one)
    await d.poll_activity()
    options = {"start_to_close_timeout": 40}
    paths = {"paths": ["start_to_close_timeout"]}
    await d.call("UpdateActivityExecutionOptions", **one, activity_options=options, update_mask=paths)
    await d.call("UpdateActivityExecutionOptions", **one, restore_original=True)


async def are_refused(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    for method in ("Pause", "Unpause", "Reset"):
        await _refusals(d, f"{method}ActivityExecution")
    await d.call("PauseActivityExecution", workflow_id=d.workflow_id, activity_id="a", reason="x" * (2 << 20))
    for method in ("Unpause", "Reset"):
        await d.call(f"{method}ActivityExecution", workflow_id=d.workflow_id, activity_id="a", jitter=-1)
    await _refusals(d, "UpdateActivityExecutionOptions", restore_original=True)


async def _refusals(d: Driver, method: str, **more: Any) -> None:
    one: dict[str, Any] = {"workflow_id": d.workflow_id, "activity_id": "a", **more}
    await d.call(method, activity_id="a", **more)
    await d.call(method, **{**one, "activity_id": ""})
    await d.call(method, **{**one, "activity_id": LONG})
    await d.call(method, **one, identity=LONG)
    await d.call(method, **one, request_id=LONG)
    await d.call(method, **one, run_id="no uuid")
    await d.call(method, **one, run_id=NO_RUN)
    await d.call(method, **{**one, "activity_id": "none"})
    await d.call(method, **{**one, "workflow_id": "no such workflow"})
    await d.call(method, **{**one, "namespace": ""})
    await d.call(method, **{**one, "namespace": "nowhere"})


async def options_are_refused(d: Driver) -> None:
    await d.start()
    await d.step(activity())

    async def refused(*paths: str, **fields: Any) -> None:
        one = {"workflow_id": d.workflow_id, "activity_id": "a"}
        mask = {"paths": paths} if paths else None
        await d.call("UpdateActivityExecutionOptions", **one, update_mask=mask, **fields)

    await refused()
    await refused("heartbeat_timeout", restore_original=True)
    await refused("heartbeat_timeout")
    await refused(activity_options={})
    await refused("", activity_options={})
    await refused("nonsense", activity_options={})
    await refused("task_queue", activity_options={})
    await refused("start_delay", activity_options={"start_delay": 1})
    await refused("task_queue.name", activity_options={})
    await refused("task_queue.name", activity_options={"task_queue": "temporal-sys-per-ns-tq"})
    for name in ("schedule_to_close", "schedule_to_start", "start_to_close", "heartbeat"):
        await refused(f"{name}_timeout", activity_options={f"{name}_timeout": -1})
    await refused("priority", activity_options={"priority": {"priority_key": -1}})
    await refused("priority.priority_key", activity_options={"priority": {"priority_key": -1}})
    await refused("priority.fairness_key", activity_options={"priority": {"fairness_key": "x" * 65}})
    await refused("priority.fairness_weight", activity_options={"priority": {"fairness_weight": -1}})
    await refused("retry_policy", activity_options={"retry_policy": {"maximum_attempts": -1}})
    await refused("retry_policy.initial_interval", activity_options={"retry_policy": {"initial_interval": -1}})
    await refused("retry_policy.backoff_coefficient", activity_options={"retry_policy": {"backoff_coefficient": 0.1}})
    await refused("retry_policy.maximum_interval", activity_options={"retry_policy": {"maximum_interval": -1}})
    await refused("retry_policy.maximum_attempts", activity_options={"retry_policy": {"maximum_attempts": -1}})
    await refused("retry_policy", activity_options={})

"""Options of activities that are changed while they wait or run, and that are restored."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity

QUICK = {"initial_interval": 0.1, "backoff_coefficient": 1}
SLOW = {"initial_interval": 30, "backoff_coefficient": 1}
LONG = "x" * 1001


async def _update(d: Driver, *paths: str, **fields: Any) -> Any:
    if paths:
        fields["update_mask"] = {"paths": paths}
    if not {"id", "type", "match_all"} & fields.keys():
        fields["id"] = "a"
    return await d.call("UpdateActivityOptions", execution=d.workflow_id, identity="operator", **fields)


async def _operate(d: Driver, method: str) -> Any:
    return await d.call(method, execution=d.workflow_id, identity="operator", id="a")


ALL = {
    "task_queue": "elsewhere",
    "schedule_to_close_timeout": 400,
    "schedule_to_start_timeout": 300,
    "start_to_close_timeout": 200,
    "heartbeat_timeout": 100,
    "retry_policy": {"initial_interval": 3, "backoff_coefficient": 4, "maximum_interval": 50, "maximum_attempts": 6},
    "priority": {"priority_key": 3, "fairness_key": "k", "fairness_weight": 2},
}


async def of_every_kind(d: Driver) -> None:
    await d.start()
    await d.step(activity(priority={"priority_key": 1}, retry_policy={"non_retryable_error_types": ["Fatal"]}))
    options = {**ALL, "task_queue": d.name("elsewhere")}
    for path in (
        "schedule_to_close_timeout",
        "scheduleToStartTimeout",
        "StartToCloseTimeout",
        "heartbeat_timeout",
        "retry_policy.initial_interval",
        "retry_policy.backoff_coefficient",
        "retry_policy.maximum_interval",
        "retry_policy.maximum_attempts",
        "retry_policy",
        "priority.priority_key",
        "priority.fairness_key",
        "priority.fairness_weight",
        "priority",
        "nonsense",
    ):
        await _update(d, path, activity_options=options)
    await _update(d, "task_queue.name", activity_options=options)
    await d.describe()
    await d.poll_activity(d.name("elsewhere"))
    await _update(d, restore_original=True)
    await d.describe()


async def all_at_once(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _update(d, *ALL, activity_options={**ALL, "task_queue": d.name("elsewhere")})
    await d.describe()
    await _update(d, "task_queue.name", *ALL, activity_options={**ALL, "task_queue": d.name("elsewhere")})
    await d.describe()


async def while_it_runs(d: Driver) -> None:
    await d.start()
    await d.step(activity(start_to_close_timeout=100))
    task = await d.poll_activity()
    await _update(d, "start_to_close_timeout", activity_options={"start_to_close_timeout": 1})
    await d.until_event("ACTIVITY_TASK_TIMED_OUT")
    await d.complete_activity(task)


async def between_attempts(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=SLOW))
    await d.fail_activity(await d.poll_activity())
    await _update(d, "retry_policy.initial_interval", activity_options={"retry_policy": {"initial_interval": 0.1}})
    await d.complete_activity(await d.poll_activity())


async def with_a_later_attempt(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=SLOW))
    await d.fail_activity(await d.poll_activity())
    await _update(d, "retry_policy.initial_interval", activity_options={"retry_policy": {"initial_interval": 25}})
    await d.describe()


async def of_a_paused_one(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await _operate(d, "PauseActivity")
    await d.fail_activity(task)
    await _update(d, "start_to_close_timeout", activity_options={"start_to_close_timeout": 50})
    await d.describe()
    await d.poll_activity_in_vain()
    await _operate(d, "UnpauseActivity")
    await d.poll_activity()


async def are_restored(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 2, "non_retryable_error_types": ["Fatal"]}))
    await _update(d, "start_to_close_timeout", activity_options={"start_to_close_timeout": 50})
    await _update(d, "heartbeat_timeout", activity_options={"heartbeat_timeout": 5})
    await _update(d, restore_original=True)
    await d.describe()


async def are_restored_unchanged(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _update(d, restore_original=True)
    await _update(d, restore_original=True, update_mask={})
    await d.describe()


async def by_type_and_all(d: Driver) -> None:
    await d.start()
    await d.step(activity("a"), activity("b", activity_type="other"))
    await _update(d, "heartbeat_timeout", type="other", activity_options={"heartbeat_timeout": 5})
    await _update(d, "start_to_close_timeout", match_all=True, activity_options={"start_to_close_timeout": 9})
    await d.describe()


async def shorten_the_whole(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=SLOW))
    await d.fail_activity(await d.poll_activity())
    await _update(d, "schedule_to_close_timeout", activity_options={"schedule_to_close_timeout": 1})
    await d.describe()
    await d.until_event("ACTIVITY_TASK_TIMED_OUT")


async def are_refused(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await _update(d)
    await _update(d, activity_options={})
    await _update(d, "heartbeat_timeout")
    await _update(d, "heartbeat_timeout", restore_original=True)
    await _update(d, "heartbeat_timeout", activity_options={"heartbeat_timeout": -1})
    await _update(d, "start_to_close_timeout", activity_options={})
    await _update(d, "task_queue.name", activity_options={})
    await _update(d, "task_queue.name", activity_options={"task_queue": ""})
    await _update(d, "task_queue.name", activity_options={"task_queue": LONG})
    await _update(d, "task_queue.name", activity_options={"task_queue": "/_sys/x"})
    await _update(d, "priority.priority_key", activity_options={})
    await _update(d, "priority.fairness_key", activity_options={})
    await _update(d, "priority.fairness_weight", activity_options={})
    await _update(d, "priority", activity_options={"priority": {"priority_key": -1}})
    await _update(d, "heartbeat_timeout", activity_options={"priority": {"fairness_key": "x" * 65}})
    await _update(d, "heartbeat_timeout", activity_options={"priority": {"fairness_weight": -2}})
    for path in ("", ".initial_interval", ".backoff_coefficient", ".maximum_interval", ".maximum_attempts"):
        await _update(d, f"retry_policy{path}", activity_options={})
    await _update(d, "retry_policy.maximum_attempts", activity_options={"retry_policy": {"maximum_attempts": -1}})
    await _update(d, "retry_policy.maximum_attempts", activity_options={"retry_policy": {"maximum_attempts": 3}})
    await _update(
        d, "retry_policy.backoff_coefficient", activity_options={"retry_policy": {"backoff_coefficient": 0.5}}
    )
    await _update(d, "retry_policy.initial_interval", activity_options={"retry_policy": {"initial_interval": 200}})
    await _update(d, "heartbeat_timeout", id="none", activity_options={})
    await _update(d, "heartbeat_timeout", type="none", activity_options={})
    await _update(d, id="none", restore_original=True)
    await _update(d, type="none", restore_original=True)

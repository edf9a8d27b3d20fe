"""UpdateTaskQueueConfig: limits and weights that are set, changed, taken away and refused."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver


async def _update(d: Driver, kind: str = "ACTIVITY", **fields: Any) -> Any:
    return await d.call(
        "UpdateTaskQueueConfig", **{"task_queue": d.task_queue, "task_queue_type": kind, "identity": "me", **fields}
    )


def rate(per_second: float, reason: str = "") -> dict[str, Any]:
    return {"rate_limit": {"requests_per_second": per_second}, "reason": reason}


async def _described(d: Driver, kind: str = "ACTIVITY") -> None:
    await d.call("DescribeTaskQueue", task_queue=d.task_queue, task_queue_type=kind, report_config=True)


async def limit_is_set_changed_and_taken_away(d: Driver) -> None:
    await _update(d, update_queue_rate_limit=rate(5, "too fast"))
    await _described(d)
    await _update(d, update_queue_rate_limit=rate(0), identity="other")
    await _described(d)
    await _update(d, update_queue_rate_limit={"reason": "no more"})
    await d.call("UpdateTaskQueueConfig", task_queue=d.task_queue, task_queue_type="ACTIVITY")


async def fairness_limit_and_weights(d: Driver) -> None:
    await _update(d, update_fairness_key_rate_limit_default=rate(2.5, "fair"))
    await _update(d, set_fairness_weight_overrides={"a": 2.5, "b": 3})
    await _update(d, set_fairness_weight_overrides={"a": 4}, unset_fairness_weight_overrides=["b", "unknown"])
    await _update(d, update_fairness_key_rate_limit_default={})
    await _update(d, unset_fairness_weight_overrides=["a"])


async def types_have_their_own(d: Driver) -> None:
    await _update(d, "NEXUS", update_queue_rate_limit=rate(5))
    await _update(d, "WORKFLOW", set_fairness_weight_overrides={"a": 1.5})
    await _update(d, "UNSPECIFIED", update_queue_rate_limit=rate(7))
    await d.call("UpdateTaskQueueConfig", task_queue=d.task_queue, task_queue_type="ACTIVITY")
    await _described(d, "NEXUS")


async def a_queue_that_is_paused_gives_nothing(d: Driver) -> None:
    await _update(d, update_queue_rate_limit=rate(0))
    await d.poll_activity_in_vain()


async def refused(d: Driver) -> None:
    await _update(d, "WORKFLOW", update_queue_rate_limit=rate(5))
    await _update(d, "WORKFLOW", update_fairness_key_rate_limit_default=rate(5))
    await _update(d, update_queue_rate_limit=rate(-1))
    await _update(d, update_fairness_key_rate_limit_default=rate(-1))
    await _update(d, update_queue_rate_limit=rate(1, "x" * 1001))
    await _update(d, update_fairness_key_rate_limit_default=rate(1, "x" * 1001))
    await _update(d, identity="x" * 1001)
    for weights in ({"a": 0}, {"a": -1}, {"": 1}, {"k" * 65: 1}):
        await _update(d, set_fairness_weight_overrides=weights)
    await _update(d, unset_fairness_weight_overrides=[""])
    await _update(d, unset_fairness_weight_overrides=["k" * 65])
    await _update(d, set_fairness_weight_overrides={"a": 1}, unset_fairness_weight_overrides=["a"])
    await _update(d, task_queue="/_sys/x/1")
    await _update(d, namespace="conformance-missing")


async def too_many_weights(d: Driver) -> None:
    await _update(d, unset_fairness_weight_overrides=[f"k{i}" for i in range(1001)])
    await d.quietly(
        "UpdateTaskQueueConfig",
        task_queue=d.task_queue,
        task_queue_type="ACTIVITY",
        set_fairness_weight_overrides={f"k{i}": 1 for i in range(1000)},
    )
    await _update(d, set_fairness_weight_overrides={"one more": 1})

"""DescribeTaskQueue in its modes, and what is wrong with a request for it."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver


async def _described(d: Driver, **fields: Any) -> Any:
    return await d.call("DescribeTaskQueue", **{"task_queue": d.task_queue, **fields})


async def queue_that_nobody_uses(d: Driver) -> None:
    for kind in ("UNSPECIFIED", "WORKFLOW", "ACTIVITY", "NEXUS"):
        await _described(d, task_queue_type=kind)
        await _described(d, task_queue_type=kind, report_config=True)
        await _described(d, task_queue_type=kind, report_stats=True)


async def partitions(d: Driver) -> None:
    await _described(d, task_queue=f"/_sys/{d.task_queue}/1")
    await _described(d, task_queue=f"/_sys/{d.task_queue}/1", report_stats=True)
    for name in ("/_sys/x", "/_sys/x/0", "/_sys/x/-1", "/_sys/x/y", "/_sys//_sys/x/1/2", "/_sys//1"):
        await _described(d, task_queue=name)
    await _described(d, task_queue=f"/_sys/{d.task_queue}/1", api_mode="ENHANCED")


async def sticky_queue(d: Driver) -> None:
    await _described(d, task_queue=d.sticky_queue())
    await _described(d, task_queue=d.sticky_queue(), report_stats=True)
    await _described(d, task_queue=d.sticky_queue(), api_mode="ENHANCED")


async def enhanced(d: Driver) -> None:
    mode = {"api_mode": "ENHANCED"}
    await _described(d, **mode)
    await _described(d, **mode, report_stats=True, report_pollers=True, task_queue=d.name("other"))
    await _described(d, **mode, task_queue_types=["ACTIVITY", "NEXUS"])
    await _described(d, **mode, versions={"build_ids": ["x"], "unversioned": True})


async def worker_limit_is_told(d: Driver) -> None:
    metadata = {"max_tasks_per_second": {"value": 7.5}}
    poll = d.begin(
        "PollActivityTaskQueue",
        task_queue=d.task_queue,
        identity="limited",
        task_queue_metadata=metadata,
        timeout_s=4,
    )

    async def polls() -> bool:
        reply = await d.quietly("DescribeTaskQueue", task_queue=d.task_queue, task_queue_type="ACTIVITY")
        return bool(reply.pollers)

    await d.until(polls)
    await _described(d, task_queue_type="ACTIVITY")
    await poll


async def refused(d: Driver) -> None:
    await d.call("DescribeTaskQueue")
    await _described(d, task_queue="")
    await _described(d, task_queue="x" * 1001)
    await _described(d, namespace="")
    await _described(d, namespace="conformance-missing")
    many = {"build_ids": [f"b{i}" for i in range(6)]}
    await _described(d, api_mode="ENHANCED", report_task_reachability=True, versions=many)
    await _described(d, report_task_reachability=True, versions=many)
    await d.call("ListTaskQueuePartitions")
    await d.call("ListTaskQueuePartitions", task_queue="")
    await d.call("ListTaskQueuePartitions", task_queue="/_sys/x/1")
    await d.call("ListTaskQueuePartitions", task_queue=d.task_queue, namespace="conformance-missing")


async def partitions_of_kinds_of_queues(d: Driver) -> None:
    for kind in ("NORMAL", "STICKY", "WORKER_COMMANDS"):
        await d.call("ListTaskQueuePartitions", task_queue={"name": "", "kind": kind})
    for fields in ({"kind": "WORKER_COMMANDS"}, {"kind": "WORKER_COMMANDS", "normal_name": "n"}):
        await d.call("ListTaskQueuePartitions", task_queue={"name": "tq", **fields})
    for fields in ({"normal_name": "n"}, {"normal_name": "n", "kind": "NORMAL"}, {"normal_name": "/_sys/n/1"}):
        await d.call("ListTaskQueuePartitions", task_queue={"name": "tq", **fields})


async def kinds_of_queues(d: Driver) -> None:
    named = {"name": d.task_queue, "normal_name": d.name("normal")}
    commands = {"name": d.name("commands"), "kind": "WORKER_COMMANDS"}
    await _described(d, task_queue=named)
    await _described(d, task_queue=named, report_stats=True)
    await _described(d, task_queue=named, api_mode="ENHANCED")
    for kind in ("WORKFLOW", "ACTIVITY", "NEXUS"):
        await _described(d, task_queue=commands, task_queue_type=kind)
        await _described(d, task_queue=commands, task_queue_type=kind, report_stats=True)
    await _described(d, task_queue={**commands, "name": f"/_sys/{d.task_queue}/1"}, task_queue_type="NEXUS")
    await _described(d, task_queue={**commands, "normal_name": d.name("normal")}, task_queue_type="NEXUS")
    await _described(d, task_queue=commands, api_mode="ENHANCED")


async def kinds_of_queues_that_are_polled(d: Driver) -> None:
    for kind in ("Workflow", "Activity", "Nexus"):
        method = f"Poll{kind}TaskQueue"
        await d.call(method, task_queue={"name": d.task_queue, "normal_name": d.name("normal")}, timeout_s=3)
        await d.call(method, task_queue={"name": d.name("commands"), "kind": "WORKER_COMMANDS"}, timeout_s=2.2)

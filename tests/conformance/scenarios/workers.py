"""Workers that tell of themselves: heartbeats, listings with their queries and pages, and who is gone."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver

START = "2026-01-01T00:00:00Z"


def heartbeat(d: Driver, word: str, **fields: Any) -> dict[str, Any]:
    return {
        "worker_instance_key": d.name(word),
        "worker_identity": f"{word}@host",
        "host_info": {"host_name": "host", "process_id": "12", "worker_grouping_key": "group"},
        "task_queue": d.task_queue,
        "sdk_name": "temporal-python",
        "sdk_version": "1.0",
        "status": "RUNNING",
        **fields,
    }


async def listed_counted_and_described(d: Driver) -> None:
    one = heartbeat(d, "one", deployment_version={"deployment_name": "d", "build_id": "b"})
    one["plugins"] = [{"name": "plugin", "version": "2"}]
    await d.call("RecordWorkerHeartbeat", identity="me", worker_heartbeat=[one, heartbeat(d, "two")])
    query = f"TaskQueue = '{d.task_queue}' AND BuildId = 'b'"
    await d.call("ListWorkers", query=query)
    await d.call("CountWorkers", query=query)
    await d.call("CountWorkers", query=f"TaskQueue = '{d.task_queue}'")
    await d.call("DescribeWorker", worker_instance_key=d.name("one"))
    await d.call("DescribeWorker", worker_instance_key=d.name("three"))


async def pages_go_by_instance_key(d: Driver) -> None:
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=[heartbeat(d, word) for word in ("c", "a", "b")])
    query = f"TaskQueue = '{d.task_queue}'"
    page = await d.call("ListWorkers", query=query, page_size=2)
    await d.call("ListWorkers", query=query, page_size=2, next_page_token=page.next_page_token)
    await d.call("ListWorkers", query=query, next_page_token=b"no token")
    await d.call("ListWorkers", query="TaskQueue = 'nobody'", next_page_token=b"no token")


async def a_new_heartbeat_replaces_the_old_one(d: Driver) -> None:
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=[heartbeat(d, "one")])
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=[heartbeat(d, "one", status="SHUTTING_DOWN")])
    await d.call("DescribeWorker", worker_instance_key=d.name("one"))
    query = f"TaskQueue = '{d.task_queue}' AND "
    await d.call("CountWorkers", query=query + "WorkerStatus = 'ShuttingDown'")
    await d.call("CountWorkers", query=query + "Status = 'Running'")


async def a_worker_that_has_shut_down_is_gone(d: Driver) -> None:
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=[heartbeat(d, "one"), heartbeat(d, "two")])
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=[heartbeat(d, "one", status="SHUTDOWN")])
    await d.call("DescribeWorker", worker_instance_key=d.name("one"))
    last = heartbeat(d, "two", status="SHUTDOWN")
    await d.call("ShutdownWorker", sticky_task_queue=d.name("sticky"), worker_heartbeat=last)
    await d.call("DescribeWorker", worker_instance_key=d.name("two"))


async def a_nexus_poll_brings_heartbeats(d: Driver) -> None:
    poll = d.begin("PollNexusTaskQueue", task_queue=d.task_queue, worker_heartbeat=[heartbeat(d, "one")], timeout_s=2.5)

    async def known() -> bool:
        return bool(await d.quietly("DescribeWorker", worker_instance_key=d.name("one")))

    await d.until(known)
    await d.call("DescribeWorker", worker_instance_key=d.name("one"))
    await poll


async def workers_of_the_server_are_listed_on_demand(d: Driver) -> None:
    own = heartbeat(d, "one", task_queue=f"temporal-sys-{d.task_queue}")
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=[own])
    query = f"TaskQueue = 'temporal-sys-{d.task_queue}'"
    await d.call("CountWorkers", query=query)
    await d.call("CountWorkers", query=query, include_system_workers=True)
    await d.call("ListWorkers", query=query, include_system_workers=True)


async def queries(d: Driver) -> None:
    times = {"start_time": {"seconds": 1767225600}, "heartbeat_time": {"seconds": 1767225660, "nanos": 5}}
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=[heartbeat(d, "one", **times), heartbeat(d, "two")])
    for condition in (
        "WorkerIdentity = 'one@host'",
        "WorkerIdentity != 'one@host'",
        "WorkerIdentity STARTS_WITH 'one'",
        "WorkerIdentity NOT STARTS_WITH 'one'",
        "WorkerIdentity LIKE 'one%'",
        "WorkerIdentity IN ('one@host')",
        "WorkerIdentity > 'one'",
        "WorkerIdentity = 5",
        "WorkerIdentity = ''",
        'HostName = "host"',
        "`SdkName` = 'temporal-python' AND SdkVersion = '1.0'",
        "sdkname = 'temporal-python'",
        "DeploymentName IS NULL",
        "DeploymentName IS NOT NULL",
        "BuildId IS TRUE",
        "status = 'Running'",
        "WorkerStatus = 'WORKER_STATUS_RUNNING'",
        f"StartTime = '{START}'",
        f"StartTime != '{START}'",
        f"StartTime >= '{START}'",
        f"StartTime > '{START}'",
        "StartTime = 1767225600000000000",
        "StartTime = '1767225600000000000'",
        "HeartbeatTime > '2026-01-01T00:01:00Z'",
        f"HeartbeatTime < '{START}'",
        f"HeartbeatTime BETWEEN '{START}' AND '2026-01-02T00:00:00Z'",
        f"HeartbeatTime NOT BETWEEN '{START}' AND '2026-01-02T00:00:00Z'",
        "HeartbeatTime BETWEEN 5 AND 'x'",
        "WorkerIdentity BETWEEN 'a' AND 'z'",
        "StartTime IS NULL",
        "StartTime IS NOT NULL",
        "NOT WorkerIdentity = 'x'",
        "(WorkerIdentity = 'one@host' OR WorkerIdentity = 'two@host')",
        "(WorkerIdentity = 'one@host' OR Unknown = 'x')",
        "(Unknown = 'x' OR WorkerIdentity = 'one@host')",
        "Unknown IS NULL",
        "WorkerIdentity",
        "'one@host' = WorkerIdentity",
        "WorkerIdentity = HostName",
        "WorkerIdentity = 'one@host' ORDER BY StartTime",
        "WorkerIdentity = 'one@host' GROUP BY HostName",
    ):
        await d.call("CountWorkers", query=f"TaskQueue = '{d.task_queue}' AND {condition}")


async def queries_that_cannot_be_read(d: Driver) -> None:
    await d.call("RecordWorkerHeartbeat", worker_heartbeat=[heartbeat(d, "one")])
    for query in (
        " ",
        "TaskQueue = ",
        "TaskQueue = '",
        "TaskQueue = 'x' LIMIT 3",
        "TaskQueue = 'x'; select",
        "order by TaskQueue",
        "group by TaskQueue",
        "limit 3",
        "TaskQueue = 'x' AND",
        "(TaskQueue = 'x'",
        "TaskQueue == 'x'",
    ):
        await d.call("CountWorkers", query=query)
        await d.call("ListWorkers", query=query)


async def refused(d: Driver) -> None:
    for method in ("RecordWorkerHeartbeat", "ListWorkers", "CountWorkers", "DescribeWorker", "ShutdownWorker"):
        await d.call(method, namespace="conformance-missing")
        await d.call(method, namespace="")
    await d.call("FetchWorkerConfig")
    await d.call("UpdateWorkerConfig", worker_config={})

"""What scenarios about schedules share: each has one schedule, `s`, that starts the workflow of its driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.schedule.v1 import IntervalSpec
from tests.conformance.driver import Driver

LONG = "x" * 1001
PAUSED = {"paused": True, "notes": "n"}
MIXED = IntervalSpec(interval=Duration(seconds=9), phase=Duration(seconds=1, nanos=-1))
HOURLY = {"interval": [{"interval": 3600}]}
SECONDLY = {"interval": [{"interval": 1}]}
POLICIES = ("SKIP", "BUFFER_ONE", "BUFFER_ALL", "CANCEL_OTHER", "TERMINATE_OTHER", "ALLOW_ALL")


def at(text: str) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text).astimezone(UTC))
    return stamp


def action(d: Driver, **fields: Any) -> dict[str, Any]:
    start = {"workflow_id": d.workflow_id, "workflow_type": "order", "task_queue": d.task_queue, **fields}
    return {"start_workflow": start}


async def create(d: Driver, spec: Mapping[str, Any] | None = None, **fields: Any) -> Any:
    """Creates the schedule `s`. Fields of the schedule itself are among `fields`."""
    schedule = {"spec": spec or HOURLY, "action": fields.pop("action", None) or action(d)}
    schedule |= {name: fields.pop(name) for name in ("policies", "state") if name in fields}
    return await d.call(
        "CreateSchedule", **{"schedule_id": d.name("s"), "schedule": schedule, "request_id": "create", **fields}
    )


async def describe(d: Driver) -> Any:
    return await d.call("DescribeSchedule", schedule_id=d.name("s"))


async def patch(d: Driver, **fields: Any) -> Any:
    return await d.call("PatchSchedule", schedule_id=d.name("s"), patch=fields)


async def trigger(d: Driver, second: int = 0, policy: str = "UNSPECIFIED") -> None:
    when = at(f"2026-01-01T00:00:{second:02}+00:00")
    await patch(d, trigger_immediately={"overlap_policy": policy, "scheduled_time": when})


async def backfill(d: Driver, start: str, end: str, policy: str = "UNSPECIFIED") -> None:
    await patch(d, backfill_request=[{"start_time": at(start), "end_time": at(end), "overlap_policy": policy}])


async def delete(d: Driver) -> None:
    await d.call("DeleteSchedule", schedule_id=d.name("s"), identity="client")


async def until(d: Driver, condition: Callable[[Any], Any]) -> Any:
    """Waits until the description of the schedule is so, and records it."""

    async def so() -> bool:
        reply = await d.quietly("DescribeSchedule", schedule_id=d.name("s"))
        return bool(reply) and bool(condition(reply))

    await d.until(so)
    return await describe(d)


async def until_acted(d: Driver, count: int) -> Any:
    return await until(d, lambda it: it.info.action_count >= count)

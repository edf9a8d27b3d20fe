"""A schedule goes on where it was killed: each of its times is acted on once, those that passed meanwhile as well."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from examples.processes import ServerProcess, answering
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)

SWEEP = bool(os.environ.get("PERDURE_SWEEP"))
KILLS = 25 if SWEEP else 3
SCHEDULES = 20 if SWEEP else 5
PERIOD = timedelta(seconds=1)


def every_second() -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow("order", id="scheduled", task_queue="nobody"),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=PERIOD)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL),
        state=ScheduleState(limited_actions=True, remaining_actions=KILLS * 4),
    )


async def started(client: Client, schedule_id: str) -> Counter[str]:
    """The times for which a workflow was started, each with how often."""
    query = f"TemporalScheduledById = '{schedule_id}'"
    return Counter([each.id.removeprefix(f"{schedule_id}-") async for each in client.list_workflows(query)])


def seconds_between(times: Counter[str]) -> set[float]:
    moments = sorted(datetime.fromisoformat(each) for each in times)
    return {(later - earlier).total_seconds() for earlier, later in pairwise(moments)}


@pytest.mark.timeout(600 if SWEEP else 120)
async def test_no_time_of_a_schedule_is_lost_or_acted_on_twice(server: ServerProcess) -> None:
    chance = random.Random(1)
    await server.start_and_wait()
    client = await answering(server.address, server)
    ids = [f"schedule-{number}" for number in range(SCHEDULES)]
    for schedule_id in ids:
        schedule = every_second()
        assert isinstance(schedule.action, ScheduleActionStartWorkflow)
        schedule.action.id = schedule_id
        await client.create_schedule(schedule_id, schedule)
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.9, 1.3))  # around the moment at which all of them act
        server.kill()
        await asyncio.sleep(chance.uniform(0, 1.5))
        await server.start_and_wait()
        client = await answering(server.address, server)
    for schedule_id in ids:
        while (await client.get_schedule_handle(schedule_id).describe()).info.num_actions < KILLS * 4:
            await asyncio.sleep(0.1)
        times = await started(client, schedule_id)
        assert len(times) == KILLS * 4
        assert set(times.values()) == {1}
        assert seconds_between(times) == {PERIOD.total_seconds()}

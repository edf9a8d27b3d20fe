"""The trip of tests/patterns/sagas.py as an expert writes it by hand."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.workflow import ActivityCancellationType
from tests.patterns.sagas import act, revoke


@workflow.defn
class TripTwin:
    """seat, then room and car side by side, money, the pivot, mail."""

    @workflow.run
    async def run(self, deadline_s: float = 0) -> list[str]:
        self.undo: list[list[tuple[str, str]]] = []
        self.steps = 0
        try:
            seat = await self.step("seat", group=[])
            side_by_side: list[tuple[str, str]] = []
            pair = [asyncio.create_task(self.step(name, side_by_side)) for name in ("room", "car")]
            await workflow.wait(pair)
            room, car = [each.result() for each in pair]
            money = await self.step("money", group=[])
        except (ActivityError, asyncio.CancelledError):
            await asyncio.shield(asyncio.create_task(self.compensate()))
            raise
        mail = await self.act("mail", self.next_key())
        return [seat, room, car, money, mail]

    def next_key(self) -> str:
        self.steps += 1
        info = workflow.info()
        return f"{info.workflow_id}/{info.first_execution_run_id}/step#{self.steps}"

    async def step(self, name: str, group: list[tuple[str, str]]) -> str:
        key = self.next_key()
        if not group:
            self.undo.append(group)
        group.append((name, key))
        return await self.act(name, key)

    async def act(self, name: str, key: str) -> str:
        return await workflow.execute_activity(
            act,
            name,
            activity_id=key,
            start_to_close_timeout=timedelta(seconds=10),
            schedule_to_close_timeout=timedelta(minutes=2),
            heartbeat_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=2),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def compensate(self) -> None:
        for group in reversed(self.undo):
            await workflow.wait([asyncio.create_task(self.revoke(*each)) for each in group])

    async def revoke(self, name: str, key: str) -> None:
        await workflow.execute_activity(
            revoke,
            name,
            activity_id=f"{key}/undo",
            start_to_close_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )

"""A fan-out as an expert writes it by hand, for the same work as `Crowded` does."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from tests.patterns.crowds import work


@workflow.defn
class ByHand:
    """So many coroutines take items until there are none, or one has failed."""

    def __init__(self) -> None:
        self.left: list[int] = []
        self.results: dict[int, str] = {}

    @workflow.run
    async def run(self, n: int, most: int) -> list[str]:
        self.left = list(range(n))[::-1]
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(most):
                    group.create_task(self.take())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return [self.results[item] for item in range(n)]

    async def take(self) -> None:
        while self.left:
            item = self.left.pop()
            self.results[item] = await workflow.execute_activity(
                work,
                item,
                start_to_close_timeout=timedelta(seconds=10),
                heartbeat_timeout=timedelta(seconds=5),
                retry_policy=RetryPolicy(maximum_attempts=2),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )

"""A tree of children as an expert writes it by hand: the parent reads the pages and hands them to its children."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from tests.patterns.crowds import At, Total, add, count, work

HOW: Any = {
    "start_to_close_timeout": timedelta(seconds=10),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": RetryPolicy(maximum_attempts=2),
}


@dataclass
class Share:
    """A page, for a child."""

    first: int
    items: list[int]
    most: int


@workflow.defn
class PageByHand:
    """Does a page, so many at a time, and folds."""

    def __init__(self) -> None:
        self.left: list[int] = []
        self.done: list[tuple[int, int, str]] = []

    @workflow.run
    async def run(self, share: Share) -> Total:
        self.left = share.items[::-1]
        async with asyncio.TaskGroup() as group:
            for _ in range(share.most):
                group.create_task(self.take())
        return await workflow.execute_activity(count, args=[sorted(self.done), []], **HOW)

    async def take(self) -> None:
        while self.left:
            item = self.left.pop()
            self.done.append((item, item, await workflow.execute_activity(work, item, **HOW)))


@workflow.defn
class PagesByHand:
    """Reads a page, starts a child for it when there is room, and so on."""

    @workflow.run
    async def run(self, n: int, size: int, most: int, children: int) -> Total:
        at: At | None = At(0, n, size)
        running: list[Any] = []
        totals: list[Total] = []
        while at is not None:
            # By its name: the SDK can't decode a generic dataclass.
            page: Any = await workflow.execute_activity("read", at, **HOW)
            share = Share(at.first, page["items"], most // children)
            name = f"{workflow.info().workflow_id}-{at.first}"
            running.append(await workflow.start_child_workflow(PageByHand.run, share, id=name))
            at = At(**page["next"]) if page["next"] else None
            if len(running) == children or at is None:
                totals.extend(await asyncio.gather(*running))
                running.clear()
        return await workflow.execute_activity(add, totals, **HOW)

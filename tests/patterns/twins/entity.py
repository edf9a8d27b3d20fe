"""A cart as an expert writes it by hand, for the same work as `Cart` does: ids, continue-as-new, one at a time."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from tests.patterns.carts import Item, price

MESSAGES = 20


@dataclass
class Kept:
    items: list[Item] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    replies: dict[str, int] = field(default_factory=dict)


@workflow.defn
class CartByHand:
    @workflow.init
    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.handled = 0
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, kept: Kept) -> None:
        await workflow.wait_condition(self.full)
        workflow.continue_as_new(self.kept)

    def full(self) -> bool:
        return self.handled >= MESSAGES and workflow.all_handlers_finished()

    @workflow.update
    async def add(self, message_id: str, item: Item) -> int:
        if message_id not in self.kept.replies:
            async with self.lock:
                self.kept.items.append(item)
                self.kept.replies[message_id] = len(self.kept.items)
                self.handled += 1
        return self.kept.replies[message_id]

    @add.validator
    def _positive(self, message_id: str, item: Item) -> None:
        if self.handled >= MESSAGES:
            raise ApplicationError("draining", type="Draining", non_retryable=True)
        if item.cents <= 0:
            raise ValueError("a price is above zero")

    @workflow.update
    async def add_priced(self, message_id: str, name: str) -> int:
        if message_id not in self.kept.replies:
            async with self.lock:
                cents = await workflow.execute_activity(
                    price,
                    name,
                    start_to_close_timeout=timedelta(seconds=10),
                    retry_policy=RetryPolicy(maximum_attempts=5),
                )
                self.kept.items.append(Item(name, cents))
                self.kept.replies[message_id] = cents
                self.handled += 1
        return self.kept.replies[message_id]

    @workflow.signal
    def note(self, text: str) -> None:
        self.kept.log.append(text)
        self.handled += 1

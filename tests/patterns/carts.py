"""Entities that the tests use."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

from perdure.patterns import Entity, Limits, check, options, query, signal, update


@dataclass
class Item:
    name: str
    cents: int


@dataclass
class CartState:
    owner: str = ""
    items: list[Item] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


@activity.defn
async def price(name: str) -> int:
    return len(name) * 100


class Cart(Entity[CartState], limits=Limits(messages_a_run=20, window=50)):
    @update
    async def add(self, item: Item) -> int:
        """The number of items."""
        self.state.items.append(item)
        return len(self.state.items)

    @check(add)
    def _positive(self, item: Item) -> None:
        if item.cents <= 0:
            raise ValueError("a price is above zero")
        if len(self.state.items) >= 500:
            raise ApplicationError("full", type="Full")

    @update
    async def add_priced(self, name: str) -> int:
        """By an activity; its price."""
        self.state.log.append(f"begin {name}")
        cents = await workflow.execute_activity(price, name, **options.quick.config())
        self.state.items.append(Item(name, cents))
        self.state.log.append(f"end {name}")
        return cents

    @update
    def fail(self, how: str) -> None:
        """After a change that must not be seen."""
        self.state.items.append(Item("trace", 1))
        if how == "application":
            raise ApplicationError("told", {"code": 7}, type="Told")
        if how == "bug":
            raise KeyError("bug")
        if how == "unencodable":
            self.state.items.append(object())  # type: ignore[arg-type]
        if how == "cancelled":
            raise asyncio.CancelledError

    @signal
    async def note(self, text: str) -> None:
        self.state.log.append(text)
        if text.startswith("bad") and not self.state.owner:
            raise ApplicationError("a bad note")

    @update
    async def own(self, owner: str = "nobody") -> str:
        before, self.state.owner = self.state.owner, owner
        return before

    @update
    async def slow(self, seconds: float) -> str:
        await workflow.sleep(timedelta(seconds=seconds))
        self.state.log.append(f"slept {seconds}")
        return self.message_id

    @query
    def total(self) -> int:
        return sum(item.cents for item in self.state.items)

    @query
    def log(self, last: int = 1000) -> list[str]:
        self.state.items.clear()
        return self.state.log[-last:]

"""The stock of one article: reservations that expire."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from perdure.patterns import Entity, Limits, check, query, signal, update

HELD_FOR = timedelta(minutes=15)


@dataclass
class State:
    on_shelf: int = 0
    reserved: dict[str, int] = field(default_factory=dict)
    sold: int = 0


class Stock(Entity[State], limits=Limits(messages_a_run=200)):
    @update
    def deliver(self, count: int) -> int:
        self.state.on_shelf += count
        return self.state.on_shelf

    @update
    def reserve(self, order: str, count: int) -> None:
        if count > self.state.on_shelf:
            raise ApplicationError(f"there are {self.state.on_shelf}", type="SoldOut", non_retryable=True)
        self.state.on_shelf -= count
        self.state.reserved[order] = count
        self.later(HELD_FOR, Stock.expire, order, key=order)

    @check(reserve)
    def _new(self, order: str, count: int) -> None:
        if count <= 0 or order in self.state.reserved:
            raise ValueError("an order reserves once, one or more")

    @update
    def buy(self, order: str) -> None:
        if order not in self.state.reserved:
            raise ApplicationError("the reservation has expired", type="Expired", non_retryable=True)
        self.state.sold += self.state.reserved.pop(order)
        self.not_later(Stock.expire, key=order)

    @signal
    def expire(self, order: str) -> None:
        self.state.on_shelf += self.state.reserved.pop(order, 0)

    @query
    def books(self) -> State:
        return self.state


@workflow.defn
class Patience:
    """Lets the reservations expire."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(2 * HELD_FOR)

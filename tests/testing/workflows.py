"""What the tests of `perdure.testing` run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

QUICK = timedelta(minutes=1)


@dataclass
class Order:
    item: str
    price: int


@dataclass
class Receipt:
    number: int


@activity.defn
async def reserve(order: Order) -> str:
    raise RuntimeError("no test may reach the warehouse")


@activity.defn(name="charge")
def charge_card(order: Order) -> Receipt:
    raise RuntimeError("no test may reach the bank")


class Carrier:
    @activity.defn
    def ship(self, order: Order, receipt: Receipt) -> bool:
        raise RuntimeError("no test may reach the carrier")


@workflow.defn
class Shop:
    """Reserve, charge, ship a day later."""

    def __init__(self) -> None:
        self.gift = False

    @workflow.run
    async def run(self, order: Order) -> int:
        await workflow.execute_activity(reserve, order, start_to_close_timeout=QUICK)
        receipt = await workflow.execute_activity(charge_card, order, start_to_close_timeout=QUICK)
        await workflow.sleep(timedelta(days=1))
        await workflow.execute_activity_method(Carrier.ship, args=[order, receipt], start_to_close_timeout=QUICK)
        return receipt.number

    @workflow.signal
    def wrap(self, paper: str) -> None:
        self.gift = True

    @workflow.update
    async def price(self, price: int) -> int:
        await workflow.sleep(timedelta(hours=1))
        return price


@workflow.defn
class Once:
    """One attempt of an activity that may not take more than an hour."""

    @workflow.run
    async def run(self, order: Order) -> str:
        return await workflow.execute_activity(
            reserve, order, start_to_close_timeout=timedelta(hours=1), retry_policy=RetryPolicy(maximum_attempts=1)
        )


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, days: float) -> None:
        await workflow.sleep(timedelta(days=days))


@workflow.defn
class Broken:
    @workflow.run
    async def run(self) -> None:
        raise RuntimeError("a bug of the workflow")


@workflow.defn
class Fickle:
    """Does something else each time it runs."""

    runs = 0

    @workflow.run
    async def run(self) -> None:
        Fickle.runs += 1
        if Fickle.runs > 1:
            await asyncio.sleep(5)
        await workflow.execute_activity(reserve, Order("book", 1), start_to_close_timeout=QUICK)

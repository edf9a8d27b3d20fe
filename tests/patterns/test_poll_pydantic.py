"""Polling with a data converter of one's own, whose values are no dataclasses."""

from datetime import timedelta
from decimal import Decimal

import pytest
from temporalio import activity, workflow
from temporalio.contrib.pydantic import pydantic_data_converter

with workflow.unsafe.imports_passed_through():
    pydantic = pytest.importorskip("pydantic")

    from perdure.patterns import GaveUp, PollMany, poll, polled, polled_many

MINUTE = timedelta(minutes=1)


class Price(pydantic.BaseModel):
    share: str
    euros: Decimal


def is_high(price: Price) -> bool:
    return price.euros > 3


looks: dict[str, int] = {}


def look(share: str) -> Price:
    looks[share] = looks.get(share, 0) + 1
    return Price(share=share, euros=Decimal(looks[share] if share != "low" else 1))


@activity.defn
@polled(is_high)
async def price(share: str) -> Price:
    return look(share)


@activity.defn
@polled_many(is_high)
async def prices(shares: list[str]) -> list[Price]:
    return [look(share) for share in shares]


@workflow.defn(sandboxed=False)
class Trader:
    @workflow.run
    async def run(self) -> list[Price]:
        one = await poll(price, "a", every=MINUTE, give_up=10 * MINUTE)
        many = await poll(prices, ["b", "low"], every=MINUTE, give_up=10 * MINUTE, mode="child")
        assert [each.done for each in many] == [True, False]
        try:
            await poll(price, "low", every=MINUTE, give_up=3 * MINUTE)
        except GaveUp as error:
            return [one, *(each.value for each in many if each.value), error.last]
        raise AssertionError("it is never high")


@pytest.fixture
def perdure_client_options():
    return {"data_converter": pydantic_data_converter}


async def test_values_keep_their_types(perdure):
    looks.clear()
    async with perdure.worker(Trader, PollMany, activities=[price, prices]):
        assert await perdure.execute(Trader.run) == [
            Price(share="a", euros=Decimal(4)),
            Price(share="b", euros=Decimal(4)),
            Price(share="low", euros=Decimal(1)),
            Price(share="low", euros=Decimal(1)),
        ]

"""Fan-outs over pages with the converter of pydantic and a codec: items pass through the tree and arrive typed."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

with workflow.unsafe.imports_passed_through():
    import pydantic
    from temporalio.contrib.pydantic import pydantic_data_converter

    from perdure.patterns import FanOutLeaf, FanOutTree, Fold, Page, Pages, fan_out


class Row(pydantic.BaseModel):
    name: str
    amount: Decimal


class Sums(pydantic.BaseModel):
    amount: Decimal
    names: list[str]


@activity.defn
async def read(first: int) -> Page[Row, int]:
    rows = [Row(name=f"row {n}", amount=Decimal(n) / 10) for n in range(first, first + 3)]
    return Page(rows, first + 3 if first < 6 else None)


@activity.defn
async def double(row: Row) -> Decimal:
    assert isinstance(row, Row) and isinstance(row.amount, Decimal)
    return row.amount * 2


@activity.defn
async def total(done: list[tuple[int, Row, Decimal]], failed: list[tuple[int, Row, str]]) -> Sums:
    assert all(result == row.amount * 2 for _, row, result in done) and not failed
    return Sums(amount=sum((result for _, _, result in done), Decimal(0)), names=[row.name for _, row, _ in done])


@activity.defn
async def add(sums: list[Sums]) -> Sums:
    return Sums(
        amount=sum((each.amount for each in sums), Decimal(0)), names=sorted(n for each in sums for n in each.names)
    )


@workflow.defn
class Doubles:
    @workflow.run
    async def run(self) -> Sums:
        pages = await fan_out(Pages(read, 0), double, max_in_flight=2, fold=Fold(total, add))
        listed = await fan_out([Row(name="x", amount=Decimal(1))], double)
        assert listed[0].unwrap() == Decimal(2)
        assert isinstance(pages.folded, Sums)
        return pages.folded


class Flip(PayloadCodec):
    """No cipher, but nothing can be read without it."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"encoding": b"flip"}, data=each.SerializeToString()[::-1]) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload.FromString(each.data[::-1]) for each in payloads]


@pytest.fixture
def perdure_client_options():
    return {"data_converter": replace(pydantic_data_converter, payload_codec=Flip())}


async def test_rows_of_pydantic_through_a_codec(perdure):
    async with perdure.worker(Doubles, FanOutTree, FanOutLeaf, activities=[read, double, total, add]):
        sums = await perdure.execute(Doubles.run)
    assert sums == Sums(amount=Decimal("7.2"), names=[f"row {n}" for n in range(9)])

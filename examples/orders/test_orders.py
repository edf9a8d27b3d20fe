"""Orders: fulfilled, or nothing is left of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from examples.orders.__main__ import BadLines, check, show
from examples.orders.orderfile import Ending, Item, Order, OrderFile
from examples.orders.stores import CARDS_DECLINED, Books, Outcome, open_books
from examples.orders.workflow import OrderWorkflow
from perdure.testing import Env

ITEMS = {"MUG": Item("MUG", "Mug", 10, 420)}
ENDINGS: dict[Ending, dict[str, Any]] = {
    Ending.COMPLETED: {},
    Ending.OUT_OF_STOCK: {"quantity": 99},
    Ending.PAYMENT_DECLINED: {"card": CARDS_DECLINED[0]},
    Ending.CARRIER_REFUSED: {"country": "AQ"},
}


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    books = open_books(tmp_path)
    books[0].open_with(ITEMS)
    yield books
    for store in books:
        store.close()


def one(ending: Ending = Ending.COMPLETED) -> tuple[Order, OrderFile]:
    good = Order("O-1", "ana@example.com", "MUG", 2, 2580, "4242424242424242", "CH", 840)
    order = replace(good, **ENDINGS[ending])
    return order, OrderFile(ITEMS, {"O-1": order}, {"O-1": ending})


async def test_the_story(perdure: Env, capsys: pytest.CaptureFixture[str]) -> None:
    await show(perdure.client)
    printed = capsys.readouterr().out
    assert "PaymentDeclined" in printed and " repeats turned away, 0 charged twice" in printed


@pytest.mark.parametrize("faults", [{"evict_every_task": True}, {"duplicate_attempts": True}])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_all_or_nothing_under_faults(perdure: Env, books: Books, ending: Ending, faults: dict[str, bool]) -> None:
    perdure.faults(**faults)
    order, file = one(ending)
    with ThreadPoolExecutor(4) as threads:
        activities = BadLines(books, ["O-1"]).all()
        async with perdure.worker(OrderWorkflow, activities=activities, activity_executor=threads):
            receipt = await perdure.execute(OrderWorkflow.run, order)
    found = check(file, books, {"O-1": receipt})
    charged = ending in (Ending.COMPLETED, Ending.CARRIER_REFUSED)
    assert bool(found.repeats) >= charged, "the answer to the charge got lost"


async def test_cancelled_while_the_card_is_charged(perdure: Env, books: Books) -> None:
    order, _ = one()
    activities = BadLines(books, [])
    charge = perdure.mock(activities.charge_payment, blocks=True, returns="charged")
    others = [fn for fn in activities.all() if fn.__name__ != "charge_payment"]
    with ThreadPoolExecutor(4) as threads:
        async with perdure.worker(OrderWorkflow, activities=[*others, charge], activity_executor=threads):
            handle = await perdure.start(OrderWorkflow.run, order)
            while not charge.calls:
                await asyncio.sleep(0.01)
            await handle.cancel()
            charge.release()
            with pytest.raises(WorkflowFailureError):
                await handle.result()
    stock, payment, carrier = (store.ledger() for store in books)
    assert [entry.outcome for entry in stock] == [Outcome.DONE, Outcome.UNDONE]
    assert [entry.outcome for entry in payment] == [Outcome.TOMBSTONE] and not carrier

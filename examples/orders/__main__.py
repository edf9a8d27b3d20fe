"""Two dozen orders, each over a warehouse, a payment provider and a carrier that know nothing of each other.

Some are sold out, some cards are declined, some parcels can't be carried: what was done for those is undone, in reverse
order. Of one order in four the answer to the charge gets lost, of another that of the carrier: they are asked again,
and nobody is charged twice. `python -m examples.orders.demo` does it with servers and workers that are killed.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from examples.orders.activities import OrderActivities
from examples.orders.audit import Audit, audit
from examples.orders.make_orders import make_orders
from examples.orders.orderfile import Ending, Order, OrderFile, read_orders
from examples.orders.stores import Books, open_books
from examples.orders.workflow import OrderWorkflow, Receipt
from examples.show import Mismatch, fresh, run

THREADS = 8
LOSES_EVERY = 4


class BadLines(OrderActivities):
    """Some first answers get lost, when the store has done already what it was asked for."""

    def __init__(self, books: Books, orders: list[str]) -> None:
        super().__init__(books, 0.0)
        self._charges_lost = set(orders[::LOSES_EVERY])
        self._bookings_lost = set(orders[1::LOSES_EVERY])

    @activity.defn
    def charge_payment(self, key: str, order: Order) -> str:
        """Charge the card; the answer may get lost."""
        note = super().charge_payment(key, order)
        self._lose(order.order in self._charges_lost)
        return note

    @activity.defn
    def book_carrier(self, key: str, order: Order) -> str:
        """Book the parcel; the answer may get lost."""
        note = self._carrier.do(key, order)
        self._lose(order.order in self._bookings_lost)
        return note

    def _lose(self, lost: bool) -> None:
        if lost and activity.info().attempt == 1:
            raise ConnectionError("the line broke before the answer came")


async def show(client: Client, orders: int = 24, seed: int = 3) -> None:
    """Put so many orders through; the ledgers have to say of each what the file says."""
    with tempfile.TemporaryDirectory() as folder:
        file = _file(Path(folder), orders, seed)
        books = open_books(Path(folder))
        try:
            books[0].open_with(file.items)
            receipts = await _fulfil(client, file, books)
            _tell(file, receipts, check(file, books, receipts))
        finally:
            for store in books:
                store.close()


def _file(folder: Path, orders: int, seed: int) -> OrderFile:
    path = folder / "orders.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in make_orders(orders, seed)))
    return read_orders(path)


async def _fulfil(client: Client, file: OrderFile, books: Books) -> dict[str, Receipt]:
    queue = fresh("orders")
    with ThreadPoolExecutor(THREADS) as threads:
        worker = Worker(
            client,
            task_queue=queue,
            workflows=[OrderWorkflow],
            activities=BadLines(books, list(file.orders)).all(),
            activity_executor=threads,
            max_concurrent_activities=THREADS,
        )
        async with worker:
            receipts = await asyncio.gather(
                *(
                    client.execute_workflow(OrderWorkflow.run, order, id=f"{queue}-{name}", task_queue=queue)
                    for name, order in file.orders.items()
                )
            )
    return {receipt.order: receipt for receipt in receipts}


def check(file: OrderFile, books: Books, receipts: dict[str, Receipt]) -> Audit:
    """What the ledgers say; raises `Mismatch` unless that is what the file and the workflows say."""
    found = audit(file, [store.ledger() for store in books])
    for name, receipt in receipts.items():
        if receipt.completed != (found.endings.get(name) == Ending.COMPLETED):
            found.problems.append(f"{name}: {found.endings.get(name)} in the ledgers, but its workflow says {receipt}")
    if found.problems:
        raise Mismatch("; ".join(found.problems[:3]))
    return found


def _tell(file: OrderFile, receipts: dict[str, Receipt], found: Audit) -> None:
    for name, order in file.orders.items():
        receipt = receipts[name]
        print(f"{name} {order.customer:24} {'completed' if receipt.completed else receipt.refused_by}")
    print(f"ledgers {', '.join(f'{found.count(ending)} {ending}' for ending in Ending)}")
    print(f"        {found.charged_cents / 100:.2f} charged, {found.refunded_cents / 100:.2f} of that given back")
    print(f"        {len(found.repeats)} repeats turned away, {found.charged_twice} charged twice")


if __name__ == "__main__":
    run(show, __doc__)

"""The audit of the orders demo finds what is wrong with a ledger; the stores and the reader keep their promises."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from examples.orders.audit import audit
from examples.orders.make_orders import make_orders
from examples.orders.orderfile import BadOrderFile, Ending, Item, Order, OrderFile, read_orders
from examples.orders.stores import (
    CARDS_DECLINED,
    Books,
    CarrierRefused,
    Entry,
    Outcome,
    PaymentDeclined,
    Refused,
    TooLate,
    open_books,
)

Ledgers = list[list[Entry]]

GOOD = Order("O-1", "ana@example.com", "MUG", 2, 2580, "4242424242424242", "CH", 840)
DECLINED = replace(GOOD, order="O-2", customer="ben@example.com", card=CARDS_DECLINED[0])
FAR_AWAY = replace(GOOD, order="O-3", customer="emil@example.com", country="AQ")
TOO_MANY = replace(GOOD, order="O-4", customer="kofi@example.com", quantity=99)
FILE = OrderFile(
    items={"MUG": Item("MUG", "Mug", 10, 420)},
    orders={order.order: order for order in (GOOD, DECLINED, FAR_AWAY, TOO_MANY)},
    expected={
        "O-1": Ending.COMPLETED,
        "O-2": Ending.PAYMENT_DECLINED,
        "O-3": Ending.CARRIER_REFUSED,
        "O-4": Ending.OUT_OF_STOCK,
    },
)


@pytest.fixture
def books(tmp_path: Path) -> Books:
    stores = open_books(tmp_path)
    stores[0].open_with(FILE.items)
    return stores


def fulfil(books: Books, order: Order) -> None:
    """Do what the workflow does, without a server."""
    begun = []
    for store in books:
        begun.append(store)
        try:
            store.do(f"{order.order}/{store.action}", order)
        except Refused:
            for undone in reversed(begun):
                undone.undo(f"{order.order}/{undone.action}", order)
            return


@pytest.fixture
def ledgers(books: Books) -> Ledgers:
    for order in FILE.orders.values():
        fulfil(books, order)
    return [store.ledger() for store in books]


def entry(ledgers: Ledgers, order: str, action: str) -> Entry:
    return next(e for ledger in ledgers for e in ledger if (e.order_id, e.action) == (order, action))


def rewritten(ledgers: Ledgers, old: Entry, new: Entry) -> Ledgers:
    return [[new if e is old else e for e in ledger] for ledger in ledgers]


def with_more(ledgers: Ledgers, more: Entry) -> Ledgers:
    return [[*ledger, more] if ledger[0].action == more.action else ledger for ledger in ledgers]


def test_sound_ledgers_pass(ledgers: Ledgers) -> None:
    found = audit(FILE, ledgers)
    assert found.problems == []
    assert found.endings == FILE.expected
    assert (found.undone_in_reverse, found.tombstones, found.charged_twice) == (3, 3, 0)
    assert (found.charged_cents, found.refunded_cents) == (2 * 2580, 2580)


def test_a_customer_charged_twice_is_found(ledgers: Ledgers) -> None:
    charge = entry(ledgers, "O-1", "charge")
    found = audit(FILE, with_more(ledgers, replace(charge, seq=len(ledgers[1]) + 1, at_ns=ledgers[1][-1].at_ns)))
    assert found.charged_twice == 1
    assert any("O-1: charge: 2 times done" in problem for problem in found.problems)
    assert any("ana@example.com: paid 51.60 for orders of 25.80" in problem for problem in found.problems)


def test_a_wrong_sum_is_found(ledgers: Ledgers) -> None:
    charge = entry(ledgers, "O-1", "charge")
    found = audit(FILE, rewritten(ledgers, charge, replace(charge, amount=2579)))
    assert found.problems == ["ana@example.com: paid 25.79 for orders of 25.80"]


def test_an_order_without_a_trace_is_lost(ledgers: Ledgers) -> None:
    file = replace(FILE, orders={**FILE.orders, "O-5": GOOD}, expected={**FILE.expected, "O-5": Ending.COMPLETED})
    found = audit(file, ledgers)
    assert "O-5" not in found.endings
    assert any(problem.startswith("O-5: lost: done nothing") for problem in found.problems)


def test_an_order_left_half_done_is_lost(ledgers: Ledgers) -> None:
    refund = entry(ledgers, "O-3", "refund")
    found = audit(FILE, rewritten(ledgers, refund, replace(refund, outcome=Outcome.TOMBSTONE)))
    assert "O-3" not in found.endings
    assert any(problem.startswith("O-3: lost: done reserve, charge, undone reserve") for problem in found.problems)


def test_undoing_in_the_wrong_order_is_found(ledgers: Ledgers) -> None:
    release, refund = entry(ledgers, "O-3", "release"), entry(ledgers, "O-3", "refund")
    swapped = rewritten(ledgers, release, replace(release, at_ns=refund.at_ns - 1))
    found = audit(FILE, swapped)
    assert found.undone_in_reverse == 2
    assert any("O-3: done reserve, charge, but undone reserve, charge" in problem for problem in found.problems)


def test_an_unexpected_ending_is_found(ledgers: Ledgers) -> None:
    file = replace(FILE, expected={**FILE.expected, "O-2": Ending.COMPLETED})
    assert "O-2: expected completed, ended payment_declined" in audit(file, ledgers).problems


def test_a_missing_entry_is_found(ledgers: Ledgers) -> None:
    found = audit(FILE, [ledgers[0], ledgers[1][1:], ledgers[2]])
    assert "entry 1 of the ledger with 'charge' is missing" in found.problems


def test_goods_that_vanished_are_found(ledgers: Ledgers) -> None:
    reserve = entry(ledgers, "O-1", "reserve")
    found = audit(FILE, rewritten(ledgers, reserve, replace(reserve, amount=3)))
    assert found.problems == ["MUG: 2 sold, but 3 gone from stock"]


def test_an_order_nobody_placed_is_found(ledgers: Ledgers) -> None:
    stranger = replace(entry(ledgers, "O-2", "charge"), seq=len(ledgers[1]) + 1, order_id="O-9")
    assert any(
        problem.startswith("O-9: in the ledgers") for problem in audit(FILE, with_more(ledgers, stranger)).problems
    )


def test_a_repeat_gets_the_first_answer_and_changes_nothing(books: Books) -> None:
    _, payment, _ = books
    assert payment.do("k", GOOD) == payment.do("k", GOOD)
    for _ in range(2):
        with pytest.raises(PaymentDeclined):
            payment.do("k2", DECLINED)
    assert [e.outcome for e in payment.ledger()] == [Outcome.DONE, Outcome.REPEAT, Outcome.REFUSED, Outcome.REPEAT]


def test_a_request_undone_before_it_arrives_is_turned_away(books: Books) -> None:
    _, _, carrier = books
    carrier.undo("k", GOOD)
    with pytest.raises(TooLate):
        carrier.do("k", GOOD)
    carrier.undo("k", GOOD)
    assert [e.outcome for e in carrier.ledger()] == [Outcome.TOMBSTONE, Outcome.LATE, Outcome.REPEAT]


def test_a_carrier_refuses_what_is_too_heavy(books: Books) -> None:
    with pytest.raises(CarrierRefused, match=r"40 kg is over the limit of 31.5 kg"):
        books[2].do("k", replace(GOOD, weight_g=40_000))


def test_goods_put_back_can_be_sold_again(books: Books) -> None:
    stock = books[0]
    stock.do("k", replace(GOOD, quantity=10))
    assert stock.left("MUG") == 0
    stock.undo("k", replace(GOOD, quantity=10))
    assert stock.left("MUG") == 10


@pytest.mark.parametrize("change", ["UPDATE ledger SET amount = 0", "DELETE FROM ledger"])
def test_a_ledger_can_only_be_added_to(books: Books, tmp_path: Path, change: str) -> None:
    books[1].do("k", GOOD)
    with sqlite3.connect(tmp_path / "payment.db") as db, pytest.raises(sqlite3.IntegrityError, match="append only"):
        db.execute(change)


def test_the_file_of_the_example_is_what_its_generator_makes() -> None:
    committed = Path(__file__).parents[2] / "examples/orders/orders.jsonl"
    assert [json.loads(line) for line in committed.read_text().splitlines()] == list(make_orders(240, seed=7))
    assert set(read_orders(committed).expected.values()) == set(Ending)


ITEM = {"item": "MUG", "name": "Mug", "stock": 3, "weight_g": 420}
ORDER = {
    "order": "O-1",
    "customer": "ana@example.com",
    "item": "MUG",
    "quantity": 2,
    "amount_cents": 2580,
    "card": "4242424242424242",
    "country": "CH",
    "expect": "completed",
}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "no orders in it"),
        ([ITEM, {**ORDER, "quantity": "2"}], "2: 'quantity' has to be a whole number, not '2'"),
        ([ITEM, {**ORDER, "quantity": 0}], "2: 'quantity' cannot be 0"),
        ([ITEM, {**ORDER, "quantity": True}], "2: 'quantity' has to be a whole number, not True"),
        ([ITEM, {**ORDER, "customer": ""}], "2: 'customer' cannot be ''"),
        ([ITEM, {**ORDER, "colour": "red"}], "2: unknown field 'colour'"),
        ([ITEM, {**ORDER, "expect": "joy"}], "2: 'expect' cannot be 'joy'"),
        ([ITEM, ORDER, ORDER], "3: 'O-1' occurs twice"),
        ([ORDER], "1: no line describes the item 'MUG'"),
        ([ITEM, ORDER, {**ORDER, "order": "O-2"}], "3: 'MUG' runs out here"),
        ([ITEM, {**ORDER, "expect": "out_of_stock"}], "2: expected to be out of stock, but there are 3 of 'MUG'"),
        ([ITEM, {"customer": "ana"}], "2: neither an item"),
        ([ITEM, {k: v for k, v in ORDER.items() if k != "card"}], "2: 'card' is missing"),
    ],
)
def test_a_bad_file_is_refused_with_the_line(tmp_path: Path, records: list[dict[str, object]], message: str) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(BadOrderFile) as refused:
        read_orders(path)
    assert message in str(refused.value)


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text(json.dumps(ITEM) + "\n\n{oops\n")
    with pytest.raises(BadOrderFile, match=r"orders.jsonl:3: not JSON"):
        read_orders(path)

"""Reading a file of orders: JSON lines, items of the warehouse and orders in any sequence.

    {"item": "MUG-BLUE", "name": "Blue mug", "stock": 400, "weight_g": 420}
    {"order": "O-1001", "customer": "ana@example.com", "item": "MUG-BLUE", "quantity": 2, "amount_cents": 2580,
     "card": "4242424242424242", "country": "CH", "expect": "completed"}

`expect` says how the order has to end. The reader refuses a file whose end would depend on which order comes first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Ending(StrEnum):
    """How an order can end."""

    COMPLETED = "completed"
    OUT_OF_STOCK = "out_of_stock"
    PAYMENT_DECLINED = "payment_declined"
    CARRIER_REFUSED = "carrier_refused"


@dataclass(frozen=True)
class Item:
    """Something the warehouse sells, and how many pieces of it there are before the first order."""

    item: str
    name: str
    stock: int
    weight_g: int


@dataclass(frozen=True)
class Order:
    """What a customer asks for."""

    order: str
    customer: str
    item: str
    quantity: int
    amount_cents: int
    card: str
    country: str
    weight_g: int


@dataclass(frozen=True)
class OrderFile:
    """The contents of a file: items by name, orders by id, and how each order has to end."""

    items: dict[str, Item]
    orders: dict[str, Order]
    expected: dict[str, Ending]


class BadOrderFile(Exception):
    """The file cannot be used; the message names the line and what is wrong with it."""


ITEM_FIELDS: dict[str, type] = {"item": str, "name": str, "stock": int, "weight_g": int}
ORDER_FIELDS: dict[str, type] = {
    "order": str,
    "customer": str,
    "item": str,
    "quantity": int,
    "amount_cents": int,
    "card": str,
    "country": str,
    "expect": str,
}
MAY_BE_ZERO = {"stock"}


def read_orders(path: Path) -> OrderFile:
    """Read and check `path`; raise `BadOrderFile` at the first line that cannot be used."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadOrderFile(f"{path}: cannot be read: {error}") from error
    items: dict[str, Item] = {}
    records: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        with _at(path, number):
            record = _parse(line)
            name, seen = (record["order"], records) if "order" in record else (record["item"], items)
            if name in seen:
                raise BadOrderFile(f"{name!r} occurs twice")
            if "order" in record:
                records[name] = (number, record)
            else:
                items[name] = Item(**record)
    if not records:
        raise BadOrderFile(f"{path}: no orders in it")
    asked = Counter[str]()
    for number, record in records.values():
        with _at(path, number):
            _check_against_stock(record, items, asked)
    return OrderFile(
        items,
        {name: _order(record, items) for name, (_, record) in records.items()},
        {name: Ending(record["expect"]) for name, (_, record) in records.items()},
    )


@contextmanager
def _at(path: Path, number: int) -> Iterator[None]:
    """Say where the problem is that the body finds."""
    try:
        yield
    except BadOrderFile as problem:
        raise BadOrderFile(f"{path}:{number}: {problem}") from None


def _parse(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise BadOrderFile(f"not JSON: {error}") from error
    if not isinstance(record, dict) or not ("order" in record or "item" in record):
        raise BadOrderFile('neither an item ({"item": ..., "stock": ...}) nor an order ({"order": ..., "item": ...})')
    fields = ORDER_FIELDS if "order" in record else ITEM_FIELDS
    for name, kind in fields.items():
        if name not in record:
            raise BadOrderFile(f"{name!r} is missing")
        _check_value(name, record[name], kind)
    if unknown := sorted(record.keys() - fields.keys()):
        raise BadOrderFile(f"unknown field {unknown[0]!r} (known: {', '.join(fields)})")
    if "order" in record and record["expect"] not in list(Ending):
        raise BadOrderFile(f"'expect' cannot be {record['expect']!r} (one of: {', '.join(Ending)})")
    return record


def _check_value(name: str, value: Any, kind: type) -> None:
    if type(value) is not kind:
        raise BadOrderFile(f"{name!r} has to be {'text' if kind is str else 'a whole number'}, not {value!r}")
    least = 0 if name in MAY_BE_ZERO else 1
    size: Any = len(value) if isinstance(value, str) else value
    if size < least:
        raise BadOrderFile(f"{name!r} cannot be {value!r}")


def _check_against_stock(record: dict[str, Any], items: dict[str, Item], asked: Counter[str]) -> None:
    item, quantity = record["item"], record["quantity"]
    if item not in items:
        raise BadOrderFile(f"no line describes the item {item!r}")
    stock = items[item].stock
    if record["expect"] != Ending.OUT_OF_STOCK:
        asked[item] += quantity
        if asked[item] > stock:
            raise BadOrderFile(f"{item!r} runs out here ({stock} in stock): chance would decide who gets one")
    elif quantity <= stock:
        raise BadOrderFile(f"expected to be out of stock, but there are {stock} of {item!r}")


def _order(record: dict[str, Any], items: dict[str, Item]) -> Order:
    facts = {name: value for name, value in record.items() if name != "expect"}
    return Order(**facts, weight_g=record["quantity"] * items[record["item"]].weight_g)

"""The three parties of an order: payment, stock and carrier, each with a SQLite file and a ledger of its own.

They know nothing of workflows. What makes a workflow's retries safe is here:

- Every request carries an idempotency key. A repeat is given the first answer and does nothing; the ledger says so.
- A request can be undone by its key. Undoing what never happened leaves a tombstone, and a request that comes
  after its tombstone is turned away: it was late, and its caller has already given up on it.
- A ledger is only ever added to: SQLite itself refuses to change or delete an entry.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from examples.orders.orderfile import Item, Order

CARDS_DECLINED = ["4000000000000002", "4000000000009995"]
COUNTRIES_SERVED = ["AT", "BE", "CH", "DE", "ES", "FR", "IT", "NL", "PT", "SE"]
HEAVIEST_PARCEL_G = 31_500

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS ledger (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, key TEXT NOT NULL, order_id TEXT NOT NULL,
    action TEXT NOT NULL, outcome TEXT NOT NULL, party TEXT NOT NULL, amount INTEGER NOT NULL, note TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS ledger_key ON ledger (key);
CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""


class Outcome(StrEnum):
    """What became of a request."""

    DONE = "done"
    REFUSED = "refused"
    REPEAT = "repeat turned away"
    LATE = "late, turned away"
    UNDONE = "undone"
    TOMBSTONE = "nothing to undo"


@dataclass(frozen=True)
class Entry:
    """One line of a ledger; `amount` is in cents, pieces or grams, whatever the store deals in."""

    seq: int
    at_ns: int
    key: str
    order_id: str
    action: str
    outcome: str
    party: str
    amount: int
    note: str


class Refused(Exception):
    """A store says no, for good: asking again changes nothing."""


class OutOfStock(Refused):
    """There are fewer pieces than the order asks for."""


class PaymentDeclined(Refused):
    """The bank does not honour the card."""


class CarrierRefused(Refused):
    """The parcel is too heavy, or goes where the carrier does not."""


class TooLate(Refused):
    """The request was undone before it arrived."""


class Store:
    """A ledger with idempotency keys; the subclasses say what is asked of it and when the answer is no."""

    file: ClassVar[str]
    action: ClassVar[str]
    undo_action: ClassVar[str]
    refusal: ClassVar[type[Refused]]
    schema: ClassVar[str] = ""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(folder / self.file, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.executescript(SCHEMA + self.schema)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def do(self, key: str, order: Order) -> str:
        """Do what `order` asks for, once for each `key`, and return the note about it; raise `Refused` for a no."""
        with self._transaction():
            first = self._first_answer(key)
            if first is None:
                no = self.objection(order)
                outcome, note = (Outcome.REFUSED, no) if no else (Outcome.DONE, self.confirmation(order))
                self._write(key, order, self.action, outcome, note)
                if not no:
                    self.on_done(key, order)
            else:
                outcome, note = Outcome(first.outcome), first.note
                gone = outcome in (Outcome.UNDONE, Outcome.TOMBSTONE)
                self._write(key, order, self.action, Outcome.LATE if gone else Outcome.REPEAT, note)
        if outcome in (Outcome.UNDONE, Outcome.TOMBSTONE):
            raise TooLate(f"{key} was called off before")
        if outcome is Outcome.REFUSED:
            raise self.refusal(note)
        return note

    def undo(self, key: str, order: Order) -> None:
        """Undo what was done under `key`, once; leave a tombstone if nothing was."""
        with self._transaction():
            first = self._first_answer(key)
            if first is not None and first.outcome in (Outcome.UNDONE, Outcome.TOMBSTONE):
                outcome = Outcome.REPEAT
            elif first is not None and first.outcome == Outcome.DONE:
                outcome = Outcome.UNDONE
            else:
                outcome = Outcome.TOMBSTONE
            self._write(key, order, self.undo_action, outcome, "")

    def ledger(self) -> list[Entry]:
        """Return all entries, oldest first."""
        with self._lock:
            return [Entry(*row) for row in self._db.execute("SELECT * FROM ledger ORDER BY seq")]

    def objection(self, order: Order) -> str:
        """Say why `order` is refused; empty if it is not."""
        raise NotImplementedError

    def confirmation(self, order: Order) -> str:
        """Return the note for something done."""
        raise NotImplementedError

    def party_and_amount(self, order: Order) -> tuple[str, int]:
        """Say with whom or what the entry deals, and how much of it."""
        raise NotImplementedError

    def on_done(self, key: str, order: Order) -> None:
        """Add to the transaction that does `order`."""

    def _first_answer(self, key: str) -> Entry | None:
        """Return the entry that settles what `key` stands for now: the newest that was not turned away."""
        row = self._db.execute(
            "SELECT * FROM ledger WHERE key = ? AND outcome NOT IN (?, ?) ORDER BY seq DESC LIMIT 1",
            (key, Outcome.REPEAT, Outcome.LATE),
        ).fetchone()
        return None if row is None else Entry(*row)

    def _write(self, key: str, order: Order, action: str, outcome: Outcome, note: str) -> None:
        self._db.execute(
            "INSERT INTO ledger VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
            (time.time_ns(), key, order.order, action, outcome, *self.party_and_amount(order), note),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


class StockStore(Store):
    """The warehouse: pieces of each item, reserved and released."""

    file, action, undo_action, refusal = "stock.db", "reserve", "release", OutOfStock
    schema = "CREATE TABLE IF NOT EXISTS items (item TEXT PRIMARY KEY, stock INTEGER NOT NULL);"

    def open_with(self, items: dict[str, Item]) -> None:
        """Take in the goods that are there before the first order."""
        rows = [(item.item, item.stock) for item in items.values()]
        self._db.executemany("INSERT OR IGNORE INTO items VALUES (?, ?)", rows)

    def left(self, item: str) -> int:
        """Return how many pieces of `item` are not reserved."""
        row = self._db.execute(
            "SELECT stock + (SELECT COALESCE(SUM(CASE outcome WHEN ? THEN -amount WHEN ? THEN amount ELSE 0 END), 0)"
            " FROM ledger WHERE party = items.item) FROM items WHERE item = ?",
            (Outcome.DONE, Outcome.UNDONE, item),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def objection(self, order: Order) -> str:
        left = self.left(order.item)
        return "" if left >= order.quantity else f"{left} of {order.item} left, {order.quantity} asked for"

    def confirmation(self, order: Order) -> str:
        return f"{order.quantity} of {order.item}"

    def party_and_amount(self, order: Order) -> tuple[str, int]:
        return order.item, order.quantity


class PaymentStore(Store):
    """The payment provider. It books a charge at once and takes its time to answer: until then it is in flight."""

    file, action, undo_action, refusal = "payment.db", "charge", "refund", PaymentDeclined
    schema = "CREATE TABLE IF NOT EXISTS in_flight (key TEXT PRIMARY KEY, order_id TEXT NOT NULL, since_ns INTEGER);"

    def objection(self, order: Order) -> str:
        return f"card ending in {order.card[-4:]} declined" if order.card in CARDS_DECLINED else ""

    def confirmation(self, order: Order) -> str:
        return f"{order.amount_cents / 100:.2f} from card ending in {order.card[-4:]}"

    def party_and_amount(self, order: Order) -> tuple[str, int]:
        return order.customer, order.amount_cents

    def on_done(self, key: str, order: Order) -> None:
        self._db.execute("INSERT INTO in_flight VALUES (?, ?, ?)", (key, order.order, time.time_ns()))

    def answered(self, key: str) -> None:
        """Note that the answer for `key` leaves now."""
        with self._transaction():
            self._db.execute("DELETE FROM in_flight WHERE key = ?", (key,))

    def in_flight(self) -> dict[str, int]:
        """Return the charges booked but not yet answered: order ids, each with the time it was booked (ns)."""
        with self._lock:
            return dict(self._db.execute("SELECT order_id, since_ns FROM in_flight ORDER BY since_ns").fetchall())


class CarrierStore(Store):
    """The carrier: parcels by weight and country."""

    file, action, undo_action, refusal = "carrier.db", "book", "cancel", CarrierRefused

    def objection(self, order: Order) -> str:
        if order.weight_g > HEAVIEST_PARCEL_G:
            return f"{order.weight_g / 1000:g} kg is over the limit of {HEAVIEST_PARCEL_G / 1000:g} kg"
        return "" if order.country in COUNTRIES_SERVED else f"no service to {order.country}"

    def confirmation(self, order: Order) -> str:
        return f"parcel {order.order}-{order.country}"

    def party_and_amount(self, order: Order) -> tuple[str, int]:
        return order.country, order.weight_g


Books = tuple[StockStore, PaymentStore, CarrierStore]


def open_books(folder: Path) -> Books:
    """Open the three stores in `folder`, in the sequence in which an order asks them."""
    return StockStore(folder), PaymentStore(folder), CarrierStore(folder)

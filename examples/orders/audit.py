"""The audit: what became of each order, from the stores' own ledgers alone, and what in them is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from examples.orders.orderfile import Ending, OrderFile
from examples.orders.stores import CarrierStore, Entry, Outcome, PaymentStore, StockStore

STORES = (StockStore, PaymentStore, CarrierStore)
STEPS = tuple(store.action for store in STORES)
UNDOES = {store.undo_action: store.action for store in STORES}
ENDING_BY_REFUSAL = {
    StockStore.action: Ending.OUT_OF_STOCK,
    PaymentStore.action: Ending.PAYMENT_DECLINED,
    CarrierStore.action: Ending.CARRIER_REFUSED,
}


@dataclass
class Audit:
    """The result: an order that is in no `ending` is lost. No `problems` means that all is as the file wants it."""

    endings: dict[str, Ending] = field(default_factory=dict)
    charged_twice: int = 0
    undone_in_reverse: int = 0
    charged_cents: int = 0
    refunded_cents: int = 0
    repeats: list[Entry] = field(default_factory=list)
    tombstones: int = 0
    problems: list[str] = field(default_factory=list)

    def count(self, ending: Ending) -> int:
        """Return how many orders ended like this."""
        return Counter(self.endings.values())[ending]


def audit(file: OrderFile, ledgers: Iterable[list[Entry]]) -> Audit:
    """Compare the ledgers with what `file` expects."""
    found = Audit()
    by_order: defaultdict[str, list[Entry]] = defaultdict(list)
    for ledger in ledgers:
        _check_unbroken(ledger, found)
        for entry in ledger:
            by_order[entry.order_id].append(entry)
    for order, expected in file.expected.items():
        _audit_order(order, expected, sorted(by_order[order], key=lambda entry: entry.at_ns), found)
    for stranger in sorted(by_order.keys() - file.orders.keys()):
        found.problems.append(f"{stranger}: in the ledgers, but not in the file")
    entries = [entry for entries in by_order.values() for entry in entries]
    found.repeats = sorted((e for e in entries if e.outcome == Outcome.REPEAT), key=lambda entry: entry.at_ns)
    found.tombstones = sum(entry.outcome == Outcome.TOMBSTONE for entry in entries)
    _check_money(file, [entry for entry in entries if entry.action in ("charge", "refund")], found)
    _check_stock(file, [entry for entry in entries if entry.action in ("reserve", "release")], found)
    return found


def _check_unbroken(ledger: list[Entry], found: Audit) -> None:
    for number, entry in enumerate(ledger, start=1):
        if entry.seq != number:
            found.problems.append(f"entry {number} of the ledger with {entry.action!r} is missing")
            return
    for one, two in pairwise(ledger):
        if two.at_ns < one.at_ns:
            found.problems.append(f"{two.order_id}: entry {two.seq} ({two.action}) is older than the one before it")


def _audit_order(order: str, expected: Ending, entries: list[Entry], found: Audit) -> None:
    done = [entry.action for entry in entries if entry.outcome == Outcome.DONE]
    undone = [UNDOES[entry.action] for entry in entries if entry.outcome == Outcome.UNDONE]
    refused = [entry.action for entry in entries if entry.outcome == Outcome.REFUSED]
    if done.count(PaymentStore.action) > 1:
        found.charged_twice += 1
    for action in sorted({*done, *undone}):
        if done.count(action) > 1 or undone.count(action) > done.count(action):
            counts = f"{done.count(action)} times done, {undone.count(action)} times undone"
            found.problems.append(f"{order}: {action}: {counts}")
    if done == list(STEPS) and not undone and not refused:
        ending = Ending.COMPLETED
    elif refused and sorted(undone) == sorted(done):
        ending = ENDING_BY_REFUSAL[refused[0]]
        if undone == done[::-1]:
            found.undone_in_reverse += 1
        else:
            found.problems.append(f"{order}: done {_row(done)}, but undone {_row(undone)}: not in reverse order")
    else:
        found.problems.append(f"{order}: lost: done {_row(done)}, undone {_row(undone)}, refused {_row(refused)}")
        return
    found.endings[order] = ending
    if ending != expected:
        found.problems.append(f"{order}: expected {expected}, ended {ending}")


def _check_money(file: OrderFile, entries: list[Entry], found: Audit) -> None:
    """Hold what each customer paid in the end against the customer's completed orders."""
    owed: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    for order in file.orders.values():
        if file.expected[order.order] is Ending.COMPLETED:
            owed[order.customer] += order.amount_cents
    for entry in entries:
        if entry.outcome == Outcome.DONE:
            paid[entry.party] += entry.amount
            found.charged_cents += entry.amount
        elif entry.outcome == Outcome.UNDONE:
            paid[entry.party] -= entry.amount
            found.refunded_cents += entry.amount
    for customer in sorted(owed.keys() | paid.keys()):
        if owed[customer] != paid[customer]:
            found.problems.append(
                f"{customer}: paid {paid[customer] / 100:.2f} for orders of {owed[customer] / 100:.2f}"
            )


def _check_stock(file: OrderFile, entries: list[Entry], found: Audit) -> None:
    """Hold what left the warehouse against the completed orders."""
    sold: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for order in file.orders.values():
        if file.expected[order.order] is Ending.COMPLETED:
            sold[order.item] += order.quantity
    for entry in entries:
        gone[entry.party] += {Outcome.DONE: entry.amount, Outcome.UNDONE: -entry.amount}.get(Outcome(entry.outcome), 0)
    for item in sorted(sold.keys() | gone.keys()):
        if sold[item] != gone[item]:
            found.problems.append(f"{item}: {sold[item]} sold, but {gone[item]} gone from stock")


def _row(actions: list[str]) -> str:
    return ", ".join(actions) or "nothing"

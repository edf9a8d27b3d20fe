"""The shop's world: mails and orders, in a ledger that knows each message."""

from __future__ import annotations

from dataclasses import dataclass, field

from temporalio import activity


@dataclass
class Shop:
    """What was mailed and ordered, by key: the same key again changes nothing."""

    mails: dict[str, tuple[str, str]] = field(default_factory=dict)
    orders: dict[str, tuple[str, int]] = field(default_factory=dict)

    @activity.defn
    async def mail(self, key: str, customer: str, text: str) -> None:
        self.mails.setdefault(key, (customer, text))

    @activity.defn
    async def order(self, key: str, customer: str, cents: int) -> str:
        """The number of the order."""
        self.orders.setdefault(key, (customer, cents))
        return f"order {list(self.orders).index(key) + 1}"

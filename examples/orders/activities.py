"""The activities: each passes one request of an order on to one store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from zlib import crc32

from temporalio import activity

from examples.orders.orderfile import Order
from examples.orders.stores import Books


class OrderActivities:
    """The six activities of an order, on the stores of `books`.

    `answer_after_s` is how long the payment provider takes to answer once a charge is booked.
    """

    def __init__(self, books: Books, answer_after_s: float) -> None:
        self._stock, self._payment, self._carrier = books
        self._answer_after_s = answer_after_s

    def all(self) -> list[Callable[..., Any]]:
        """Return the activities, for the worker."""
        return [
            self.reserve_stock,
            self.release_stock,
            self.charge_payment,
            self.refund_payment,
            self.book_carrier,
            self.cancel_carrier,
        ]

    @activity.defn
    def reserve_stock(self, key: str, order: Order) -> str:
        """Set the pieces of an order aside."""
        return self._stock.do(key, order)

    @activity.defn
    def release_stock(self, key: str, order: Order) -> None:
        """Put the pieces of an order back."""
        self._stock.undo(key, order)

    @activity.defn
    def charge_payment(self, key: str, order: Order) -> str:
        """Charge the card; the answer takes its time, and until it comes the charge is in flight."""
        note = self._payment.do(key, order)
        time.sleep(self._answer_after_s)
        self._payment.answered(key)
        return note

    @activity.defn
    def refund_payment(self, key: str, order: Order) -> None:
        """Give the money back."""
        self._payment.undo(key, order)

    @activity.defn
    def book_carrier(self, key: str, order: Order) -> str:
        """Book the parcel, over a line that breaks for one order in twelve once it is booked."""
        note = self._carrier.do(key, order)
        if activity.info().attempt == 1 and crc32(key.encode()) % 12 == 0:
            raise ConnectionError("the line to the carrier broke before its answer came")
        return note

    @activity.defn
    def cancel_carrier(self, key: str, order: Order) -> None:
        """Call the carrier off."""
        self._carrier.undo(key, order)

"""The companies of a trip, each with a ledger of its own, and the activities that ask them."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure.patterns import idempotency_key, undone_key


@dataclass
class Trip:
    customer: str
    flight: str
    hotel: str
    car: str
    cents: int
    expect: str
    """booked, no seat, no room, no car, declined, or too late: what the story says will come of it."""


@dataclass(frozen=True)
class Entry:
    number: int
    """Counts the entries of all ledgers."""
    did: str
    """booked, cancelled, or refused: a late attempt whose booking had been cancelled."""
    key: str
    what: str
    customer: str


@dataclass
class Company:
    """Takes bookings under keys. The same key again is the same booking, and none any more after it was cancelled."""

    name: str
    stock: dict[str, int]
    """What there is of each thing; what is not listed there is plenty of."""
    numbers: itertools.count[int]
    ledger: list[Entry] = field(default_factory=list)
    bad_line: bool = False
    """Every third answer is lost, after the work was done."""
    cancels: bool = True
    """Whether somebody answers who wants to cancel."""
    answers: int = 0

    def book(self, key: str, what: str, customer: str) -> str:
        done = {entry.did for entry in self.ledger if entry.key == key}
        if "cancelled" in done:
            self._write("refused", key, what, customer)
            raise ApplicationError(f"{self.name} has cancelled {key}", type="Refused", non_retryable=True)
        if not done:
            if self.left(what) < 1:
                raise ApplicationError(f"no {self.name}: {what}", type="SoldOut", non_retryable=True)
            self._write("booked", key, what, customer)
        self._answer()
        return f"{what} for {customer}"

    def cancel(self, key: str, what: str, customer: str) -> None:
        if not self.cancels:
            raise ConnectionError(f"nobody answers at {self.name}")
        if not any(entry.key == key and entry.did == "cancelled" for entry in self.ledger):
            self._write("cancelled", key, what, customer)
        self._answer()

    def kept(self) -> list[Entry]:
        """Bookings that stand."""
        gone = {entry.key for entry in self.ledger if entry.did == "cancelled"}
        return [entry for entry in self.ledger if entry.did == "booked" and entry.key not in gone]

    def left(self, what: str) -> int:
        """How many there are still."""
        return self.stock.get(what, 10**9) - Counter(entry.what for entry in self.kept())[what]

    def _write(self, did: str, key: str, what: str, customer: str) -> None:
        self.ledger.append(Entry(next(self.numbers), did, key, what, customer))

    def _answer(self) -> None:
        self.answers += 1
        if self.bad_line and self.answers % 3 == 0:
            raise ConnectionError(f"the line to {self.name} broke before its answer came")


class Bookings:
    """The activities. Each passes on the key of its step, by which the company recognises it."""

    def __init__(self, stock: dict[str, dict[str, int]]) -> None:
        numbers = itertools.count(1)
        self.airline = Company("seat", stock.get("seat", {}), numbers)
        self.hotels = Company("room", stock.get("room", {}), numbers, bad_line=True)
        self.garage = Company("car", stock.get("car", {}), numbers)
        self.bank = Company("money", {}, numbers, bad_line=True)
        self.mailed: dict[str, str] = {}
        """key -> customer who got tickets"""

    @property
    def companies(self) -> list[Company]:
        """In the order in which they are asked, but that the hotel and the garage are asked at once."""
        return [self.airline, self.hotels, self.garage, self.bank]

    def all(self) -> list[Callable[..., Any]]:
        """For the worker."""
        book = [self.reserve_seat, self.book_room, self.rent_car, self.charge, self.send_tickets]
        return [*book, self.release_seat, self.cancel_room, self.return_car, self.refund]

    @activity.defn
    async def reserve_seat(self, trip: Trip) -> str:
        return self.airline.book(idempotency_key(), trip.flight, trip.customer)

    @activity.defn
    async def release_seat(self, trip: Trip) -> None:
        self.airline.cancel(undone_key(), trip.flight, trip.customer)

    @activity.defn
    async def book_room(self, trip: Trip) -> str:
        await asyncio.sleep(0.01)
        return self.hotels.book(idempotency_key(), trip.hotel, trip.customer)

    @activity.defn
    async def cancel_room(self, trip: Trip) -> None:
        self.hotels.cancel(undone_key(), trip.hotel, trip.customer)

    @activity.defn
    async def rent_car(self, trip: Trip) -> str:
        return self.garage.book(idempotency_key(), trip.car, trip.customer)

    @activity.defn
    async def return_car(self, trip: Trip) -> None:
        self.garage.cancel(undone_key(), trip.car, trip.customer)

    @activity.defn
    async def charge(self, trip: Trip) -> str:
        """The bank of some customers says no, and that of others does not answer before the deadline."""
        if trip.expect == "declined":
            raise ApplicationError("the card was declined", type="Declined", non_retryable=True)
        if trip.expect == "too late":
            raise ConnectionError("the bank does not answer")
        return self.bank.book(idempotency_key(), f"{trip.cents} cents", trip.customer)

    @activity.defn
    async def refund(self, trip: Trip) -> None:
        self.bank.cancel(undone_key(), f"{trip.cents} cents", trip.customer)

    @activity.defn
    async def send_tickets(self, trip: Trip) -> None:
        """Down half of the time; after the pivot there is no way but forward."""
        if activity.info().attempt % 2:
            raise ConnectionError("the mail server is down")
        self.mailed[idempotency_key()] = trip.customer

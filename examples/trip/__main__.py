"""Ten trips over four companies: some are sold out, cards are declined, lines break, a bank and a hotel don't answer.

What was booked for a trip that can't be completed is cancelled, newest first. The hotel where finn's room has to be
cancelled does not answer for hours: his trip is stuck until a person has called there.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.worker import Worker

from examples.show import Mismatch, fresh, run
from examples.trip.activities import Bookings, Company, Entry, Trip
from examples.trip.workflow import Booked, BookTrip
from perdure.patterns import SagaReport

FILE = Path(__file__).parent / "trips.json"
FOR_A_PERSON = "finn"
REASONS = {"SoldOut": "no ", "Declined": "declined", "SagaDeadline": "too late"}


def read() -> tuple[Bookings, list[Trip]]:
    """The companies with what they have, and who wants what."""
    found = json.loads(FILE.read_text())
    return Bookings(found["stock"]), [Trip(**trip) for trip in found["trips"]]


async def show(client: Client) -> None:
    """Book all trips, one after the other so that it is known who gets the last seat; then read the ledgers."""
    bookings, trips = read()
    queue = fresh("trip")
    async with Worker(client, task_queue=queue, workflows=[BookTrip], activities=bookings.all()):
        for trip in trips:
            bookings.hotels.cancels = trip.customer != FOR_A_PERSON
            handle: WorkflowHandle[Any, Booked] = await client.start_workflow(
                BookTrip.run, trip, id=f"{queue}-{trip.customer}", task_queue=queue
            )
            ending = asyncio.create_task(_ending(handle))
            if trip.customer == FOR_A_PERSON:
                await _help(handle, bookings.hotels, ending)
            print(f"{trip.customer:8} {trip.flight:22} {await ending}")
            if await ending != trip.expect:
                raise Mismatch(f"{trip.customer}'s trip ended with {await ending!r}, not {trip.expect!r}")
    check(bookings, trips)
    for company in bookings.companies:
        done = Counter(entry.did for entry in company.ledger)
        print(f"{company.name:6} {done['booked']} booked, {done['cancelled']} cancelled, {len(company.kept())} kept")


async def _ending(handle: WorkflowHandle[Any, Booked]) -> str:
    try:
        await handle.result()
    except WorkflowFailureError as error:
        cause: Any = error.cause
        if type(cause).__name__ == "ActivityError":
            cause = cause.cause
        kind = getattr(cause, "type", "")
        return f"no {cause.message[3:].split(':')[0]}" if kind == "SoldOut" else REASONS.get(kind, repr(cause))
    return "booked"


async def _help(handle: WorkflowHandle[Any, Booked], hotels: Company, ending: asyncio.Task[str]) -> None:
    """A person sees that the saga is stuck, calls the hotel, and has it go on."""
    while not ending.done():
        [saga] = await handle.query("perdure_saga", result_type=list[SagaReport]) or [None]
        if saga is not None and saga.state == "stuck":
            [left] = saga.left
            print(f"         stuck: {left.undo}: {left.error}; somebody calls there")
            hotels.cancels = True
            await handle.signal("perdure_saga_resume")
            return
        await asyncio.sleep(0.1)


def check(bookings: Bookings, trips: list[Trip]) -> None:
    """Raises `Mismatch` unless all of a trip is kept or nothing, and what was cancelled was so newest first."""
    for trip in trips:
        wanted = 1 if trip.expect == "booked" else 0
        for company in bookings.companies:
            kept = sum(entry.customer == trip.customer for entry in company.kept())
            if kept != wanted:
                raise Mismatch(f"{trip.customer}'s trip is {trip.expect!r}, but {company.name} keeps {kept} bookings")
        if (trip.customer in bookings.mailed.values()) != bool(wanted):
            raise Mismatch(f"{trip.customer}'s trip is {trip.expect!r}, and the tickets say otherwise")
        _check_order(bookings, trip.customer)


def _check_order(bookings: Bookings, customer: str) -> None:
    """The hotel and the garage are in one group, so they count as one. What was stuck comes last."""
    steps = {company.name: step for step, company in enumerate(bookings.companies)} | {"car": 1}
    entries: list[tuple[Entry, int]] = [
        (entry, steps[company.name])
        for company in bookings.companies
        for entry in company.ledger
        if entry.customer == customer and entry.did != "refused" and (customer, company.name) != (FOR_A_PERSON, "room")
    ]
    entries.sort(key=lambda found: found[0].number)
    booked = [step for entry, step in entries if entry.did == "booked"]
    cancelled = [step for entry, step in entries if entry.did == "cancelled"]
    if booked != sorted(booked) or cancelled != sorted(cancelled, reverse=True):
        raise Mismatch(f"{customer}: booked in the order {booked}, cancelled in the order {cancelled}")


if __name__ == "__main__":
    run(show, __doc__)

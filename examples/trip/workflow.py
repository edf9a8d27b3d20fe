"""A trip: booked as a whole, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from examples.trip.activities import Bookings, Trip
    from perdure.patterns import Saga, method, options

DEADLINE = timedelta(minutes=30)
"""So long a customer waits for an answer."""
UNDO = options.undo.but(attempts=6)
"""After an hour or so of trying, a person has to see why a booking can't be cancelled."""


@dataclass
class Booked:
    seat: str
    room: str
    car: str
    receipt: str


@workflow.defn
class BookTrip:
    @workflow.run
    async def run(self, trip: Trip) -> Booked:
        async with Saga(deadline=DEADLINE, options=options.flaky_api, undo_options=UNDO) as saga:
            seat = await saga.step(method(Bookings.reserve_seat), trip, undo=method(Bookings.release_seat))
            async with saga.parallel() as group:
                room = group.start(method(Bookings.book_room), trip, undo=method(Bookings.cancel_room))
                car = group.start(method(Bookings.rent_car), trip, undo=method(Bookings.return_car))
            receipt = await saga.step(method(Bookings.charge), trip, undo=method(Bookings.refund))
            saga.pivot()
            await saga.step(method(Bookings.send_tickets), trip)
        return Booked(seat, room.result(), car.result(), receipt)

"""Trips: all or nothing, whatever breaks."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from examples.show import Mismatch
from examples.trip.__main__ import check, read, show
from examples.trip.activities import Bookings, Trip
from examples.trip.workflow import BookTrip
from perdure.patterns import SagaResume, resume, what_is_left
from perdure.testing import Env


def trip(expect: str = "booked", **changes: str) -> Trip:
    things = {"flight": "LH 1", "hotel": "Ritz", "car": "Fiat"} | changes
    return Trip("ann", things["flight"], things["hotel"], things["car"], 1000, expect)


async def test_the_story(perdure: Env, capsys: pytest.CaptureFixture[str]) -> None:
    await show(perdure.client)
    printed = capsys.readouterr().out
    assert "stuck: cancel_room" in printed and "money  4 booked, " in printed


@pytest.mark.parametrize("faults", [{"evict_every_task": True}, {"duplicate_attempts": True}])
@pytest.mark.parametrize("expect", ["booked", "no seat", "no room", "no car", "declined", "too late"])
async def test_all_or_nothing_under_faults(perdure: Env, expect: str, faults: dict[str, bool]) -> None:
    perdure.faults(**faults)
    thing = expect.removeprefix("no ")
    bookings = Bookings({thing: {"LH 1": 0, "Ritz": 0, "Fiat": 0}} if thing != expect else {})
    async with perdure.worker(BookTrip, activities=bookings.all()):
        handle = await perdure.start(BookTrip.run, trip(expect))
        if expect == "booked":
            await handle.result()
        else:
            with pytest.raises(WorkflowFailureError):
                await handle.result()
    check(bookings, [trip(expect)])


async def test_cancelled_while_the_car_is_rented(perdure: Env) -> None:
    bookings = Bookings({})
    rent = perdure.mock(bookings.rent_car, blocks=True, returns="a car")
    others = [fn for fn in bookings.all() if fn.__name__ != "rent_car"]
    async with perdure.worker(BookTrip, activities=[*others, rent]):
        handle = await perdure.start(BookTrip.run, trip("cancelled"))
        while not rent.calls:
            await asyncio.sleep(0.01)
        await handle.cancel()
        rent.release()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    check(bookings, [trip("cancelled")])
    assert [entry.did for entry in bookings.garage.ledger] == ["cancelled"]


async def test_a_late_attempt_is_refused(perdure: Env) -> None:
    bookings = Bookings({"car": {"Fiat": 0}})
    async with perdure.worker(BookTrip, activities=bookings.all()):
        with pytest.raises(WorkflowFailureError):
            await perdure.execute(BookTrip.run, trip("no car"))
    key = bookings.hotels.ledger[0].key
    with pytest.raises(ApplicationError, match="has cancelled"):
        bookings.hotels.book(key, "Ritz", "ann")
    check(bookings, [trip("no car")])


@pytest.mark.perdure(time="manual")
async def test_what_a_terminated_trip_has_left_is_undone_by_resume(perdure: Env) -> None:
    bookings = Bookings({})
    charge = perdure.mock(bookings.charge, blocks=True, returns="receipt")
    others = [fn for fn in bookings.all() if fn.__name__ != "charge"]
    async with perdure.worker(BookTrip, SagaResume, activities=[*others, charge]):
        handle = await perdure.start(BookTrip.run, trip("terminated"))
        await perdure.advance_until(lambda: bool(charge.calls), limit=timedelta(hours=1))
        await handle.terminate()
        charge.release()
        assert len(await what_is_left(perdure.client, handle.id)) == 4
        resumed = await resume(perdure.client, handle.id)
        await perdure.advance(timedelta(minutes=5))
        assert len(await resumed.result()) == 4
    check(bookings, [trip("terminated")])


def test_the_check_finds_what_is_kept() -> None:
    bookings, trips = read()
    with pytest.raises(Mismatch, match="seat keeps 0 bookings"):
        check(bookings, trips)

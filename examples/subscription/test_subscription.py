"""A year, and what goes wrong in it, in well under a second a test."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from examples.subscription.activities import charge, mail
from examples.subscription.workflow import End, Plan, Subscription
from perdure.testing import Env

PLAN = Plan("ann", cents=900)
DAY = timedelta(days=1)
DECLINED = ApplicationError("no money", type="Declined")


async def test_a_year(perdure: Env) -> None:
    charged = perdure.mock(charge, side_effect=lambda request: request.key)
    mailed = perdure.mock(mail)
    began = perdure.now()
    async with perdure.worker(Subscription, activities=[charged, mailed]):
        end = await perdure.execute(Subscription.run, PLAN, id="ann")
    assert end == End("complete", [f"ann/{month}" for month in range(1, 13)])
    assert 387 * DAY <= perdure.now() - began < 388 * DAY
    assert len(mailed.calls) == 13

    history = await perdure.history("ann")
    for number, step in enumerate(history.activities("charge")):
        assert (30 + 30 * number) * DAY <= step.began - history.began < (31 + 30 * number) * DAY
    history.assert_order("mail", "timer", "charge", "timer", "mail")


@pytest.mark.perdure(time="manual")
async def test_cancelled_during_the_trial(perdure: Env) -> None:
    charged = perdure.mock(charge)
    async with perdure.worker(Subscription, activities=[charged, perdure.mock(mail)]):
        handle = await perdure.start(Subscription.run, PLAN)
        await perdure.advance(28 * DAY)
        await handle.signal(Subscription.cancel)
        assert await handle.result() == End("cancelled", [])
    assert charged.calls == []


async def test_a_declined_card_is_tried_again(perdure: Env) -> None:
    charged = perdure.mock(charge, raises=[None, DECLINED, DECLINED, None], returns="receipt")
    mailed = perdure.mock(mail)
    async with perdure.worker(Subscription, activities=[charged, mailed]):
        handle = await perdure.start(Subscription.run, PLAN)
        assert (await handle.result()).reason == "complete"
    charges = (await perdure.history(handle)).activities("charge")
    assert [step.status for step in charges[:4]] == ["completed", "failed", "failed", "completed"]
    assert DAY <= charges[2].began - charges[1].began < 2 * DAY
    assert 3 * DAY <= charges[3].began - charges[2].began < 4 * DAY
    assert len({args[0].key for args in charged.args[1:4]}) == 1


async def test_a_card_that_is_never_accepted_ends_it(perdure: Env) -> None:
    charged = perdure.mock(charge, raises=DECLINED)
    async with perdure.worker(Subscription, activities=[charged, perdure.mock(mail)]):
        assert await perdure.execute(Subscription.run, PLAN) == End("unpaid", [])
    assert len(charged.calls) == 4


async def test_what_is_broken_for_a_day_is_only_late(perdure: Env) -> None:
    charged = perdure.mock(charge, raises=[ConnectionError("down")] * 4, returns="receipt")
    async with perdure.worker(Subscription, activities=[charged, perdure.mock(mail)]):
        end = await perdure.execute(Subscription.run, Plan("ann", 900, months=1))
    assert end == End("complete", ["receipt"]) and len(charged.calls) == 5


@pytest.mark.perdure(time="manual")
async def test_a_price_counts_from_the_next_charge(perdure: Env) -> None:
    charged = perdure.mock(charge, returns="receipt")
    async with perdure.worker(Subscription, activities=[charged, perdure.mock(mail)]):
        handle = await perdure.start(Subscription.run, PLAN)
        await perdure.advance_until(lambda: len(charged.calls) == 2)
        assert await handle.query(Subscription.paid) == 2
        assert await handle.execute_update(Subscription.change_price, 1200) == 900
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(Subscription.change_price, -1)
        await perdure.advance(31 * DAY)
        await handle.terminate()
    assert [args[0].cents for args in charged.args] == [900, 900, 1200]


async def test_faults_change_nothing(perdure: Env) -> None:
    perdure.faults(evict_every_task=True, duplicate_attempts=True)
    charged = perdure.mock(charge, side_effect=lambda request: request.key)
    async with perdure.worker(Subscription, activities=[charged, perdure.mock(mail)]):
        end = await perdure.execute(Subscription.run, Plan("ann", 900, months=3), id="ann")
    assert end == End("complete", ["ann/1", "ann/2", "ann/3"])
    assert {args[0].key for args in charged.args} == {"ann/1", "ann/2", "ann/3"} and len(charged.calls) == 6

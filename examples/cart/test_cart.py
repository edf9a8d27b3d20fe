"""A cart's life, day by day."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from examples.cart.__main__ import show
from examples.cart.activities import Shop
from examples.cart.workflow import Cart, Line, State
from perdure.testing import Env

LAMP = Line("lamp", 1, 4900)
DAY = timedelta(days=1)


async def test_the_story(perdure: Env) -> None:
    perdure.faults(evict_every_task=True, duplicate_attempts=True)
    await show(perdure.client, customers=4)


@pytest.mark.perdure(time="manual")
@pytest.mark.parametrize("evicted", [False, True])
async def test_a_cart_that_is_left_standing(perdure: Env, evicted: bool) -> None:
    perdure.faults(evict_every_task=evicted, duplicate_attempts=evicted)
    shop = Shop()
    async with perdure.worker(Cart, activities=[shop.mail, shop.order], task_queue="carts"):
        cart = Cart.of(perdure.client, "cart/ann", task_queue="carts")
        await cart.put(LAMP)
        await perdure.advance(0.9 * DAY)
        assert await cart.put(Line("lamp", 2, 4900)) == 9800
        await perdure.advance(0.9 * DAY)
        assert not shop.mails, "every change puts the reminder off"
        await perdure.advance(0.2 * DAY)
        assert list(shop.mails.values()) == [("ann", "Still there: lamp")]
        await perdure.advance(28 * DAY)
        assert (await cart.look()).status == "open"
        await perdure.advance(2 * DAY)
        assert await cart.look() == State({}, "expired")
        assert await cart.put(LAMP) == 4900, "it comes back"
        assert len(shop.mails) == 1


@pytest.mark.perdure(time="manual")
async def test_what_is_bought_is_not_reminded_of(perdure: Env) -> None:
    shop = Shop()
    async with perdure.worker(Cart, activities=[shop.mail, shop.order], task_queue="carts"):
        cart = Cart.of(perdure.client, "cart/ann", task_queue="carts")
        with pytest.raises(WorkflowUpdateFailedError):
            await cart.check_out()
        await cart.put(LAMP)
        assert await cart.check_out() == "order 1"
        await perdure.advance(60 * DAY)
        assert not shop.mails and await cart.look() == State({}, "ordered")
        await cart.put(LAMP)
        assert await cart.check_out() == "order 2"

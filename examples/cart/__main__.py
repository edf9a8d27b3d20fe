"""Carts over their whole life: filled, reminded of, checked out or given up."""

from __future__ import annotations

import asyncio

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.worker import Worker

from examples.cart.activities import Shop
from examples.cart.workflow import Cart, Line
from examples.show import fresh, run

LINES = [Line("lamp", 1, 4900), Line("desk", 2, 19900), Line("chair", 4, 8900), Line("plant", 3, 1500)]


async def show(client: Client, customers: int = 12) -> None:
    """Each fills a cart from three devices at a time; a button is pressed twice; every third forgets to check out."""
    queue, shop = fresh("carts"), Shop()
    async with Worker(client, task_queue=queue, workflows=[Cart], activities=[shop.mail, shop.order]):
        names = [f"customer-{number}" for number in range(customers)]
        bought = await asyncio.gather(*(visit(client, queue, name, n % 3 != 0) for n, name in enumerate(names)))
    paid = {name: cents for name, cents in zip(names, bought, strict=True) if cents}
    assert sorted(shop.orders.values()) == sorted(paid.items()), "each checkout is one order"
    print(f"{len(shop.orders)} orders over {sum(paid.values())} cents; {customers - len(paid)} carts are left standing")


async def visit(client: Client, queue: str, name: str, buys: bool) -> int:
    """What was bought, in cents."""
    devices = [Cart.of(client, f"{queue}/{name}", task_queue=queue) for _ in range(3)]
    await asyncio.gather(*(device.put(line) for device, line in zip(devices * 2, LINES, strict=False)))
    try:
        await devices[0].put(Line("nothing", 1, 0))
    except WorkflowUpdateFailedError as error:
        assert "a price above 0" in str(error.cause)
    cart = devices[0]
    cents = await cart.put(Line("plant", 0, 1500))
    assert cents == sum(line.count * line.cents for line in LINES[:3])
    if not buys:
        return 0
    pressed = await asyncio.gather(*(device.check_out(message_id=f"{name}/1") for device in devices))
    assert len(set(pressed)) == 1, pressed
    assert not (await cart.look()).lines
    return cents


if __name__ == "__main__":
    run(show, __doc__)

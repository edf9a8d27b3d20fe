"""An inventory under a rush: more is wanted than there is, and what is not bought in time goes back on the shelf."""

from __future__ import annotations

import asyncio
import random

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from examples.inventory.workflow import Patience, State, Stock
from examples.show import fresh, run

ARTICLES = {"lamp": 30, "desk": 12, "chair": 40}


async def show(client: Client, orders: int = 90) -> None:
    """Everybody reserves at once; half of them buy; the others let it expire, and it is sold to the next."""
    queue = fresh("stock")
    async with Worker(client, task_queue=queue, workflows=[Stock, Patience]):
        stocks = {name: Stock.of(client, f"{name}-{queue}", task_queue=queue) for name in ARTICLES}
        for name, count in ARTICLES.items():
            await stocks[name].deliver(count, message_id="first delivery")
        first = await rush(stocks, orders, seed=1, buys=0.5)
        await client.execute_workflow(Patience.run, id=f"patience-{queue}", task_queue=queue)
        for name in ARTICLES:
            books = await until_expired(stocks[name])
            assert books.sold == first[name] and books.on_shelf == ARTICLES[name] - first[name], (name, books)
        second = await rush(stocks, orders, seed=2, buys=1)
        for name in ARTICLES:
            books = await stocks[name].books()
            assert books.sold == first[name] + second[name] <= ARTICLES[name], (name, books)
            assert books.on_shelf + sum(books.reserved.values()) + books.sold == ARTICLES[name], (name, books)
            print(f"{name}: {ARTICLES[name]} delivered, {first[name]} and then {second[name]} sold")


async def rush(stocks: dict[str, Stock], orders: int, seed: int, buys: float) -> dict[str, int]:
    """What was sold."""
    chance = random.Random(seed)
    sold = dict.fromkeys(stocks, 0)

    async def order(number: int, name: str, count: int, buy: bool) -> None:
        key = f"order-{seed}-{number}"
        try:
            await stocks[name].reserve(key, count, message_id=f"{key}/reserve")
        except WorkflowUpdateFailedError as error:
            assert isinstance(error.cause, ApplicationError) and error.cause.type == "SoldOut", error.cause
            return
        if buy:
            try:
                await stocks[name].buy(key, message_id=f"{key}/buy")
            except WorkflowUpdateFailedError as error:  # where time skips, it may do so between the two
                assert isinstance(error.cause, ApplicationError) and error.cause.type == "Expired", error.cause
            else:
                sold[name] += count

    await asyncio.gather(
        *(
            order(number, chance.choice(list(stocks)), chance.randint(1, 3), chance.random() < buys)
            for number in range(orders)
        )
    )
    return sold


async def until_expired(stock: Stock) -> State:
    """Its timers are its own: they may fire a moment after those of others."""
    while (books := await stock.books()).reserved:
        await asyncio.sleep(0.05)
    return books


if __name__ == "__main__":
    run(show, __doc__)

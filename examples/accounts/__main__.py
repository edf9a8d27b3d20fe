"""Transfers between accounts: money is conserved at every moment, whatever fails when."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from temporalio.client import Client
from temporalio.worker import Worker

from examples.accounts.account import Account
from examples.accounts.activities import account, act
from examples.accounts.ledger import Audit, audit, effects
from examples.accounts.workflow import Order, Transfer
from examples.show import fresh, run

NAMES = ["ann", "bob", "cleo", "dan", "eve", "finn"]
START = 10_000


async def show(client: Client, transfers: int = 60) -> None:
    """Six people send each other money, more than some of them have, and one closes the account meanwhile."""
    queue = fresh("accounts")
    async with Worker(client, task_queue=queue, workflows=[Account, Transfer], activities=[act]):
        names = [f"{name}-{queue}" for name in NAMES]
        ends = await play(client, queue, names, transfers, seed=7)
        print(", ".join(f"{count} {how}" for how, count in sorted(ends.items())))
        told = await check(client, queue, names)
    print(f"{told.deposited} cents in balances and holds at each of {told.moments} moments")


async def play(client: Client, queue: str, names: list[str], transfers: int, seed: int) -> Counter[str]:
    """How they ended."""
    chance = random.Random(seed)
    for name in names:
        await account(client, name, queue).deposit(START, message_id=f"start-{name}")
    places = asyncio.Semaphore(20)

    async def transfer(number: int) -> str:
        source, target = chance.sample(names, 2)
        order = Order(source, target, chance.randrange(1, START))
        async with places:
            if number == transfers // 2:
                await account(client, names[-1], queue).close(message_id="close")
            return await client.execute_workflow(Transfer.run, order, id=f"transfer-{number}-{queue}", task_queue=queue)

    return Counter(await asyncio.gather(*(transfer(number) for number in range(transfers))))


async def check(client: Client, queue: str, names: list[str]) -> Audit:
    """The accounts' own books against the audit of their histories."""
    found = [effect for name in names for effect in await effects(client, f"account-{name}")]
    told = audit(found)
    for name in names:
        books = await account(client, name, queue).books()
        assert books.balance == told.balances[f"account-{name}"], f"{name} has {books.balance}"
        assert not books.holds and not books.arrived, f"{name} has something on its way"
    assert told.held == 0 and sum(told.balances.values()) == told.deposited
    return told


if __name__ == "__main__":
    run(show, __doc__)

"""Money is conserved under every fault, and the audit would see it if it were not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from examples.accounts.__main__ import check, play, show
from examples.accounts.account import Account
from examples.accounts.activities import Step, account, act
from examples.accounts.ledger import audit, effects
from examples.accounts.workflow import Order, Transfer
from perdure.testing import Env

NAMES = ["ann", "bob", "cleo"]
QUEUE = "accounts"


async def test_the_story(perdure: Env) -> None:
    await show(perdure.client, transfers=30)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", ["none", "evicted", "duplicated", "both"])
async def test_money_is_conserved(perdure: Env, fault: str, seed: int) -> None:
    perdure.faults(evict_every_task=fault in ("evicted", "both"), duplicate_attempts=fault in ("duplicated", "both"))
    async with perdure.worker(Account, Transfer, activities=[act], task_queue=QUEUE):
        ends = await play(perdure.client, QUEUE, NAMES, transfers=15, seed=seed)
        assert sum(ends.values()) == 15
        await check(perdure.client, QUEUE, NAMES)


async def test_replies_that_are_lost_and_attempts_that_are_late(perdure: Env) -> None:
    """Each step acts, and its activity fails; a copy of it comes when the transfer is over."""
    steps: list[Step] = []

    async def lossy(step: Step) -> None:
        await act(step)
        steps.append(step)
        if steps.count(step) < 3:
            raise ConnectionError("the reply is lost")

    lost = perdure.mock(act, side_effect=lossy)
    async with perdure.worker(Account, Transfer, activities=[lost], task_queue=QUEUE):
        await play(perdure.client, QUEUE, NAMES, transfers=6, seed=1)
        before = await check(perdure.client, QUEUE, NAMES)
        for step in steps:
            to = account(perdure.client, step.account, QUEUE)
            if step.step == "hold":
                await to.hold(step.transfer, *step.cents, message_id=f"{step.transfer}/hold")
            elif step.step == "credit":
                await to.credit(step.transfer, *step.cents, message_id=f"{step.transfer}/credit")
        assert await check(perdure.client, QUEUE, NAMES) == before


async def test_a_hold_that_comes_after_its_release_is_refused(perdure: Env) -> None:
    async with perdure.worker(Account, Transfer, activities=[act], task_queue=QUEUE):
        ann = account(perdure.client, "ann", QUEUE)
        await ann.deposit(100)
        await ann.release("t", message_id="t/release")
        with pytest.raises(Exception, match="update failed") as raised:
            await ann.hold("t", 50, message_id="t/hold")
        assert "released" in str(raised.value.__cause__)
        assert (await ann.books()).balance == 100


@pytest.mark.perdure(stall_s=60)
async def test_workers_that_go_away_in_the_middle(perdure: Env) -> None:
    async with perdure.worker(activities=[act], task_queue=QUEUE):
        playing = asyncio.ensure_future(play(perdure.client, QUEUE, NAMES, transfers=25, seed=4))
        for _ in range(3):
            async with perdure.worker(Account, Transfer, task_queue=QUEUE):
                await asyncio.wait([playing], timeout=0.3)
        async with perdure.worker(Account, Transfer, task_queue=QUEUE):
            assert sum((await playing).values()) == 25
            await check(perdure.client, QUEUE, NAMES)


async def test_the_audit_sees_money_that_is_made_or_lost(perdure: Env) -> None:
    async with perdure.worker(Account, Transfer, activities=[act], task_queue=QUEUE):
        await play(perdure.client, QUEUE, NAMES, transfers=0, seed=0)
        await perdure.execute(Transfer.run, Order("ann", "bob", 7), id="t")
        found = sorted([each for name in NAMES for each in await effects(perdure.client, f"account-{name}")])
    audit(found)
    steps = [each.step for each in found if each.transfer == "t"]
    assert steps == ["hold", "credit", "settle", "forget"]
    for each in found[3:5]:
        broken = [replace(one, cents=one.cents + 1) if one is each else one for one in found]
        with pytest.raises(AssertionError):
            audit(broken)
    with pytest.raises(AssertionError):
        audit([each for each in found if each.step != "credit"])

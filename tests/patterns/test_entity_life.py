"""Entities over time: states that evolve, ends and new beginnings, resets, replays, and what a class may not be."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from tests.patterns.carts import Cart, Item, price
from tests.patterns.lives import Nag, kept, load, save
from tests.patterns.resets import reset_first_run

from perdure.patterns import Entity, Limits, check, query, signal, update, upgrade

LAMP = Item("lamp", 1900)


@dataclass
class Old:
    euros: int = 0


class PurseV1(Entity[Old], name="Purse", limits=Limits(messages_a_run=5)):
    @update
    async def put(self, euros: int) -> int:
        self.state.euros += euros
        return self.state.euros


@dataclass
class New:
    cents: int = 0
    currency: str = "EUR"


class PurseV3(Entity[New], name="Purse", version=3, limits=Limits(messages_a_run=5)):
    @update
    async def put(self, euros: int) -> int:
        self.state.cents += euros * 100
        return self.state.cents // 100

    @query
    def cents(self) -> int:
        return self.state.cents

    @upgrade(1)
    @staticmethod
    def _cents(old: dict[str, Any]) -> dict[str, Any]:
        return {"cents": old["euros"] * 100}


async def test_a_state_evolves(perdure):
    async with perdure.worker(PurseV1, task_queue="old"):
        old = PurseV1.of(perdure.client, "purse", task_queue="old", initial=Old(euros=1))
        for number in range(7):
            await old.put(1, message_id=str(number))
    perdure.faults(evict_every_task=True)
    async with perdure.worker(PurseV3, task_queue="old"):
        new = PurseV3.of(perdure.client, "purse", task_queue="old")
        assert await new.cents() == 800
        assert await new.put(1, message_id="6") == 8, "the first reply"
        for _ in range(7):
            await new.put(1)
        assert await new.cents() == 1500
    perdure.allow_task_failures()
    async with perdure.worker(PurseV1, task_queue="old"):
        asking = asyncio.ensure_future(old.put(1))
        while not perdure.task_failures:
            await asyncio.sleep(0.01)
        asking.cancel()
    assert "has version 3, and this worker knows those up to 1: deploy the newer code" in perdure.task_failures[0]
    await perdure.client.get_workflow_handle("purse").terminate()


@dataclass
class Count:
    n: int = 0
    seen: list[str] = field(default_factory=list)


class Counter(Entity[Count], idle=timedelta(days=7), load=load, save=save):
    @update
    async def up(self, by: int = 1) -> int:
        self.state.n += by
        return self.state.n

    @signal
    def see(self, what: str) -> None:
        self.state.seen.append(what)

    @query
    def seen(self) -> list[str]:
        return self.state.seen


async def test_an_idle_entity_ends_and_goes_on(perdure):
    kept.clear()
    perdure.faults(duplicate_attempts=True)
    async with perdure.worker(Counter, activities=[load, save], task_queue="counters"):
        counter = Counter.of(perdure.client, "c", task_queue="counters")
        assert await counter.up(5, message_id="five") == 5
        await perdure.client.get_workflow_handle("c").result()
        assert json.loads(kept["c"])["state"]["json"]["n"] == 5
        assert await counter.up(5, message_id="five") == 5, "also in its next life"
        assert await counter.up(1) == 6
        await counter.see("x")
        await perdure.client.get_workflow_handle("c").result()
        await counter.see("y")
        assert await counter.seen() == ["x", "y"]
        await perdure.client.get_workflow_handle("c").result()
    first = (await perdure.histories("c"))[0]
    assert timedelta(days=7) <= first.ended - first.began < timedelta(days=7, minutes=1)


async def test_a_message_while_it_saves_keeps_it_alive(perdure):
    kept.clear()
    saving = perdure.mock(save, side_effect=save, blocks=True)
    async with perdure.worker(Counter, activities=[load, saving], task_queue="counters"):
        counter = Counter.of(perdure.client, "c", task_queue="counters")
        await counter.up()
        await perdure.advance_until(lambda: saving.calls)
        assert await counter.up() == 2
        saving.release()
        await perdure.client.get_workflow_handle("c").result()
    assert len(await perdure.histories("c")) == 1 and len(saving.calls) == 2
    assert json.loads(kept["c"])["state"]["json"]["n"] == 2


async def test_a_reset_keeps_what_was_sent_and_acts_once(perdure):
    async with perdure.worker(Cart, activities=[price], task_queue="carts"):
        cart = Cart.of(perdure.client, "ann", task_queue="carts")
        for number in range(5):
            await cart.add(LAMP, message_id=str(number))
            await cart.note(str(number), message_id=f"note {number}")
        await reset_first_run(perdure, "ann")
        assert await cart.add(LAMP, message_id="3") == 4, "the first reply"
        assert await cart.add(LAMP) == 6
        assert await cart.log() == [str(number) for number in range(5)]


class Steps(Entity[Count], limits=Limits(messages_a_run=4)):
    @update
    async def step(self, what: str) -> int:
        if what == "bad":
            raise ApplicationError("a bad step", type="Bad")
        self.state.seen.append(what)
        return len(self.state.seen)

    @signal
    def hint(self, what: str) -> None:
        self.state.seen.append(what)

    @query
    def seen(self) -> list[str]:
        return self.state.seen


async def test_a_reset_of_an_earlier_run_keeps_what_later_runs_were_sent(perdure):
    """The run is handed more messages than it takes, all at once."""
    async with perdure.worker(Steps, task_queue="steps"):
        steps = Steps.of(perdure.client, "s", task_queue="steps")
        for number in range(8):
            await steps.step(f"step {number}", message_id=f"step {number}")
            await steps.hint(f"hint {number}", message_id=f"hint {number}")
        with pytest.raises(WorkflowUpdateFailedError):
            await steps.step("bad", message_id="bad")
        runs, seen = await perdure.histories("s"), await steps.seen()
        assert len(runs) > 3 and len(seen) == 16
        await reset_first_run(perdure, "s")
        await perdure.advance(timedelta(minutes=1))
        assert await steps.step("new") == 17
        assert sorted(await steps.seen()) == sorted([*seen, "new"]), "each acted once"
        assert [each for each in await steps.seen() if "step" in each] == [f"step {number}" for number in range(8)]
        assert await steps.step("step 7", message_id="step 7") <= 16, "the first reply"
        with pytest.raises(WorkflowUpdateFailedError) as raised:
            await steps.step("bad", message_id="bad")
        assert raised.value.cause.type == "Bad" and await steps.dead_letters() == []
        assert len(await perdure.histories("s")) >= len(runs) + 4, "no run has more than its share"


@dataclass
class Money:
    amounts: dict[str, list[Decimal | None]] = field(default_factory=dict)


def test_what_a_class_may_not_be():
    with pytest.raises(TypeError, match=r"can't carry amounts: Decimal.*carries_all=True"):

        class A(Entity[Money]):
            @query
            def x(self) -> int:
                return 1

    with pytest.raises(TypeError, match="untyped has no type"):

        class B(Entity[Count]):
            @update
            async def x(self, untyped) -> int:
                return 1

    with pytest.raises(TypeError, match="a query can't be async"):

        class C(Entity[Count]):
            @query
            async def x(self) -> int:
                return 1

    with pytest.raises(TypeError, match="idle needs load and save"):

        class D(Entity[Count], idle=timedelta(days=1)):
            @query
            def x(self) -> int:
                return 1

    with pytest.raises(TypeError, match="has no handlers"):

        class E(Entity[Count]):
            pass

    with pytest.raises(TypeError, match="upgrades lead from versions 1 to 0 up to 1"):

        class F(Entity[Count]):
            @query
            def x(self) -> int:
                return 1

            @upgrade(1)
            @staticmethod
            def _one(old: dict[str, Any]) -> dict[str, Any]:
                return old

    with pytest.raises(TypeError, match="names that start with perdure_"):

        class G(Entity[Count]):
            @signal
            def perdure_x(self) -> None: ...

    with pytest.raises(TypeError, match="has to take what x takes"):

        class H(Entity[Count]):
            @update
            def x(self, n: int) -> None: ...

            @check(x)
            def _x(self) -> None: ...


async def test_an_input_that_is_none_of_an_entity_s_fails_it(perdure):
    async with perdure.worker(Cart, activities=[price], task_queue="carts"):
        with pytest.raises(WorkflowFailureError) as raised:
            await perdure.client.execute_workflow("Cart", {"owner": "ann"}, id="x", task_queue="carts")
        assert "an entity is started without input" in str(raised.value.cause)


async def test_an_initial_state_of_another_class_is_refused(perdure):
    with pytest.raises(TypeError, match="initial is of the class Old, and the state of Counter of Count: give one of"):
        Counter.of(perdure.client, "c", task_queue="counters", initial=Old())


@dataclass
class Words:
    n: str = "many"


class Wordy(Entity[Words], name="Steps"):
    @signal
    def hint(self, what: str) -> None: ...


async def test_an_initial_state_that_is_none_of_its_fails_it(perdure):
    """As a client of other code may give it."""
    await Wordy.of(perdure.client, "s", task_queue="steps", initial=Words()).hint("x")
    async with perdure.worker(Steps, task_queue="steps"):
        with pytest.raises(WorkflowFailureError) as raised:
            await perdure.client.get_workflow_handle("s").result()
    assert "the state that this Steps was started with can't be read" in str(raised.value.cause)


async def test_a_state_that_newer_code_can_not_read_waits_for_code_that_can(perdure):
    async with perdure.worker(Wordy, task_queue="steps"):
        wordy = Wordy.of(perdure.client, "s", task_queue="steps", initial=Words())
        await wordy.hint("x")
        while not (await wordy.status())["handled"]:
            await asyncio.sleep(0.01)
    perdure.allow_task_failures()
    async with perdure.worker(Steps, task_queue="steps"):
        await wordy.hint("y")
        while not perdure.task_failures:
            await asyncio.sleep(0.01)
    handle = perdure.client.get_workflow_handle("s")
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await handle.terminate()


@pytest.mark.perdure(time="manual")
async def test_signals_that_it_sends_itself_later(perdure):
    kept.clear()
    perdure.faults(evict_every_task=True)
    async with perdure.worker(Nag, activities=[load, save], task_queue="nags"):
        nag = Nag.of(perdure.client, "n", task_queue="nags")
        await nag.plan(60, "hour")
        await nag.plan(10, "early")
        await nag.plan(20, "again")
        await nag.plan(5, "forgotten")
        await nag.plan(30, "half an hour")
        with pytest.raises(WorkflowUpdateFailedError):
            await nag.plan(1, "xx", True)
        await nag.forget("f")
        for _ in range(14):
            await nag.forget("none")
        assert len(await perdure.histories("n")) == 4
        assert (await nag.status())["later"] == 3
        await perdure.advance(timedelta(minutes=8))
        assert await nag.said() == []
        await perdure.advance(timedelta(minutes=5))
        assert await nag.said() == ["early"]
        await perdure.advance(timedelta(minutes=25))
        assert await nag.said() == ["early", "again", "at last", "half an hour"]
        await perdure.advance(timedelta(days=29))
        assert (await nag.status())["later"] == 0
        await perdure.advance(timedelta(days=2))
        await perdure.client.get_workflow_handle("n").result()


async def test_a_handler_may_take_longer_than_idle(perdure):
    kept.clear()
    perdure.faults(evict_every_task=True)
    async with perdure.worker(Nag, activities=[load, save], task_queue="nags"):
        nag = Nag.of(perdure.client, "n", task_queue="nags")
        await nag.work(100)
        await perdure.client.get_workflow_handle("n").result()
    assert len((await perdure.history("n")).timers) < 10

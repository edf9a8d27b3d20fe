"""Entities: each message acts once and in its turn, whatever goes wrong when."""

import asyncio
from dataclasses import dataclass

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from tests.patterns.carts import Cart, CartState, Item, price

from perdure.patterns import Entity, check, update

LAMP = Item("lamp", 1900)


@pytest.fixture(params=["plain", "evicted"])
def faults(request, perdure):
    perdure.faults(evict_every_task=request.param == "evicted", duplicate_attempts=request.param == "evicted")


def workers(perdure):
    return perdure.worker(Cart, activities=[price], task_queue="carts")


def cart_of(perdure, id="ann", **options):
    return Cart.of(perdure.client, id, task_queue="carts", **options)


async def refused(awaitable):
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await awaitable
    assert isinstance(raised.value.cause, ApplicationError)
    return raised.value.cause


async def runs(perdure, id="ann"):
    return await perdure.histories(id)


async def test_the_first_message_starts_it(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure, initial=CartState(owner="ann"))
        with pytest.raises(RPCError):
            await cart.total()
        assert await cart.add(LAMP) == 1
        assert await cart.own("bob") == "ann"
        other = cart_of(perdure, "other")
        await other.note("hello")
        assert await other.log() == ["hello"] and await other.total() == 0
        assert await cart.total() == 1900


async def test_a_query_changes_nothing(perdure):
    async with workers(perdure):
        cart = cart_of(perdure)
        await cart.add(LAMP)
        await cart.log(1)
        assert await cart.total() == 1900


async def test_a_check_refuses_without_a_trace(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure)
        await cart.add(LAMP)
        before = (await perdure.history("ann")).events
        error = await refused(cart.add(Item("gift", 0)))
        assert (error.type, error.message) == ("MessageRefused", "a price is above zero")
        assert len((await perdure.history("ann")).events) == len(before)
        assert await cart.total() == 1900


async def test_a_check_is_asked_again_when_the_turn_comes(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure, initial=CartState(items=[LAMP] * 499))
        results = await asyncio.gather(cart.slow(1.0), cart.add(LAMP), cart.add(LAMP), return_exceptions=True)
        assert sorted(isinstance(each, WorkflowUpdateFailedError) for each in results) == [False, False, True]
        [error] = [each for each in results if isinstance(each, WorkflowUpdateFailedError)]
        assert error.cause.type == "Full"


@dataclass
class Number:
    n: int = 0


class Adder(Entity[Number]):
    @update
    def add(self, what: str, by: int = 1, times: int = 2) -> int:
        self.state.n += by * times
        return self.state.n

    @check(add)
    def _few(self, what: str, by: int, times: int) -> None:
        if by * times > 10:
            raise ValueError(f"{by} times {times} is too much")


async def test_a_check_is_asked_with_the_defaults_of_what_was_not_sent(perdure, faults):
    async with perdure.worker(Adder, task_queue="adders"):
        adder = Adder.of(perdure.client, "a", task_queue="adders")
        assert await adder.add("x") == 2
        assert await adder.add("x", 5) == 12
        assert await adder.add("x", 1, 10) == 22
        assert "6 times 2 is too much" in str(await refused(adder.add("x", 6)))


async def test_the_same_message_acts_once_and_gets_the_first_reply(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure)
        assert await cart.add(LAMP, message_id="one") == 1
        for number in range(45):
            await cart.add(Item("x", 1), message_id=f"other {number}")
        assert len(await runs(perdure)) >= 3
        assert await cart.add(LAMP, message_id="one") == 1, "across continue-as-new"
        again = cart_of(perdure)
        assert await again.add(LAMP, message_id="one") == 1
        await cart.note("n", message_id="note")
        await cart.note("n", message_id="note")
        assert await cart.total() == 1900 + 45
        assert await cart.log() == ["n"]


async def test_a_failure_is_a_reply_too(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure)
        for _ in range(2):
            first = await refused(cart.fail("application", message_id="f"))
            for number in range(25):
                await cart.add(LAMP, message_id=f"n{number}")
            again = await refused(cart_of(perdure).fail("application", message_id="f"))
            assert (first.type, first.message, first.details) == ("Told", "told", ({"code": 7},))
            assert (again.type, again.message, again.details) == ("Told", "told", ({"code": 7},))


@pytest.mark.parametrize("how", ["application", "bug", "unencodable", "cancelled"])
async def test_what_fails_leaves_no_trace(perdure, how):
    async with workers(perdure):
        cart = cart_of(perdure)
        await cart.add(LAMP)
        kind = {"application": "Told", "bug": "KeyError", "cancelled": "Cancelled"}
        error = await refused(cart.fail(how))
        assert error.type == kind.get(how, error.type)
        assert await cart.total() == 1900
        assert await cart.add(LAMP) == 2


async def test_an_id_with_other_content_is_an_error(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure)
        await cart.add(LAMP, message_id="one")
        assert (await refused(cart.add(Item("x", 1), message_id="one"))).type == "MessageIdReused"
        assert (await refused(cart.own("x", message_id="one"))).type == "MessageIdReused"
        await cart.note("one", message_id="one")
        [letter] = await cart.dead_letters()
        assert letter.message_id == "one" and letter.error.startswith("MessageIdReused: ")
        assert await cart.add(LAMP, message_id="one") == 1


async def test_one_at_a_time_in_the_order_of_delivery(perdure, faults):
    perdure.faults()
    async with workers(perdure):
        cart = cart_of(perdure)
        await cart.note("first")
        work = [asyncio.ensure_future(cart.add_priced(name)) for name in ("a", "bb", "ccc")]
        await asyncio.gather(*work)
        await cart.note("last")
        log = await cart.log()
    history = await perdure.history("ann")
    accepted = [
        e.workflow_execution_update_accepted_event_attributes.accepted_request.input.args.payloads[1].data.decode()
        for e in history.events
        if e.HasField("workflow_execution_update_accepted_event_attributes")
    ]
    middle = [f"{when} {name.strip(chr(34))}" for name in accepted for when in ("begin", "end")]
    assert log == ["first", *middle, "last"]


async def test_thousands_of_messages_keep_histories_short(perdure):
    async with workers(perdure):
        cart = cart_of(perdure)

        async def sender(which):
            for number in range(30):
                await cart.add(Item(f"{which}", 1), message_id=f"{which} {number}")
                await cart.note(f"{which} {number}", message_id=f"note {which} {number}")

        await asyncio.gather(*(sender(which) for which in range(12)))
        assert await cart.total() == 360
        log = await cart.log()
        assert sorted(log) == sorted(f"{a} {b}" for a in range(12) for b in range(30))
        for which in range(12):
            assert [each for each in log if each.split()[0] == str(which)] == [f"{which} {n}" for n in range(30)]
        assert (await cart.status())["remembered"] == 50
    histories = await runs(perdure)
    assert len(histories) > 10
    assert max(len(each.events) for each in histories) < 400


async def test_signals_are_carried_and_updates_are_not_lost_when_it_continues(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure)
        slow = asyncio.ensure_future(cart.slow(5.0, message_id="slow"))
        for number in range(60):
            await cart.note(str(number))
        work = [asyncio.ensure_future(cart.add(LAMP)) for _ in range(25)]
        assert await slow == "slow"
        assert sorted(await asyncio.gather(*work)) == list(range(1, 26))
        while len(log := await cart.log()) < 61:
            await asyncio.sleep(0.01)
        assert [each for each in log if "slept" not in each] == [str(number) for number in range(60)]


async def test_dead_letters(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure)
        await cart.add(LAMP)
        handle = perdure.client.get_workflow_handle("ann")
        await cart.note("bad one", message_id="b1")
        await cart.note("bad one", message_id="b1")
        await handle.signal("note", args=[1, 2, 3])
        await handle.signal("nothing", "x")
        await handle.signal("note", {"not": "a text"})
        await handle.signal("note", "without an id")
        for number in range(25):
            await cart.add(LAMP, message_id=str(number))
        letters = await cart.dead_letters()
        assert [each.name for each in letters] == ["note", "note", "nothing", "note"]
        assert [each.error.split(":")[0] for each in letters] == [
            "ApplicationError",
            "UndecodableMessage",
            "UnknownMessage",
            "UndecodableMessage",
        ]
        assert await cart.log() == ["without an id"]
        assert (await refused(cart.retry(letters[0]))).message == "a bad note"
        await cart.own("ann")
        await cart.retry(letters[0])
        await cart.drop(letters[1])
        assert (await refused(cart.retry(letters[0]))).type == "NoSuchDeadLetter"
        assert [each.number for each in await cart.dead_letters()] == [3, 4]
        assert await cart.log() == ["without an id", "bad one"]


async def test_updates_that_can_not_be_understood_are_refused(perdure):
    async with workers(perdure):
        cart = cart_of(perdure)
        await cart.add(LAMP)
        handle = perdure.client.get_workflow_handle("ann")
        for name, args, kind in [
            ("nothing", [], "UnknownMessage"),
            ("note", ["x"], "UnknownMessage"),
            ("add", [], "UndecodableMessage"),
            ("add", [{"name": 3}], "UndecodableMessage"),
        ]:
            assert (await refused(handle.execute_update(name, args=args))).type == kind
        assert await handle.execute_update("add", {"name": "by hand", "cents": 1}, id="u") == 2
        assert await handle.execute_update("add", {"name": "by hand", "cents": 1}, id="u") == 2
        with pytest.raises(TypeError):
            await cart.add()


async def test_more_than_ten_at_a_time(perdure):
    async with workers(perdure):
        carts = [cart_of(perdure) for _ in range(3)]
        replies = await asyncio.gather(*(each.add(LAMP) for each in carts for _ in range(15)))
        assert sorted(replies) == list(range(1, 46))


async def test_cancelling_handles_what_was_accepted(perdure, faults):
    async with workers(perdure):
        cart = cart_of(perdure)
        await cart.add(LAMP)
        work = [asyncio.ensure_future(cart.add_priced("x" * n)) for n in range(1, 4)]
        while (await cart.status())["handled"] + (await cart.status())["waiting"] < 2:
            await asyncio.sleep(0.01)
        handle = perdure.client.get_workflow_handle("ann")
        await handle.cancel()
        await asyncio.gather(*work)
    first = perdure.client.get_workflow_handle("ann", run_id=(await runs(perdure))[0].run_id)
    assert (await first.describe()).status is WorkflowExecutionStatus.CANCELED

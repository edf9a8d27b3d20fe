"""A message that is sent again by newer or older code is the same message; one with other values is not."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.converter import PayloadConverter
from tests.patterns.carts import Cart, Item, price

from perdure.patterns import Entity, Limits, query, signal, update
from perdure.patterns.entity.carried import PRINTS_BYTES, Reply, Window
from perdure.patterns.entity.same import PLACES, is_same, print_of


@dataclass
class Part:
    name: str


@dataclass
class NewPart:
    name: str
    colour: str = "red"


@dataclass
class Order:
    id: str
    parts: list[Part] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    gift: Part | None = None


@dataclass
class NewOrder:
    id: str
    parts: list[NewPart] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    gift: NewPart | None = None
    currency: str = "EUR"


def payloads(*values):
    return PayloadConverter.default.to_payloads(values)


def same(first, again, types, types_then=None):
    return is_same(print_of("take", payloads(*first), types_then or types), "take", payloads(*again), types)


OLD = Order("1", [Part("a"), Part("b")], {"x": 1}, Part("c"))
NEW = NewOrder("1", [NewPart("a"), NewPart("b")], {"x": 1}, NewPart("c"))


@pytest.mark.parametrize(("first", "again"), [(OLD, NEW), (NEW, OLD), (NEW, NEW)])
@pytest.mark.parametrize("types", [[Order], [NewOrder]])
def test_fields_that_one_side_lacks_make_no_difference(first, again, types):
    assert same([first], [again], types)
    assert same([first], [again], [NewOrder], [Order])


@pytest.mark.parametrize(
    "other",
    [
        Order("2", OLD.parts, OLD.counts, OLD.gift),
        Order("1", OLD.parts[:1], OLD.counts, OLD.gift),
        Order("1", [Part("a"), Part("x")], OLD.counts, OLD.gift),
        Order("1", OLD.parts, {"x": 2}, OLD.gift),
        Order("1", OLD.parts, {"x": 1, "y": 1}, OLD.gift),
        Order("1", OLD.parts, {}, OLD.gift),
        Order("1", OLD.parts, OLD.counts, None),
    ],
)
def test_other_values_make_one(other):
    assert not same([NEW], [other], [NewOrder]) and not same([other], [NEW], [NewOrder])


def test_arguments_that_one_side_lacks_make_no_difference():
    assert same(["x"], ["x", 1], [str, int]) and same(["x", 1], ["x"], [str, int])
    assert not same(["x", 1], ["x", 2], [str, int]) and not same(["x"], ["y", 1], [str, int])
    assert not is_same(print_of("take", payloads("x"), [str]), "give", payloads("x"), [str])
    assert not same([b"x"], [b"y"], [bytes]) and same([b"x"], [b"x"], [bytes])
    assert not same([None], [1], [int | None]) and not same([{"a": 1}], [{"a": 1, "b": 2}], [Any])


def test_a_print_is_short_whatever_the_message_is():
    large = NewOrder("1", [NewPart(str(number)) for number in range(10_000)])
    kept = print_of("take", payloads(large), [NewOrder])
    assert len(kept) < PLACES * 12
    assert is_same(kept, "take", payloads(large), [NewOrder])
    assert is_same(kept, "take", payloads(NewOrder("1", large.parts, currency="EUR")), [NewOrder])
    assert not is_same(kept, "take", payloads(NewOrder("1", large.parts[:-1])), [NewOrder])


def test_prints_have_a_bound_of_their_own():
    window = Window(10_000, 10_000_000)
    for number in range(5000):
        window.put(str(number), "", Reply("none"), "x" * 100)
    assert len(window.replies) == 5000 and sum(map(len, window.prints.values())) == window.prints_size <= PRINTS_BYTES
    assert "0" not in window.prints and "4999" in window.prints


@dataclass
class Shelf:
    ids: list[str] = field(default_factory=list)


class Store(Entity[Shelf], limits=Limits(messages_a_run=4)):
    @update
    async def take(self, order: Order) -> int:
        self.state.ids.append(order.id)
        return len(self.state.ids)

    @signal
    async def note(self, order: Order) -> None:
        self.state.ids.append(order.id)

    @query
    def ids(self) -> list[str]:
        return self.state.ids


class NewStore(Entity[Shelf], name="Store", limits=Limits(messages_a_run=4)):
    @update
    async def take(self, order: NewOrder) -> int:
        self.state.ids.append(order.id)
        return len(self.state.ids)

    @signal
    async def note(self, order: NewOrder) -> None:
        self.state.ids.append(order.id)

    @query
    def ids(self) -> list[str]:
        return self.state.ids


async def test_a_newer_client_sends_again_what_an_older_one_has_sent(perdure):
    """Before the worker is replaced, after it, and in a run that was carried to the newer one."""
    older = Store.of(perdure.client, "s", task_queue="stores", patience=timedelta(seconds=20))
    newer = NewStore.of(perdure.client, "s", task_queue="stores", patience=timedelta(seconds=20))
    async with perdure.worker(Store, task_queue="stores"):
        assert await older.take(OLD, message_id="one") == 1
        await older.note(OLD, message_id="note")
        assert await newer.take(NEW, message_id="one") == 1
    perdure.faults(evict_every_task=True)
    async with perdure.worker(NewStore, task_queue="stores"):
        for number in range(9):
            await newer.take(NewOrder(f"{number}"), message_id=f"{number}")
            assert await newer.take(NEW, message_id="one") == 1
            await newer.note(NEW, message_id="note")
        assert await older.take(OLD, message_id="one") == 1
        with pytest.raises(WorkflowUpdateFailedError) as raised:
            await newer.take(NewOrder("2"), message_id="one")
        assert raised.value.cause.type == "MessageIdReused"
        assert await newer.ids() == ["1", "1", *map(str, range(9))]
        assert await newer.dead_letters() == []


async def test_runs_that_were_carried_without_prints_know_their_messages(perdure):
    carried = {
        "perdure_entity": 1,
        "version": 1,
        "state": {"json": {}},
        "window": [["one", "28925af0f5064b61", "result", {"json": 7}]],
    }
    async with perdure.worker(Cart, activities=[price], task_queue="carts"):
        await perdure.client.start_workflow("Cart", carried, id="c", task_queue="carts")
        cart = Cart.of(perdure.client, "c", task_queue="carts")
        assert await cart.add(Item("lamp", 1), message_id="one") == 7
        with pytest.raises(WorkflowUpdateFailedError):
            await cart.add(Item("lamp", 2), message_id="one")

"""Sagas: steps where they don't belong, a pivot beside a step, and arguments that change after their step."""

import asyncio
import threading
from dataclasses import dataclass, field

import pytest
from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from tests.patterns import sagas
from tests.patterns.sagas import act, revoke

from perdure.patterns import Saga, SagaReport
from perdure.patterns.snapshot import snapshot


@workflow.defn
class Refused:
    """What `Careless` does, with the refusals caught."""

    @workflow.run
    async def run(self) -> list[str]:
        self.said: list[str] = []
        async with Saga() as saga:
            group = saga.parallel()
            self.begin(group, "room")
            async with group:
                group.start(act, "seat", undo=revoke)
                self.pivot(saga)
            self.begin(group, "room")
            plain = asyncio.create_task(saga.step(act, "mail"))
            await asyncio.sleep(0)
            saga.pivot()
            await plain
        return self.said

    def begin(self, group, name: str) -> None:
        try:
            group.start(act, name, undo=revoke)
        except RuntimeError as error:
            self.said.append(str(error))

    def pivot(self, saga: Saga) -> None:
        try:
            saga.pivot()
        except RuntimeError as error:
            self.said.append(str(error))


async def test_what_would_not_be_undone_is_refused(perdure):
    world = sagas.fresh()
    async with perdure.worker(Refused, activities=[act, revoke]):
        handle = await perdure.start(Refused.run)
        before, beside, after = await handle.result()
        [report] = await handle.query("perdure_saga", result_type=list[SagaReport])
    assert before == after == "steps of a group belong inside its block: `async with saga.parallel() as group`"
    assert "await it before the pivot" in beside
    assert world.log == ["+seat", "+mail"] and report.state == "completed"


@dataclass
class Order:
    cents: int
    notes: list[str] = field(default_factory=list)


LOG: list[tuple[str, int, list[str]]] = []


@activity.defn
async def charge(order: Order) -> None:
    LOG.append(("charge", order.cents, order.notes))


@activity.defn
async def refund(order: Order) -> None:
    LOG.append(("refund", order.cents, order.notes))


@workflow.defn
class Changes:
    @workflow.run
    async def run(self, order: Order) -> None:
        async with Saga() as saga:
            saga.on_undo(refund, order)
            order.cents = 1
            await saga.step(charge, order, undo=refund)
            order.cents, order.notes[0] = 0, "changed"
            async with saga.parallel() as group:
                group.start(charge, order, undo=refund)
                order.cents = 7
            raise ApplicationError("no")


async def test_an_undo_is_given_what_its_step_was_given(perdure):
    LOG.clear()
    perdure.faults(evict_every_task=True)
    async with perdure.worker(Changes, activities=[charge, refund]):
        with pytest.raises(WorkflowFailureError):
            await perdure.execute(Changes.run, Order(900, ["new"]))
    given = [(1, ["new"]), (0, ["changed"])]
    charged = [("charge", *each) for each in given]
    refunded = [("refund", *each) for each in (*reversed(given), (900, ["new"]))]
    assert [*charged, *refunded] == LOG


class Uncopied(list):
    """Which converters write, and nobody copies."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@workflow.defn(sandboxed=False)
class ChangesUncopied:
    @workflow.run
    async def run(self) -> None:
        async with Saga() as saga:
            texts = Uncopied()
            texts.append("seat")
            await saga.step(tell, texts, undo=untell)
            texts.append("room")
            raise ApplicationError("no")


@activity.defn
async def tell(texts: list[str]) -> None:
    TOLD.append(texts)


@activity.defn
async def untell(texts: list[str]) -> None:
    TOLD.append(texts)


TOLD: list[list[str]] = []


async def test_what_can_t_be_copied_is_kept_as_it_is_sent(perdure):
    TOLD.clear()
    async with perdure.worker(ChangesUncopied, activities=[tell, untell]):
        with pytest.raises(WorkflowFailureError):
            await perdure.execute(ChangesUncopied.run)
    assert TOLD == [["seat"], ["seat"]]


def test_what_can_t_change_is_not_copied():
    values = ("text", 1, b"bytes", None)

    def converter():
        raise AssertionError

    assert snapshot(values, converter) is values

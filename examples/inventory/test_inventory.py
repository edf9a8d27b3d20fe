"""Nothing is sold twice, and nothing stays reserved."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from examples.inventory.__main__ import show
from examples.inventory.workflow import HELD_FOR, State, Stock
from perdure.testing import Env


@pytest.mark.parametrize("evicted", [False, True])
async def test_the_story(perdure: Env, evicted: bool) -> None:
    perdure.faults(evict_every_task=evicted)
    await show(perdure.client, orders=20 if evicted else 60)


@pytest.mark.perdure(time="manual")
async def test_a_reservation_expires_by_itself(perdure: Env) -> None:
    async with perdure.worker(Stock, task_queue="stock"):
        stock = Stock.of(perdure.client, "lamp", task_queue="stock")
        await stock.deliver(3)
        await stock.reserve("a", 2)
        await perdure.advance(timedelta(minutes=10))
        await stock.reserve("b", 1)
        with pytest.raises(WorkflowUpdateFailedError):
            await stock.reserve("c", 1)
        await stock.buy("b")
        await perdure.advance(timedelta(minutes=6))
        assert await stock.books() == State(2, {}, 1)
        with pytest.raises(WorkflowUpdateFailedError) as raised:
            await stock.buy("a")
        assert "expired" in str(raised.value.cause)
        await stock.reserve("c", 2)
        await perdure.advance(HELD_FOR / 2)
        assert await stock.books() == State(0, {"c": 2}, 1)

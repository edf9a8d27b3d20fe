"""Entities against an expert's, event by event; and their histories of every release."""

import contextlib
from collections import Counter
from pathlib import Path

import pytest
from temporalio.client import WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from tests.patterns.bursts import Burst
from tests.patterns.carts import Cart, Item, price
from tests.patterns.lives import Nag, load, save
from tests.patterns.twins.entity import CartByHand, Kept

from perdure.testing import assert_replays

LAMP = Item("lamp", 1)
HISTORIES = Path(__file__).parent / "histories"


def counts(histories):
    return [Counter(event.event_type for event in history.events) for history in histories]


async def test_an_entity_costs_what_a_hand_written_one_does(perdure):
    async with perdure.worker(Cart, CartByHand, activities=[price], task_queue="carts"):
        cart = Cart.of(perdure.client, "ours", task_queue="carts")
        twin = perdure.client.get_workflow_handle("twin")
        await perdure.client.execute_update_with_start_workflow(
            CartByHand.add,
            args=["first", LAMP],
            start_workflow_operation=WithStartWorkflowOperation(
                CartByHand.run,
                Kept(),
                id="twin",
                task_queue="carts",
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            ),
        )
        await cart.add(LAMP)
        for number in range(32):
            item = Item("lamp", number)
            with contextlib.suppress(WorkflowUpdateFailedError):
                await cart.add(item, message_id=str(number))
            with contextlib.suppress(WorkflowUpdateFailedError):
                await twin.execute_update(CartByHand.add, args=[str(number), item])
            if number % 5 == 0:
                await cart.add_priced("desk", message_id=f"priced {number}")
                await twin.execute_update(CartByHand.add_priced, args=[f"priced {number}", "desk"])
        ours, theirs = await perdure.histories("ours"), await perdure.histories("twin")
        await twin.terminate()
    assert len(ours) == 2 and counts(ours) == counts(theirs)


@pytest.mark.perdure(time="manual")
async def test_what_continue_as_new_costs(perdure):
    """A run that is between two others, with `idle` (and the timer for it) and without."""
    async with perdure.worker(Cart, Nag, activities=[price, load, save], task_queue="carts"):
        for number in range(45):
            await Cart.of(perdure.client, "cart", task_queue="carts").add(LAMP, message_id=str(number))
            await Nag.of(perdure.client, "nag", task_queue="carts").forget(str(number), message_id=str(number))
            await perdure.settle()
        for id, cost in (("cart", 2), ("nag", 4)):
            events = (await perdure.histories(id))[1].events
            tasks = sum(e.HasField("workflow_task_completed_event_attributes") for e in events)
            updates = sum(e.HasField("workflow_execution_update_completed_event_attributes") for e in events)
            assert len(events) == cost + 3 * tasks + 2 * updates
            assert tasks in (updates, updates + 1), "the first task of a run has a message or none"
        await perdure.client.get_workflow_handle("nag").cancel()


def test_histories_of_every_release_replay():
    assert_replays([Burst, Cart, Nag], str(HISTORIES / "*-entity-*.json"))

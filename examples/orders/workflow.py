"""The order workflow: reserve stock, charge the card, book the carrier; undo it all, backwards, when one says no."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from examples.orders.activities import OrderActivities
    from examples.orders.orderfile import Order

PATIENCE = timedelta(seconds=4)

# A broken line is worth another try; a store that says no has said it for good.
RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    maximum_interval=timedelta(seconds=2),
    non_retryable_error_types=["OutOfStock", "PaymentDeclined", "CarrierRefused", "TooLate"],
)


@dataclass(frozen=True)
class Step:
    """One thing an order needs, and the activity that takes it back."""

    name: str
    do: Callable[..., Any]
    undo: Callable[..., Any]


STEPS = [
    Step("reserve", OrderActivities.reserve_stock, OrderActivities.release_stock),
    Step("charge", OrderActivities.charge_payment, OrderActivities.refund_payment),
    Step("book", OrderActivities.book_carrier, OrderActivities.cancel_carrier),
]


@dataclass(frozen=True)
class Receipt:
    """How an order ended: `refused_by` names the error that stopped it, empty for a completed order."""

    order: str
    completed: bool
    notes: list[str]
    refused_by: str = ""


@workflow.defn
class OrderWorkflow:
    """Fulfils one order, or leaves nothing of it behind."""

    @workflow.run
    async def run(self, order: Order) -> Receipt:
        notes: list[str] = []
        to_undo: list[Step] = []
        try:
            for step in STEPS:
                # Before the step, not after: an attempt that reported nothing may still have done its work.
                to_undo.append(step)
                notes.append(await self._ask(step.do, step, order))
        except (ActivityError, asyncio.CancelledError) as error:
            for step in reversed(to_undo):
                await self._ask(step.undo, step, order)
            if is_cancelled_exception(error):
                raise
            cause = error.__cause__
            refused_by = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
            return Receipt(order.order, False, [*notes, str(cause)], refused_by or "")
        return Receipt(order.order, True, notes)

    async def _ask(self, request: Callable[..., Any], step: Step, order: Order) -> Any:
        key = f"{workflow.info().workflow_id}/{step.name}"
        return await workflow.execute_activity_method(
            request, args=[key, order], start_to_close_timeout=PATIENCE, retry_policy=RETRY
        )

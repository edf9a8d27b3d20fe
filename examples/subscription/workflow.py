"""A subscription: a free trial, a charge a month with a reminder before it, dunning when a card is declined."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from examples.subscription.activities import Charge, charge, mail

MONTH = timedelta(days=30)
REMINDER = timedelta(days=3)
"""So long before a charge the customer is told of it."""
PATIENCE = [timedelta(days=1), timedelta(days=3), timedelta(days=7)]
"""After a declined charge: when to try again. The last refusal ends the subscription."""
A_MINUTE = timedelta(minutes=1)
FEW_TIMES = RetryPolicy(maximum_attempts=5, non_retryable_error_types=["Declined"])


@dataclass
class Plan:
    customer: str
    cents: int
    trial_days: int = 30
    months: int = 12


@dataclass
class End:
    reason: str
    receipts: list[str]


@workflow.defn
class Subscription:
    def __init__(self) -> None:
        self.cents = 0
        self.cancelled = False
        self.receipts: list[str] = []

    @workflow.run
    async def run(self, plan: Plan) -> End:
        self.cents = plan.cents
        await self._wait(timedelta(days=plan.trial_days) - REMINDER)
        for month in range(1, plan.months + 1):
            if self.cancelled:
                break
            await self._tell(plan, f"In three days we charge {self.cents} cents for month {month}.")
            await self._wait(REMINDER)
            if self.cancelled:
                break
            if not await self._pay(plan, month):
                await self._tell(plan, "Your subscription has ended: we could not charge your card.")
                return End("unpaid", self.receipts)
            await self._wait(MONTH - REMINDER)
        await self._tell(plan, "Your subscription has ended. Come back!")
        return End("cancelled" if self.cancelled else "complete", self.receipts)

    async def _pay(self, plan: Plan, month: int) -> bool:
        """Charge for a month; if that is declined, again and again as long as there is patience."""
        key = f"{workflow.info().workflow_id}/{month}"
        for wait in [*PATIENCE, None]:
            try:
                request = Charge(plan.customer, self.cents, key)
                receipt = await workflow.execute_activity(
                    charge, request, start_to_close_timeout=A_MINUTE, retry_policy=FEW_TIMES
                )
            except ActivityError as error:
                if not (isinstance(error.cause, ApplicationError) and error.cause.type == "Declined"):
                    raise
                if wait is None:
                    return False
                await self._tell(plan, f"Your card was declined. We try again in {wait.days} days.")
                await workflow.sleep(wait)
            else:
                self.receipts.append(receipt)
                return True
        raise AssertionError("unreachable")

    async def _tell(self, plan: Plan, text: str) -> None:
        await workflow.execute_activity(mail, args=[plan.customer, text], start_to_close_timeout=A_MINUTE)

    async def _wait(self, duration: timedelta) -> None:
        """Until then, or until the customer cancels."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self.cancelled, timeout=duration)

    @workflow.signal
    def cancel(self) -> None:
        self.cancelled = True

    @workflow.update
    def change_price(self, cents: int) -> int:
        """From the next charge on. The price before."""
        before, self.cents = self.cents, cents
        return before

    @change_price.validator
    def _positive(self, cents: int) -> None:
        if cents <= 0:
            raise ValueError("a price is above zero")

    @workflow.query
    def paid(self) -> int:
        """How many months."""
        return len(self.receipts)

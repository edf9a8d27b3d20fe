"""A transfer: hold, credit, settle, forget; or hold and release."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from examples.accounts import activities


@dataclass(frozen=True)
class Order:
    source: str
    target: str
    cents: int


UNTIL_IT_IS_KNOWN = RetryPolicy(maximum_interval=timedelta(minutes=1))
"""Without an end: nobody may guess whether the other side has acted. A refusal is an answer."""
A_WHILE = timedelta(seconds=30)


@workflow.defn
class Transfer:
    """Hold, credit, settle, forget. Before the credit is accepted it can be given up, after that only completed."""

    @workflow.run
    async def run(self, order: Order) -> str:
        try:
            await self._step("hold", order.source, order.cents)
        except ActivityError as error:
            return reason(error)
        try:
            await self._step("credit", order.target, order.cents)
        except ActivityError as error:
            await self._step("release", order.source)
            return reason(error)
        await self._step("settle", order.source)
        await self._step("forget", order.target)
        return "done"

    async def _step(self, step: str, account: str, *cents: int) -> None:
        call = activities.Step(step, account, workflow.info().workflow_id, list(cents))
        await workflow.execute_activity(
            activities.act, call, start_to_close_timeout=A_WHILE, retry_policy=UNTIL_IT_IS_KNOWN
        )


def reason(error: ActivityError) -> str:
    """Raises the error again if it is no refusal."""
    if isinstance(error.cause, ApplicationError) and error.cause.type in activities.REFUSALS:
        return error.cause.type
    raise error

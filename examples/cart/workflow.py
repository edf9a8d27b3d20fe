"""A cart: an entity that waits without costing anything, and sends itself what is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from perdure.patterns import Entity, check, method, options, query, signal, update

with workflow.unsafe.imports_passed_through():
    from examples.cart.activities import Shop

REMINDER = timedelta(days=1)
"""So long after the last change the customer is asked whether the cart is still wanted."""
EXPIRY = timedelta(days=30)


@dataclass
class Line:
    name: str
    count: int
    cents: int


@dataclass
class State:
    lines: dict[str, Line] = field(default_factory=dict)
    status: Literal["open", "ordered", "expired"] = "open"


class Cart(Entity[State]):
    @update
    def put(self, line: Line) -> int:
        """What the cart costs now. A count of 0 takes a line away."""
        self.state.status = "open"
        self.state.lines[line.name] = line
        if line.count == 0:
            del self.state.lines[line.name]
        self.later(REMINDER, Cart.remind)
        self.later(EXPIRY, Cart.expire)
        return cost(self.state)

    @check(put)
    def _sane(self, line: Line) -> None:
        if line.count < 0 or line.cents <= 0:
            raise ValueError("a line has a count of 0 or more, and a price above 0")

    @update
    async def check_out(self) -> str:
        """The number of the order. The cart is empty after that, and may be filled again."""
        if not self.state.lines:
            raise ApplicationError("the cart is empty", type="Empty", non_retryable=True)
        number = await workflow.execute_activity(
            method(Shop.order), args=[self.message_id, customer(), cost(self.state)], **options.quick.config()
        )
        self.state.lines.clear()
        self.state.status = "ordered"
        self.not_later(Cart.remind)
        self.not_later(Cart.expire)
        return number

    @signal
    async def remind(self) -> None:
        text = f"Still there: {', '.join(self.state.lines)}"
        await workflow.execute_activity(
            method(Shop.mail), args=[self.message_id, customer(), text], **options.flaky_api.config()
        )

    @signal
    def expire(self) -> None:
        self.state.lines.clear()
        self.state.status = "expired"

    @query
    def look(self) -> State:
        return self.state


def cost(state: State) -> int:
    return sum(line.count * line.cents for line in state.lines.values())


def customer() -> str:
    return workflow.info().workflow_id.split("/")[1]

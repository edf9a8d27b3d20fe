"""An account: a balance, what is on its way out, and what has just come in."""

from __future__ import annotations

from dataclasses import dataclass, field

from temporalio.exceptions import ApplicationError

from perdure.patterns import Entity, Limits, query, update

REMEMBERED = 1000
"""Released transfers whose hold would come too late."""


@dataclass
class State:
    balance: int = 0
    holds: dict[str, int] = field(default_factory=dict)
    """What is on its way out, by transfer."""
    arrived: dict[str, int] = field(default_factory=dict)
    """What has come in while the hold at the other account stands, by transfer."""
    released: list[str] = field(default_factory=list)
    closed: bool = False


class Account(Entity[State], limits=Limits(messages_a_run=100)):
    """Each update is sent with a message id of its transfer and step, so it acts once, however often it comes."""

    @update
    def deposit(self, cents: int) -> int:
        if self.state.closed:
            raise refused("Closed", "this account is closed")
        self.state.balance += cents
        return self.state.balance

    @update
    def hold(self, transfer: str, cents: int) -> None:
        if self.state.closed or transfer in self.state.released:
            raise refused("Closed", "this account is closed, or the transfer is released")
        if self.state.balance < cents:
            raise refused("InsufficientFunds", f"{cents} cents are more than the {self.state.balance} there are")
        self.state.balance -= cents
        self.state.holds[transfer] = cents

    @update
    def credit(self, transfer: str, cents: int) -> None:
        if self.state.closed:
            raise refused("Closed", "this account is closed")
        self.state.balance += cents
        self.state.arrived[transfer] = cents

    @update
    def settle(self, transfer: str) -> None:
        """The money has arrived."""
        self.state.holds.pop(transfer, None)

    @update
    def forget(self, transfer: str) -> None:
        """The hold is gone."""
        self.state.arrived.pop(transfer, None)

    @update
    def release(self, transfer: str) -> None:
        """The money won't arrive. A hold that comes later than this is refused."""
        self.state.balance += self.state.holds.pop(transfer, 0)
        self.state.released = [*self.state.released, transfer][-REMEMBERED:]

    @update
    def close(self) -> None:
        self.state.closed = True

    @query
    def books(self) -> State:
        return self.state


def refused(kind: str, text: str) -> ApplicationError:
    return ApplicationError(text, type=kind, non_retryable=True)

"""What becomes of the items of a fan-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from temporalio.exceptions import ApplicationError

if TYPE_CHECKING:
    from perdure.patterns.fanout.pages import Summary

T = TypeVar("T")
R = TypeVar("R")

State = Literal["completed", "failed", "cancelled", "skipped"]
"""`cancelled` was in flight when the fan-out was stopped; `skipped` was never started."""


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """What became of one item.

    for outcome in await fan_out(orders, ship, on_error="collect"):
        if not outcome.ok:
            workflow.logger.warning("%s: %s", outcome.item, outcome.error)
    """

    index: int
    """Of the item in the source, from 0."""
    item: T
    key: str
    """By which others recognise this call: `idempotency_key()` in its activity, or the id of its child workflow."""
    state: State
    result: R | None = None
    error: str = ""
    """Why it failed or was cancelled."""

    @property
    def ok(self) -> bool:
        """Whether it has completed."""
        return self.state == "completed"

    @property
    def failure(self) -> BaseException | None:
        """What its activity or child workflow raised, in the run in which it did."""
        failure: BaseException | None = self.__dict__.get("_failure")
        return failure

    def unwrap(self) -> R:
        """The result; raises what it failed with."""
        if self.ok:
            return cast(R, self.result)
        raise self.failure or FanOutFailed(f"item {self.index} was {self.state}: {self.error}")

    def because(self, failure: BaseException) -> Outcome[T, R]:
        """This outcome, with what it failed with."""
        object.__setattr__(self, "_failure", failure)
        return self


class FanOutFailed(ApplicationError):
    """More items failed than `on_error` allows, or a page could not be read or folded.

    What was in flight has been cancelled and has ended.

        try:
            await fan_out(Pages(read_rows, 0), upsert)
        except FanOutFailed as error:
            left = error.summary.remaining if error.summary else None
    """

    outcomes: Sequence[Outcome[Any, Any]] = ()
    """One for each index; empty for `Pages`."""
    summary: Summary[Any] | None = None
    """Of `Pages`: what was done until then. None where nobody could tell: the child that does it was terminated."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message, *details, type=type(self).__name__, non_retryable=True)


class FanOutCancelled(FanOutFailed):
    """The fan-out was stopped, by its `cancel` or the signal `perdure_fan_out_cancel`, and was not to collect.

    try:
        await fan_out(orders, ship)
    except FanOutCancelled as stopped:
        done = sum(outcome.ok for outcome in stopped.outcomes)
    """


@dataclass(frozen=True)
class FanOutProgress:
    """What the query `perdure_fan_out` tells of one fan-out.

    for fan in await handle.query("perdure_fan_out", result_type=list[FanOutProgress]):
        print(f"{fan.completed} of {fan.total}, {fan.failed} failed, {fan.rate_per_s:.0f}/s")
    """

    number: int
    """Of the fan-out in its run, from 1."""
    state: Literal["running", "paused", "stopping", "completed", "failed", "cancelled"]
    total: int | None
    """Of items; None while pages are left to be read."""
    in_flight: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    rate_per_s: float
    """Items that have ended a second, over the last minute."""
    children: list[str]
    """Ids of workflows that do the work and have more to tell: see `fan_out_progress`."""

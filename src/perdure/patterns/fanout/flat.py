"""The fan-out over a list: all of it happens in the workflow that calls it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import FailureError

from perdure.patterns import options as presets
from perdure.patterns.fanout.flight import Begin, Call, Entry, Flight
from perdure.patterns.fanout.outcome import FanOutCancelled, FanOutFailed, FanOutProgress, Outcome
from perdure.patterns.fanout.registry import Registry
from perdure.patterns.options import Options

T = TypeVar("T")
R = TypeVar("R")

MOST_ITEMS = 1_500
"""Of a list. An item costs up to six events; more of them would come near the limits of a history."""
MOST_IN_FLIGHT = 1_000
"""Servers refuse more than 2,000 pending activities or children of a run, of which others want some."""


class FanOut(Generic[T, R]):
    """A fan-out: `await` gives its outcomes, in the order of the items. Nothing starts before.

    shipping = fan_out(orders, ship)
    self.stop = shipping.cancel
    outcomes = await shipping
    """

    def __init__(self, entries: Sequence[Entry[T]], begin: Begin, most: int, borne: int | None, collect: bool) -> None:
        self._registry = Registry.current()
        self.number = self._registry.next_number()
        """Of the fan-out in its run, from 1."""
        self._flight: Flight[T, R] = Flight(entries, begin, most, borne)
        self._flight.paused = lambda: self._paused
        self._collect = collect
        self._paused = self._begun = False
        self._outcomes: dict[int, Outcome[T, R]] = {}

    def __await__(self) -> Generator[Any, None, list[Outcome[T, R]]]:
        return self._all().__await__()

    @property
    def outcomes(self) -> list[Outcome[T, R]]:
        """Those that are there, in the order of the items: all of them after an error or a cancellation."""
        return [self._outcomes[index] for index in sorted(self._outcomes)]

    def keep(self, outcomes: Sequence[Outcome[T, R]]) -> None:
        """Outcomes from before, which are among this one's."""
        self._outcomes.update({each.index: each for each in outcomes})

    def pause(self) -> None:
        """Start nothing more until `resume`; what is in flight goes on."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False

    def cancel(self) -> None:
        """Stop: start nothing more, cancel what is in flight, and wait for that."""
        self._flight.stop()

    def progress(self) -> FanOutProgress:
        """What the query `perdure_fan_out` tells of it."""
        return self._flight.progress(self.number)

    async def _all(self) -> list[Outcome[T, R]]:
        while await self._next() is not None:
            pass
        return self.outcomes

    async def _next(self) -> Outcome[T, R] | None:
        try:
            if not self._begun:
                await self._begin()
            outcome = await self._flight.next()
        except asyncio.CancelledError:
            await self._drain()
            raise
        if outcome is None:
            self._registry.close(self)
            self._judge()
        else:
            self._outcomes[outcome.index] = outcome
        return outcome

    async def _begin(self) -> None:
        self._begun = True
        self._registry.open(self)
        # Signals that came before there was a handler for them.
        await asyncio.sleep(0)

    async def _drain(self) -> None:
        for outcome in await self._flight.drain():
            self._outcomes[outcome.index] = outcome
        self._registry.close(self)

    def _judge(self) -> None:
        flight = self._flight
        if flight.decided == "failed":
            raise self._error(FanOutFailed, f"{flight.counts['failed']} of {flight.total} failed") from flight.cause
        if flight.decided == "cancelled" and not self._collect:
            raise self._error(FanOutCancelled, f"stopped after {flight.counts['completed']} of {flight.total}")

    def _error(self, kind: type[FanOutFailed], text: str) -> FanOutFailed:
        first = next((each for each in self.outcomes if each.state == "failed"), None)
        error = kind(text if first is None else f"{text}; item {first.index}: {first.error}")
        error.outcomes = self.outcomes
        return error


class FanOutStream(FanOut[T, R]):
    """A fan-out whose outcomes come one by one: `async for`, inside `async with` if the loop may be left early.

    async with fan_out(orders, ship, as_completed=True) as shipping:
        async for outcome in shipping:
            if enough(outcome):
                break

    Leaving the block cancels what is in flight and waits for it. New calls start when the next outcome is asked for.
    """

    def __aiter__(self) -> AsyncIterator[Outcome[T, R]]:
        return self

    async def __anext__(self) -> Outcome[T, R]:
        outcome = await self._next()
        if outcome is None:
            raise StopAsyncIteration
        return outcome

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._flight.over:
            await self._drain()


def borne_failures(on_error: str | float, total: int | None) -> int | None:
    """How many failures don't end it; None: any number."""
    if on_error in ("fail_fast", "collect"):
        return 0 if on_error == "fail_fast" else None
    if isinstance(on_error, bool) or not isinstance(on_error, int | float) or on_error < 0:
        raise ValueError(f"on_error is {on_error!r}: 'fail_fast', 'collect', a number of failures, or a share below 1")
    if isinstance(on_error, int):
        return on_error
    if on_error >= 1:
        raise ValueError(f"on_error is {on_error}: a share is below 1; for a number of failures give an int")
    if total is None:
        raise ValueError("on_error is a share, but nobody knows how many items the pages have: give a number")
    return int(on_error * total)


def check_in_flight(most: int) -> None:
    """Raise `ValueError` for a bound that makes no sense."""
    if not 1 <= most <= MOST_IN_FLIGHT:
        raise ValueError(f"max_in_flight is {most}: it has to be 1 to {MOST_IN_FLIGHT}")


def is_workflow(fn: Callable[..., Any]) -> bool:
    """Whether it is the run method of a workflow, else it has to be an activity."""
    if hasattr(fn, "__temporal_workflow_run"):
        return True
    if not hasattr(fn, "__temporal_activity_definition"):
        raise TypeError(f"{fn!r} is neither an activity nor the run method of a workflow")
    return False


def beginner(fn: Callable[..., Any], options: Options | None) -> Begin:
    """What starts `fn` for an item."""
    if is_workflow(fn):
        if options is not None:
            raise ValueError("options are for activities: a child workflow has its own inside")
        return lambda key, item: Child(fn, item, key).call()
    return lambda key, item: begin_activity(fn, [item], key, options or presets.quick)


def begin_activity(fn: Any, args: Sequence[Any], key: str, options: Options, **more: Any) -> Call[Any]:
    """Start an activity; when it is cancelled it is waited for."""
    config = options.config()
    config["cancellation_type"] = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
    config["activity_id"] = key
    start: Callable[..., workflow.ActivityHandle[Any]] = workflow.start_activity
    handle = start(fn, args=args, **config, **more)
    return Call(handle, handle.cancel)


class Child:
    """A child workflow in flight. One that has not started yet is cancelled when it has, so that it is waited for.

    A reset ends the run of the parent, but not its children, and the new run gives the same ids: so it takes the place
    of what still runs under its id.
    """

    def __init__(self, fn: Any, item: Any, workflow_id: str) -> None:
        self._fn, self._item, self._id = fn, item, workflow_id
        self._handle: workflow.ChildWorkflowHandle[Any, Any] | None = None
        self._cancelled = self._ended = False

    def call(self, **options: Any) -> Call[Any]:
        """Start it."""
        return Call(asyncio.create_task(self._run(options)), self._cancel)

    async def _run(self, options: dict[str, Any]) -> Any:
        try:
            self._handle = await workflow.start_child_workflow(
                self._fn,
                self._item,
                id=self._id,
                id_reuse_policy=WorkflowIDReusePolicy.TERMINATE_IF_RUNNING,
                **options,
            )
            if self._cancelled:
                self._handle.cancel()
            return await self._handle
        finally:
            self._ended = True

    async def signal(self, name: str) -> None:
        """Send a signal as soon as it has started; when it is closed it needs none."""
        await workflow.wait_condition(lambda: self._handle is not None or self._ended)
        if self._handle is not None and not self._ended:
            with contextlib.suppress(FailureError):
                await self._handle.signal(name)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._handle is not None:
            self._handle.cancel()

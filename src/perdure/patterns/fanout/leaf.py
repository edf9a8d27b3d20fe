"""The workflow that does a page of a fan-out."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

from perdure.patterns.fanout.flat import begin_activity
from perdure.patterns.fanout.flight import Call, Entry, Flight
from perdure.patterns.fanout.outcome import FanOutProgress, Outcome
from perdure.patterns.fanout.registry import PAGE, Registry
from perdure.patterns.fanout.state import LeafResult, LeafState, PageRead, broken, included, settled


@dataclass
class AnyPage:
    """A page, whatever is on it."""

    items: list[Any]
    next: Any = None


@workflow.defn(name="perdure_fan_out_leaf", sandboxed=False)
class FanOutLeaf:
    """Reads a page, tells its tree where the next one begins, and does what the page says.

    `PatternsPlugin` registers it; without that it is one more workflow of the worker, next to `FanOutTree`:

        Worker(client, task_queue="imports", workflows=[Import, FanOutTree, FanOutLeaf], activities=[read_rows, upsert])

    When it is cancelled it cancels what is in flight, waits for that, and completes, so that its counts are not lost.
    """

    number = 1

    @workflow.init
    def __init__(self, state: LeafState) -> None:
        self._state = state
        self._tally = state.tally
        self._flight: Flight[Any, Any] | None = None
        self._paused, self._stopped = state.paused, False
        self._done: list[tuple[int, Any, Any]] = []
        self._failed: list[tuple[int, Any, str]] = []
        self._registry = Registry.current()
        self._registry.open(self)

    @workflow.run
    async def run(self, state: LeafState) -> LeafResult:
        telling = None
        if state.rest is None:
            if not await self._read():
                return LeafResult(self._tally, None, "cancelled")
            telling = asyncio.create_task(self._tell())
        flight = self._flight = self._take_up()
        await self._fly(flight)
        await self._fold(flight)
        if telling is not None and await settled(Call(telling, telling.cancel)):
            self.cancel()
        if flight.queue and not flight.decided:
            state.rest = [(entry.index, entry.item) for entry in flight.queue]
            state.paused = self._paused
            workflow.continue_as_new(state)
        self._skip(flight)
        self._registry.close(self)
        cut_short = self._tally.cancelled + self._tally.skipped > 0 or flight.decided == "failed"
        return LeafResult(self._tally, state.told, flight.decided if cut_short else "")

    async def _read(self) -> bool:
        """Read the page; False if it was stopped before that."""
        state = self._state
        key = f"{state.key}/page#{state.page}"
        call = begin_activity(state.read.name, [state.cursor], key, state.read.options(), result_type=AnyPage)
        if self._stopped or await settled_or_cancelled(call):
            self._stopped = True
            return False
        try:
            page: AnyPage = call.future.result()
        except FailureError as error:
            raise broken(error, LeafResult(self._tally, None, "failed")) from error
        state.rest = [
            (index, item) for index, item in enumerate(page.items, state.first) if included(state.only, index)
        ]
        state.only = None
        state.told = PageRead(state.page, len(page.items), page.next)
        self._tally.pages = 1
        return True

    async def _tell(self) -> None:
        parent = workflow.info().parent
        # A tree that is gone needs no news.
        with contextlib.suppress(FailureError):
            if parent is not None:
                await workflow.get_external_workflow_handle(parent.workflow_id).signal(PAGE, self._state.told)

    def _take_up(self) -> Flight[Any, Any]:
        state = self._state
        entries = [Entry(index, f"{state.key}/step#{index}", item) for index, item in state.rest or ()]
        borne = None if state.borne is None else state.borne - self._tally.failed
        flight: Flight[Any, Any] = Flight(entries, state.call.beginner(), state.most, borne, self._hold)
        flight.paused = lambda: self._paused
        if self._stopped:
            flight.stop()
        return flight

    def _hold(self) -> bool:
        started = self._flight.started if self._flight else 0
        return started >= self._state.items_a_run or workflow.info().is_continue_as_new_suggested()

    async def _fly(self, flight: Flight[Any, Any]) -> None:
        while True:
            try:
                outcome = await flight.next()
            except asyncio.CancelledError:
                flight.stop()
                continue
            if outcome is None:
                return
            self._count(outcome)

    def _count(self, outcome: Outcome[Any, Any]) -> None:
        tally = self._tally
        setattr(tally, outcome.state, getattr(tally, outcome.state) + 1)
        if not outcome.ok:
            tally.not_completed(outcome.index)
        if outcome.state == "failed":
            tally.failed_with(outcome.index, outcome.error)
        if self._state.fold is not None and outcome.ok:
            self._done.append((outcome.index, outcome.item, outcome.result))
        elif self._state.fold is not None and outcome.state == "failed":
            self._failed.append((outcome.index, outcome.item, outcome.error))

    def _skip(self, flight: Flight[Any, Any]) -> None:
        for entry in flight.queue:
            self._count(Outcome(entry.index, entry.item, entry.key, "skipped"))
        flight.queue.clear()

    async def _fold(self, flight: Flight[Any, Any]) -> None:
        state = self._state
        if state.fold is None or not (self._done or self._failed):
            return
        args = [sorted(self._done, key=lambda each: each[0]), sorted(self._failed, key=lambda each: each[0])]
        call = begin_activity(state.fold.name, args, f"{state.key}/fold#{state.page}", state.fold.options())
        if await settled(call):
            self.cancel()
        try:
            value = call.future.result()
        except FailureError as error:
            self._skip(flight)
            raise broken(error, LeafResult(self._tally, state.told, "failed")) from error
        if value is not None:
            self._tally.folds.append(value)

    # As the registry wants it.

    def progress(self) -> FanOutProgress:
        flight, tally = self._flight, self._tally
        if flight is None:
            return FanOutProgress(1, "paused" if self._paused else "running", None, 0, 0, 0, 0, 0, 0.0, [])
        told = flight.progress(1)
        return FanOutProgress(
            number=1,
            state=told.state,
            total=flight.in_flight
            + len(flight.queue)
            + tally.completed
            + tally.failed
            + tally.cancelled
            + tally.skipped,
            in_flight=told.in_flight,
            completed=tally.completed,
            failed=tally.failed,
            cancelled=tally.cancelled,
            skipped=tally.skipped,
            rate_per_s=told.rate_per_s,
            children=[],
        )

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def cancel(self) -> None:
        self._stopped = True
        if self._flight is not None:
            self._flight.stop()


async def settled_or_cancelled(call: Call[Any]) -> bool:
    """Wait until a call has ended; a cancellation is passed on to it. Whether one came."""
    cancelled = False
    while not call.future.done():
        try:
            await workflow.wait([call.future])
        except asyncio.CancelledError:
            cancelled = True
            call.cancel()
    return cancelled

"""The fan-out over pages, as the workflow that calls it sees it: one child, whatever the number of items."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, TypeVar, get_type_hints

from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import FailureError, is_cancelled_exception
from temporalio.service import RPCError, RPCStatusCode

from perdure.patterns import options as presets
from perdure.patterns.fanout.flat import Child, is_workflow
from perdure.patterns.fanout.flight import Call
from perdure.patterns.fanout.flight import told as told_of
from perdure.patterns.fanout.outcome import FanOutCancelled, FanOutFailed, FanOutProgress
from perdure.patterns.fanout.pages import FirstError, Fold, Pages, Remaining, Summary
from perdure.patterns.fanout.registry import CANCEL, PAUSE, QUERY, RESUME, Registry
from perdure.patterns.fanout.state import CallSpec, TreeResult, TreeState, done_before
from perdure.patterns.fanout.tree import FanOutTree
from perdure.patterns.keys import run_key
from perdure.patterns.options import Options
from perdure.patterns.registered import expect

A = TypeVar("A")

ITEMS_A_RUN = 1_000
"""After so many a leaf continues as new: six events each, at most."""
LEAVES_A_RUN = 250
"""After so many a tree continues as new."""
MERGED_AT_ONCE = 50
"""So many folds are merged by one activity."""
MOST_IN_LEAF = 500


class FanOutPages(Generic[A]):
    """A fan-out over pages: `await` gives its summary. Nothing starts before.

    importing = fan_out(Pages(read_rows, first), upsert, max_in_flight=200, fold=Fold(count, add))
    summary = await importing
    """

    def __init__(
        self,
        pages: Pages[Any],
        fn: Callable[..., Any],
        *,
        most: int,
        leaves: int | None,
        borne: int | None,
        collect: bool,
        options: Options | None,
        fold: Fold[Any, Any, A] | None,
    ) -> None:
        if options is not None and is_workflow(fn):
            raise ValueError("options are for activities: a child workflow has its own inside")
        self._registry = Registry.current()
        self.number = self._registry.next_number()
        """Of the fan-out in its run, from 1."""
        self._id = f"{run_key()}/fan_out#{self.number}"
        self._collect = collect
        self._fold = fold
        leaves = leaves_for(most, leaves)
        merge = None if fold is None or fold.merge is None else CallSpec.of(fold.merge, fold.options)
        self._state = TreeState(
            read=CallSpec.of(pages.read, pages.options),
            call=CallSpec.of(fn, options or presets.quick),
            cursor=pages.first,
            key=self._id if pages.only is None else pages.only.key,
            most=most,
            leaves=leaves,
            borne=borne,
            fold=None if fold is None else CallSpec.of(fold.each, fold.options),
            merge=merge,
            only=None if pages.only is None else pages.only.ranges,
            items_a_run=ITEMS_A_RUN,
            leaves_a_run=LEAVES_A_RUN,
            merged_at_once=MERGED_AT_ONCE,
            more=pages.only is None or bool(pages.only.ranges),
        )
        self._child = Child(FanOutTree.run, self._state, self._id)
        self._call: Call[TreeResult] | None = None
        self._paused = self._stopped = False
        self._result: TreeResult | None = None

    def __await__(self) -> Generator[Any, None, Summary[A]]:
        return self._run().__await__()

    def pause(self) -> None:
        """Start nothing more until `resume`; what is in flight goes on."""
        self._paused = True
        self._tell(PAUSE)

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._tell(RESUME)

    def cancel(self) -> None:
        """Stop: start nothing more, cancel what is in flight, and wait for that."""
        self._stopped = True
        self._tell(CANCEL)

    def progress(self) -> FanOutProgress:
        """What the query `perdure_fan_out` tells of it: while it runs only where to ask, see `fan_out_progress`."""
        state: Any = "stopping" if self._stopped else "paused" if self._paused else "running"
        if self._result is None:
            over = self._call is not None and self._call.future.done()
            state = "cancelled" if over else state
            return FanOutProgress(self.number, state, None, 0, 0, 0, 0, 0, 0.0, [] if over else [self._id])
        tally, state = self._result.tally, self._result.decided or "completed"
        total = tally.completed + tally.failed + tally.cancelled + tally.skipped if self._result.read_all else None
        counts = (tally.completed, tally.failed, tally.cancelled, tally.skipped)
        return FanOutProgress(self.number, state, total, 0, *counts, 0.0, [])

    async def _run(self) -> Summary[A]:
        self._registry.open(self)
        try:
            # Signals that came before there was a handler for them.
            await asyncio.sleep(0)
            self._state.paused = self._paused
            expect("perdure_fan_out", "FanOutTree, FanOutLeaf")
            self._call = self._child.call()
            if self._stopped:
                self._tell(CANCEL)
            await self._ended(self._call)
        finally:
            self._registry.close(self)
        assert self._result is not None
        return self._judged(self._result)

    async def _ended(self, call: Call[TreeResult]) -> None:
        cancelled = None
        while not call.future.done():
            try:
                await workflow.wait([call.future])
            except asyncio.CancelledError as error:
                cancelled = error
                call.cancel()
        failure = asyncio.CancelledError() if call.future.cancelled() else call.future.exception()
        self._result = call.future.result() if failure is None else done_before(failure, TreeResult)
        if cancelled is not None:
            raise cancelled
        if failure is not None and isinstance(failure, FailureError) and not is_cancelled_exception(failure):
            raised = FanOutFailed(told_of(failure))
            raised.summary = None if self._result is None else self._summary(self._result)
            raise raised from failure
        if failure is not None:
            raise failure

    def _summary(self, result: TreeResult) -> Summary[A]:
        tally = result.tally
        folded = None
        if self._fold is not None and self._fold.merge is not None and tally.folds:
            folded = typed(tally.folds[0], self._fold.merge)
        return Summary(
            pages=tally.pages,
            completed=tally.completed,
            failed=tally.failed,
            cancelled=tally.cancelled,
            skipped=tally.skipped,
            read_all=result.read_all,
            first_errors=[FirstError(index, error) for index, error in tally.errors],
            remaining=Remaining(self._state.key, tally.left, tally.left_known),
            folded=folded,
        )

    def _judged(self, result: TreeResult) -> Summary[A]:
        tally, summary = result.tally, self._summary(result)
        first = f"; item {tally.errors[0][0]}: {tally.errors[0][1]}" if tally.errors else ""
        error: FanOutFailed | None = None
        if result.decided == "failed":
            error = FanOutFailed(f"{tally.failed} of {tally.completed + tally.failed} failed{first}")
        elif result.decided == "cancelled" and not self._collect:
            error = FanOutCancelled(f"stopped after {tally.completed} had completed{first}")
        if error is not None:
            error.summary = summary
            raise error
        return summary

    def _tell(self, signal: str) -> None:
        if self._call is not None and not self._call.future.done():
            send: Coroutine[Any, Any, None] = self._child.signal(signal)
            self._telling = asyncio.create_task(send)


def leaves_for(most: int, leaves: int | None) -> int:
    """How many leaves at a time; raises `ValueError` for what is too many."""
    if most < 1:
        raise ValueError(f"max_in_flight is {most}: it has to be positive")
    if leaves is None:
        leaves = max(1, min(10, most // 10), -(-most // MOST_IN_LEAF))
    if not 1 <= leaves <= min(most, MOST_IN_LEAF):
        raise ValueError(f"children is {leaves}: it has to be 1 to {min(most, MOST_IN_LEAF)}")
    if most // leaves > MOST_IN_LEAF:
        raise ValueError(f"max_in_flight is {most}: that is more than {MOST_IN_LEAF} for each of {leaves} children")
    return leaves


def typed(value: Any, fn: Callable[..., Any]) -> Any:
    """A value as JSON has it, as what an activity returns."""
    hint = get_type_hints(inspect.unwrap(fn)).get("return")
    if hint is None or hint is Any:
        return value
    converter = workflow.payload_converter()
    return converter.from_payload(converter.to_payload(value), hint)


async def fan_out_progress(client: Client, workflow_id: str, run_id: str | None = None) -> list[FanOutProgress]:
    """How far the fan-outs of a run are, with what is going on in their children.

        [progress] = await fan_out_progress(client, "import-17")
        print(progress.completed, progress.rate_per_s)

    It asks each child that works now; counts of what ends meanwhile may be missed until the next time.
    """
    found = []
    for top in await _ask(client, workflow_id, run_id):
        trees = [tree for child in top.children for tree in await _ask(client, child)]
        leaves = [leaf for tree in trees for child in tree.children for leaf in await _ask(client, child)]
        found.append(_sum(top, trees, leaves))
    return found


async def _ask(client: Client, workflow_id: str, run_id: str | None = None) -> list[FanOutProgress]:
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    try:
        told: list[FanOutProgress] = await handle.query(QUERY, result_type=list[FanOutProgress])
        return told
    except RPCError as error:
        if run_id is None and error.status == RPCStatusCode.NOT_FOUND:
            return []
        raise


def _sum(top: FanOutProgress, trees: Sequence[FanOutProgress], leaves: Sequence[FanOutProgress]) -> FanOutProgress:
    everything = [top, *trees, *leaves]
    return FanOutProgress(
        number=top.number,
        state=trees[0].state if trees and top.state == "running" else top.state,
        total=trees[0].total if trees else top.total,
        in_flight=sum(each.in_flight for each in everything),
        completed=sum(each.completed for each in everything),
        failed=sum(each.failed for each in everything),
        cancelled=sum(each.cancelled for each in everything),
        skipped=sum(each.skipped for each in everything),
        rate_per_s=round(sum(each.rate_per_s for each in (leaves or everything)), 3),
        children=[*top.children, *(child for tree in trees for child in tree.children)],
    )

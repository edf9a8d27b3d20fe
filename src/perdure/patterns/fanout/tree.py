"""The workflow that does a fan-out over pages: a leaf a page, so many at a time."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

from perdure.patterns.fanout.flat import Child, begin_activity
from perdure.patterns.fanout.flight import Call, Rate, told
from perdure.patterns.fanout.leaf import FanOutLeaf
from perdure.patterns.fanout.outcome import FanOutProgress
from perdure.patterns.fanout.registry import PAGE, PAUSE, RESUME, Registry
from perdure.patterns.fanout.state import (
    OPEN_END,
    LeafResult,
    LeafState,
    PageRead,
    Tally,
    TreeResult,
    TreeState,
    broken,
    done_before,
    from_index,
    settled,
    within,
)
from perdure.patterns.registered import registered

TELLS = "perdure-fan-out-broken-tells"
"""Trees of before did not merge, nor take up what a leaf tells, when something could not be read or folded."""


class Leaf:
    """A leaf in flight."""

    def __init__(self, state: LeafState) -> None:
        self.id = f"{workflow.info().workflow_id}/leaf#{state.page}"
        self.state = state
        self.read: PageRead | None = None
        """What it has told of its page."""
        self.child = Child(FanOutLeaf.run, state, self.id)
        self.call: Call[LeafResult] = self.child.call()

    def lost(self, error: BaseException) -> LeafResult:
        """What is known of its page when it has ended without telling how far it came."""
        tally = Tally()
        if self.read is not None:
            tally.pages = 1
            tally.lost(within(self.state.only, self.state.first, self.state.first + self.read.items - 1), told(error))
        return LeafResult(tally, self.read, "failed")


@workflow.defn(name="perdure_fan_out", sandboxed=False)
class FanOutTree:
    """Starts leaves as their pages become known, adds up what they tell, and continues as new between them.

    `PatternsPlugin` registers it; without that it is one more workflow of the worker, next to `FanOutLeaf`:

        Worker(client, task_queue="imports", workflows=[Import, FanOutTree, FanOutLeaf], activities=[read_rows, upsert])

    Stopped by a signal it completes, with what was done until then; cancelled, it is cancelled when all has ended.
    """

    number = 1

    @workflow.init
    def __init__(self, state: TreeState) -> None:
        registered()
        self._state = state
        self._paused = state.paused
        self._leaves: dict[int, Leaf] = {}
        """In flight, by page."""
        self._known = True
        """Whether it is known where the next page begins."""
        self._started = 0
        self._decided = ""
        self._cancelled = self._called_back = False
        self._broken: BaseException | None = None
        self._unmerged = False
        """Whether folds are lost, since their merge has failed."""
        self._tells = False
        """Whether it says what was done before it broke."""
        self._rate = Rate()
        self._registry = Registry.current()
        self._registry.open(self)

    @workflow.run
    async def run(self, state: TreeState) -> TreeResult:
        while True:
            self._start_leaves()
            if self._decided and not self._called_back:
                await self._call_back()
            if len(state.tally.folds) >= state.merged_at_once:
                await self._merge()
            if self._over():
                break
            try:
                await workflow.wait_condition(self._awake)
            except asyncio.CancelledError:
                self._cancelled = True
                self.cancel()
        if state.more and not self._decided:
            state.paused = self._paused
            workflow.continue_as_new(state)
        if len(state.tally.folds) > 1 and (self._broken is None or self._tells):
            await self._merge()
        if self._broken is not None:
            if not self._tells:
                raise self._broken
            raise broken(self._broken, self._result()) from self._broken
        if self._cancelled:
            raise asyncio.CancelledError
        self._registry.close(self)
        return self._result()

    @workflow.signal(name=PAGE)
    def page_read(self, page: PageRead) -> None:
        """A leaf has read its page: the next one may begin."""
        state = self._state
        if self._known or page.page != state.page - 1:
            return
        self._known = True
        if page.page in self._leaves:
            self._leaves[page.page].read = page
        state.first += page.items
        state.cursor, state.more = page.next, page.next is not None
        if state.only is not None:
            state.only = from_index(state.only, state.first)
            state.more = state.more and bool(state.only)

    def _start_leaves(self) -> None:
        state = self._state
        while self._may_start():
            leaf = Leaf(
                LeafState(
                    read=state.read,
                    call=state.call,
                    cursor=state.cursor,
                    page=state.page,
                    first=state.first,
                    key=state.key,
                    most=state.most // state.leaves,
                    borne=None if state.borne is None else state.borne - state.tally.failed,
                    fold=state.fold,
                    only=from_index(state.only, state.first),
                    items_a_run=state.items_a_run,
                )
            )
            self._leaves[state.page] = leaf
            leaf.call.future.add_done_callback(lambda future, page=state.page: self._ended(page, future))  # type: ignore[misc]
            self._known = False
            state.page += 1
            self._started += 1

    def _may_start(self) -> bool:
        return (
            self._state.more
            and self._known
            and not self._decided
            and not self._paused
            and len(self._leaves) < self._state.leaves
            and not self._hold()
        )

    def _hold(self) -> bool:
        return self._started >= self._state.leaves_a_run or workflow.info().is_continue_as_new_suggested()

    def _over(self) -> bool:
        return not self._leaves and (not self._state.more or bool(self._decided) or self._hold())

    def _awake(self) -> bool:
        return (
            self._over()
            or self._may_start()
            or (bool(self._decided) and not self._called_back)
            or len(self._state.tally.folds) >= self._state.merged_at_once
        )

    async def _call_back(self) -> None:
        # What has ended in this very activation counts as what it is.
        try:
            await workflow.wait_condition(lambda: True)
        except asyncio.CancelledError:
            self._cancelled = True
        self._called_back = True
        for leaf in list(self._leaves.values()):
            leaf.call.cancel()

    def _ended(self, page: int, future: asyncio.Future[LeafResult]) -> None:
        leaf = self._leaves.pop(page)
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None:
            self._add(future.result())
        elif self._decided and is_cancelled_exception(error):
            pass
        else:
            self._break(error)
            if self._tells:
                self._add(done_before(error, LeafResult) or leaf.lost(error))

    def _add(self, result: LeafResult) -> None:
        tally = self._state.tally
        tally.add(result.tally)
        if self._unmerged:
            tally.folds.clear()
        self._rate.count(result.tally.completed + result.tally.failed)
        if result.page is not None:
            self.page_read(result.page)
        too_many = self._state.borne is not None and tally.failed > self._state.borne
        if result.decided or too_many:
            self._decided = self._decided or ("failed" if too_many else result.decided)

    def _break(self, error: BaseException) -> None:
        if self._broken is None:
            self._broken, self._tells = error, workflow.patched(TELLS)
        self._decided = self._decided or "failed"

    def _result(self) -> TreeResult:
        state = self._state
        if state.more:
            unread = [[0, OPEN_END]] if state.only is None else state.only
            state.tally.left.extend([max(begin, state.first), end] for begin, end in unread)
        return TreeResult(state.tally, not state.more, self._decided)

    async def _merge(self) -> None:
        state = self._state
        if state.merge is None:
            state.tally.folds.clear()
            return
        folds = state.tally.folds[:]
        key = f"{state.key}/merge#{state.page}"
        call = begin_activity(state.merge.name, [folds], key, state.merge.options())
        if await settled(call):
            self._cancelled = True
            self.cancel()
        error = call.future.exception()
        if error is None:
            state.tally.folds[: len(folds)] = [call.future.result()]
        else:
            state.tally.folds.clear()
            self._break(error)
            self._unmerged = self._tells

    # As the registry wants it.

    def progress(self) -> FanOutProgress:
        state, tally = self._state, self._state.tally
        is_open = bool(self._leaves) or (state.more and not self._decided)
        return FanOutProgress(
            number=1,
            state=("stopping" if self._decided else "paused" if self._paused else "running")
            if is_open
            else self._decided or "completed",  # type: ignore[arg-type]
            total=None if state.more or not self._known else state.first,
            in_flight=0,
            completed=tally.completed,
            failed=tally.failed,
            cancelled=tally.cancelled,
            skipped=tally.skipped,
            rate_per_s=self._rate.per_s(),
            children=[leaf.id for leaf in self._leaves.values()],
        )

    def pause(self) -> None:
        self._paused = True
        self._tell(PAUSE)

    def resume(self) -> None:
        self._paused = False
        self._tell(RESUME)

    def cancel(self) -> None:
        self._decided = self._decided or "cancelled"

    def _tell(self, signal: str) -> None:
        self._telling = [asyncio.create_task(leaf.child.signal(signal)) for leaf in self._leaves.values()]

"""Time that skips: a clock for each namespace, which jumps to the next deadline when nothing is in flight.

A clock goes on as real time does, and jumps only while skipping is unlocked and somebody waits (a client for the end of
a workflow, or for new events). In flight is what a worker has or is about to get: workflow and activity tasks that are
handed out, or ready in a queue that is polled; and what the server owes an answer: queries, updates that are not yet
accepted. A jump goes to the very next deadline, and what is due there happens at exactly that time.

`advance` moves a clock at once, deadline by deadline, also while tasks are out: only what becomes ready on the way is
waited for, until for `PATIENCE_S` none of it has begun, ended or passed to a worker, and no longer than
`MOST_PATIENCE_S` for each. Heartbeats prolong nothing.
All deadlines of such a server are held in memory; it is made for tests.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence

from perdure.clock import SECOND_NS
from perdure.engine.execution import OPEN, Activity, Item, Key, Kind, WorkflowTask
from perdure.engine.transition import Decision
from perdure.errors import FailedPrecondition
from perdure.runtime import rows
from perdure.runtime.deadlines import Act
from perdure.runtime.executor import Executor
from perdure.runtime.matching import Matching
from perdure.runtime.namespace_time import MAX_SKIPS, Advance, Mode, NamespaceTime, SkippedClock
from perdure.runtime.patience import awaited
from perdure.runtime.run import Run
from perdure.runtime.tasks_held import Tasks, holds
from perdure.runtime.timekeeper import Answered, Refuse, Release
from perdure.storage.base import DueItem, ReadyItem

log = logging.getLogger(__name__)

LOOK_AGAIN_NS = 50_000_000
"""How often to look whether what holds time is still there, if nothing says so."""
STALL_S = 10.0
"""After so long without a jump the log says what holds time, if somebody waits."""
MOST_STEPS = 16
"""How many things may follow from one another while a clock stands still: what goes round in circles takes time."""
ASKED_WITHIN_S = 2.0
"""Queries that follow each other this soon are a loop that polls."""
PAGE = 1_000
NEVER_NS = 2**63 - 1
RETRY_NS = SECOND_NS


class SkippedTime:
    """The clocks of all namespaces of a server. A `Timekeeper`."""

    def __init__(
        self, executor: Executor, matching: Matching, act: Act, *, locked: bool = False, skips: int = MAX_SKIPS
    ) -> None:
        self._executor = executor
        self._tasks = Tasks(matching)
        self._act = act
        self._clock = executor.clock
        self._locks = 1 if locked else 0
        """By how many locks exceed unlocks; above 0 no clock jumps by itself."""
        self._skips = skips
        self._times: dict[str, NamespaceTime] = {}
        self._unseen = SkippedClock(executor.clock)
        """That of namespaces nobody has looked at, those to come included: what moves all clocks moves it, too."""
        self._running: set[asyncio.Task[None]] = set()
        self._order = itertools.count()
        self._started = False
        self._reading: asyncio.Task[None] | None = None
        executor.clock_of = lambda namespace_id: self.of(namespace_id).clock.now_ns()

    # Namespaces.

    def of(self, namespace_id: str) -> NamespaceTime:
        """The time of a namespace; it begins as the server's, moved by what has moved all clocks."""
        time = self._times.get(namespace_id)
        if time is None:
            clock = SkippedClock(self._clock, self._unseen.now_ns())
            time = self._times[namespace_id] = NamespaceTime(clock, skips_left=self._skips, budget=self._skips)
            time.progress_ns = self._clock.now_ns()
            if self._started:
                self._spawn(namespace_id, time)
        return time

    def forget(self, namespace_id: str) -> None:
        """Nobody cares for the time of the namespace any more: its clock no longer jumps, and nothing is due there."""
        time = self._times.pop(namespace_id, None)
        if time is None:
            return
        for advance in time.advances:
            advance.done.cancel()
        if time.alarm is not None:
            time.alarm.cancel()
        if time.runner is not None:
            time.runner.cancel()

    def now_ns(self) -> int:
        """The server's own clock."""
        return self._clock.now_ns()

    def latest_ns(self) -> int:
        """What the clock that is farthest ahead says."""
        return max(clock.now_ns() for clock in (self._unseen, *(time.clock for time in self._times.values())))

    # Life.

    def start(self) -> None:
        self._started = True
        for namespace_id, time in self._times.items():
            self._spawn(namespace_id, time)
        self.reload()

    def _spawn(self, namespace_id: str, time: NamespaceTime) -> None:
        time.runner = self._keep(self._run(namespace_id, time), f"time of {namespace_id}")

    def _keep(self, coroutine: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def stop(self) -> None:
        self._started = False
        for time in self._times.values():
            if time.alarm is not None:
                time.alarm.cancel()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for time in self._times.values():
            for advance in time.advances:
                advance.done.cancel()

    # What the runtime tells.

    def published(self, run: Run, decision: Decision) -> None:
        """What the run has by now counts: a volatile decision is published at once, those before it when they are
        durable, and so after it."""
        time, pending = self.of(run.core.namespace_id), run.execution.pending
        for kind, key, _ in decision.changes:
            self._note(time, run, kind, key, pending[kind].get(key))
        self._progress(time)

    def _note(self, time: NamespaceTime, run: Run, kind: Kind, key: Key, item: Item | None) -> None:
        pending = (run.run_key, kind, key)
        due_ns = rows.due_ns(item, run.core.offset_ns) if item is not None else None
        if due_ns is None:
            time.due.pop(pending, None)
        elif time.due.get(pending) != due_ns:
            time.due[pending] = due_ns
            heapq.heappush(time.deadlines, (due_ns, next(self._order), pending))
        if item is not None and run.core.status in OPEN and holds(item):
            time.tasks[pending] = (run, item)
        else:
            time.tasks.pop(pending, None)

    def reload(self) -> None:
        """Read the deadlines and tasks of all runs again. Until that is done nobody knows which comes next."""
        self._reading = self._keep(self._reload(), "time, reading")

    async def _reload(self) -> None:
        for time in self._times.values():
            time.deadlines.clear()
            time.due.clear()
            time.tasks.clear()
        seen: set[int] = set()
        async for run_key in self._pending_runs():
            if run_key in seen:
                continue
            seen.add(run_key)
            run = await self._executor.by_key(run_key)
            if run is not None:
                time = self.of(run.core.namespace_id)
                for kind, key, item in run.execution.items():
                    self._note(time, run, kind, key, item)
        for time in self._times.values():
            self._progress(time)

    async def _pending_runs(self) -> AsyncIterator[int]:
        """The keys of all runs that have a deadline or a task."""
        storage = self._executor.storage
        after: DueItem | None = None
        while page := await storage.due(after, NEVER_NS, PAGE):
            for after in page:
                yield after.run_key
        for queue in await storage.ready_queues():
            last: ReadyItem | None = None
            while tasks := await storage.ready(queue, last, PAGE):
                for last in tasks:
                    yield last.run_key

    def hold(self, namespace_id: str, what: str) -> Release:
        time, token = self.of(namespace_id), object()
        time.holds[token] = what

        def release() -> None:
            if time.holds.pop(token, None) is not None:
                self._asked(time)

        return release

    def wait(
        self,
        namespace_id: str,
        answered: Answered | None = None,
        what: tuple[str, ...] = (),
        refuse: Refuse | None = None,
    ) -> Release:
        time, token = self.of(namespace_id), object()
        time.waits[token] = answered
        if refuse is not None:
            time.refusals[token] = refuse
        time.allow(what)
        time.wake.set()

        def release() -> None:
            time.waits.pop(token, None)
            time.refusals.pop(token, None)

        return release

    def _asked(self, time: NamespaceTime) -> None:
        """A query has ended. That is no progress: who asks again and again may do so for ever."""
        now_ns = self._clock.now_ns()
        if not time.asked_since_ns or now_ns - time.asked_ns > ASKED_WITHIN_S * SECOND_NS:
            time.asked_since_ns = now_ns
        time.asked_ns = now_ns
        time.wake.set()

    def polled_ns(self, time: NamespaceTime) -> int:
        """For how long somebody has polled by queries, one soon after the other, while nothing happened."""
        now_ns = self._clock.now_ns()
        polls = time.asked_since_ns and now_ns - time.asked_ns <= ASKED_WITHIN_S * SECOND_NS
        return now_ns - time.asked_since_ns if polls else 0

    def _progress(self, time: NamespaceTime) -> None:
        time.progress_ns = self._clock.now_ns()
        time.asked_since_ns = 0
        time.told = False
        time.wake.set()

    # What clients and tests ask for.

    def lock(self) -> None:
        """No clock jumps by itself, unless more ask for the contrary."""
        self._locks += 1

    def unlock(self) -> None:
        """The contrary of `lock`, as often as one likes: SDKs do it for each result that they wait for."""
        self._locks -= 1
        for time in self._times.values():
            time.wake.set()

    async def advance(self, by_ns: int, namespace_id: str | None = None) -> None:
        """Move the clock of a namespace on, or those of all, and do what falls due on the way, each at its time.

        Raises `FailedPrecondition` for a namespace whose time is real; among all, those stay."""
        await self._move_clocks(lambda clock: clock.now_ns() + by_ns, namespace_id)

    async def advance_to(self, target_ns: int, namespace_id: str | None = None) -> None:
        """`advance` to a time; clocks that are there already stay."""
        await self._move_clocks(lambda clock: target_ns, namespace_id)

    async def _move_clocks(self, target_of: Callable[[SkippedClock], int], namespace_id: str | None) -> None:
        if namespace_id is not None:
            time = self._movable(namespace_id)
            await self._advance(time, target_of(time.clock))
            return
        unseen_ns = target_of(self._unseen)
        moved: set[NamespaceTime] = set()
        while times := [time for time in self._times.values() if time.mode is not Mode.REAL and time not in moved]:
            moved.update(times)
            await asyncio.gather(*(self._advance(time, target_of(time.clock)) for time in times))
        self._unseen.move_to(unseen_ns)

    async def settle(self, namespace_id: str) -> None:
        """Wait until nothing is in flight that `advance` would wait for. What is due by now is done."""
        time = self.of(namespace_id)
        await self._advance(time, time.clock.now_ns(), patient=True)

    def expect(self, namespace_id: str, queues: Sequence[str], there: bool) -> None:
        """Whether these queues are known to have a worker, even while it does not poll."""
        time = self.of(namespace_id)
        (time.expected.update if there else time.expected.difference_update)(queues)
        time.wake.set()

    def overlook(self, namespace_id: str, run_id: str, activity_id: str, attempt: int) -> None:
        """This attempt will not end by itself: `advance` does not wait for it. It holds time as always."""
        time = self.of(namespace_id)
        for pending, (run, item) in time.tasks.items():
            if isinstance(item, Activity) and (run.core.run_id, item.activity_id) == (run_id, activity_id):
                time.blocked.add((pending, attempt))
        time.wake.set()

    def abandon(self, namespace_id: str, run_id: str, activity_id: str = "") -> None:
        """Who has this activity's attempt, or without an id the run's workflow task, will never answer: it does not
        hold time, so that its timeout comes."""
        time = self.of(namespace_id)
        for pending, (run, item) in time.tasks.items():
            found = item.activity_id == activity_id if isinstance(item, Activity) else not activity_id
            if found and run.core.run_id == run_id and isinstance(item, Activity | WorkflowTask) and item.started_ns:
                time.abandoned.add((pending, item.started_ns))
        time.wake.set()

    def abandon_worker(self, namespace_id: str, identity: str) -> None:
        """This worker is gone: what it has, and what it may still be given, does not hold time."""
        time = self.of(namespace_id)
        time.gone.add(identity)
        time.wake.set()

    def idle(self, namespace_id: str) -> bool:
        """Whether nothing will happen by itself: nothing is in flight, and nothing is due, ever."""
        time = self.of(namespace_id)
        if time.clock.frozen:
            return False
        return self.next_due_ns(time) is None and not any(True for _ in self._in_flight(time))

    def _movable(self, namespace_id: str) -> NamespaceTime:
        time = self.of(namespace_id)
        if time.mode is Mode.REAL:
            raise FailedPrecondition("The clock of this namespace is real: it can't be moved.")
        return time

    async def _advance(self, time: NamespaceTime, target_ns: int, *, patient: bool = False) -> None:
        advance = Advance(target_ns, asyncio.get_running_loop().create_future())
        time.advances.append(advance)
        if not patient:
            time.overlooked |= {token for token, _ in self._in_flight(time)}
        time.wake.set()
        try:
            await advance.done
        finally:
            time.advances.remove(advance)
            if not time.advances:
                time.overlooked.clear()
                time.blocking.clear()
                time.outlasted.clear()

    def holding(self, namespace_id: str) -> list[str]:
        """Why the clock of a namespace does not jump now, a sentence each; nothing if it will."""
        time = self.of(namespace_id)
        reasons = [what for _, what in self._in_flight(time)]
        if self._locks > 0:
            reasons.append(f"time skipping is locked {self._locks} times")
        if time.mode is Mode.MANUAL:
            reasons.append("the clock of this namespace is moved by hand")
        if time.mode is Mode.REAL:
            reasons.append("the clock of this namespace is real")
        if not time.waiting:
            reasons.append("nobody waits for a workflow")
        if self.polled_ns(time):
            reasons.append("polling by query does not let time skip: wait for a result or an update, or use advance")
        if time.skips_left <= 0:
            reasons.append(f"its budget of skips is spent ({time.skips} were made)")
        if self.next_due_ns(time) is None:
            reasons.append("nothing is due, ever: no timer, retry or timeout is pending")
        return reasons

    # What is in flight.

    def _in_flight(self, time: NamespaceTime) -> Iterator[tuple[object, str]]:
        """What a worker has or is about to get, and what is under way: a token and a text for each."""
        if self._reading is not None and not self._reading.done():
            yield self._reading, "deadlines and tasks are being read"
        yield from self._tasks.held(time)
        yield from time.holds.items()

    def idle_tasks(self, namespace_id: str) -> list[str]:
        """Tasks that are ready and that no worker polls for. They don't hold time, but a test may wait for them."""
        return list(self._tasks.idle(self.of(namespace_id)))

    # How clocks move.

    async def _run(self, namespace_id: str, time: NamespaceTime) -> None:
        while True:
            time.wake.clear()
            try:
                await self._fire_due(time)
                await self._executor.flushed()
                if self._move(time):
                    continue
                self._tell_of_stall(namespace_id, time)
                self._set_alarm(time)
            except Exception:
                log.exception("deadlines could not be handled; trying again in a second")
                time.alarm = self._clock.call_at(self._clock.now_ns() + RETRY_NS, time.wake.set)
            await time.wake.wait()

    def next_due_ns(self, time: NamespaceTime) -> int | None:
        """When the next timer, retry, timeout or start is due; None if nothing is."""
        while time.deadlines:
            due_ns, _, pending = time.deadlines[0]
            if time.due.get(pending) == due_ns:
                return due_ns
            heapq.heappop(time.deadlines)
        return None

    async def _fire_due(self, time: NamespaceTime) -> None:
        """Act on what is due, all of one moment at a time, and on what becomes due by that, such as the start that a
        schedule decides on; the clock stands still for that."""
        while (due_ns := self.next_due_ns(time)) is not None and due_ns <= time.clock.now_ns():
            time.clock.freeze_at(due_ns)
            try:
                for _ in range(MOST_STEPS):
                    for run_key, kind, keys in self._pop(time, due_ns):
                        await self._act_on(time, due_ns, run_key, kind, keys)
                    await self._executor.flushed()
                    if (next_ns := self.next_due_ns(time)) is None or next_ns > time.clock.now_ns():
                        break
                    due_ns = next_ns
            finally:
                time.clock.thaw()
            await asyncio.sleep(0)

    def _pop(self, time: NamespaceTime, due_ns: int) -> Iterator[tuple[int, Kind, list[Key]]]:
        """What is due at one moment, by run and kind."""
        found: dict[tuple[int, Kind], list[Key]] = {}
        while self.next_due_ns(time) == due_ns:
            _, _, pending = heapq.heappop(time.deadlines)
            del time.due[pending]
            run_key, kind, key = pending
            found.setdefault((run_key, kind), []).append(key)
        for (run_key, kind), keys in found.items():
            yield run_key, kind, keys

    async def _act_on(self, time: NamespaceTime, due_ns: int, run_key: int, kind: Kind, keys: Sequence[Key]) -> None:
        try:
            await self._act(run_key, kind, keys)
        except Exception:
            log.exception("a deadline could not be acted on; trying again in a second")
            self._clock.call_at(self._clock.now_ns() + RETRY_NS, lambda: self._again(time, due_ns, run_key, kind, keys))

    def _again(self, time: NamespaceTime, due_ns: int, run_key: int, kind: Kind, keys: Sequence[Key]) -> None:
        for key in keys:
            pending = (run_key, kind, key)
            if pending not in time.due:
                time.due[pending] = due_ns
                heapq.heappush(time.deadlines, (due_ns, next(self._order), pending))
        time.wake.set()

    def _move(self, time: NamespaceTime) -> bool:
        """Jump to where the clock may go. Whether it did, or an `advance` has come to its end."""
        if time.advances:
            return self._move_on(time)
        due_ns = self.next_due_ns(time)
        free = self._locks <= 0 and time.mode is Mode.SKIP and time.waiting
        if not free or due_ns is None or any(True for _ in self._in_flight(time)):
            return False
        if time.skips_left <= 0:
            time.refuse()
            return False
        time.skips_left -= 1
        if not time.skips_left:
            log.warning("the budget of skips is spent: time goes on as real time does from now on")
        self._jump(time, due_ns)
        return True

    def _move_on(self, time: NamespaceTime) -> bool:
        advance = min(time.advances, key=lambda advance: advance.target_ns)
        if awaited(time, (token for token, _ in self._in_flight(time)), self._clock.now_ns()):
            return False
        due_ns = self.next_due_ns(time)
        if due_ns is not None and due_ns <= advance.target_ns:
            self._jump(time, due_ns)
            return True
        self._jump(time, advance.target_ns)
        if not advance.done.done():
            advance.done.set_result(None)
            return True
        return False

    def _jump(self, time: NamespaceTime, to_ns: int) -> None:
        time.clock.freeze_at(to_ns)
        if self.next_due_ns(time) != to_ns:
            time.clock.thaw()
        time.skips += 1
        time.asked_since_ns = 0
        time.progress_ns = self._clock.now_ns()

    def _set_alarm(self, time: NamespaceTime) -> None:
        """When to look again, if nothing happens before."""
        if time.alarm is not None:
            time.alarm.cancel()
        due_ns = self.next_due_ns(time)
        moments = [] if due_ns is None else [time.clock.real_ns(due_ns)]
        if time.advances or (time.waiting and self._locks <= 0):
            moments.append(self._clock.now_ns() + LOOK_AGAIN_NS)
        time.alarm = self._clock.call_at(min(moments), time.wake.set) if moments else None

    def _tell_of_stall(self, namespace_id: str, time: NamespaceTime) -> None:
        stalls = time.waiting or self.polled_ns(time) >= STALL_S * SECOND_NS
        if time.told or not stalls or self._clock.now_ns() - time.progress_ns < STALL_S * SECOND_NS:
            return
        time.told = True
        reasons = self.holding(namespace_id) + self.idle_tasks(namespace_id)
        name = self._executor.namespaces.by_id(namespace_id).name
        log.warning("time has stood in namespace %s for %d s: %s", name, STALL_S, "; ".join(reasons))

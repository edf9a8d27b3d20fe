"""Matching: tasks meet the workers that poll for them.

A task that is ready is a pending item with a queue, and storage has it. Memory holds the head of each queue that
somebody polls, in order, and the polls that wait. A task in memory is only a hint: when it is handed out, the engine
looks whether it is still there. So nothing is lost when memory is, and nothing is handed out twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perdure.clock import Clock
from perdure.config import Dynamic
from perdure.engine.execution import Key
from perdure.errors import DataLoss
from perdure.runtime.backlog import MAX_IN_MEMORY, Task
from perdure.runtime.queue import Poll, Poller, Queue, Scaling, Taken
from perdure.runtime.rates import NEVER_NS
from perdure.runtime.rows import engine_key
from perdure.storage.base import Storage

log = logging.getLogger(__name__)

MAX_AT_ONCE = 100
"""Tasks that a queue hands out before others get a turn."""
MAX_POLLERS = 1_000
"""Pollers of one queue that are remembered."""
MAX_IDLE_QUEUES = 5_000
"""Queues without a waiting poll or query that are remembered; sticky ones have a new name for each worker process."""
SWEEP_EVERY = 1_000
"""New queues after which those are looked for that nobody uses any more."""
RETRY_NS = 1_000_000_000
"""After a failure to read or hand out tasks, when to read the queue again."""


@dataclass(slots=True, frozen=True)
class Figures:
    """What is known of the tasks of one priority: their number, since when the oldest waits (0: there is none), and
    how many a second came and went lately."""

    count: int = 0
    oldest_ns: int = 0
    added: float = 0.0
    dispatched: float = 0.0


class Matching:
    """All task queues of the server."""

    def __init__(self, storage: Storage, clock: Clock, config: Dynamic) -> None:
        self._storage = storage
        self._clock = clock
        self._sticky_window_ns = int(config.sticky_poller_unavailable_window_s * 1e9)
        self._poller_ttl_ns = int(config.poller_history_ttl_s * 1e9)
        self._scaling = Scaling(
            backlog_ns=int(config.poller_scaling_minimum_backlog_s * 1e9),
            wait_ns=int(config.poller_scaling_wait_time_s * 1e9),
            decisions_per_second=config.poller_scaling_decisions_per_second,
            add_to_dispatch=config.poller_scaling_task_add_to_dispatch_ratio,
        )
        self._limits: dict[str, float] = {}
        self._queues: dict[str, Queue] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._sweep_at = SWEEP_EVERY
        self._stopped = False

    def _queue(self, name: str) -> Queue:
        queue = self._queues.get(name)
        if queue is None:
            if len(self._queues) >= self._sweep_at:
                self._sweep()
            queue = self._queues[name] = Queue(name)
            self._set_limit(queue)
        return queue

    def _sweep(self) -> None:
        """Forget queues that nobody has polled for long, and beyond a number those that were polled longest ago."""
        oldest_ns = self._clock.now_ns() - max(self._sticky_window_ns, self._poller_ttl_ns)
        idle = sorted((queue for queue in self._queues.values() if queue.idle), key=lambda queue: queue.last_poll_ns)
        spare = len(idle) - MAX_IDLE_QUEUES
        for number, queue in enumerate(idle):
            if number >= spare and queue.last_poll_ns > oldest_ns:
                break
            del self._queues[queue.name]
        self._sweep_at = len(self._queues) + SWEEP_EVERY

    # Tasks.

    def add(self, name: str, order: int, run_key: int, kind: int, key: Key, *, stored: bool = True) -> None:
        """A task became ready, and is durable, or else not `stored`, so that it is held here alone."""
        queue = self._queue(name)
        queue.count_added(order, self._clock.now_ns())
        if queue.loaded or queue.loading or not stored:
            queue.tasks.push((order, run_key, kind, key), stored=stored)
            self._match(queue)

    def is_polled(self, name: str) -> bool:
        """Whether a worker polls the queue, or did within the sticky window."""
        queue = self._queues.get(name)
        if queue is None or queue.abandoned:
            return False
        return bool(queue.polls) or self._clock.now_ns() - queue.last_poll_ns < self._sticky_window_ns

    def has_pollers(self, name: str, within_s: float) -> bool:
        queue = self._queues.get(name)
        if queue is None:
            return False
        return bool(queue.polls) or self._clock.now_ns() - queue.last_poll_ns < int(within_s * 1e9)

    # Polls.

    def poll(self, name: str, poll: Poll) -> None:
        """A worker waits for a task of the queue. It is served through `poll.take`, or withdrawn with `withdraw`."""
        queue = self._queue(name)
        now_ns = self._clock.now_ns()
        poll.since_ns = queue.last_poll_ns = now_ns
        queue.abandoned = False
        if poll.per_second != queue.limit_of_worker:
            queue.limit_of_worker = poll.per_second
            self._set_limit(queue)
        queue.pollers.pop(poll.identity, None)
        queue.pollers[poll.identity] = Poller(poll.identity, now_ns, poll.details)
        if len(queue.pollers) > MAX_POLLERS:
            del queue.pollers[next(iter(queue.pollers))]
        queue.polls.append(poll)
        if not queue.loaded and not queue.loading:
            self._spawn(self._load(queue))
        self._match(queue)

    def withdraw(self, name: str, poll: Poll) -> bool:
        """The poll has ended without a task. False if it is being served just now, and so does not end yet."""
        queue = self._queues.get(name)
        if queue is None or poll not in queue.polls:
            return False
        poll.canceled = True
        queue.polls.remove(poll)
        # A poll that waited until its end was there all the time.
        queue.last_poll_ns = self._clock.now_ns()
        return True

    def forget_poller(self, name: str, identity: str) -> None:
        """The worker is gone, and not to be shown any more as one that polled lately."""
        queue = self._queues.get(name)
        if queue is not None:
            queue.pollers.pop(identity, None)

    def pollers(self, name: str) -> list[Poller]:
        """Who polled the queue lately."""
        queue = self._queues.get(name)
        if queue is None:
            return []
        oldest_ns = self._clock.now_ns() - self._poller_ttl_ns
        queue.pollers = {k: p for k, p in queue.pollers.items() if p.last_access_ns >= oldest_ns}
        return list(queue.pollers.values())

    # What is told of queues.

    def figures(self, name: str) -> dict[int, Figures]:
        """By priority, of those that had a task lately; without the backlog if memory does not hold all of it."""
        queue = self._queues.get(name)
        if queue is None:
            return {}
        now_ns = self._clock.now_ns()
        counts, oldest_ns = queue.tasks.counts(), queue.tasks.oldest_ns()
        return {
            priority: Figures(
                count=counts.get(priority, 0),
                oldest_ns=oldest_ns.get(priority, 0),
                added=queue.added[priority].per_second(now_ns) if priority in queue.added else 0.0,
                dispatched=queue.dispatched[priority].per_second(now_ns) if priority in queue.dispatched else 0.0,
            )
            for priority in sorted(counts.keys() | queue.added.keys())
        }

    def holds_all(self, name: str) -> bool:
        """Whether memory has the whole backlog of a queue."""
        queue = self._queues.get(name)
        return queue is not None and queue.loaded and queue.tasks.end is None

    def is_held_back(self, name: str) -> bool:
        """Whether a limit has let polls wait lately although there were tasks."""
        queue = self._queues.get(name)
        held_back = queue.held_back if queue is not None else None
        return held_back is not None and held_back.per_second(self._clock.now_ns()) > 0

    # Limits.

    def configure(self, limits: Mapping[str, float | None]) -> None:
        """Tasks a second of queues by name, whatever their workers ask for; None: no limit any more."""
        for name, per_second in limits.items():
            if per_second is None:
                self._limits.pop(name, None)
            else:
                self._limits[name] = per_second
            queue = self._queues.get(name)
            if queue is not None:
                self._set_limit(queue)
                self._match(queue)

    def limit(self, name: str) -> tuple[float, bool] | None:
        """Tasks a second, and whether a worker has set that (or an operator); None: as many as there are."""
        if name in self._limits:
            return self._limits[name], False
        queue = self._queues.get(name)
        if queue is None or queue.limit_of_worker is None:
            return None
        return queue.limit_of_worker, True

    def _set_limit(self, queue: Queue) -> None:
        queue.set_limit(self._limits.get(queue.name, queue.limit_of_worker), self._clock.now_ns())

    def _must_wait(self, queue: Queue, now_ns: int) -> bool:
        """Whether the limit of the queue lets nothing through now; if so it is looked at again when it does."""
        assert queue.limit is not None
        if queue.limit.ready_ns <= now_ns:
            return False
        queue.note_held_back(now_ns)
        if queue.alarm is not None:
            queue.alarm.cancel()
            queue.alarm = None
        if queue.limit.ready_ns < NEVER_NS:
            queue.alarm = self._clock.call_at(queue.limit.ready_ns, lambda: self._match(queue))
        return True

    def abandon(self, name: str) -> None:
        """The worker of a sticky queue is gone: what comes for it goes to the normal queue from now on."""
        queue = self._queues.get(name)
        if queue is not None:
            queue.abandoned = True

    # Queries.

    def add_query(self, name: str, query: Any) -> None:
        """A query that a worker of the queue shall answer. It lives in memory only."""
        queue = self._queue(name)
        queue.queries.append(query)
        self._match(queue)

    def withdraw_query(self, name: str, query: Any) -> None:
        queue = self._queues.get(name)
        if queue is not None and query in queue.queries:
            queue.queries.remove(query)

    # Matching.

    def _match(self, queue: Queue) -> None:
        for _ in range(MAX_AT_ONCE):
            if not queue.polls or self._stopped:
                return
            if queue.queries and self._serve_query(queue):
                continue
            if not queue.tasks:
                if queue.tasks.end is not None and not queue.loading:
                    self._spawn(self._load(queue))
                return
            now_ns = self._clock.now_ns()
            if queue.limit is not None and self._must_wait(queue, now_ns):
                return
            poll = queue.polls.popleft()
            if poll.canceled:
                continue
            if queue.limit is not None:
                queue.limit.take(now_ns)
            task = queue.tasks.pop()
            queue.count_dispatched(task[0], now_ns)
            queue.serve(poll, now_ns, self._scaling)
            self._hand_out(queue, poll, task)
        asyncio.get_running_loop().call_soon(self._match, queue)

    def _serve_query(self, queue: Queue) -> bool:
        """Whether a poll took a query, or a query was over."""
        for poll in list(queue.polls):
            if poll.take_query is not None and not poll.canceled:
                queue.polls.remove(poll)
                queue.serve(poll, self._clock.now_ns(), self._scaling)
                if not poll.take_query(queue.queries[0]):
                    return True
                queue.queries.popleft()
                return True
        return False

    def _hand_out(self, queue: Queue, poll: Poll, task: Task) -> None:
        """Start the task for the poll: at once when its run is in memory, else as soon as it is."""
        coroutine = poll.take(task)
        iterator = coroutine.__await__()
        try:
            waiting = next(iterator)
        except StopIteration as stop:
            self._handed_out(queue, poll, task, stop.value)
            return
        except Exception as error:
            self._not_handed_out(queue, error)
            self._handed_out(queue, poll, task, Taken.STALE)
            return
        queue.serving += 1
        self._spawn(self._finish(queue, poll, task, iterator, waiting))

    async def _finish(self, queue: Queue, poll: Poll, task: Task, iterator: Any, waiting: Any) -> None:
        try:
            taken = await _Resumed(iterator, waiting)
        except Exception as error:
            self._not_handed_out(queue, error)
            taken = Taken.STALE
        finally:
            queue.serving -= 1
        self._handed_out(queue, poll, task, taken)
        self._match(queue)

    def _not_handed_out(self, queue: Queue, error: Exception) -> None:
        if isinstance(error, DataLoss):  # the next time would be no better
            log.error("a task of queue %s can't be handed out: %s", queue.name, error)
            return
        log.error("a task of queue %s could not be handed out", queue.name, exc_info=error)
        self._look_again(queue)

    def _handed_out(self, queue: Queue, poll: Poll, task: Task, taken: Taken) -> None:
        if taken is not Taken.SERVED and queue.limit is not None:
            queue.limit.take(self._clock.now_ns(), -1)
        if taken is Taken.STALE and not poll.canceled:
            queue.polls.appendleft(poll)
        elif taken is Taken.GONE:
            queue.tasks.put_back(task)

    async def _load(self, queue: Queue) -> None:
        """Read the head of the queue from storage, or go on from where the last reading ended."""
        queue.loading = True
        try:
            # What comes while storage is read may not be in the page.
            after, queue.tasks.end = queue.tasks.end, None
            page = await self._storage.ready(queue.name, after, MAX_IN_MEMORY)
            tasks = ((item.order, item.run_key, item.kind, engine_key(item.kind, item.key)) for item in page)
            # Tasks that were started and are not written yet are still there: going on behind them leads past them.
            queue.tasks.finish_page(tasks, page[-1] if len(page) == MAX_IN_MEMORY else None)
            queue.loaded = True
        except Exception:
            log.exception("the tasks of queue %s could not be read; trying again in a second", queue.name)
            self._look_again(queue)
        finally:
            queue.loading = False
        self._match(queue)

    def reload(self) -> None:
        """Read the heads of all polled queues again: tasks may have been lost from memory."""
        for queue in self._queues.values():
            if queue.loaded:
                self._reload(queue)

    def _reload(self, queue: Queue) -> None:
        queue.loaded, queue.tasks.end = False, None
        self._spawn(self._load(queue))

    def _look_again(self, queue: Queue) -> None:
        """Read the queue again in a while: a task may be durable and in nobody's hands."""
        if queue.retrying:
            return
        queue.retrying = True

        def retry() -> None:
            queue.retrying = False
            if not self._stopped:
                self._reload(queue)

        self._clock.call_at(self._clock.now_ns() + RETRY_NS, retry)

    def stop(self) -> None:
        """Hand out nothing any more."""
        self._stopped = True

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class _Resumed:
    """Awaits the rest of a coroutine that was begun by hand and has yielded `waiting` once."""

    def __init__(self, iterator: Any, waiting: Any) -> None:
        self._iterator = iterator
        self._waiting = waiting

    def __await__(self) -> Any:
        value = self._waiting
        while True:
            try:
                sent = yield value
                value = self._iterator.send(sent)
            except StopIteration as stop:
                return stop.value

"""Matching: tasks meet the workers that poll for them.

A task that is ready is a pending item with a queue, and storage has it. Memory holds the head of each queue that
somebody polls, in order, and the polls that wait. A task in memory is only a hint: when it is handed out, the engine
looks whether it is still there. So nothing is lost when memory is, and nothing is handed out twice.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from perdure.clock import Clock
from perdure.engine.execution import Key
from perdure.runtime.rows import engine_key
from perdure.storage.base import ReadyItem, Storage

log = logging.getLogger(__name__)

MAX_IN_MEMORY = 5_000
"""Tasks of one queue in memory; those beyond stay in storage until the head is served."""
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

Task = tuple[int, int, int, Key]
"""(order, run key, kind, key)"""


class Taken(Enum):
    """How it went when a poll took a task: it was served, the task was gone, or the worker was."""

    SERVED = auto()
    STALE = auto()
    GONE = auto()


@dataclass(slots=True, eq=False)
class Poll:
    """One worker's poll. `take(task)` tries to start a task for it; `take_query(query)` hands it a query, if it can."""

    identity: str
    take: Callable[[Task], Awaitable[Taken]]
    take_query: Callable[[Any], bool] | None = None
    details: Any = None
    canceled: bool = False


@dataclass(slots=True)
class Poller:
    """Who polled a queue, and when last."""

    identity: str
    last_access_ns: int
    details: Any = None


@dataclass(slots=True, eq=False)
class Queue:
    """See the module's text. `loaded`: memory holds the head of the queue, up to `read_to` if there is `more`.

    `serving` counts the polls that are being given a task. `abandoned`: its worker has said that it leaves.
    """

    name: str
    tasks: list[tuple[int, int, int, str, Key]] = field(default_factory=list)
    known: set[Task] = field(default_factory=set)
    polls: deque[Poll] = field(default_factory=deque)
    queries: deque[Any] = field(default_factory=deque)
    pollers: dict[str, Poller] = field(default_factory=dict)
    last_poll_ns: int = 0
    loaded: bool = False
    loading: bool = False
    more: bool = False
    read_to: ReadyItem | None = None
    retrying: bool = False
    serving: int = 0
    abandoned: bool = False

    @property
    def idle(self) -> bool:
        return not (self.polls or self.queries or self.serving or self.loading)


class Matching:
    """All task queues of the server."""

    def __init__(self, storage: Storage, clock: Clock, *, sticky_window_s: float, poller_ttl_s: float) -> None:
        self._storage = storage
        self._clock = clock
        self._sticky_window_ns = int(sticky_window_s * 1e9)
        self._poller_ttl_ns = int(poller_ttl_s * 1e9)
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

    def add(self, name: str, order: int, run_key: int, kind: int, key: Key) -> None:
        """A task became ready, and is durable."""
        queue = self._queues.get(name)
        task = (order, run_key, kind, key)
        if queue is None or not (queue.loaded or queue.loading) or task in queue.known:
            return
        if len(queue.tasks) >= MAX_IN_MEMORY:
            queue.more = True
            if queue.read_to is not None and task[:3] <= queue.read_to[:3]:
                queue.read_to = None
            return
        self._push(queue, task)
        self._match(queue)

    def _push(self, queue: Queue, task: Task) -> None:
        order, run_key, kind, key = task
        queue.known.add(task)
        heapq.heappush(queue.tasks, (order, run_key, kind, str(key), key))

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
        queue.last_poll_ns = now_ns
        queue.abandoned = False
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

    def pollers(self, name: str) -> list[Poller]:
        """Who polled the queue lately."""
        queue = self._queues.get(name)
        if queue is None:
            return []
        oldest_ns = self._clock.now_ns() - self._poller_ttl_ns
        queue.pollers = {k: p for k, p in queue.pollers.items() if p.last_access_ns >= oldest_ns}
        return list(queue.pollers.values())

    def backlog(self, name: str) -> tuple[int, int] | None:
        """How many tasks wait, and the order of the first (0 without one); None if memory does not hold all of them."""
        queue = self._queues.get(name)
        if queue is None or not queue.loaded or queue.more:
            return None
        return len(queue.tasks), queue.tasks[0][0] if queue.tasks else 0

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
                if queue.more and not queue.loading:
                    queue.more = False
                    self._spawn(self._load(queue))
                return
            poll = queue.polls.popleft()
            if poll.canceled:
                continue
            order, run_key, kind, _, key = heapq.heappop(queue.tasks)
            task = (order, run_key, kind, key)
            queue.known.discard(task)
            self._hand_out(queue, poll, task)
        asyncio.get_running_loop().call_soon(self._match, queue)

    def _serve_query(self, queue: Queue) -> bool:
        """Whether a poll took a query, or a query was over."""
        for poll in list(queue.polls):
            if poll.take_query is not None and not poll.canceled:
                queue.polls.remove(poll)
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
        except Exception:
            log.exception("a task of queue %s could not be handed out", queue.name)
            self._look_again(queue)
            self._handed_out(queue, poll, task, Taken.STALE)
            return
        queue.serving += 1
        self._spawn(self._finish(queue, poll, task, iterator, waiting))

    async def _finish(self, queue: Queue, poll: Poll, task: Task, iterator: Any, waiting: Any) -> None:
        try:
            taken = await _Resumed(iterator, waiting)
        except Exception:
            log.exception("a task of queue %s could not be handed out", queue.name)
            self._look_again(queue)
            taken = Taken.STALE
        finally:
            queue.serving -= 1
        self._handed_out(queue, poll, task, taken)
        self._match(queue)

    def _handed_out(self, queue: Queue, poll: Poll, task: Task, taken: Taken) -> None:
        if taken is Taken.STALE and not poll.canceled:
            queue.polls.appendleft(poll)
        elif taken is Taken.GONE and task not in queue.known:
            self._push(queue, task)

    async def _load(self, queue: Queue) -> None:
        """Read the head of the queue from storage, or go on from where the last reading ended."""
        queue.loading = True
        try:
            page = await self._storage.ready(queue.name, queue.read_to, MAX_IN_MEMORY)
            for item in page:
                task = (item.order, item.run_key, item.kind, engine_key(item.kind, item.key))
                if task not in queue.known:
                    self._push(queue, task)
            full = len(page) == MAX_IN_MEMORY
            queue.more = queue.more or full
            # Tasks that were started and are not written yet are still there: going on behind them leads past them.
            queue.read_to = page[-1] if full else None
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
        queue.loaded, queue.read_to = False, None
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

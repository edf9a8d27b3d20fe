"""One life of the server, from its start to its crash: everything below the network, on the simulated loop and disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import apsw
from tests.simulation.disk import SimulatedStorage
from tests.simulation.faults import MS, S
from tests.simulation.loop import SimulatedLoop

from perdure.clock import RealClock, SeededIds
from perdure.config import Settings
from perdure.errors import PerdureError, Unavailable
from perdure.rpc import status
from perdure.rpc.router import build_handlers
from perdure.rpc.transport.base import CallState, Handler
from perdure.rpc.workflow.polls import Polls
from perdure.runtime.runtime import Runtime
from perdure.server import Server
from perdure.storage.base import Batch

if TYPE_CHECKING:
    from tests.simulation.world import World


class ServerCall(CallState):
    """A call as the server sees it. `finish(reply, code, message)` carries the answer back."""

    __slots__ = ("_finish", "metadata", "process", "timeout_s")

    def __init__(
        self, method: str, process: Process, timeout_s: float, finish: Callable[[bytes | None, int, str], None]
    ) -> None:
        super().__init__(method)
        self.metadata: dict[str, str | bytes] = {}
        self.timeout_s = timeout_s
        self.process = process
        self._finish = finish

    def reply(self, message: bytes) -> bool:
        if self.done or not self.process.alive:
            return False
        self.done = True
        self._finish(message, 0, "")
        return True

    def fail(self, error: PerdureError) -> None:
        if self.done or not self.process.alive:
            return
        self.done = True
        code, message, _ = status.of(error)
        self._finish(None, code, message)


class Process:
    """`serving` once it takes requests; not `alive` after a crash. It is the `Conditions` of its storage, too."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.alive = True
        self.serving = False
        self.crash_at_commit = ""
        self.loop = SimulatedLoop(world.clock, lambda context: world.complain(f"the loop: {context}"))
        self.clock = RealClock(self.loop, world.wall_ns, world.clock.now_ns)
        self.handlers: dict[str, Handler] = {}
        self.runtime: Runtime | None = None
        self._full_until_ns = 0
        self._task: Any = None

    def start(self) -> None:
        self._task = self.loop.create_task(self._start())
        self._task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        error = task.exception()
        if error is not None and self.alive:
            self.world.complain(f"the server does not start: {error!r}")

    async def _start(self) -> None:
        world = self.world
        ids = SeededIds(world.chance.getrandbits(64))
        storage = SimulatedStorage(world.disk, self)
        settings = Settings(namespaces=("other",), search_attributes={"Mood": "Keyword", "Size": "Int"})
        server = Server(settings, clock=self.clock, ids=ids)
        while True:
            try:
                runtime = await Runtime.open(storage, self.clock, ids, settings.dynamic, cache_bytes=world.cache_bytes)
                cluster_id = await server._prepare(runtime)
                break
            except Unavailable:  # a disk that fails now: an operator would start it again
                await asyncio.sleep(1)
        self.runtime = runtime
        families = server._families(runtime, Polls(runtime), cluster_id)
        self.handlers = build_handlers(families, flushed=runtime.executor.flushed)
        runtime.start()
        self.serving = True
        world.note("serving")

    def receive(self, path: str, data: bytes, call: ServerCall) -> None:
        self.loop.call_soon(self.handlers[path], data, call)

    def crash(self) -> None:
        """All of it is gone, but what is on the disk."""
        self.alive = self.serving = False
        self.loop.dead = True

    def heal(self) -> None:
        """Nothing that was planned goes wrong any more."""
        self.crash_at_commit = ""
        self._full_until_ns = 0

    # What becomes of reads and writes.

    def later(self, write: Callable[[], None]) -> None:
        world = self.world
        delay_ns = world.chance.randrange(20_000, 2 * MS)
        if world.faults.happens("slow_commit"):
            delay_ns = world.chance.randrange(100 * MS, 20 * S)

        def due() -> None:
            if self.alive:
                write()

        world.clock.call_at(world.clock.now_ns() + delay_ns, due)

    def fate(self, batch: Batch) -> str | None:
        world = self.world
        if self.crash_at_commit == "before":
            world.crash("before a commit")
            return "the process is gone"
        if world.clock.now_ns() < self._full_until_ns:
            return self._failed("database or disk is full")
        if world.faults.happens("full_disk"):
            self._full_until_ns = world.clock.now_ns() + world.chance.randrange(100 * MS, 10 * S)
            return self._failed("database or disk is full")
        if world.faults.happens("fail_commit"):
            return self._failed("disk I/O error")
        return None

    def _failed(self, words: str) -> str:
        self.world.ledger.epoch += 1
        self.world.note(f"commit fails: {words}")
        return words

    def written(self, batch: Batch) -> bool:
        self.world.commits += 1
        self.world.note(f"commit of {len(batch.runs)}")
        self.world.ledger.written(batch)
        if self.crash_at_commit == "after":
            self.world.crash("after a commit")
        return self.alive

    def read(self) -> AbstractContextManager[object]:
        if self.world.faults.happens("fail_read"):
            self.world.note("a read fails")
            raise apsw.IOError("IOError: disk I/O error")
        return nullcontext()

    async def suspend(self) -> None:
        world, rates = self.world, self.world.faults.rates
        if world.chance.random() < rates.suspend:
            if world.faults.happens("slow_read"):
                await asyncio.sleep(world.chance.random() * 3)
            for _ in range(world.chance.randrange(1, 4)):
                await asyncio.sleep(0)


class Listener(logging.Handler):
    """Takes what the server logs: an exception that is not one of ours is a bug."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._complain = complain
        self._formatter = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, PerdureError):
            self._complain(f"logged: {self._formatter.format(record)}")

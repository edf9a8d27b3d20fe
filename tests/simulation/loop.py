"""An event loop without threads, sockets or a clock of its own: it runs what is ready when it is told to."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from perdure.clock import SECOND_NS, ManualClock

MAX_TURN = 100_000
"""Callbacks that may run without time going on: more means that something goes round in circles."""


class Spinning(Exception):
    """What is ready never ends."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Belongs to one process of the server. Callbacks run first in, first out, as asyncio promises.

    Once `dead`, nothing runs any more and nothing is taken in: the process was killed.
    """

    def __init__(self, clock: ManualClock, failed: Callable[[dict[str, Any]], None]) -> None:
        self._clock = clock
        self._base_ns = clock.now_ns()
        self._ready: deque[asyncio.Handle] = deque()
        self._failed = failed
        self.dead = False

    def run_ready(self) -> None:
        """Run until nothing is ready. Raises `Spinning`."""
        ready = self._ready
        if not ready or self.dead:
            return
        asyncio._set_running_loop(self)
        try:
            for _ in range(MAX_TURN):
                if not ready or self.dead:
                    return
                handle = ready.popleft()
                if not handle._cancelled:  # type: ignore[attr-defined]
                    handle._run()
            raise Spinning
        finally:
            asyncio._set_running_loop(None)

    def time(self) -> float:
        return (self._clock.now_ns() - self._base_ns) / SECOND_NS

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)

        def due() -> None:
            if not self.dead and not handle._cancelled:  # type: ignore[attr-defined]
                self._ready.append(handle)

        # Time passes, if ever so little: who waits for what is left of a time never waits for nothing.
        self._clock.call_at(self._base_ns + math.ceil(when * SECOND_NS) + 1, due)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self.dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self._failed(context)

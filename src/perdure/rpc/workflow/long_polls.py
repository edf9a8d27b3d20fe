"""Calls that wait for what happens next to a run, and are answered in time if nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure.config import Dynamic
from perdure.rpc.transport import Call
from perdure.runtime.run import Run


class LongPolls:
    """The waiting calls of one family of handlers."""

    def __init__(self, config: Dynamic) -> None:
        self._config = config
        self._waiting: set[asyncio.Future[None]] = set()
        self.stopping = False
        """The server stops: nobody is to wait any more."""

    def release_all(self) -> None:
        """Wake those who wait, and let nobody wait any more."""
        self.stopping = True
        for waiter in self._waiting:
            _resolve(waiter)

    def expiry(self, call: Call) -> float:
        """When to answer at the latest, by the loop's clock: a little before the caller gives up."""
        patience_s = self._config.history_long_poll_expiration_interval_s
        if call.timeout_s is not None:
            patience_s = min(patience_s, max(0.0, call.timeout_s - self._config.long_poll_buffer_s))
        return asyncio.get_running_loop().time() + patience_s

    async def change(
        self,
        run: Run,
        expiry: float,
        enough: Callable[[], bool] = lambda: True,
        waiter: asyncio.Future[None] | None = None,
    ) -> None:
        """Until a change of the run is `enough`, the time has come, the server stops, or `waiter`, if given, is done:
        raises what it raises."""
        loop = asyncio.get_running_loop()
        waiter = waiter or loop.create_future()
        timer = loop.call_at(expiry, _resolve, waiter)
        stop = run.on_change(lambda: _resolve(waiter) if enough() else None)
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)
            stop()
            timer.cancel()


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)

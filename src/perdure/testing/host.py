"""A server on an event loop of its own thread, so that it serves tests whatever loop, or none, they run on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import ConnectConfig, ServiceClient

from perdure.config import Skipping
from perdure.runtime.skipping import SkippedTime
from perdure.server import Server

T = TypeVar("T")


class Host:
    """Start it once, use it from any thread. In memory; time skips."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="perdure", daemon=True)
        self.server = Server(skipping=Skipping.UNLOCKED)

    def start(self) -> None:
        """Raises `StartupError`."""
        self._thread.start()
        self.service = self.run(self._start())

    async def _start(self) -> ServiceClient:
        await self.server.start()
        runtime = Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=None)
        return await ServiceClient.connect(ConnectConfig(target_host=self.server.address, runtime=runtime))

    def stop(self) -> None:
        self.run(self.server.stop(grace_s=0.1))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the server's loop and wait; not from that loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the server's loop, from another."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def soon(self, callback: Callable[..., object], *args: object) -> None:
        """Call it on the server's loop, some time soon."""
        self._loop.call_soon_threadsafe(callback, *args)

    @property
    def time(self) -> SkippedTime:
        """For use on the server's loop."""
        assert self.server.time is not None
        return self.server.time

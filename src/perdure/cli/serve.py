"""Run one server in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable

from perdure.config import Settings

SWITCH_INTERVAL_S = 1e-4
"""The writer thread asks for the interpreter once a row; at Python's 5 ms each may wait that long for a busy loop."""
GC_THRESHOLDS = (10_000, 20, 20)
"""Messages come and go without cycles: Python's 700 allocations would have the collector look at them in vain."""

Ready = Callable[[int, int | None], None]
"""Takes the port and, if there is one, that of the HTTP API."""


def serve(settings: Settings, ready: Ready) -> None:
    """Start a server, call `ready`, and stop it cleanly on SIGTERM or SIGINT.

    A second signal ends the process at once; nothing that was acknowledged is lost by that. Errors: `StartupError`.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Starting makes a lot and drops little: the collector would only slow it down. It is back on once we are ready.
    gc.disable()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, ready))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(settings: Settings, ready: Ready) -> None:
    from perdure.server import Server

    told_to_stop = asyncio.Event()
    _on_signals(told_to_stop)
    server = Server(settings)
    await server.start()
    try:
        # What exists now lives as long as the server: keep the collector from walking it again and again.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()
        ready(server.port, server.http_port)
        await told_to_stop.wait()
    finally:
        await server.stop(settings.shutdown_grace_s)


def _on_signals(told_to_stop: asyncio.Event) -> None:
    def stop(number: int) -> None:
        if told_to_stop.is_set():
            os._exit(128 + number)
        told_to_stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop, int(number))
        except NotImplementedError:  # Windows' loops
            signal.signal(number, lambda n, _: loop.call_soon_threadsafe(stop, n))

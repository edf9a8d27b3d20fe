"""An ASGI application on a port of its own, in this process, for examples whose people and systems come over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

PREFIX = "/links"


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve it below a prefix, as a web application of one's own would; the URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(Starlette(routes=[Mount(PREFIX, app=app)]), lifespan="off", log_config=None)
        server = _Uvicorn(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
        finally:
            server.should_exit = True
            await serving

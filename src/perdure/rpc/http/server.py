"""Listening for HTTP: uvicorn on the server's own event loop.

`create_app` is where other applications of the port get their routes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perdure.config import address
from perdure.errors import StartupError
from perdure.rpc.http.app import HttpApi
from perdure.rpc.http.openapi import serve_openapi
from perdure.rpc.http.unfinished import Bodies, UnfinishedBodies
from perdure.rpc.transport import MAX_REQUEST_BYTES, Handler, Limits
from perdure.rpc.transport.listen import listen

MIN_GZIP_BYTES = 1024
"""Shorter answers are not compressed."""

MAX_HEAD_BYTES = 1 << 20
"""Of a request's line and headers, or its trailers. What is read at one go may be beyond."""

HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\n431 Request Header Fields Too Large"
)
"""The real server's words."""

KEEP_ALIVE_S = 60
"""How long a connection may be idle."""


def create_app(api: HttpApi, mounts: Mapping[str, ASGIApp], bodies: Bodies) -> Starlette:
    """Everything on the port: `mounts` by their prefixes. What no other route takes is the API's."""
    others = [Mount(prefix, app=app) for prefix, app in mounts.items()]
    documents = [Route(path, serve_openapi) for path in ("/openapi.yaml", "/openapi.json", "/swagger.json")]
    return Starlette(
        routes=[*documents, *others, Mount("/", app=api)],
        middleware=[
            Middleware(UnfinishedBodies, bodies=bodies),
            Middleware(GZipMiddleware, minimum_size=MIN_GZIP_BYTES),
        ],
    )


class _Connection(HttpToolsProtocol):
    """Counts what comes and is no body, for which the parser has no limit."""

    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                self.transport.write(HEAD_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()


class _Uvicorn(uvicorn.Server):
    """The process's signals are not ours to take."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """The HTTP port of a server whose handlers are `handlers`. `mounts` are other applications, by their prefixes."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        mounts: Mapping[str, ASGIApp] | None = None,
        max_request_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        self._api = HttpApi(handlers, max_request_bytes)
        self._bodies = Bodies(Limits.of(max_request_bytes))
        self._app = create_app(self._api, mounts or {}, self._bodies)

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the bound port (of use when `port` is 0). Raises `StartupError` when that fails."""
        listeners = listen(host, port, "http-port")
        config = uvicorn.Config(
            self._app,
            http=_Connection,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            ws="none",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        self._server = _Uvicorn(config)
        self._serving = asyncio.ensure_future(self._server.serve(sockets=listeners))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise StartupError(f"Can't serve HTTP on {address(host, port)}.")
            await asyncio.sleep(0)
        bound: int = listeners[0].getsockname()[1]
        return bound

    async def stop(self, grace_s: float) -> None:
        """Give requests up to `grace_s` seconds, answer the rest with UNAVAILABLE, close."""
        answering = asyncio.get_running_loop().call_later(grace_s, self._refuse)
        self._server.config.timeout_graceful_shutdown = int(grace_s) + 1
        self._server.should_exit = True
        await self._serving
        answering.cancel()

    def _refuse(self) -> None:
        self._api.stop()
        self._bodies.stop()

"""Where clients connect when the native front serves: each connection is passed on to the front's Unix socket, frame by
frame, with an eye on the size of requests (see `frames`)."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from perdure.errors import StartupError
from perdure.rpc.transport.frames import Hostile, Requests, Responses

log = logging.getLogger(__name__)

STOP_STEP_S = 0.005


class Gate:
    """Listens on TCP; `path` is the front's socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._clients: set[_Client] = set()

    async def start(self, host: str, port: int) -> int:
        """Returns the bound port. Raises `StartupError`."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Client(self._path, self._clients), host, port)
        except OSError as error:
            raise StartupError(f"Can't listen on {host}:{port}: {error.strerror or error}.") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self, timeout_s: float) -> None:
        """Close the connections once all answers have left; clients that are not taking theirs by then lose them."""
        self._server.close()
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._clients and asyncio.get_running_loop().time() < deadline:
            for client in list(self._clients):
                if client.idle:
                    client.close()
            await asyncio.sleep(STOP_STEP_S)
        for client in list(self._clients):
            client.transport.abort()


class _Side(asyncio.Protocol):
    """One end of a passed-on connection. When its peer reads too slowly, the other end is not read from either."""

    transport: asyncio.Transport
    other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            self.other.close()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def close(self) -> None:
        self.transport.close()


class _Client(_Side):
    def __init__(self, path: str, clients: set[_Client]) -> None:
        self._path = path
        self._clients = clients
        self._requests = Requests()
        self.responses = Responses(self._requests.calls)

    @property
    def idle(self) -> bool:
        """Whether every call was answered. Closing the connection still sends what is buffered."""
        return not self._requests.calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._clients.add(self)
        self._early = b""
        self.transport.pause_reading()
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: _Front(self), self._path)
        except OSError:
            self.close()

    def connected(self, front: _Side) -> None:
        """The way to the front is open."""
        if self.transport.is_closing():
            front.close()
            return
        self.other = front
        self.transport.resume_reading()
        self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        front = self.other
        if front is None:  # uvloop may deliver one more read after a pause
            self._early += data
            return
        try:
            passed = self._requests.feed(data)
        except Hostile as error:
            log.warning("Closing a connection: %s", error)
            self.close()
            return
        if passed:
            front.transport.write(passed)
        if self._requests.answers:
            answers, self._requests.answers = self._requests.answers, b""
            self.transport.write(self.responses.insert(answers))

    def connection_lost(self, error: Exception | None) -> None:
        self._clients.discard(self)
        super().connection_lost(error)


class _Front(_Side):
    def __init__(self, client: _Client) -> None:
        self.client = self.other = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.client.connected(self)

    def data_received(self, data: bytes) -> None:
        if not self.client.transport.is_closing():
            self.client.transport.write(self.client.responses.feed(data))

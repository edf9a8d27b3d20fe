"""Where clients connect: each connection is passed on to the Unix socket of the server behind, the front, frame by
frame, with an eye on the size of requests (see `frames`)."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import cast

from perdure.rpc.transport.directory import SocketDirectory
from perdure.rpc.transport.frames import Hostile, Requests, Responses
from perdure.rpc.transport.limits import Budget, Limits
from perdure.rpc.transport.listen import listen

log = logging.getLogger(__name__)

FLUSH_S = 2.0
"""The longest that stopping waits for answers to leave for clients that are slow to take them."""

STOP_STEP_S = 0.005


MAX_UNREAD_BYTES = 1 << 20
"""Refusals that wait for a client to read them. One that goes on without reading is cut off."""


class Gate:
    """Listens on TCP; `front_path` is where the front's socket has to be, in a directory for this user alone."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budget = Budget(limits.unfinished_bytes)
        self._clients: set[_Client] = set()

    def listen(self, host: str, port: int) -> int:
        """Returns the bound port. Raises `StartupError`. Clients may connect, and wait for `start`."""
        self._listeners = listen(host, port)
        self._directory = SocketDirectory()
        self.directory = self._directory.path
        self.front_path = os.path.join(self.directory, "front.sock")
        bound: int = self._listeners[0].getsockname()[1]
        return bound

    async def start(self) -> None:
        """The front is there."""
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(self._accept, sock=listener) for listener in self._listeners]

    def _accept(self) -> _Client:
        return _Client(self.front_path, self._clients, self._limits, self._budget)

    async def stop(self, timeout_s: float) -> None:
        """Close the connections once all answers have left; clients that are not taking theirs by then lose them."""
        for server in self._servers:
            server.close()
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._clients and asyncio.get_running_loop().time() < deadline:
            for client in list(self._clients):
                if client.idle:
                    client.close()
            await asyncio.sleep(STOP_STEP_S)
        for client in list(self._clients):
            client.transport.abort()
        self._directory.close()


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
    def __init__(self, path: str, clients: set[_Client], limits: Limits, budget: Budget) -> None:
        self._path = path
        self._clients = clients
        self._requests = Requests(limits, budget, self._evict)
        self.responses = Responses(self._requests.answered)

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
            self._cut_off(error)
            return
        if passed:
            front.transport.write(passed)
        if self._requests.answers:
            self._answer()

    def _answer(self) -> None:
        """Send the client what the gate has to say. A client that does not read is not answered without end."""
        answers, self._requests.answers = self._requests.answers, b""
        self.transport.write(self.responses.insert(answers))
        if self.transport.get_write_buffer_size() + self.responses.waiting_bytes > MAX_UNREAD_BYTES:
            self._cut_off(Hostile("it reads no refusals"))

    def _evict(self) -> None:
        """Others need memory that this connection has the most of."""
        try:
            frames = self._requests.shed()
        except Hostile as error:
            self._cut_off(error)
            return
        if self.other is not None and not self.transport.is_closing():
            self.other.transport.write(frames)
            self._answer()

    def _cut_off(self, error: Hostile) -> None:
        log.warning("Closing a connection: %s", error)
        self._requests.close()
        if self.transport.get_write_buffer_size():  # closing would wait for the client to read it
            self.transport.abort()
        else:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._clients.discard(self)
        self._requests.close()
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

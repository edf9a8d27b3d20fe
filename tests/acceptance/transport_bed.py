"""A transport with handlers that show what they got, and clients for it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
import grpc.aio
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, TrailersReceived

from perdure import errors
from perdure.config import address
from perdure.rpc.transport import Call, Limits, Transport, create_transport

ECHO = "/test.v1.Test/Echo"
POLL = "/test.v1.Test/Poll"
FAIL = "/test.v1.Test/Fail"
BUG = "/test.v1.Test/Bug"
STREAM = "/test.v1.Test/Stream"


class Bed:
    """A transport with handlers that show what they got, and clients for it."""

    def __init__(self, name: str, limits: Limits | None = None, host: str = "127.0.0.1") -> None:
        self._host = host
        self.polls: list[Call] = []
        self._polled = asyncio.Event()
        self.gone: asyncio.Queue[Call] = asyncio.Queue()
        self.seen: list[Call] = []
        self.refusal: errors.PerdureError = errors.NotFound("nothing")
        self.transport: Transport = create_transport(
            name,
            {ECHO: self._echo, POLL: self._poll, FAIL: self._fail, BUG: self._bug},
            {STREAM: self._stream},
            limits or Limits(),
        )
        self._channels: list[grpc.aio.Channel] = []

    async def start(self) -> None:
        self.port = await self.transport.start(self._host, 0)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        for call in self.polls:
            call.reply(b"")
        await self.transport.stop(5)

    def channel(self, *options: tuple[str, Any]) -> grpc.aio.Channel:
        unbounded = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        alone = (("grpc.use_local_subchannel_pool", 1),)
        channel = grpc.aio.insecure_channel(address(self._host, self.port), options=unbounded + alone + options)
        self._channels.append(channel)
        return channel

    async def parked(self, count: int) -> list[Call]:
        """The polls, once there are `count` of them."""
        while len(self.polls) < count:
            self._polled.clear()
            await self._polled.wait()
        return self.polls

    def _echo(self, request: bytes, call: Call) -> None:
        self.seen.append(call)
        assert call.reply(request)

    def _poll(self, request: bytes, call: Call) -> None:
        self.polls.append(call)
        call.on_cancel(lambda: self.gone.put_nowait(call))
        self._polled.set()

    def _fail(self, request: bytes, call: Call) -> None:
        call.fail(self.refusal)

    def _bug(self, request: bytes, call: Call) -> None:
        raise ZeroDivisionError

    def _stream(self, message: bytes) -> bytes:
        if message == b"refuse":
            raise errors.InvalidArgument("as you wish: 100 % 'é'")
        if message == b"break":
            raise ZeroDivisionError
        return message * 2


Make: TypeAlias = Callable[..., Awaitable[Bed]]
"""Takes the options of a bed."""


@asynccontextmanager
async def beds(transport: str) -> AsyncIterator[Make]:
    """Started beds with options of their own, closed at the end."""
    made: list[Bed] = []

    async def make(**options: Any) -> Bed:
        bed = Bed(transport, **options)
        await bed.start()
        made.append(bed)
        return bed

    yield make
    for bed in made:
        await bed.close()


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


class RawClient:
    """One connection that sends what no gRPC library would."""

    async def connect(self, port: int) -> RawClient:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._answers: dict[int, dict[str, str]] = defaultdict(dict)
        return self

    def close(self) -> None:
        self._writer.close()

    async def call(self, path: str, body: Iterable[bytes], encoding: str = "identity") -> dict[str, str]:
        """The response's headers and trailers. Stops sending when an answer comes."""
        stream = self._open(path, encoding)
        answer = self._answers[stream]
        for piece in body:
            await self._send(stream, piece)
        if "grpc-status" not in answer:
            self._h2.end_stream(stream)
        self._writer.write(self._h2.data_to_send())
        while "grpc-status" not in answer:
            await self._receive(wait=True)
        return answer

    async def begin(self, path: str, body: bytes) -> int:
        """Send a request without its end, or as far as it is taken before it is refused; returns its stream."""
        stream = self._open(path)
        await self._send(stream, body)
        await self._writer.drain()
        return stream

    async def refusal(self, stream: int) -> str:
        """The words, once the stream is refused."""
        while "grpc-message" not in self._answers[stream]:
            await self._receive(wait=True)
        return self._answers[stream]["grpc-message"]

    def _open(self, path: str, encoding: str = "identity") -> int:
        stream: int = self._h2.get_next_available_stream_id()
        fields = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": path}
        fields |= {"te": "trailers", "content-type": "application/grpc", "grpc-encoding": encoding}
        self._h2.send_headers(stream, list(fields.items()))
        return stream

    async def _send(self, stream: int, data: bytes) -> None:
        while data and "grpc-status" not in self._answers[stream]:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room:
                self._h2.send_data(stream, data[:room])
                data = data[room:]
            self._writer.write(self._h2.data_to_send())
            await self._receive(wait=not room)

    async def _receive(self, *, wait: bool) -> None:
        if not wait:
            await asyncio.sleep(0)
            if not self._reader._buffer:  # type: ignore[attr-defined]
                return
        data = await self._reader.read(1 << 16)
        assert data, "the server hung up"
        for event in self._h2.receive_data(data):
            if isinstance(event, ResponseReceived | TrailersReceived):
                self._answers[event.stream_id].update(event.headers)

"""What the native front does not serve itself: two-way streams, and the words for unknown methods.

The front passes such calls, as they are, over a Unix socket; here a small HTTP/2 server answers them on the event loop.
They are rare (reflection by people with grpcurl, clients of a later version), so it is written for shortness, and the
protocol library is imported when the first one comes.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from perdure.errors import Internal, PerdureError, ResourceExhausted, Unimplemented
from perdure.rpc import status
from perdure.rpc.transport.base import (
    Lasting,
    Responder,
    unknown_method,
)
from perdure.rpc.transport.limits import Limits

if TYPE_CHECKING:
    from h2.connection import H2Connection

log = logging.getLogger(__name__)

PREFIX_BYTES = 5
"""Before each gRPC message: a flag (compressed or not) and the length."""

MAX_UNSENT_BYTES = 16 << 20
"""Answers kept for a client that asks but does not read, before its stream is ended."""

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


class Fallback:
    """The server at the other end of the front's socket."""

    def __init__(self, methods: Iterable[str], streams: Mapping[str, Responder], limits: Limits) -> None:
        self.streams = streams
        self.limits = limits
        self.services = {path.split("/")[1] for path in (*methods, *streams)}

    async def start(self, path: str) -> None:
        """Listen on the Unix socket at `path`."""
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Connection(self), path)

    async def stop(self) -> None:
        self._server.close()


class _Stream:
    """One call: what has arrived of its next message, and what flow control still keeps from leaving."""

    def __init__(self, responder: Responder, limits: Limits) -> None:
        self.responder = responder
        self.limits = limits
        self.received = bytearray()
        self.unsent = bytearray()
        self.trailers: list[tuple[str, str]] | None = None

    def messages(self) -> Iterable[bytes]:
        """The whole messages received. Raises `ResourceExhausted` before holding more than one may have."""
        while len(self.received) >= PREFIX_BYTES:
            compressed = self.received[0]
            size_bytes = int.from_bytes(self.received[1:PREFIX_BYTES])
            if size_bytes > self.limits.request_bytes:
                raise ResourceExhausted(self.limits.too_large(size_bytes))
            end = PREFIX_BYTES + size_bytes
            if len(self.received) < end:
                return
            message = bytes(self.received[PREFIX_BYTES:end])
            del self.received[:end]
            yield _inflated(message, self.limits) if compressed else message


class _Connection(asyncio.Protocol):
    """One connection of the front."""

    def __init__(self, fallback: Fallback) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self._fallback = fallback
        self._streams: dict[int, _Stream] = {}
        self._h2: H2Connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._h2.initiate_connection()
        self._transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        from h2 import events
        from h2.exceptions import ProtocolError

        try:
            for event in self._h2.receive_data(data):
                if isinstance(event, events.RequestReceived):
                    self._open(event)
                elif isinstance(event, events.DataReceived):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self._receive(event.stream_id, event.data)
                elif isinstance(event, events.StreamEnded):
                    self._half_close(event.stream_id)
                elif isinstance(event, events.StreamReset):
                    self._streams.pop(event.stream_id, None)
                elif isinstance(event, events.WindowUpdated):
                    for stream_id in list(self._streams):
                        self._flush(stream_id)
        except ProtocolError:
            log.warning("The native front broke HTTP/2", exc_info=True)
            self._transport.write(self._h2.data_to_send())
            self._transport.close()
            return
        self._transport.write(self._h2.data_to_send())

    def _open(self, event: Any) -> None:
        path = dict(event.headers)[":path"]
        responder = self._fallback.streams.get(path)
        if responder is None:
            refusal = Unimplemented(unknown_method(path, self._fallback.services))
            self._h2.send_headers(event.stream_id, HEADERS + _trailers(refusal), end_stream=True)
            return
        self._streams[event.stream_id] = _Stream(responder, self._fallback.limits)
        self._h2.send_headers(event.stream_id, HEADERS)

    def _receive(self, stream_id: int, data: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.trailers is not None:
            return
        stream.received += data
        try:
            for message in stream.messages():
                answer = stream.responder(message)
                if len(stream.unsent) > MAX_UNSENT_BYTES:
                    raise ResourceExhausted("the client reads too slowly")
                stream.unsent += b"\0" + len(answer).to_bytes(PREFIX_BYTES - 1) + answer
        except PerdureError as error:
            self._finish(stream_id, error)
        except Exception:
            log.exception("A two-way stream failed")
            self._finish(stream_id, Internal("internal error"))
        else:
            self._flush(stream_id)

    def _half_close(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and not isinstance(stream.responder, Lasting):
            self._finish(stream_id, None)

    def _finish(self, stream_id: int, error: PerdureError | None) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and stream.trailers is None:
            stream.trailers = _trailers(error)
            self._flush(stream_id)

    def _flush(self, stream_id: int) -> None:
        """Send what the client's window takes; the trailers when nothing is left."""
        stream = self._streams[stream_id]
        while stream.unsent:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            self._h2.send_data(stream_id, bytes(stream.unsent[:room]))
            del stream.unsent[:room]
        if stream.trailers is not None:
            self._h2.send_headers(stream_id, stream.trailers, end_stream=True)
            del self._streams[stream_id]


def _inflated(message: bytes, limits: Limits) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(message, limits.request_bytes + 1)
    except zlib.error as error:
        raise Internal(f"grpc: failed to decompress the received message: {error}")
    if len(plain) > limits.request_bytes:
        raise ResourceExhausted(limits.too_large_inflated)
    return plain


def _trailers(error: PerdureError | None) -> list[tuple[str, str]]:
    if error is None:
        return [("grpc-status", "0")]
    code, message, _ = status.of(error)
    return [("grpc-status", str(code)), ("grpc-message", status.percent_encoded(message))]

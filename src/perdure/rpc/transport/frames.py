"""HTTP/2 frames, as far as the size of gRPC messages can be told from them. Bytes in, bytes out, no I/O.

The native front reads a message whole and inflates it before anyone may ask how large it is. So the bytes of clients
pass through here first: a message that is over the limit, or would be when inflated, is answered in the front's stead,
and the front never sees the rest of it. So is one that would fill the memory together with others that are not whole.

Headers stay as they are. A message says of itself how long it is and whether it is compressed, and gzip inflates no
more than MAX_INFLATION times, so only larger ones are inflated here to be measured.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from perdure.errors import ResourceExhausted
from perdure.rpc.transport.base import MAX_CONCURRENT_STREAMS
from perdure.rpc.transport.limits import INFLATER_BYTES, STREAM_BYTES, Budget, Limits

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

HEADER = struct.Struct(">HBBBI")
"""A frame's length (two parts), kind, flags and stream."""

HEADER_BYTES = HEADER.size
DATA, HEADERS, RST_STREAM, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 8, 9
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8
NO_ERROR, CANCEL = 0, 8

PREFIX_BYTES = 5
"""Before each gRPC message: a flag (compressed or not) and the length."""

MAX_FRAME_BYTES = 1 << 14
"""The front allows no larger ones; a frame is held until it is whole."""

MAX_INFLATION = 1032
"""What deflate's densest code reaches."""

MAX_REFUSED = 1000
"""Streams of one connection that were refused and not ended by the client. One that goes on like this is cut off."""

SHED_PARTS = 15
"""A connection that has to make room gives one part and keeps these: so room is not looked for at every frame."""

INFLATE_STEP_BYTES = 64 << 10


class Hostile(Exception):
    """The connection is no HTTP/2, or its streams are not ended: to be closed."""


class Requests:
    """From a client to the front. `answers` collects frames for the client, to be taken after each `feed`; `calls` has
    the streams that are not answered yet. `budget` is that of all connections; `close` gives back what this one has.
    `evict` is called when others need it, outside of `feed`: it is to call `shed`."""

    __slots__ = (
        *("_begun", "_begun_bytes", "_bodies", "_budget", "_held", "_in_headers", "_limits", "_newest", "_opened"),
        *("_refused", "_unfinished"),
        *("answers", "calls", "evict", "unfinished_bytes"),
    )

    def __init__(self, limits: Limits, budget: Budget, evict: Callable[[], None]) -> None:
        self._limits = limits
        self._budget = budget
        self.evict = evict
        self._in_headers = False
        self._newest = 0  # the highest stream so far
        self._begun = 0  # the stream whose headers came last, as long as they are not charged and it lacks its end
        self._begun_bytes = 0
        self._unfinished: dict[int, int] = {}  # stream -> what counts for it
        self.unfinished_bytes = 0
        self.answers = b""
        self.calls: set[int] = set()
        self._held = b""
        self._opened = False
        self._bodies: dict[int, Body] = {}
        self._refused: set[int] = set()

    def feed(self, data: bytes) -> bytes:
        """What of `data` (and of what was held back) the front may have: whole frames. Raises `Hostile`."""
        if self._held:
            data = self._held + data
        size, start, passed = len(data), 0, b""
        offset = 0
        if not self._opened:
            offset = self._open(data)
            if not self._opened:
                self._held = data
                return b""
        while size - offset >= HEADER_BYTES:
            high, low, kind, flags, stream = HEADER.unpack_from(data, offset)
            end = offset + HEADER_BYTES + (high << 8 | low)
            if end > size:
                if end - offset > HEADER_BYTES + MAX_FRAME_BYTES:
                    raise Hostile("a frame is too large")
                break
            if kind == HEADERS:
                if self._begun:
                    passed += data[start:offset] + self._charge_begun()
                    start = offset
                self._in_headers = not flags & END_HEADERS
                if stream > self._newest:
                    self._newest = stream
                    self.calls.add(stream)
                    if not flags & END_STREAM:
                        self._begun, self._begun_bytes = stream, end - offset
                elif flags & END_STREAM:  # trailers
                    self._end(stream)
            elif kind == DATA:
                instead = self._look(data, offset + HEADER_BYTES, end, flags, stream)
                if instead is not None:
                    passed += data[start:offset] + instead
                    start = end
            elif kind == RST_STREAM:
                self.calls.discard(stream)
                self._end(stream)
            elif kind == CONTINUATION:
                self._in_headers = not flags & END_HEADERS
                self._begun_bytes += end - offset
            offset = end
        self._held = data[offset:]
        more = self._charge_begun() if self._begun and not self._in_headers else b""
        if start == 0:
            return data[:offset] + more
        return passed + data[start:offset] + more

    def _open(self, data: bytes) -> int:
        if not data.startswith(PREFACE[: len(data)]):
            raise Hostile("not HTTP/2")
        self._opened = len(data) >= len(PREFACE)
        return len(PREFACE) if self._opened else 0

    def _look(self, data: bytes, start: int, end: int, flags: int, stream: int) -> bytes | None:
        """None if the frame may pass, or what the front gets in its place."""
        length = end - start
        if stream in self._refused:
            self._drop(stream, flags, length)
            return b""
        body = self._bodies.get(stream)
        try:
            if body is not None or not (length == 0 or self._is_one_small_message(data, start, length, flags)):
                self._measure(body or self._begin(stream), data, start, end, flags, stream)
            if flags & END_STREAM:
                if stream == self._begun:
                    self._begun = 0
                if self._bodies:
                    self._bodies.pop(stream, None)
                if self._unfinished:
                    self._settle(stream)
            elif length and stream in self.calls:
                self._charge(stream, length)
        except ResourceExhausted as refusal:
            frames = self._refuse(refusal, stream)
            self._drop(stream, flags, length)
            return frames
        return None

    def _begin(self, stream: int) -> Body:
        body = self._bodies[stream] = Body(self._limits)
        if len(self._bodies) > MAX_CONCURRENT_STREAMS:
            raise Hostile("too many streams")
        return body

    def _measure(self, body: Body, data: bytes, start: int, end: int, flags: int, stream: int) -> None:
        before = body.inflates
        body.feed(data[start + 1 : end - data[start]] if flags & PADDED else data[start:end])
        if body.inflates and not before and stream in self.calls:
            self._charge(stream, INFLATER_BYTES)

    def _charge_begun(self) -> bytes:
        """Count the stream that was begun last. Not done as its headers come: nearly all requests are whole with the
        next frame. Returns frames for the front."""
        stream, self._begun = self._begun, 0
        if stream in self.calls:
            try:
                self._charge(stream, STREAM_BYTES + self._begun_bytes)
            except ResourceExhausted as refusal:
                return self._refuse(refusal, stream)
        return b""

    def _charge(self, stream: int, size_bytes: int) -> None:
        """Count what the front has to keep until the request is whole. Raises `ResourceExhausted`."""
        budget = self._budget
        if not self.unfinished_bytes:
            budget.holders.add(self)
        self._unfinished[stream] = self._unfinished.get(stream, 0) + size_bytes
        self.unfinished_bytes += size_bytes
        budget.bytes += size_bytes
        if budget.bytes > budget.limit_bytes and not budget.make_room(self):
            raise ResourceExhausted(self._limits.too_much_unfinished)

    def _settle(self, stream: int) -> None:
        """The request is whole, or will never be."""
        size_bytes = self._unfinished.pop(stream, 0)
        if size_bytes:
            self._budget.bytes -= size_bytes
            self.unfinished_bytes -= size_bytes
            if not self.unfinished_bytes:
                self._budget.holders.discard(self)

    def shed(self) -> bytes:
        """Refuse the newest unfinished requests, a part of what the connection has; returns frames for the front.
        Raises `Hostile` where that can't be done."""
        if self._in_headers:
            raise Hostile("it keeps its headers back, and memory is short")
        target_bytes = self.unfinished_bytes * SHED_PARTS // (SHED_PARTS + 1)
        frames = b""
        while self.unfinished_bytes > target_bytes:
            stream = next(reversed(self._unfinished))
            frames += self._refuse(ResourceExhausted(self._limits.too_much_unfinished), stream)
        return frames

    def answered(self, stream: int) -> None:
        """The front has: it keeps nothing of the request any more, and drops what may still come."""
        self.calls.discard(stream)
        if self._unfinished:
            self._settle(stream)

    def close(self) -> None:
        """The connection is gone."""
        for stream in list(self._unfinished):
            self._settle(stream)

    def _refuse(self, refusal: ResourceExhausted, stream: int) -> bytes:
        """Answer in the front's stead; returns what tells the front."""
        self._bodies.pop(stream, None)
        self._settle(stream)
        self._refused.add(stream)
        if len(self._refused) > MAX_REFUSED:
            raise Hostile("too many refused streams")
        if stream in self.calls:  # or the front has answered, and nothing may follow that
            self.calls.discard(stream)
            self.answers += _trailers(stream, refusal) + _reset(stream, NO_ERROR)
        return _reset(stream, CANCEL)

    def _drop(self, stream: int, flags: int, length: int) -> None:
        """Give the connection's window back, as the front would have when it had read the frame."""
        if length:
            self.answers += _frame(WINDOW_UPDATE, 0, 0, length.to_bytes(4))
        if flags & END_STREAM:
            self._end(stream)

    def _end(self, stream: int) -> None:
        self._bodies.pop(stream, None)
        self._settle(stream)
        self._refused.discard(stream)

    def _is_one_small_message(self, data: bytes, start: int, length: int, flags: int) -> bool:
        """Whether the frame is what nearly all are: one whole message that can't be too large."""
        if length < PREFIX_BYTES or flags & PADDED:
            return False
        message_bytes = int.from_bytes(data[start + 1 : start + PREFIX_BYTES])
        inflation = MAX_INFLATION if data[start] else 1
        return message_bytes + PREFIX_BYTES == length and message_bytes * inflation <= self._limits.request_bytes


class Body:
    """The messages of one stream, as they arrive in pieces."""

    __slots__ = ("_inflated_bytes", "_inflater", "_left_bytes", "_limits", "_prefix")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._prefix = b""
        self._left_bytes = 0
        self._inflater: zlib._Decompress | None = None
        self._inflated_bytes = 0

    @property
    def inflates(self) -> bool:
        """Whether it inflates its message to know the size."""
        return self._inflater is not None

    def feed(self, payload: bytes) -> None:
        """Raises `ResourceExhausted` as soon as a message is known to be over the limit."""
        while payload:
            if self._left_bytes == 0:
                missing = PREFIX_BYTES - len(self._prefix)
                self._prefix += payload[:missing]
                payload = payload[missing:]
                if len(self._prefix) == PREFIX_BYTES:
                    self._begin()
                continue
            piece = payload[: self._left_bytes]
            self._left_bytes -= len(piece)
            payload = payload[len(piece) :]
            self._measure(piece)

    def _begin(self) -> None:
        compressed, self._left_bytes = self._prefix[0], int.from_bytes(self._prefix[1:])
        self._prefix = b""
        if self._left_bytes > self._limits.request_bytes:
            raise ResourceExhausted(self._limits.too_large(self._left_bytes))
        measured = compressed and self._left_bytes * MAX_INFLATION > self._limits.request_bytes
        self._inflater = zlib.decompressobj(wbits=31) if measured else None
        self._inflated_bytes = 0

    def _measure(self, piece: bytes) -> None:
        while self._inflater is not None:
            try:
                inflated = self._inflater.decompress(piece, INFLATE_STEP_BYTES)
            except zlib.error:  # the front stops at the same place, and tells the client
                self._inflater = None
                return
            self._inflated_bytes += len(inflated)
            if self._inflated_bytes > self._limits.request_bytes:
                raise ResourceExhausted(self._limits.too_large_inflated)
            if len(inflated) < INFLATE_STEP_BYTES:
                return
            piece = self._inflater.unconsumed_tail


class Responses:
    """From the front to a client: as they are, with frames of ours in between. `answered` is told which calls they
    end."""

    __slots__ = ("_answered", "_held", "_in_headers", "_left_bytes", "_waiting")

    def __init__(self, answered: Callable[[int], object]) -> None:
        self._answered = answered
        self._held = b""
        self._left_bytes = 0
        self._in_headers = False
        self._waiting = b""

    @property
    def waiting_bytes(self) -> int:
        """Of frames of ours that can't be sent yet."""
        return len(self._waiting)

    def feed(self, data: bytes) -> bytes:
        """What the client gets: `data`, and what waited for the end of a frame. The start of a header is held back."""
        if self._held:
            data = self._held + data
        size, offset = len(data), self._left_bytes
        while size - offset >= HEADER_BYTES:
            high, low, kind, flags, stream = HEADER.unpack_from(data, offset)
            if kind in (HEADERS, CONTINUATION):
                self._in_headers = not flags & END_HEADERS
            if (kind in (HEADERS, DATA) and flags & END_STREAM) or kind == RST_STREAM:
                self._answered(stream)
            offset += HEADER_BYTES + (high << 8 | low)
        self._left_bytes = max(offset - size, 0)
        self._held = data[offset:]
        if self._held:
            data = data[:offset]
        return data + self.insert(b"") if self._waiting else data

    def insert(self, frames: bytes) -> bytes:
        """Frames of ours for the client: what may be sent at once. Between the frames of the front, and not in between
        those of one header list."""
        self._waiting += frames
        if self._left_bytes or self._in_headers:
            return b""
        frames, self._waiting = self._waiting, b""
        return frames


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return HEADER.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def _reset(stream: int, code: int) -> bytes:
    return _frame(RST_STREAM, 0, stream, code.to_bytes(4))


def _trailers(stream: int, refusal: ResourceExhausted) -> bytes:
    """A whole answer. The headers are spelled out, so the compression state between front and client is left alone."""
    status_200 = b"\x88"
    fields = (("content-type", "application/grpc"), ("grpc-status", str(refusal.code)), ("grpc-message", str(refusal)))
    return _frame(HEADERS, END_HEADERS | END_STREAM, stream, status_200 + b"".join(_field(*field) for field in fields))


def _field(name: str, value: str) -> bytes:
    """A literal without indexing; neither part may be longer than 126 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()

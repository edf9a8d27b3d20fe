"""gRPC by `pygrpc_native`: HTTP/2 and framing in a Rust thread that does without the interpreter lock.

    client -> gate -> Rust I/O thread -> batch of events -> receive thread -> one wake-up of the loop -> handlers
    handlers (any time later) -> respond() -> Rust I/O thread -> gate -> client

The package reads and inflates a message whole before anyone sees its size, and has no limit; the gate has. Calls to
paths that are not unary methods of ours go to `fallback`, which also knows the words for unknown ones.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pygrpc_native import EVENT_CANCEL, NativeGrpcFront

from perdure.errors import Internal, PerdureError, ResourceExhausted, Unavailable
from perdure.rpc import status
from perdure.rpc.transport.base import (
    MAX_CONCURRENT_STREAMS,
    CallState,
    Handler,
    Responder,
)
from perdure.rpc.transport.fallback import Fallback
from perdure.rpc.transport.gate import FLUSH_S, Gate
from perdure.rpc.transport.limits import Limits

log = logging.getLogger(__name__)

BATCH = 256
"""The most events that one wake-up of the loop takes."""

NO_DEADLINE_S = 1e9
"""A call without a deadline shows one of centuries."""

Event = tuple[int, int, int, bytes | None, Any, tuple[Sequence[tuple[str, str | bytes]], str, float | None] | None]


class NativeCall(CallState):
    """A call known to the front by its id."""

    __slots__ = ("_call_id", "_metadata", "_transport", "timeout_s")

    def __init__(
        self,
        transport: NativeTransport,
        call_id: int,
        method: str,
        metadata: Sequence[tuple[str, str | bytes]],
        timeout_s: float | None,
    ) -> None:
        super().__init__(method)
        self._transport = transport
        self._call_id = call_id
        self._metadata = metadata
        self.timeout_s = None if timeout_s is None or timeout_s > NO_DEADLINE_S else timeout_s

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        return dict(self._metadata)

    def reply(self, message: bytes) -> bool:
        if self.done:
            return False
        self._close()
        taken: bool = self._transport.front.respond(self._call_id, message)
        return taken

    def fail(self, error: PerdureError) -> None:
        if self.done:
            return
        self._close()
        code, message, details = status.of(error)
        trailers = [(status.DETAILS_KEY, details)] if details else None
        self._transport.front.fail(self._call_id, code, message, trailing_metadata=trailers)

    def _close(self) -> None:
        self.done = True
        self._callbacks = None
        self._transport.forget(self._call_id)


class NativeTransport:
    """See the module."""

    def __init__(self, handlers: Mapping[str, Handler], streams: Mapping[str, Responder], limits: Limits) -> None:
        self._methods = list(handlers.items())
        self._limits = limits
        self._gate = Gate(limits)
        self._fallback = Fallback(handlers, streams, limits)
        self._calls: dict[int, NativeCall] = {}
        self._stopping = False
        self._drained = asyncio.Event()
        self.front: NativeGrpcFront

    async def start(self, host: str, port: int) -> int:
        self._loop = asyncio.get_running_loop()
        bound = self._gate.listen(host, port)
        fallback_path = os.path.join(self._gate.directory, "fallback.sock")
        await self._fallback.start(fallback_path)
        self.front = NativeGrpcFront(
            f"unix:{self._gate.front_path}",
            [(path, False) for path, _ in self._methods],
            io_threads=1,
            call_details=True,
            max_concurrent_streams=MAX_CONCURRENT_STREAMS,
        )
        self.front.set_fallback(fallback_path)
        self.front.start()
        self._receiver = threading.Thread(target=self._receive, name="perdure-receive", daemon=True)
        self._receiver.start()
        await self._gate.start()
        return bound

    async def stop(self, grace_s: float) -> None:
        self._stopping = True
        if self._calls:
            try:
                await asyncio.wait_for(self._drained.wait(), grace_s)
            except TimeoutError:
                for call in list(self._calls.values()):
                    call.fail(Unavailable("the server is shutting down"))
        await self._gate.stop(FLUSH_S)
        self.front.close()
        await asyncio.to_thread(self._receiver.join)
        await self._fallback.stop()

    def forget(self, call_id: int) -> None:
        """The call was answered."""
        self._calls.pop(call_id, None)
        if self._stopping and not self._calls:
            self._drained.set()

    def _receive(self) -> None:
        """Of the receive thread: hand over batches until the front is closed."""
        while (batch := self.front.recv_batch_details(BATCH)) is not None:
            try:
                self._loop.call_soon_threadsafe(self._dispatch, batch)
            except RuntimeError:  # the loop was closed without stop()
                return
            del batch  # or its requests stay in memory until the next one comes

    def _dispatch(self, batch: list[Event]) -> None:
        for kind, call_id, method_id, payload, _, details in batch:
            if kind == EVENT_CANCEL:
                call = self._calls.pop(call_id, None)
                if call is not None:
                    call.cancel()
            else:
                assert payload is not None and details is not None
                self._open(call_id, method_id, payload, details[0], details[2])

    def _open(
        self,
        call_id: int,
        method_id: int,
        payload: bytes,
        metadata: Sequence[tuple[str, str | bytes]],
        timeout_s: float | None,
    ) -> None:
        path, handler = self._methods[method_id]
        call = self._calls[call_id] = NativeCall(self, call_id, path, metadata, timeout_s)
        if self._stopping:
            call.fail(Unavailable("the server is shutting down"))
        elif len(payload) > self._limits.request_bytes:
            call.fail(ResourceExhausted(self._limits.too_large(len(payload))))
        else:
            try:
                handler(payload, call)
            except Exception:
                log.exception("The handler of %s failed", path)
                call.fail(Internal("internal error"))

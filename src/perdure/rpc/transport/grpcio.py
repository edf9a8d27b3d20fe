"""gRPC by Google's own server, `grpc.aio`, behind the same gate as the other: slower, but everywhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.rpc.status_pb2 import Status

from perdure.errors import Internal, PerdureError, Unavailable, Unimplemented
from perdure.rpc import status
from perdure.rpc.transport.base import (
    MAX_CONCURRENT_STREAMS,
    AwaitedCall,
    Handler,
    Lasting,
    Responder,
    unknown_method,
)
from perdure.rpc.transport.gate import FLUSH_S, Gate
from perdure.rpc.transport.limits import Limits

log = logging.getLogger(__name__)

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", MAX_CONCURRENT_STREAMS),
    # A worker with thousands of pollers opens them in one burst; by default some of these are turned away at random.
    ("grpc.server.max_pending_requests", MAX_CONCURRENT_STREAMS),
    ("grpc.server.max_pending_requests_hard_limit", MAX_CONCURRENT_STREAMS),
    ("grpc.compression_enabled_algorithms_bitset", 0b101),  # none and gzip, as the real server
    ("grpc.http2.bdp_probe", 0),  # or it asks for larger frames than the gate holds
    ("grpc.http2.lookahead_bytes", 1 << 20),
    # SDKs ping every 30 s, with or without open calls; pings are never a reason to hang up.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
)

_CODES = {code.value[0]: code for code in grpc.StatusCode}

Context: TypeAlias = Any
"""A `grpc.aio.ServicerContext`; the package has no types."""


class GrpcioTransport(grpc.GenericRpcHandler):  # type: ignore[misc]
    """See the module."""

    def __init__(self, handlers: Mapping[str, Handler], streams: Mapping[str, Responder], limits: Limits) -> None:
        self._limits = limits
        self._gate = Gate(limits)
        self._methods = {path: self._unary(path, handler) for path, handler in handlers.items()}
        self._methods |= {path: self._stream(path, responder) for path, responder in streams.items()}
        self._services = {path.split("/")[1] for path in self._methods}
        self._calls: set[AwaitedCall] = set()
        self._stopping = False
        self._stopped = asyncio.Event()

    async def start(self, host: str, port: int) -> int:
        bound = self._gate.listen(host, port)
        size = ("grpc.max_receive_message_length", self._limits.request_bytes)
        self._server = grpc.aio.server(handlers=(self,), options=(*OPTIONS, size))
        self._server.add_insecure_port(f"unix:{self._gate.front_path}")
        await self._server.start()
        await self._gate.start()
        return bound

    async def stop(self, grace_s: float) -> None:
        self._stopping = True
        self._stopped.set()
        closing = asyncio.ensure_future(self._server.stop(grace_s + 1))
        await asyncio.wait((closing,), timeout=grace_s)
        for call in list(self._calls):
            call.fail(Unavailable("the server is shutting down"))
        await closing
        await self._gate.stop(FLUSH_S)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path: str = handler_call_details.method
        method = self._methods.get(path)
        if method is not None:
            return method

        async def refuse(request: bytes, context: Context) -> None:
            _refuse(context, Unimplemented(unknown_method(path, self._services)))

        return grpc.unary_unary_rpc_method_handler(refuse)

    def _unary(self, path: str, handler: Handler) -> grpc.RpcMethodHandler:
        async def serve(request: bytes, context: Context) -> bytes:
            # Copied at once: what the context lends is gone with the call.
            metadata = dict(context.invocation_metadata())
            answer = asyncio.get_running_loop().create_future()
            call = AwaitedCall(path, metadata, context.time_remaining(), answer)
            if self._stopping:
                call.fail(Unavailable("the server is shutting down"))
                return _given(context, await call.answer)
            self._calls.add(call)
            try:
                handler(request, call)
            except Exception:
                log.exception("The handler of %s failed", path)
                call.fail(Internal("internal error"))
            try:
                return _given(context, await call.answer)
            except asyncio.CancelledError:
                call.cancel()
                raise
            finally:
                self._calls.discard(call)

        return grpc.unary_unary_rpc_method_handler(serve)

    def _stream(self, path: str, responder: Responder) -> grpc.RpcMethodHandler:
        async def serve(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            async for request in requests:
                try:
                    answer = responder(request)
                except PerdureError as error:
                    _refuse(context, error)
                    return
                except Exception:
                    log.exception("The handler of %s failed", path)
                    _refuse(context, Internal("internal error"))
                    return
                yield answer
            if isinstance(responder, Lasting):
                await self._stopped.wait()
                _refuse(context, Unavailable("the server is shutting down"))

        return grpc.stream_stream_rpc_method_handler(serve)


def _given(context: Context, answer: bytes | Status) -> bytes:
    """What the handler of a call with that answer returns."""
    if not isinstance(answer, Status):
        return answer
    # Not by abort(): what that raises would hold the request and itself until the garbage collector comes by.
    code, message, details = status.fitted(answer)
    context.set_code(_CODES[code])
    context.set_details(message)
    if details:
        context.set_trailing_metadata(((status.DETAILS_KEY, details),))
    return b""


def _refuse(context: Context, error: PerdureError) -> None:
    _given(context, status.proto(error))

"""Carrying gRPC: one seam, two implementations.

`native` (the default) does HTTP/2 in a Rust thread and costs a quarter of the CPU; `grpcio` is Google's own server,
always there to fall back on. Both pass one test suite.
"""

from __future__ import annotations

from collections.abc import Mapping

from perdure.config import MAX_REQUEST_BYTES, TRANSPORTS
from perdure.errors import StartupError
from perdure.rpc.transport.base import Call, Handler, Responder, Transport
from perdure.rpc.transport.limits import Limits

__all__ = ["MAX_REQUEST_BYTES", "TRANSPORTS", "Call", "Handler", "Limits", "Responder", "Transport", "create_transport"]

DEFAULT = Limits()


def create_transport(
    name: str, handlers: Mapping[str, Handler], streams: Mapping[str, Responder], limits: Limits = DEFAULT
) -> Transport:
    """The transport called `name`, for unary `handlers` and two-way `streams` by path. Only that one is imported."""
    if name == "native":
        from perdure.rpc.transport.native import NativeTransport

        return NativeTransport(handlers, streams, limits)
    if name == "grpcio":
        from perdure.rpc.transport.grpcio import GrpcioTransport

        return GrpcioTransport(handlers, streams, limits)
    raise StartupError(f"There is no transport {name!r}: choose one of {', '.join(TRANSPORTS)}.")

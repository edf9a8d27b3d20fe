"""The whole edge: every method of every service, on one transport."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import ServiceDescriptor

from perdure.rpc.health import health_handlers, health_streams
from perdure.rpc.reflection import reflection_streams
from perdure.rpc.services import SERVICES
from perdure.rpc.transport import MAX_REQUEST_BYTES, Handler, Limits, Transport, create_transport


def create_server(
    transport: str,
    handlers: Mapping[str, Handler],
    services: Iterable[ServiceDescriptor] = SERVICES,
    max_request_bytes: int = MAX_REQUEST_BYTES,
) -> Transport:
    """A server, not started yet, of `handlers` (see `router`) by path, on the transport of that name."""
    names = [service.full_name for service in services]
    return create_transport(
        transport,
        {**handlers, **health_handlers(names)},
        {**reflection_streams(names), **health_streams(names)},
        Limits.of(max_request_bytes),
    )

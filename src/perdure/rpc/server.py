"""The whole edge: every method of every service, on one transport."""

from __future__ import annotations

from collections.abc import Mapping

from perdure.rpc.health import health_handlers
from perdure.rpc.reflection import reflection_streams
from perdure.rpc.services import SERVICES
from perdure.rpc.transport import Handler, Transport, create_transport


def create_server(transport: str, handlers: Mapping[str, Handler]) -> Transport:
    """A server, not started yet, of `handlers` (see `router`) by path, on the transport of that name."""
    services = [service.full_name for service in SERVICES]
    return create_transport(transport, {**handlers, **health_handlers(services)}, reflection_streams(services))

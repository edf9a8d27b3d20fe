"""The whole edge: every method of every service, on one transport."""

from __future__ import annotations

from collections.abc import Iterable

from perdure.rpc.health import health_handlers
from perdure.rpc.reflection import reflection_streams
from perdure.rpc.router import build_handlers
from perdure.rpc.services import SERVICES
from perdure.rpc.transport import Transport, create_transport


def create_server(transport: str, families: Iterable[object]) -> Transport:
    """A server, not started yet, of the handlers in `families` (see `router`) on the transport of that name."""
    services = [service.full_name for service in SERVICES]
    return create_transport(
        transport, build_handlers(families) | health_handlers(services), reflection_streams(services)
    )

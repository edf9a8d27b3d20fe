"""`grpc.health.v1.Health`, which load balancers and container orchestrators ask."""

from __future__ import annotations

from collections.abc import Iterable

from perdure.errors import UnknownService
from perdure.rpc.transport import Call, Handler
from perdure.rpc.transport.base import Lasting, Responder

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"


def health_handlers(services: Iterable[str]) -> dict[str, Handler]:
    """Handlers by path: `services` and the server as a whole (the empty name) are SERVING, all others unknown."""
    known = frozenset(["", *services])

    def check(data: bytes, call: Call) -> None:
        from grpc_health.v1 import health_pb2 as health  # late, since most servers are never asked

        if health.HealthCheckRequest.FromString(data).service not in known:
            call.fail(UnknownService("unknown service"))
            return
        serving = health.HealthCheckResponse(status=health.HealthCheckResponse.SERVING)
        call.reply(serving.SerializeToString())

    return {CHECK: check}


def health_streams(services: Iterable[str]) -> dict[str, Responder]:
    """Responders by path: what is watched is SERVING until the server stops, which ends the stream."""
    known = frozenset(["", *services])

    def watch(data: bytes) -> bytes:
        from grpc_health.v1 import health_pb2 as health

        served = health.HealthCheckRequest.FromString(data).service in known
        states = health.HealthCheckResponse
        status = states.SERVING if served else states.SERVICE_UNKNOWN
        return bytes(states(status=status).SerializeToString())

    return {WATCH: Lasting(watch)}

"""`grpc.health.v1.Health/Check`, which load balancers and container orchestrators ask."""

from __future__ import annotations

from collections.abc import Iterable

from perdure.errors import UnknownService
from perdure.rpc.transport import Call, Handler

CHECK = "/grpc.health.v1.Health/Check"


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

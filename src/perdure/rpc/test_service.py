"""`temporal.api.testservice.v1`: how the time skipping of SDKs moves the clocks of a server for tests.

Its calls name no namespace and act on the clocks of all. GetCurrentTime tells the clock that is farthest ahead; with
the header `temporal-namespace`, the clock of that namespace.
"""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor
from temporalio.api.testservice.v1 import (
    GetCurrentTimeResponse,
    LockTimeSkippingRequest,
    LockTimeSkippingResponse,
    SleepRequest,
    SleepResponse,
    SleepUntilRequest,
    UnlockTimeSkippingRequest,
    UnlockTimeSkippingResponse,
    service_pb2,
)

from perdure.engine.times import get_duration, get_time, set_time
from perdure.errors import InvalidArgument
from perdure.rpc.transport import Call
from perdure.runtime.namespaces import Namespaces
from perdure.runtime.skipping import SkippedTime

SERVICE: ServiceDescriptor = service_pb2.DESCRIPTOR.services_by_name["TestService"]
NAMESPACE_HEADER = "temporal-namespace"


class TestService:
    """The handlers; see `router`."""

    __test__ = False  # not for pytest

    def __init__(self, time: SkippedTime, namespaces: Namespaces) -> None:
        self._time = time
        self._namespaces = namespaces

    def lock_time_skipping(self, request: LockTimeSkippingRequest, call: Call) -> LockTimeSkippingResponse:
        self._time.lock()
        return LockTimeSkippingResponse()

    def unlock_time_skipping(self, request: UnlockTimeSkippingRequest, call: Call) -> UnlockTimeSkippingResponse:
        self._time.unlock()
        return UnlockTimeSkippingResponse()

    async def sleep(self, request: SleepRequest, call: Call) -> SleepResponse:
        """Clocks move at once, also while tasks run and while skipping is locked."""
        await self._time.advance(_duration_ns(request))
        return SleepResponse()

    async def sleep_until(self, request: SleepUntilRequest, call: Call) -> SleepResponse:
        if not request.HasField("timestamp"):
            raise InvalidArgument("timestamp is not set on request.")
        await self._time.advance_to(get_time(request.timestamp))
        return SleepResponse()

    async def unlock_time_skipping_with_sleep(self, request: SleepRequest, call: Call) -> SleepResponse:
        """`sleep`, which moves locked clocks, too. SDKs call it from activities while they themselves have unlocked."""
        return await self.sleep(request, call)

    def get_current_time(self, request: object, call: Call) -> GetCurrentTimeResponse:
        name = call.metadata.get(NAMESPACE_HEADER)
        if isinstance(name, str):
            now_ns = self._time.of(self._namespaces.get(name).id).clock.now_ns()
        else:
            now_ns = self._time.latest_ns()
        response = GetCurrentTimeResponse()
        set_time(response.time, now_ns)
        return response


def _duration_ns(request: SleepRequest) -> int:
    duration_ns = get_duration(request.duration)
    if duration_ns < 0:
        raise InvalidArgument("duration is negative: time does not run backwards.")
    return duration_ns

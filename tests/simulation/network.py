"""The network between clients and the server: it delays, loses, repeats and reorders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass
from temporalio.api.workflowservice.v1 import service_pb2
from tests.simulation.faults import MS
from tests.simulation.process import Process, ServerCall

from perdure.rpc.services import methods

if TYPE_CHECKING:
    from tests.simulation.world import World

UNAVAILABLE, DEADLINE_EXCEEDED = 14, 4
Answered = Callable[[Any, int, str], None]
"""Takes (reply, 0, "") or (None, status code, message)."""

_SERVICE = service_pb2.DESCRIPTOR.services_by_name["WorkflowService"]
REPLIES = {method.name: GetMessageClass(method.output_type) for method in methods([_SERVICE])}
_PATH = f"/{_SERVICE.full_name}/"


class Exchange:
    """One request, as its client sees it: it is answered once, or given up."""

    __slots__ = ("answered", "calls", "context", "method", "network", "over", "request")

    def __init__(self, network: Network, method: str, request: Any, answered: Answered) -> None:
        self.network = network
        self.method = method
        self.request = request
        self.answered = answered
        self.calls: list[ServerCall] = []
        self.over = False
        self.context: Any = None

    def finish(self, reply: Any, code: int, message: str) -> None:
        if not self.over:
            self.over = True
            self.network.waiting.pop(self)
            self.answered(reply, code, message)

    def give_up(self) -> None:
        """The client doesn't wait any more; the server hears of it, later."""
        self.network.abandon(self)
        self.finish(None, DEADLINE_EXCEEDED, "gave up")

    def forget(self) -> None:
        """The client is gone, and nobody is told of an answer."""
        self.network.abandon(self)
        if not self.over:
            self.over = True
            self.network.waiting.pop(self)


class Network:
    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting: dict[Exchange, None] = {}

    def send(self, method: str, request: Any, answered: Answered, timeout_s: float = 10.0) -> Exchange:
        """Send a request; `answered` is called once, at the latest when the client's deadline passes."""
        world = self._world
        exchange = Exchange(self, method, request, answered)
        self.waiting[exchange] = None
        world.counts[f"rpc {method}"] += 1
        data = request.SerializeToString(deterministic=True)
        copies = 0 if world.faults.happens("lose") else 2 if world.faults.happens("duplicate") else 1
        for _ in range(copies):
            world.after(world.faults.network_delay_ns(), lambda: self._arrive(exchange, data, timeout_s))
        world.after(int(timeout_s * 1000) * MS, lambda: exchange.over or exchange.give_up())
        return exchange

    def abandon(self, exchange: Exchange) -> None:
        for call in exchange.calls:
            self._world.after(self._world.faults.network_delay_ns(), self._canceler(call))

    @staticmethod
    def _canceler(call: ServerCall) -> Callable[[], None]:
        def cancel() -> None:
            if call.process.alive:
                call.process.loop.call_soon(call.cancel)

        return cancel

    def _arrive(self, exchange: Exchange, data: bytes, timeout_s: float) -> None:
        world = self._world
        process = world.process
        if process is None or not process.serving:
            self._back(exchange, None, UNAVAILABLE, "connection refused")
            return
        arrived_ns = world.server_ns()
        before = LISTINGS[exchange.method][0](world) if exchange.method in LISTINGS else None

        def finish(data: bytes | None, code: int, message: str) -> None:
            self._leave(exchange, process, data, code, message, arrived_ns, before)

        call = ServerCall(_PATH + exchange.method, process, timeout_s, finish)
        exchange.calls.append(call)
        world.trace(f"{exchange.method} arrives", data)
        process.receive(call.method, data, call)

    def _leave(
        self,
        exchange: Exchange,
        process: Process,
        data: bytes | None,
        code: int,
        message: str,
        arrived_ns: int,
        before: Any,
    ) -> None:
        world = self._world
        if code == 13:
            world.complain(f"{exchange.method}: internal error")
        if data is None:
            world.counts[f"status {code}"] += 1
            world.trace(f"{exchange.method} refused {code} {message}", b"")
            world.ledger.refused(exchange.method, exchange.request, message)
            self._back(exchange, None, code, message)
            return
        reply = REPLIES[exchange.method].FromString(data)
        world.trace(f"{exchange.method} answered", reply.SerializeToString(deterministic=True))
        world.ledger.replied(exchange.method, exchange.request, reply, arrived_ns)
        if before is not None:
            LISTINGS[exchange.method][1](world, exchange.request, reply, before)
        self._back(exchange, reply, 0, "")

    def _back(self, exchange: Exchange, reply: Any, code: int, message: str) -> None:
        world = self._world
        if world.faults.happens("lose"):
            return
        world.after(world.faults.network_delay_ns(), lambda: exchange.finish(reply, code, message))

    def cut(self, process: Process) -> None:
        """The server is gone: those who wait for it hear that the connection broke."""
        for exchange in list(self.waiting):
            if any(call.process is process for call in exchange.calls):
                self._back(exchange, None, UNAVAILABLE, "connection reset")


def _runs(world: World) -> Any:
    return world.ledger.snapshot()


def _schedules(world: World) -> Any:
    return world.ledger.entities.snapshot()


def _listed(world: World, request: Any, reply: Any, before: Any) -> None:
    whole = not request.query and not reply.next_page_token
    world.ledger.check_listing(reply, before, whole=whole)


def _counted(world: World, request: Any, reply: Any, before: Any) -> None:
    if not request.query:
        world.ledger.check_count(reply.count, before)


def _described(world: World, request: Any, reply: Any, before: Any) -> None:
    world.ledger.check_description(reply, before)


def _schedules_listed(world: World, request: Any, reply: Any, before: Any) -> None:
    world.ledger.entities.check_listing([each.schedule_id for each in reply.schedules], before)


def _schedules_counted(world: World, request: Any, reply: Any, before: Any) -> None:
    world.ledger.entities.check_count(reply.count, before)


LISTINGS: dict[str, tuple[Callable[[World], Any], Callable[[World, Any, Any, Any], None]]] = {
    "ListWorkflowExecutions": (_runs, _listed),
    "CountWorkflowExecutions": (_runs, _counted),
    "DescribeWorkflowExecution": (_runs, _described),
    "ListSchedules": (_schedules, _schedules_listed),
    "CountSchedules": (_schedules, _schedules_counted),
}
"""What is compared with what was durable when it was asked for: (what is kept of that, the comparison)."""

"""From the descriptors of Temporal's services to a handler for each of their methods.

Handlers live in families: classes, one a file of `rpc/workflow/`, whose methods are named after the RPCs in snake case
and take the parsed request and the call:

    async def start_workflow_execution(self, request, call) -> StartWorkflowExecutionResponse | bytes
        answers with what it returns (bytes are sent as they are), or with the error it raises.
    def poll_workflow_task_queue(self, request, call) -> None
        keeps the call and answers it later; costs neither a task nor a future. One that returns a response answers
        at once.

An error tells of what memory knows, too: that a workflow runs already, that it is closed, that there is none. So it
leaves, like a reply, when that is durable, and if it never is the caller gets UNAVAILABLE in its place.

When the client goes away, a coroutine that only reads is cancelled where it waits. All others run to their end: what
they commit must not be cut in half, so only their reply is dropped.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from perdure.errors import Internal, PerdureError, Unavailable, Unimplemented
from perdure.rpc import coverage, validate
from perdure.rpc.services import SERVICES, methods, snake_case
from perdure.rpc.transport.base import Call, Handler

log = logging.getLogger(__name__)

READS = ("get_", "list_", "describe_", "query_", "count_", "scan_", "poll_")
"""How the names of methods begin that change nothing, so that they may be cancelled anywhere."""

Answer = Message | bytes
Flushed = Callable[[], Awaitable[None]]


async def _nothing_is_open() -> None:
    """For handlers without a memory of their own."""


def build_handlers(
    families: Iterable[object],
    services: Iterable[ServiceDescriptor] = SERVICES,
    *,
    flushed: Flushed = _nothing_is_open,
) -> dict[str, Handler]:
    """A handler by path for every method of `services`: of the family that has it, or one that answers UNIMPLEMENTED.

    `flushed` waits until all that memory shows is durable, and raises `Unavailable` if it can't be.
    Raises `TypeError` when two families have the same method.
    """
    families = list(families)
    refusals = _Refusals(flushed)
    handlers: dict[str, Handler] = {}
    for method in methods(services):
        name = snake_case(method.name)
        found = [function for family in families if (function := getattr(family, name, None))]
        if len(found) > 1:
            raise TypeError(f"{name} has {len(found)} handlers")
        path = f"/{method.containing_service.full_name}/{method.name}"
        handlers[path] = _handler(method, found[0], refusals) if found else _unimplemented(method.name)
    return handlers


class _Refusals:
    """Sends errors, each when what it may tell of is durable."""

    def __init__(self, flushed: Flushed) -> None:
        self._flushed = flushed
        self._sending: set[asyncio.Task[None]] = set()  # the loop itself keeps no hold on tasks

    async def send(self, call: Call, error: Exception) -> None:
        try:
            await self._flushed()
        except PerdureError as lost:
            if isinstance(error, PerdureError):  # a bug of ours is one all the same
                call.fail(lost)
                return
        if isinstance(error, PerdureError):
            call.fail(error)
        else:
            log.error("%s failed", call.method, exc_info=error)
            call.fail(Internal("internal error"))

    def send_soon(self, call: Call, error: Exception) -> None:
        task = asyncio.get_running_loop().create_task(self.send(call, error))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


def _handler(method: MethodDescriptor, function: Callable[[Any, Call], Any], refusals: _Refusals) -> Handler:
    parse = GetMessageClass(method.input_type).FromString
    if inspect.iscoroutinefunction(function):
        cancellable = snake_case(method.name).startswith(READS)
        answer = _answer_by_coroutine(function, refusals, cancellable=cancellable)
    else:
        answer = _answer_by_function(function, refusals)

    def handle(data: bytes, call: Call) -> None:
        try:
            request = parse(data)
        except DecodeError as error:
            call.fail(validate.undecodable(error))
        else:
            answer(request, call)

    return handle


def _answer_by_function(
    function: Callable[[Message, Call], Answer | None], refusals: _Refusals
) -> Callable[[Message, Call], None]:
    def answer(request: Message, call: Call) -> None:
        try:
            response = function(request, call)
            if response is not None:
                call.reply(response if isinstance(response, bytes) else response.SerializeToString())
        except Exception as error:
            refusals.send_soon(call, error)

    return answer


def _answer_by_coroutine(
    function: Callable[[Message, Call], Coroutine[Any, Any, Answer | None]], refusals: _Refusals, *, cancellable: bool
) -> Callable[[Message, Call], None]:
    async def run(request: Message, call: Call) -> None:
        try:
            try:
                response = await function(request, call)
                if response is not None:
                    call.reply(response if isinstance(response, bytes) else response.SerializeToString())
            except Exception as error:
                await refusals.send(call, error)
        except asyncio.CancelledError:  # if not the client's doing, the server's
            call.fail(Unavailable("the server is shutting down"))
            raise

    running: set[asyncio.Task[None]] = set()  # the loop itself keeps no hold on tasks

    def answer(request: Message, call: Call) -> None:
        task = asyncio.get_running_loop().create_task(run(request, call))
        running.add(task)
        task.add_done_callback(running.discard)
        if cancellable:
            call.on_cancel(task.cancel)

    return answer


def _unimplemented(name: str) -> Handler:
    refusal = Unimplemented(coverage.refusal(name))

    def handle(data: bytes, call: Call) -> None:
        call.fail(refusal)

    return handle

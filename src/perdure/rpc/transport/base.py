"""The seam between the network and everything else.

A transport turns gRPC calls into `handler(request bytes, call)` on the event loop and carries the answer back whenever
it is given. Nothing is held for an open call except its `Call`, so a long poll costs neither a task nor a future.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from google.rpc.status_pb2 import Status

from perdure.errors import PerdureError
from perdure.rpc import status

log = logging.getLogger(__name__)

MAX_CONCURRENT_STREAMS: Final = 100_000
"""Calls open at once on one connection. A worker process with thousands of pollers has one connection."""


class Call(Protocol):
    """One open call. Belongs to the event loop: not to be touched from other threads."""

    @property
    def method(self) -> str:
        """The path, e.g. `/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution`."""

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The request's headers by lower-case name; names ending in `-bin` have bytes. Of repeated ones, the last."""

    @property
    def timeout_s(self) -> float | None:
        """Seconds that were left until the client's deadline when the call arrived; None without a deadline."""

    @property
    def done(self) -> bool:
        """Whether the call was answered or its client is gone."""

    def reply(self, message: bytes) -> bool:
        """Answer with a serialized response. False when nobody takes it any more: requeue what you meant to give."""

    def fail(self, error: PerdureError) -> None:
        """Answer with an error. Nothing happens when the call is done."""

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Have `callback` run on the loop if the client cancels, disconnects or its deadline passes before the answer.

        Callbacks run in the order they were given; at once if that has already happened, never after an answer.
        """


Handler = Callable[[bytes, Call], None]
"""Takes a request on the event loop; answers through the call, now or later."""

Responder = Callable[[bytes], bytes]
"""Answers each message of a two-way stream with one message; a `PerdureError` ends the stream with that error."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """A responder whose stream stays open when the client has said all, until it goes or the server stops."""

    respond: Responder

    def __call__(self, message: bytes) -> bytes:
        return self.respond(message)


class Transport(Protocol):
    async def start(self, host: str, port: int) -> int:
        """Listen, and return the bound port (of use when `port` is 0). Raises `StartupError` when that fails."""

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, give open ones up to `grace_s` seconds, answer the rest with UNAVAILABLE, close.

        Whoever holds polls answers them empty first: that is what workers take as "poll again".
        """


class CallState:
    """What the calls of every transport share: whether they are over, and who wants to know."""

    __slots__ = ("_callbacks", "_canceled", "done", "method")

    def __init__(self, method: str) -> None:
        self.method = method
        self.done = False
        self._canceled = False
        # One callback is the rule, so a list is made only for the second.
        self._callbacks: list[Callable[[], object]] | Callable[[], object] | None = None

    def on_cancel(self, callback: Callable[[], object]) -> None:
        held = self._callbacks
        if self._canceled:
            callback()
        elif self.done:
            return
        elif held is None:
            self._callbacks = callback
        elif isinstance(held, list):
            held.append(callback)
        else:
            self._callbacks = [held, callback]

    def cancel(self) -> None:
        """The client is gone: tell those who asked. Their exceptions are logged, for none of them is the caller's."""
        if self.done:
            return
        self.done = self._canceled = True
        held, self._callbacks = self._callbacks, None
        for callback in held if isinstance(held, list) else (held,) if held else ():
            try:
                callback()
            except Exception:
                log.exception("A cancel callback of %s failed", self.method)


class AwaitedCall(CallState):
    """A call whose answer is awaited by the coroutine that runs for it: a response, or the status of a refusal.

    The error itself is not kept. Its traceback holds the request and this call, so that both would stay in memory
    until the garbage collector comes by.
    """

    __slots__ = ("answer", "metadata", "timeout_s")

    def __init__(
        self,
        method: str,
        metadata: Mapping[str, str | bytes],
        timeout_s: float | None,
        answer: asyncio.Future[bytes | Status],
    ) -> None:
        super().__init__(method)
        self.metadata = metadata
        self.timeout_s = timeout_s
        self.answer = answer

    def reply(self, message: bytes) -> bool:
        if self.done:
            return False
        self._close()
        self.answer.set_result(message)
        return True

    def fail(self, error: PerdureError) -> None:
        if not self.done:
            self._close()
            self.answer.set_result(status.proto(error))

    def _close(self) -> None:
        self.done = True
        self._callbacks = None


def unknown_method(path: str, known: Container[str]) -> str:
    """The real server's words for a path that no handler has; `known` holds the names of the services."""
    service, _, method = path.removeprefix("/").rpartition("/")
    if not service:
        return f'malformed method name: "{path}"'
    if service not in known:
        return f"unknown service {service}"
    return f"unknown method {method} for service {service}"

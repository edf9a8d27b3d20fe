"""Bodies that are not whole yet share a budget over all connections of the port, whichever application reads them.

A server that stops refuses them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.errors import PerdureError, ResourceExhausted, Unavailable
from perdure.rpc.http.app import STATUSES
from perdure.rpc.transport.limits import Budget, Limits


class Bodies:
    """Those of one port."""

    def __init__(self, limits: Limits) -> None:
        self.budget = Budget(limits.unfinished_bytes)
        self.unfinished: set[_Body] = set()
        self.stopping = False
        self._too_much = limits.too_much_unfinished

    def stop(self) -> None:
        """Refuse what is not whole, and what still comes."""
        self.stopping = True
        for body in list(self.unfinished):
            body.evict()

    def refusal(self) -> PerdureError:
        return Unavailable("the server is shutting down") if self.stopping else ResourceExhausted(self._too_much)


class UnfinishedBodies:
    """ASGI middleware. Over the limit, the request with most is refused: 429. All are when the server stops: 503. An
    application may say it itself."""

    def __init__(self, app: ASGIApp, bodies: Bodies) -> None:
        self._app = app
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = _Body(self._bodies, receive)
        try:
            await self._app(scope, body.receive, send)
        except (ResourceExhausted, Unavailable) as error:
            said = str(error).encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(said)).encode())]
            await send({"type": "http.response.start", "status": STATUSES[error.code], "headers": headers})
            await send({"type": "http.response.body", "body": said})
        finally:
            body.settle()


class _Body:
    """What has come of one request's body."""

    def __init__(self, bodies: Bodies, receive: Receive) -> None:
        self.unfinished_bytes = 0
        self._bodies = bodies
        self._receive = receive
        self._evicted = False
        self._waiting: asyncio.Task[Any] | None = None
        bodies.unfinished.add(self)

    async def receive(self) -> Message:
        """Raises `ResourceExhausted` or `Unavailable` when the body is refused, also while nothing comes."""
        if self._evicted:
            raise self._bodies.refusal()
        event = await self._next()
        if event["type"] != "http.request" or not event.get("more_body", False):
            self.settle()
        elif self._bodies.stopping or not self._has_room(len(event.get("body", b""))):
            self.evict()
            raise self._bodies.refusal()
        return event

    async def _next(self) -> Message:
        self._waiting = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # No local variable: the traceback would hold the task, which holds the exception.
            if not self._evicted or self._waiting is None or self._waiting.uncancel():
                raise
            raise self._bodies.refusal() from None
        finally:
            self._waiting = None

    def _has_room(self, size_bytes: int) -> bool:
        budget = self._bodies.budget
        if not self.unfinished_bytes:
            budget.holders.add(self)
        self.unfinished_bytes += size_bytes
        budget.bytes += size_bytes
        return budget.bytes <= budget.limit_bytes or budget.make_room(self)

    def evict(self) -> None:
        self.settle()
        self._evicted = True
        if self._waiting is not None:
            self._waiting.cancel()

    def settle(self) -> None:
        """The body is whole, or will never be."""
        budget = self._bodies.budget
        budget.bytes -= self.unfinished_bytes
        self.unfinished_bytes = 0
        budget.holders.discard(self)
        self._bodies.unfinished.discard(self)

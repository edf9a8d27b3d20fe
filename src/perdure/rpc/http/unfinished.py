"""Bodies that are not whole yet share a budget over all connections of the port, whichever application reads them."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.errors import ResourceExhausted
from perdure.rpc.transport.limits import Budget, Limits


class UnfinishedBodies:
    """ASGI middleware. Over the limit, the request with most is refused: 429, unless its application says it itself."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._words = limits.too_much_unfinished
        self._budget = Budget(limits.unfinished_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = _Body(self._budget, receive, self._words)
        try:
            await self._app(scope, body.receive, send)
        except ResourceExhausted as error:
            said = str(error).encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(said)).encode())]
            await send({"type": "http.response.start", "status": 429, "headers": headers})
            await send({"type": "http.response.body", "body": said})
        finally:
            body.settle()


class _Body:
    """What has come of one request's body."""

    def __init__(self, budget: Budget, receive: Receive, words: str) -> None:
        self.unfinished_bytes = 0
        self._budget = budget
        self._receive = receive
        self._words = words
        self._evicted = False
        self._waiting: asyncio.Task[Any] | None = None

    async def receive(self) -> Message:
        """Raises `ResourceExhausted` when the body is refused, also while nothing comes."""
        if self._evicted:
            raise ResourceExhausted(self._words)
        event = await self._next()
        if event["type"] != "http.request" or not event.get("more_body", False):
            self.settle()
        elif not self._has_room(len(event.get("body", b""))):
            self.evict()
            raise ResourceExhausted(self._words)
        return event

    async def _next(self) -> Message:
        self._waiting = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # No local variable: the traceback would hold the task, which holds the exception.
            if not self._evicted or self._waiting is None or self._waiting.uncancel():
                raise
            raise ResourceExhausted(self._words) from None
        finally:
            self._waiting = None

    def _has_room(self, size_bytes: int) -> bool:
        if not self.unfinished_bytes:
            self._budget.holders.add(self)
        self.unfinished_bytes += size_bytes
        self._budget.bytes += size_bytes
        return self._budget.bytes <= self._budget.limit_bytes or self._budget.make_room(self)

    def evict(self) -> None:
        self.settle()
        self._evicted = True
        if self._waiting is not None:
            self._waiting.cancel()

    def settle(self) -> None:
        """The body is whole, or will never be."""
        self._budget.bytes -= self.unfinished_bytes
        self.unfinished_bytes = 0
        self._budget.holders.discard(self)

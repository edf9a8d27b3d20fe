"""The ASGI application that links point to: GET shows, POST acts. Needs nothing but a client.

app = Starlette(routes=[Mount("/perdure/links", app=Links(client, keys=read_keys("links.keys")))])
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from temporalio.client import (
    Client,
    WorkflowQueryFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError

from perdure.patterns.answers import Approvals, Callbacks
from perdure.patterns.links import pages
from perdure.patterns.links.tokens import BadLink, Link, checked, verify
from perdure.patterns.replies import Reply
from perdure.patterns.votes import Answer

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

UNREACHABLE = (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowQueryFailedError, TimeoutError)
"""Server or worker can't answer now."""
MAX_BODY_BYTES = 1024 * 1024
TIMEOUT = timedelta(seconds=10)
"""How long a worker may take to answer."""
STATUSES = {"taken": 200, "early": 202, "again": 409, "late": 410, "refused": 422, "unknown": 404}
STATUSES |= {"forged": 403, "expired": 410}
"""The HTTP status of a reply."""
TITLES = {
    "taken": "Thank you",
    "early": "This is not open yet",
    "again": "This was answered before",
    "late": "This is over",
    "refused": "This can't be taken",
    "unknown": "There is nothing to answer",
    "forged": "This link is not valid",
    "expired": "This link has expired",
}


class _Problem(Exception):
    """A request that is answered without asking the workflow."""

    def __init__(self, status: int, name: str, title: str, text: str, allow: str = "") -> None:
        super().__init__(text)
        self.status, self.name, self.title, self.text, self.allow = status, name, title, text, allow


@dataclass
class _Response:
    status: int
    told: Mapping[str, Any]
    """For machines."""
    html: str
    """For people."""
    headers: dict[str, str] = field(default_factory=dict)


class Links:
    """Serves the links that a `Signer` with one of these keys has made.

    `client` is that of the namespace whose links are served, or a function from the name of a namespace to its client,
    which raises `KeyError` for one that is not served. The first key signs, all are good: to rotate, put a new one in
    front, and take the old one away when its links have expired. `timeout` is how long a worker may take to answer.
    """

    def __init__(
        self,
        client: Client | Callable[[str], Client],
        *,
        keys: Sequence[str | bytes],
        timeout: timedelta = TIMEOUT,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._keys = checked(keys)
        self._timeout = timeout
        self._now_s = now_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        if scope["type"] != "http":
            raise RuntimeError(f"links are served over HTTP, not {scope['type']}")
        try:
            response = await self._respond(scope, receive)
        except _Problem as problem:
            told = {"status": problem.name, "text": problem.text}
            headers = {"allow": problem.allow} if problem.allow else {}
            html = pages.message(problem.title, problem.text)
            response = _Response(problem.status, told, html, headers)
        await _send(response, scope, send)

    async def _respond(self, scope: Scope, receive: Receive) -> _Response:
        token, _, action = _own_path(scope).strip("/").partition("/")
        try:
            link = verify(token, self._keys, self._now_s)
        except BadLink as error:
            raise _Problem(STATUSES[error.kind], error.kind, TITLES[error.kind], str(error)) from None
        client = self._client_of(link.namespace)
        method = scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            raise _Problem(405, "method", "Not like this", "Use GET to look, POST to answer.", allow="GET, HEAD, POST")
        try:
            if link.kind == "approval":
                return await self._approval(client, link, action, scope, receive)
            return await self._callback(client, link, action, scope, receive)
        except UNREACHABLE as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> _Problem:
        log.warning("a link could not be served: %s", error)
        text = "Nobody can be reached right now. Please try again in a few minutes; nothing is counted twice."
        return _Problem(503, "unavailable", "Please try again", text)

    def _client_of(self, namespace: str) -> Client:
        try:
            client = self._client(namespace) if not isinstance(self._client, Client) else self._client
        except KeyError:
            client = None
        if client is None or client.namespace != namespace:
            raise _Problem(404, "unknown", TITLES["unknown"], "Links of this namespace are not served here.")
        return client

    async def _approval(self, client: Client, link: Link, action: str, scope: Scope, receive: Receive) -> _Response:
        if action:
            raise _Problem(404, "unknown", TITLES["unknown"], "There is nothing here.")
        approvals = Approvals(client, link.workflow_id, chain=link.chain, timeout=self._timeout)
        if scope["method"] != "POST":
            return await self._question(approvals, link)
        given = await _form(scope, receive)
        do, reason = given.get("do"), given.get("reason", "")
        if do not in ("approve", "reject") or not isinstance(reason, str):
            text = "Send do=approve or do=reject, and maybe a reason, as a form or as JSON."
            raise _Problem(400, "malformed", TITLES["refused"], text)
        answer = Answer(link.id, link.who, do, reason, link=link.link)
        async with asyncio.timeout(self._timeout.total_seconds()):
            return _replied(await approvals.answer(answer), f"Your answer was counted: {do}.")

    async def _question(self, approvals: Approvals, link: Link) -> _Response:
        async with asyncio.timeout(self._timeout.total_seconds()):
            state = await approvals.state(link.id)
        if state is None:
            return _replied(Reply("unknown", "There is no such question any more."))
        now = max(state.opened, datetime.fromtimestamp(self._now_s(), UTC))
        probe = state.judge(Answer(link.id, link.who, "approve", link=link.link), now)
        told: dict[str, Any] = {"status": "open", "id": state.id, "request": asdict(state.request), "who": link.who}
        told |= {"deadline": state.deadline.isoformat(), "outcome": state.outcome, "text": state.sentence()}
        if not probe.taken:
            return _Response(STATUSES[probe.status], told | asdict(probe), _page_of(probe))
        return _Response(200, told, pages.question(state, link.who))

    async def _callback(self, client: Client, link: Link, action: str, scope: Scope, receive: Receive) -> _Response:
        callbacks = Callbacks(client, link.workflow_id, chain=link.chain, timeout=self._timeout)
        if action not in ("", "complete", "fail", "heartbeat"):
            raise _Problem(404, "unknown", TITLES["unknown"], "There is nothing here.")
        async with asyncio.timeout(self._timeout.total_seconds()):
            if scope["method"] != "POST":
                return await self._state(callbacks, link)
            body = await _body(receive)
            if action == "fail":
                return _replied(await callbacks.fail(_text(body), id=link.id))
            value = _json(body) if body else None
            if action == "heartbeat":
                reply = await callbacks.heartbeat(value, id=link.id)
                if reply.status == "again":
                    return _Response(200, asdict(reply), _page_of(reply))
                return _replied(reply)
            return _replied(await callbacks.complete(value, id=link.id))

    async def _state(self, callbacks: Callbacks, link: Link) -> _Response:
        state = await callbacks.state(link.id)
        if state is None:
            return _replied(Reply("unknown", "Nothing of this kind is waited for any more."))
        told: dict[str, Any] = {"status": state.outcome or "open", "id": state.id, "expires": state.expires.isoformat()}
        told |= {"progress": state.progress, "heartbeats": state.heartbeats, "text": state.sentence()}
        return _Response(200, told, pages.message("A link for machines", state.sentence()))


def _replied(reply: Reply, thanks: str = "") -> _Response:
    return _Response(STATUSES[reply.status], asdict(reply), _page_of(reply, thanks))


def _page_of(reply: Reply, thanks: str = "") -> str:
    text = f"{thanks} {reply.text}".strip() if reply.taken else reply.text
    return pages.message(TITLES[reply.status], text)


def _own_path(scope: Scope) -> str:
    """The path below where the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(root) else path


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise _Problem(400, "malformed", TITLES["refused"], "The request ended early.")
        body += bytes(event.get("body", b""))
        if len(body) > MAX_BODY_BYTES:
            raise _Problem(413, "too-large", TITLES["refused"], f"A body has at most {MAX_BODY_BYTES} bytes.")
        if not event.get("more_body", False):
            return body


async def _form(scope: Scope, receive: Receive) -> Mapping[str, Any]:
    body = await _body(receive)
    kind = _header(scope, b"content-type").partition(";")[0].strip().lower()
    if kind == "application/json":
        found = _json(body)
        return found if isinstance(found, dict) else {}
    if kind != "application/x-www-form-urlencoded":
        raise _Problem(415, "malformed", TITLES["refused"], "Send a form, or JSON.")
    return {name: values[-1] for name, values in parse_qs(_text(body), max_num_fields=20).items()}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _Problem(400, "malformed", TITLES["refused"], "The body is not JSON.") from None


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise _Problem(400, "malformed", TITLES["refused"], "The body is not UTF-8.") from None


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for each, value in scope["headers"] if each == name), "")


def _wants_html(scope: Scope) -> bool:
    """Browsers ask for it by name."""
    accepted = [each.partition(";")[0].strip().lower() for each in _header(scope, b"accept").split(",")]
    return "text/html" in accepted and "application/json" not in accepted[: accepted.index("text/html")]


async def _send(response: _Response, scope: Scope, send: Send) -> None:
    if _wants_html(scope):
        kind, body = "text/html; charset=utf-8", response.html.encode()
    else:
        kind, body = "application/json", json.dumps(response.told).encode()
    headers = {**pages.HEADERS, **response.headers, "content-type": kind, "content-length": str(len(body))}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in ({**headers, "vary": "accept"}).items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return

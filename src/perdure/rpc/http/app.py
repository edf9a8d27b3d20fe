"""An HTTP request becomes a `Call`: the ASGI application of the API.

Its way is that of the real server's gateway: route by the unescaped path, the request from the body or from the query,
the fields of the path last; then the same handler that serves gRPC.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status

from perdure import errors
from perdure.config import MAX_REQUEST_BYTES
from perdure.errors import Internal, InvalidArgument, PerdureError, Unavailable, Unimplemented
from perdure.rpc import status
from perdure.rpc.http.bindings import Binding, Routes, bindings
from perdure.rpc.http.decode import DecodeProblem, from_json
from perdure.rpc.http.encode import EncodeProblem, to_json
from perdure.rpc.http.gojson import base64_problem
from perdure.rpc.http.query import fill, parse_query
from perdure.rpc.transport.base import AwaitedCall, Handler

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

STATUSES = {
    0: 200,
    1: 499,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    16: 401,
}
"""The HTTP status of a gRPC code; 500 of the others."""

FORM = "application/x-www-form-urlencoded"
CLIENT_NAME, CLIENT_VERSION = "temporal-server-http", "1.32.0"
"""Who calls, where the request does not say."""

PERMANENT_HEADERS = frozenset(
    (
        *(
            "accept",
            "accept-charset",
            "accept-language",
            "accept-ranges",
            "authorization",
            "cache-control",
            "content-type",
        ),
        *("cookie", "date", "expect", "from", "host", "if-match", "if-modified-since", "if-none-match"),
        *("if-schedule-tag-match", "if-unmodified-since", "max-forwards", "origin", "pragma", "referer", "user-agent"),
        *("via", "warning"),
    )
)
"""Passed on with `grpcgateway-` before their names."""

FORWARDED_HEADERS = frozenset(("authorization-extras", "client-name", "client-version"))
METADATA_PREFIX = "grpc-metadata-"
TIMEOUT = re.compile(r"([+-]?)0*(\d{1,19})([HMSmun])", re.ASCII)
TIMEOUT_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


LATE = "context deadline exceeded"
OWN_WORDS_S = 0.05
"""Beyond the client's deadline, for a handler that knows it and has words of its own."""


class UnknownProblem(PerdureError):
    """An answer that has no JSON."""

    code = 2


class Canceled(Exception):
    """The client is gone."""


@dataclass(frozen=True, slots=True)
class Form:
    """How JSON is read or written."""

    content_type: str = "application/json"
    shorthand: bool = True
    pretty: bool = False


FORMS = {
    form.content_type: form
    for form in (
        Form("application/json+pretty", pretty=True),
        Form("application/json+no-payload-shorthand", shorthand=False),
        Form("application/json+pretty+no-payload-shorthand", shorthand=False, pretty=True),
    )
}
DEFAULT_FORM = Form()


class HttpApi:
    """The application. `handlers` are those of the gRPC transport, by path."""

    def __init__(self, handlers: Mapping[str, Handler], max_request_bytes: int = MAX_REQUEST_BYTES) -> None:
        self._handlers = handlers
        self._max_request_bytes = max_request_bytes
        self._routes = Routes(bindings())
        self._calls: set[AwaitedCall] = set()
        self._stopping = False

    def stop(self) -> None:
        """Answer what is open with UNAVAILABLE, and what still comes."""
        self._stopping = True
        for call in list(self._calls):
            call.fail(Unavailable("the server is shutting down"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if request.clean_path != request.raw_path:
            await _respond(send, 301, b"", [(b"location", request.location.encode())])
            return
        began_s = asyncio.get_running_loop().time()
        try:
            message, binding, call = await self._accept(request, receive)
            answer = await self._answer(binding, message, call, receive, request_s=began_s)
            code, body = _encoded(answer, request.output)
        except Canceled:
            return
        except PerdureError as error:
            code, body = _encoded(status.proto(error), request.output)
        await _respond(send, code, body, [(b"content-type", request.output.content_type.encode())])

    async def _accept(self, request: Request, receive: Receive) -> tuple[Message, Binding, AwaitedCall]:
        verb = request.verb
        overriding = request.headers.get("x-http-method-override")
        form = verb == "POST" and request.headers.get("content-type") == FORM
        if form and overriding:
            verb = overriding.upper()
        found = self._routes.find(verb, request.path)
        if found == "other verb" and form and verb == "POST":
            found = self._routes.find("GET", request.path)
        if found == "other verb":
            raise Unimplemented("Method Not Allowed")
        if found is None:
            raise errors.UnknownService("Not Found")
        assert not isinstance(found, str)
        binding, captured = found
        timeout_s = request.timeout_s
        call = AwaitedCall(binding.path, request.metadata(), timeout_s, asyncio.get_running_loop().create_future())
        body = await _read_body(receive, self._max_request_bytes if binding.has_body or form else None)
        return _message(binding, captured, body, request, form=form), binding, call

    async def _answer(
        self, binding: Binding, message: Message, call: AwaitedCall, receive: Receive, *, request_s: float
    ) -> Message:
        """The response, or the `Status` of a refusal."""
        if self._stopping:
            raise Unavailable("the server is shutting down")
        now_s = asyncio.get_running_loop().time()
        deadline_s = None if call.timeout_s is None else request_s + call.timeout_s
        if deadline_s is not None and deadline_s < now_s:
            raise errors.DeadlineExceeded(LATE)
        self._calls.add(call)
        watching = asyncio.ensure_future(_disconnected(receive))
        watching.add_done_callback(lambda _: call.cancel() or call.answer.cancel())  # type: ignore[func-returns-value]
        try:
            self._handle(call, message)
            async with asyncio.timeout_at(None if deadline_s is None else deadline_s + OWN_WORDS_S):
                answer = await call.answer
        except TimeoutError:
            call.cancel()
            raise errors.DeadlineExceeded(LATE)
        except asyncio.CancelledError:
            call.cancel()
            if watching.done():
                raise Canceled
            raise
        finally:
            self._calls.discard(call)
            watching.cancel()
        if isinstance(answer, Status):
            refusal: Message = answer
            return refusal
        return GetMessageClass(binding.method.output_type).FromString(answer)

    def _handle(self, call: AwaitedCall, message: Message) -> None:
        try:
            self._handlers[call.method](message.SerializeToString(), call)
        except Exception:
            log.exception("The handler of %s failed", call.method)
            call.fail(Internal("internal error"))


class Request:
    """What a request's first line and headers say. Nothing here raises before it is asked for."""

    def __init__(self, scope: Scope) -> None:
        self.verb: str = scope["method"]
        self.raw_path: str = scope["raw_path"].decode("latin-1")
        self.path = unquote(self.raw_path)
        self.query: str = scope["query_string"].decode("latin-1")
        self._headers: list[tuple[str, str]] = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        self.headers = dict(reversed(self._headers))
        self._client = scope.get("client")
        names = {part.partition("=")[0] for part in self.query.split("&")}
        suffix = "".join(
            ending
            for name, ending in (("pretty", "+pretty"), ("noPayloadShorthand", "+no-payload-shorthand"))
            if name in names
        )
        accepted = [f"application/json{suffix}"] if suffix else self._all("accept")
        self.input = _form(value.partition(";")[0].strip().lower() for value in self._all("content-type"))
        self.output = _form(accepted) if any(value in FORMS for value in accepted) else self.input

    @property
    def clean_path(self) -> str:
        """The path without `//`, `/./` and `/../`."""
        clean = posixpath.normpath("/" + self.raw_path.lstrip("/"))
        return clean + "/" if self.raw_path.endswith("/") and clean != "/" else clean

    @property
    def location(self) -> str:
        """Where a request with another path is sent."""
        return f"{self.clean_path}?{self.query}" if self.query else self.clean_path

    @property
    def timeout_s(self) -> float | None:
        """Seconds until the client's deadline. Raises `InvalidArgument`."""
        text = self.headers.get("grpc-timeout")
        if not text:
            return None
        match = TIMEOUT.fullmatch(text)
        count = 1 << 63 if match is None else int(match.group(1) + match.group(2))
        if match is None or not -(1 << 63) <= count < 1 << 63:
            raise InvalidArgument(f"invalid grpc-timeout: {text}")
        seconds = count * TIMEOUT_UNITS_S[match.group(3)]
        return seconds if seconds != 0 else None

    def metadata(self) -> dict[str, str | bytes]:
        """The call's metadata: the headers that are forwarded, and where the request is from.

        Raises `InvalidArgument` for a binary header that is not base64.
        """
        found: dict[str, str | bytes] = {"client-name": CLIENT_NAME, "client-version": CLIENT_VERSION}
        for name, value in self._headers:
            if name == "authorization":
                found["authorization"] = value
            forwarded = _forwarded(name)
            if forwarded is not None:
                found[forwarded] = _binary(name, value) if name.endswith("-bin") else value
        found["x-forwarded-host"] = self.headers.get("x-forwarded-host") or self.headers.get("host", "")
        addresses = self._all("x-forwarded-for") + ([self._client[0]] if self._client else [])
        if addresses:
            found["x-forwarded-for"] = ", ".join(addresses)
        return found

    def _all(self, name: str) -> list[str]:
        return [value for each, value in self._headers if each == name]


def _form(content_types: Any) -> Form:
    return next((FORMS[each] for each in content_types if each in FORMS), DEFAULT_FORM)


def _forwarded(name: str) -> str | None:
    if name in FORWARDED_HEADERS:
        return name
    if name in PERMANENT_HEADERS:
        return f"grpcgateway-{name}"
    return name.removeprefix(METADATA_PREFIX) if name.startswith(METADATA_PREFIX) else None


def _binary(name: str, value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        shown = "-".join(word.capitalize() for word in name.split("-"))
        raise InvalidArgument(f"invalid binary header {shown}: {base64_problem(value)}")


def _message(binding: Binding, captured: tuple[str, ...], body: bytes, request: Request, *, form: bool) -> Any:
    message: Any = GetMessageClass(binding.method.input_type)()
    if binding.has_body:
        try:
            from_json(body, message, shorthand=request.input.shorthand)
        except DecodeProblem as problem:
            raise InvalidArgument(str(problem))
    for variable, value in zip(binding.variables, captured, strict=True):
        _set(message, variable, value)
    if not binding.has_body:
        values = parse_query(request.query)
        if form:
            for name, given in parse_query(body.decode("latin-1")).items():
                values[name] = given + values.get(name, [])
        fill(message, values, binding.variables)
    return message


def _set(message: Any, dotted: str, value: str) -> None:
    *path, last = dotted.split(".")
    for name in path:
        message = getattr(message, name)
    try:
        setattr(message, last, value)
    except (ValueError, UnicodeError):
        raise InvalidArgument(f"field {message.DESCRIPTOR.full_name}.{last} contains invalid UTF-8")


def _encoded(message: Message, form: Form) -> tuple[int, bytes]:
    """The HTTP status and the body of an answer."""
    if isinstance(message, Status):
        return STATUSES.get(message.code, 500), to_json(message, pretty=form.pretty)
    try:
        return 200, to_json(message, shorthand=form.shorthand, pretty=form.pretty)
    except EncodeProblem as problem:
        raise UnknownProblem(str(problem))


async def _read_body(receive: Receive, max_bytes: int | None) -> bytes:
    """The body, if it may be that large; without a limit it is read and dropped."""
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Canceled
        if max_bytes is not None:
            body += event.get("body", b"")
            if len(body) > max_bytes:
                raise InvalidArgument("http: request body too large")
        if not event.get("more_body", False):
            return bytes(body)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _respond(send: Send, code: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""The port: connections, what is refused on them, and how it closes."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json

import pytest
from tests.rpc.http.conversation import NAMESPACE, Conversation, start_body

from perdure.errors import StartupError
from perdure.server import Server


async def test_a_client_that_goes_away_cancels_its_long_poll(talk: Conversation) -> None:
    async with Server(http_port=0) as server:
        assert server.http_port is not None
        talk = Conversation("127.0.0.1", server.http_port, server.port, "x")
        await talk.request(f"{NAMESPACE}/workflows/w", start_body("q"))
        path = f"{NAMESPACE}/workflows/w/history?waitNewEvent=true&historyEventFilterType=2"
        _, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert server._http is not None
        calls = server._http._api._calls
        while not calls:
            await asyncio.sleep(0.001)
        (call,) = calls
        writer.close()
        while calls:
            await asyncio.sleep(0.001)
        assert call.done
        assert call.reply(b"") is False


async def test_a_stop_answers_what_waits(talk: Conversation) -> None:
    server = Server(http_port=0)
    await server.start()
    assert server.http_port is not None
    talk = Conversation("127.0.0.1", server.http_port, server.port, "x")
    await talk.request(f"{NAMESPACE}/workflows/w", start_body("q"))
    path = f"{NAMESPACE}/workflows/w/history?waitNewEvent=true&historyEventFilterType=2"
    asking = asyncio.ensure_future(talk.request(path))
    assert server._http is not None
    while not server._http._api._calls:
        await asyncio.sleep(0.001)
    await server.stop(0.01)
    answer = await asking
    assert answer.status in (200, 503)
    with pytest.raises(ConnectionRefusedError):
        await talk.request("/system-info")


async def test_a_stop_answers_who_has_not_sent_all() -> None:
    server = Server(http_port=0)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
    writer.write(f"POST {NAMESPACE}/workflows/w HTTP/1.1\r\nContent-Length: 9\r\n\r\n{{".encode())
    assert server._http is not None
    while not server._http._bodies.unfinished:
        await asyncio.sleep(0.001)
    await server.stop(0.01)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 ") and answer.endswith(b'"the server is shutting down"}')
    writer.close()


async def test_a_connection_is_kept_and_long_answers_are_compressed_if_asked(talk: Conversation) -> None:
    def ask() -> tuple[bytes, str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", talk.http_port)
        connection.request("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"})
        response = connection.getresponse()
        compressed = response.read()
        connection.auto_open = 0  # a second connection would be an error
        connection.request("GET", "/system-info")
        return compressed, response.headers["content-encoding"], connection.getresponse().read()

    compressed, encoding, second = await asyncio.to_thread(ask)
    assert encoding == "gzip"
    assert json.loads(gzip.decompress(compressed))["openapi"] == "3.0.3"
    assert json.loads(second)["serverVersion"]


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /", b"a" * 999),
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 999),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
        (b"5;", b"a" * 999),
        (b"0\r\n", b"X: y\r\n"),
    ],
    ids=["line", "header", "headers", "extension", "trailers"],
)
async def test_what_is_no_body_has_a_limit(talk: Conversation, begin: bytes, piece: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", talk.http_port)
    if not begin.startswith(b"GET"):
        path = f"POST {NAMESPACE}/workflows/w HTTP/1.1".encode()
        writer.write(path + b"\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(begin + piece * ((1 << 20) // len(piece) + 1))
    assert (await reader.read()).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    writer.close()


async def test_the_limit_is_of_one_head(talk: Conversation) -> None:
    def ask() -> set[int]:
        connection = http.client.HTTPConnection("127.0.0.1", talk.http_port)
        statuses = set()
        for body in (None, b" " * (3 << 20)):
            for _ in range(2):
                connection.request("GET", "/api/v1/system-info", body, {"X": "a" * 700_000})
                statuses.add((response := connection.getresponse()).status)
                response.read()
                connection.auto_open = 0
        return statuses

    assert await asyncio.to_thread(ask) == {200}


async def test_the_document_is_at_the_old_path_as_well(talk: Conversation) -> None:
    old, new = [await talk.request(path) for path in ("/swagger.json", "/openapi.json")]
    assert old.status == 200 and old.body == new.body


async def test_a_port_in_use_is_one_sentence(talk: Conversation) -> None:
    server = Server(http_port=talk.http_port)
    with pytest.raises(StartupError, match=f"127.0.0.1:{talk.http_port}, another .* give another http-port"):
        await server.start()

"""Bodies that are not whole share a budget: who hoards is refused, all others are served."""

import asyncio

import pytest

from perdure.errors import ResourceExhausted
from perdure.rpc.http.app import HttpApi
from perdure.rpc.http.server import create_app
from perdure.rpc.http.unfinished import Bodies, UnfinishedBodies
from perdure.rpc.transport import Limits

LIMITS = Limits(request_bytes=1_000, unfinished_bytes=100)


class Client:
    """One request. `told` is what the application has read when the body is whole."""

    def __init__(self, app, path="/"):
        self.events = asyncio.Queue()
        self.sent = []
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [],
        }
        self.task = asyncio.ensure_future(app(scope, self.events.get, self._send))

    async def _send(self, message):
        self.sent.append(message)

    async def gives(self, size_bytes, *, more=True):
        self.events.put_nowait({"type": "http.request", "body": b"x" * size_bytes, "more_body": more})
        await settled()

    async def leaves(self):
        self.events.put_nowait({"type": "http.disconnect"})
        await settled()

    @property
    def status(self):
        return self.sent[0]["status"] if self.sent else None

    @property
    def said(self):
        return b"".join(each.get("body", b"") for each in self.sent).decode()


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


async def reading(scope, receive, send):
    """Reads all there is, and does not know of budgets."""
    while (event := await receive())["type"] == "http.request" and event["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"read"})


@pytest.fixture
async def app():
    return UnfinishedBodies(reading, Bodies(LIMITS))


async def test_who_hoards_is_refused_while_it_says_nothing(app) -> None:
    greedy, other = Client(app), Client(app)
    await greedy.gives(90)
    await other.gives(20)
    assert greedy.status == 429 and greedy.said == LIMITS.too_much_unfinished
    assert not greedy.task.cancelled() and greedy.task.exception() is None
    await other.gives(1, more=False)
    assert other.status == 200


async def test_who_has_most_and_wants_more_is_refused(app) -> None:
    greedy, other = Client(app), Client(app)
    await other.gives(20)
    await greedy.gives(81)
    assert greedy.status == 429
    await other.gives(1, more=False)
    assert other.status == 200


@pytest.mark.parametrize("end", ["whole", "gone", "cancelled"])
async def test_what_is_over_is_not_counted(app, end) -> None:
    for _ in range(5):
        client = Client(app)
        await client.gives(90)
        if end == "whole":
            await client.gives(5, more=False)
        elif end == "gone":
            await client.leaves()
        else:
            client.task.cancel()
            await settled()
            assert client.task.cancelled()
        assert client.status != 429
    last = Client(app)
    await last.gives(100)
    await last.gives(0, more=False)
    assert last.status == 200


async def test_a_server_that_stops_refuses_what_is_not_whole() -> None:
    bodies = Bodies(LIMITS)
    app = UnfinishedBodies(reading, bodies)
    silent, whole = Client(app), Client(app)
    await silent.gives(0)
    await whole.gives(9, more=False)
    bodies.stop()
    await settled()
    assert (silent.status, silent.said) == (503, "the server is shutting down")
    assert whole.status == 200
    late = Client(app)
    await late.gives(1)
    assert late.status == 503
    assert not bodies.unfinished


async def test_the_api_says_so_in_its_own_form() -> None:
    app = create_app(HttpApi({}, LIMITS.request_bytes), {}, Bodies(LIMITS))
    path = "/api/v1/namespaces/default/workflows/w"
    greedy, other = Client(app, path), Client(app, path)
    await greedy.gives(90)
    await other.gives(20)
    assert greedy.status == 429 and f'{{"code":8,"message":"{LIMITS.too_much_unfinished}"' in greedy.said
    await other.leaves()


async def test_an_application_may_hear_of_it() -> None:
    heard = []

    async def listening(scope, receive, send):
        try:
            await reading(scope, receive, send)
        except ResourceExhausted as error:
            heard.append(str(error))
            with pytest.raises(ResourceExhausted):
                await receive()

    client = Client(UnfinishedBodies(listening, Bodies(LIMITS)))
    await client.gives(101)
    assert heard == [LIMITS.too_much_unfinished] and client.sent == []

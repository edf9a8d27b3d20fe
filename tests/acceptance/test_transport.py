"""What any transport owes its callers: one suite over every implementation."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import grpc.aio
import pytest
import uvloop
from google.rpc.status_pb2 import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, TrailersReceived
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure

from perdure import errors
from perdure.rpc.transport import MAX_REQUEST_BYTES, TRANSPORTS, Call, Transport, create_transport

ECHO = "/test.v1.Test/Echo"
POLL = "/test.v1.Test/Poll"
FAIL = "/test.v1.Test/Fail"
BUG = "/test.v1.Test/Bug"
STREAM = "/test.v1.Test/Stream"


class Bed:
    """A transport with handlers that show what they got, and clients for it."""

    def __init__(self, name: str) -> None:
        self.polls: list[Call] = []
        self._polled = asyncio.Event()
        self.gone: asyncio.Queue[Call] = asyncio.Queue()
        self.seen: list[Call] = []
        self.refusal: errors.PerdureError = errors.NotFound("nothing")
        self.transport: Transport = create_transport(
            name, {ECHO: self._echo, POLL: self._poll, FAIL: self._fail, BUG: self._bug}, {STREAM: self._stream}
        )
        self._channels: list[grpc.aio.Channel] = []

    async def start(self) -> None:
        self.port = await self.transport.start("127.0.0.1", 0)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        for call in self.polls:
            call.reply(b"")
        await self.transport.stop(5)

    def channel(self, *options: tuple[str, Any]) -> grpc.aio.Channel:
        unbounded = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        alone = (("grpc.use_local_subchannel_pool", 1),)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=unbounded + alone + options)
        self._channels.append(channel)
        return channel

    async def parked(self, count: int) -> list[Call]:
        """The polls, once there are `count` of them."""
        while len(self.polls) < count:
            self._polled.clear()
            await self._polled.wait()
        return self.polls

    def _echo(self, request: bytes, call: Call) -> None:
        self.seen.append(call)
        assert call.reply(request)

    def _poll(self, request: bytes, call: Call) -> None:
        self.polls.append(call)
        call.on_cancel(lambda: self.gone.put_nowait(call))
        self._polled.set()

    def _fail(self, request: bytes, call: Call) -> None:
        call.fail(self.refusal)

    def _bug(self, request: bytes, call: Call) -> None:
        raise ZeroDivisionError

    def _stream(self, message: bytes) -> bytes:
        if message == b"refuse":
            raise errors.InvalidArgument("as you wish: 100 % 'é'")
        if message == b"break":
            raise ZeroDivisionError
        return message * 2


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest.fixture(params=TRANSPORTS)
async def bed(request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    bed = Bed(request.param)
    await bed.start()
    yield bed
    await bed.close()


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def details_of(error: grpc.aio.AioRpcError) -> Status:
    trailers = dict(error.trailing_metadata() or ())
    return Status.FromString(trailers["grpc-status-details-bin"])


def peak_bytes() -> int:
    """The most memory that this process has had at once."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def bomb(size_bytes: int) -> bytes:
    """A gzip stream of a thousandth of the size it inflates to."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(size_bytes >> 20)]) + packer.flush()


class RawClient:
    """One connection that sends what no gRPC library would."""

    async def connect(self, port: int) -> RawClient:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        return self

    def close(self) -> None:
        self._writer.close()

    async def call(self, path: str, body: Iterable[bytes], encoding: str = "identity") -> dict[str, str]:
        """The response's headers and trailers. Stops sending when an answer comes."""
        stream = self._h2.get_next_available_stream_id()
        fields = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": path}
        fields |= {"te": "trailers", "content-type": "application/grpc", "grpc-encoding": encoding}
        self._h2.send_headers(stream, list(fields.items()))
        answer: dict[str, str] = {}
        for piece in body:
            while piece and "grpc-status" not in answer:
                room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
                if room:
                    self._h2.send_data(stream, piece[:room])
                    piece = piece[room:]
                self._writer.write(self._h2.data_to_send())
                await self._receive(answer, wait=not room)
        if "grpc-status" not in answer:
            self._h2.end_stream(stream)
        self._writer.write(self._h2.data_to_send())
        while "grpc-status" not in answer:
            await self._receive(answer, wait=True)
        return answer

    async def _receive(self, answer: dict[str, str], *, wait: bool) -> None:
        if not wait:
            await asyncio.sleep(0)
            if not self._reader._buffer:  # type: ignore[attr-defined]
                return
        data = await self._reader.read(1 << 16)
        assert data, "the server hung up"
        for event in self._h2.receive_data(data):
            if isinstance(event, ResponseReceived | TrailersReceived):
                answer.update(event.headers)


async def test_a_request_comes_back(bed: Bed) -> None:
    echo = bed.channel().unary_unary(ECHO)
    assert await echo(b"hello") == b"hello"
    assert await echo(b"") == b""
    assert bed.seen[0].method == ECHO
    assert bed.seen[0].done
    assert bed.seen[0].reply(b"again") is False


async def test_many_calls_at_once_each_get_their_own_answer(bed: Bed) -> None:
    echo = bed.channel().unary_unary(ECHO)
    answers = await asyncio.gather(*(echo(str(i).encode()) for i in range(500)))
    assert answers == [str(i).encode() for i in range(500)]


async def test_a_request_of_the_largest_size_passes_and_one_byte_more_does_not(bed: Bed) -> None:
    echo = bed.channel().unary_unary(ECHO)
    largest = bytes(MAX_REQUEST_BYTES)
    assert await echo(largest) == largest
    error = await refused(echo(largest + b"\0"))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await echo(b"still here") == b"still here"


async def test_a_reply_may_be_larger_than_a_request(bed: Bed) -> None:
    poll = bed.channel().unary_unary(POLL)(b"")
    (call,) = await bed.parked(1)
    assert call.reply(bytes(10 << 20))
    assert len(await poll) == 10 << 20


async def test_a_request_without_end_is_refused_before_it_fills_the_memory(bed: Bed) -> None:
    client = await RawClient().connect(bed.port)
    before = peak_bytes()
    announced = b"\0" + (1 << 30).to_bytes(4)
    answer = await client.call(ECHO, [announced, *[bytes(1 << 20)] * 1024])
    assert answer["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert peak_bytes() - before < 64 << 20
    client.close()


async def test_a_tiny_request_that_inflates_hugely_is_refused_before_it_fills_the_memory(bed: Bed) -> None:
    client = await RawClient().connect(bed.port)
    packed = bomb(1 << 30)
    assert len(packed) < MAX_REQUEST_BYTES
    before = peak_bytes()
    for _ in range(3):
        answer = await client.call(ECHO, [b"\1" + len(packed).to_bytes(4) + packed], encoding="gzip")
        assert answer["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert peak_bytes() - before < 64 << 20
    client.close()


async def test_refusing_one_large_request_leaves_the_others_of_its_connection_alone(bed: Bed) -> None:
    channel = bed.channel()
    echo = channel.unary_unary(ECHO)
    poll = channel.unary_unary(POLL)(b"")
    (call,) = await bed.parked(1)
    for compression in (None, grpc.Compression.Gzip):
        for _ in range(10):
            error = await refused(echo(bytes(MAX_REQUEST_BYTES * 4), compression=compression))
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await echo(bytes(1 << 20)) == bytes(1 << 20)
    assert call.reply(b"a task")
    assert await poll == b"a task"


async def test_gzip_requests_are_read(bed: Bed) -> None:
    echo = bed.channel().unary_unary(ECHO)
    assert await echo(b"a" * 100_000, compression=grpc.Compression.Gzip) == b"a" * 100_000


async def test_a_compression_we_lack_is_refused(bed: Bed) -> None:
    echo = bed.channel().unary_unary(ECHO)
    error = await refused(echo(b"a" * 100_000, compression=grpc.Compression.Deflate))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED
    assert await echo(b"still here") == b"still here"


async def test_more_polls_than_streams_by_default(bed: Bed) -> None:
    poll = bed.channel().unary_unary(POLL)
    waiting = [asyncio.ensure_future(poll(b"", timeout=60)) for _ in range(3000)]
    calls = await bed.parked(3000)
    for number, call in enumerate(calls):
        assert call.reply(str(number).encode())
    answers = await asyncio.gather(*waiting)
    assert sorted(map(int, answers)) == list(range(3000))


async def test_a_canceled_poll_takes_nothing_more(bed: Bed) -> None:
    poll = bed.channel().unary_unary(POLL)(b"")
    (call,) = await bed.parked(1)
    assert not call.done
    poll.cancel()
    assert await bed.gone.get() is call
    assert call.done
    assert call.reply(b"a task") is False
    late: list[int] = []
    call.on_cancel(lambda: late.append(1))
    assert late, "a callback that comes too late is called at once"


async def test_a_deadline_is_seen_and_ends_the_call(bed: Bed) -> None:
    error = await refused(bed.channel().unary_unary(POLL)(b"", timeout=0.3))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    call = await bed.gone.get()
    assert call.timeout_s is not None and 0 < call.timeout_s < 60, "rounded, and by another clock, but the call's own"
    assert call.reply(b"a task") is False


async def test_no_deadline_is_none(bed: Bed) -> None:
    await bed.channel().unary_unary(ECHO)(b"")
    assert bed.seen[0].timeout_s is None


async def test_a_disconnect_cancels_every_poll_of_the_connection(bed: Bed) -> None:
    channel = bed.channel()
    waiting = [channel.unary_unary(POLL)(b"") for _ in range(20)]
    calls = set(map(id, await bed.parked(20)))
    await channel.close()
    gone = {id(await bed.gone.get()) for _ in range(20)}
    assert gone == calls
    assert not any(call.reply(b"a task") for call in bed.polls)
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_an_answered_call_is_not_canceled(bed: Bed) -> None:
    channel = bed.channel()
    poll = channel.unary_unary(POLL)(b"")
    (call,) = await bed.parked(1)
    assert call.reply(b"a task")
    assert await poll == b"a task"
    await channel.close()
    await bed.channel().unary_unary(ECHO)(b"")
    assert bed.gone.empty()


async def test_metadata_of_both_kinds_arrives(bed: Bed) -> None:
    sent = (("client-name", "temporal-cli"), ("blob-bin", bytes(range(256))))
    await bed.channel().unary_unary(ECHO)(b"", metadata=sent)
    metadata = bed.seen[0].metadata
    assert metadata["client-name"] == "temporal-cli"
    assert metadata["blob-bin"] == bytes(range(256))


async def test_errors_carry_their_typed_details(bed: Bed) -> None:
    bed.refusal = errors.NamespaceNotFound("shop")
    error = await refused(bed.channel().unary_unary(FAIL)(b""))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert error.details() == "Namespace shop is not found."
    status = details_of(error)
    assert (status.code, status.message) == (5, "Namespace shop is not found.")
    detail = NamespaceNotFoundFailure()
    assert status.details[0].Unpack(detail)
    assert detail.namespace == "shop"


@pytest.mark.parametrize("message", ["line\nbreak, 100 %, é, 日本語, \x00 and \x7f", "\ud800 alone", "é" * 100_000])
async def test_any_text_is_safe_in_an_error(bed: Bed, message: str) -> None:
    bed.refusal = errors.NotFound(message)
    channel = bed.channel()
    error = await refused(channel.unary_unary(FAIL)(b""))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert error.details() is not None
    assert error.details()[:8] == message[:8].replace("\ud800", "?")
    assert await channel.unary_unary(ECHO)(b"still here") == b"still here"


async def test_an_error_without_a_type_has_no_details(bed: Bed) -> None:
    bed.refusal = errors.InvalidArgument("WorkflowId is not set on request.")
    error = await refused(bed.channel().unary_unary(FAIL)(b""))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata() or ())


async def test_a_bug_is_an_internal_error_that_tells_nothing(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    error = await refused(bed.channel().unary_unary(BUG)(b""))
    assert error.code() == grpc.StatusCode.INTERNAL
    assert error.details() == "internal error"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/test.v1.Test/Nothing", "unknown method Nothing for service test.v1.Test"),
        ("/other.v1.Other/Echo", "unknown service other.v1.Other"),
        ("/shallow", 'malformed method name: "/shallow"'),
    ],
)
async def test_unknown_methods_are_named(bed: Bed, path: str, words: str) -> None:
    error = await refused(bed.channel().unary_unary(path)(b"request"))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED
    assert error.details() == words


async def test_a_two_way_stream_answers_each_message_while_it_is_open(bed: Bed) -> None:
    stream = bed.channel().stream_stream(STREAM)()
    for message in (b"a", b"", b"x" * 300_000):
        await stream.write(message)
        assert await stream.read() == message * 2
    await stream.done_writing()
    assert await stream.read() == grpc.aio.EOF
    assert await stream.code() == grpc.StatusCode.OK


async def test_a_two_way_stream_reads_gzip(bed: Bed) -> None:
    stream = bed.channel().stream_stream(STREAM)(compression=grpc.Compression.Gzip)
    await stream.write(b"a" * 10_000)
    assert await stream.read() == b"a" * 20_000
    stream.cancel()


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        (b"refuse", grpc.StatusCode.INVALID_ARGUMENT, "as you wish: 100 % 'é'"),
        (b"break", grpc.StatusCode.INTERNAL, "internal error"),
    ],
)
async def test_a_two_way_stream_ends_with_the_error_of_its_responder(
    bed: Bed, message: bytes, code: grpc.StatusCode, words: str
) -> None:
    stream = bed.channel().stream_stream(STREAM)()
    await stream.write(message)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() == code
    assert caught.value.details() == words


async def test_a_two_way_stream_takes_no_larger_messages_than_a_call(bed: Bed) -> None:
    for compression in (None, grpc.Compression.Gzip):
        stream = bed.channel().stream_stream(STREAM)(compression=compression)
        await stream.write(bytes(MAX_REQUEST_BYTES + 1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_pings_without_calls_are_no_offence(bed: Bed) -> None:
    channel = bed.channel(
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )
    poll = channel.unary_unary(POLL)(b"")
    (call,) = await bed.parked(1)
    states: list[Any] = []

    async def watch() -> None:
        state = channel.get_state()
        while True:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
            states.append(state)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(2)
    watching.cancel()
    assert not states, "the server hung up"
    assert call.reply(b"a task")
    assert await poll == b"a task"


async def test_stop_waits_for_open_calls_and_answers_the_rest(bed: Bed) -> None:
    channel = bed.channel()
    quick, slow = channel.unary_unary(POLL)(b""), channel.unary_unary(POLL)(b"")
    calls = await bed.parked(2)
    stopping = asyncio.ensure_future(bed.transport.stop(1))
    await asyncio.sleep(0)
    assert calls[0].reply(b"empty")
    first, second = await asyncio.gather(quick, slow, return_exceptions=True)
    await stopping
    answers = [each for each in (first, second) if isinstance(each, bytes)]
    failures = [each for each in (first, second) if isinstance(each, grpc.aio.AioRpcError)]
    assert answers == [b"empty"]
    assert [each.code() for each in failures] == [grpc.StatusCode.UNAVAILABLE]


async def test_answers_given_just_before_stop_arrive(bed: Bed) -> None:
    poll = bed.channel().unary_unary(POLL)
    waiting = [asyncio.ensure_future(poll(b"", timeout=60)) for _ in range(1000)]
    for call in await bed.parked(1000):
        call.reply(b"empty")
    await bed.transport.stop(5)
    assert set(await asyncio.gather(*waiting)) == {b"empty"}


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_a_port_that_is_taken_is_refused(name: str) -> None:
    first, second = create_transport(name, {}, {}), create_transport(name, {}, {})
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(errors.StartupError, match=f"127.0.0.1:{port}"):
        await second.start("127.0.0.1", port)
    await first.stop(0)


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(errors.StartupError, match="native, grpcio"):
        create_transport("carrier pigeon", {}, {})

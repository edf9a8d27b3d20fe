"""What any transport owes its callers: one suite over every implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import uvloop
from google.rpc.status_pb2 import Status
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from tests.acceptance.transport_bed import BUG, ECHO, FAIL, POLL, STREAM, Bed, beds, refused
from tests.garbage import no_exception_stays

from perdure import errors
from perdure.rpc.transport import TRANSPORTS, create_transport


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest.fixture(params=TRANSPORTS)
async def bed(request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    async with beds(request.param) as make:
        yield await make()


def details_of(error: grpc.aio.AioRpcError) -> Status:
    trailers = dict(error.trailing_metadata() or ())
    return Status.FromString(trailers["grpc-status-details-bin"])


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


async def test_a_reply_may_be_larger_than_a_request(bed: Bed) -> None:
    poll = bed.channel().unary_unary(POLL)(b"")
    (call,) = await bed.parked(1)
    assert call.reply(bytes(10 << 20))
    assert len(await poll) == 10 << 20


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
    error = await refused(bed.channel().unary_unary(POLL)(b"", timeout=2))
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


async def test_no_refusal_stays_in_memory(bed: Bed) -> None:
    channel = bed.channel()
    unary = [channel.unary_unary(path) for path in (FAIL, "/test.v1.Test/Nothing")]
    stream = channel.stream_stream(STREAM)
    async with no_exception_stays():
        codes = [await call(b"").code() for call in unary]
        codes.append(await stream(iter([b"refuse"])).code())
    code = grpc.StatusCode
    assert codes == [code.NOT_FOUND, code.UNIMPLEMENTED, code.INVALID_ARGUMENT]


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


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(errors.StartupError, match="native, grpcio"):
        create_transport("carrier pigeon", {}, {})

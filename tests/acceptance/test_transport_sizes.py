"""What a transport does about requests that are large, or many, or never end."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
import uvloop
from tests.acceptance.transport_bed import ECHO, POLL, STREAM, Make, RawClient, beds, refused

from perdure.rpc.transport import MAX_REQUEST_BYTES, TRANSPORTS, Limits


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest.fixture(params=TRANSPORTS)
async def make_bed(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    async with beds(request.param) as make:
        yield make


def forget_peak() -> None:
    """The most memory that this process has had is from now on what it has now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory that this process has had at once."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def bomb(size_bytes: int) -> bytes:
    """A gzip stream of a thousandth of the size it inflates to."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(size_bytes >> 20)]) + packer.flush()


async def test_a_request_of_the_largest_size_passes_and_one_byte_more_does_not(make_bed: Make) -> None:
    bed = await make_bed()
    echo = bed.channel().unary_unary(ECHO)
    largest = bytes(MAX_REQUEST_BYTES)
    assert await echo(largest) == largest
    error = await refused(echo(largest + b"\0"))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await echo(b"still here") == b"still here"


async def test_a_request_without_end_is_refused_before_it_fills_the_memory(make_bed: Make) -> None:
    bed = await make_bed()
    client = await RawClient().connect(bed.port)
    forget_peak()
    before = peak_bytes()
    announced = b"\0" + (1 << 30).to_bytes(4)
    answer = await client.call(ECHO, [announced, *[bytes(1 << 20)] * 1024])
    assert answer["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert peak_bytes() - before < 64 << 20
    client.close()


async def test_a_tiny_request_that_inflates_hugely_is_refused_before_it_fills_the_memory(make_bed: Make) -> None:
    bed = await make_bed()
    client = await RawClient().connect(bed.port)
    packed = bomb(1 << 30)
    assert len(packed) < MAX_REQUEST_BYTES
    forget_peak()
    before = peak_bytes()
    for _ in range(3):
        answer = await client.call(ECHO, [b"\1" + len(packed).to_bytes(4) + packed], encoding="gzip")
        assert answer["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert peak_bytes() - before < 64 << 20
    client.close()


async def test_requests_held_just_short_of_their_end_do_not_fill_the_memory(make_bed: Make) -> None:
    limits = Limits(unfinished_bytes=32 << 20)
    bed = await make_bed(limits=limits)
    hoarders = [await RawClient().connect(bed.port) for _ in range(2)]
    almost = (b"\0" + MAX_REQUEST_BYTES.to_bytes(4) + bytes(MAX_REQUEST_BYTES))[:-100]
    forget_peak()
    before = peak_bytes()
    streams = [(client, await client.begin(ECHO, almost)) for _ in range(16) for client in hoarders]
    assert peak_bytes() - before < 80 << 20, "of 128 MiB that were tried"
    large = [bytes([number]) * (2 << 20) for number in range(4)]
    echo = bed.channel().unary_unary(ECHO)
    assert await asyncio.gather(*map(echo, large)) == large
    assert await echo(b"a small one") == b"a small one"
    words = {await client.refusal(stream) for client, stream in streams[16:]}
    assert words == {limits.too_much_unfinished}
    for client in hoarders:
        answer = await client.call(ECHO, [b"\0" + (3).to_bytes(4) + b"yes"])
        assert answer["grpc-status"] == "0", "the connection goes on"
        client.close()


async def test_the_largest_size_is_a_setting(make_bed: Make) -> None:
    bed = await make_bed(limits=Limits.of(1000))
    echo = bed.channel().unary_unary(ECHO)
    assert await echo(bytes(1000)) == bytes(1000)
    for compression in (None, grpc.Compression.Gzip):
        error = await refused(echo(bytes(100_000), compression=compression))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in (error.details() or "")
        stream = bed.channel().stream_stream(STREAM)(compression=compression)
        await stream.write(bytes(100_000))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    larger = await make_bed(limits=Limits.of(MAX_REQUEST_BYTES * 2))
    body = bytes(MAX_REQUEST_BYTES * 2)
    assert await larger.channel().unary_unary(ECHO)(body) == body


async def test_refusing_one_large_request_leaves_the_others_of_its_connection_alone(make_bed: Make) -> None:
    bed = await make_bed()
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


async def test_a_two_way_stream_takes_no_larger_messages_than_a_call(make_bed: Make) -> None:
    bed = await make_bed()
    for compression in (None, grpc.Compression.Gzip):
        stream = bed.channel().stream_stream(STREAM)(compression=compression)
        await stream.write(bytes(MAX_REQUEST_BYTES + 1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

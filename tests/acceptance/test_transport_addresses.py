"""Where a transport listens, and what is said where it can't."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import grpc.aio
import pytest
import uvloop
from tests.acceptance.transport_bed import ECHO, Make, beds

from perdure import errors
from perdure.config import address
from perdure.rpc.transport import TRANSPORTS, create_transport


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest.fixture(params=TRANSPORTS)
async def make_bed(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    async with beds(request.param) as make:
        yield make


def needs_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_ipv6_is_served(make_bed: Make) -> None:
    needs_ipv6()
    bed = await make_bed(host="::1")
    assert await bed.channel().unary_unary(ECHO)(b"hello") == b"hello"


async def test_a_name_with_several_addresses_is_one_port(make_bed: Make) -> None:
    needs_ipv6()
    bed = await make_bed(host="localhost")
    families = {(each[0], each[4][0]) for each in socket.getaddrinfo("localhost", bed.port, type=socket.SOCK_STREAM)}
    for _, host in families:
        async with grpc.aio.insecure_channel(address(host, bed.port)) as channel:
            assert await channel.unary_unary(ECHO)(b"hello") == b"hello"


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_a_port_that_is_taken_is_refused(name: str) -> None:
    first, second = create_transport(name, {}, {}), create_transport(name, {}, {})
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(errors.StartupError) as refusal:
        await second.start("127.0.0.1", port)
    assert refusal.value.message == (
        f"Can't listen on 127.0.0.1:{port}, another program has the port: stop it "
        f"(`ss -ltnp 'sport = :{port}'` or `lsof -i :{port}` shows which) or give another port, or 0 for any free one."
    )
    await first.stop(0)


@pytest.mark.parametrize("name", TRANSPORTS)
@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("192.0.2.1", "Can't listen on 192.0.2.1:0, no interface of this machine has that address: give another host."),
        ("no such name", "Can't listen on no such name:0, that name has no address: give an address of this machine"),
        ("2001:db8::1", "Can't listen on [2001:db8::1]:0, no interface of this machine has that address"),
    ],
)
async def test_an_address_that_is_not_ours_is_refused(name: str, host: str, words: str) -> None:
    with pytest.raises(errors.StartupError) as refusal:
        await create_transport(name, {}, {}).start(host, 0)
    assert refusal.value.message.startswith(words)

"""Listening sockets, as asyncio and uvloop take them."""

import asyncio
import socket

import pytest

from perdure.rpc.transport.listen import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_small_writes_leave_at_once(host) -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def answer(_reader, writer) -> None:
        connection = writer.get_extra_info("socket")
        accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listeners = listen(host, 0, "port")
    server = await asyncio.start_server(answer, sock=listeners[0])
    async with server:
        _, writer = await asyncio.open_connection(*listeners[0].getsockname()[:2])
        assert await accepted
        writer.close()
    for listener in listeners:
        listener.close()

"""A conversation with a server of ours."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest_asyncio
from tests.rpc.http.conversation import Conversation

from perdure.server import Server


@pytest_asyncio.fixture
async def talk() -> AsyncIterator[Conversation]:
    async with Server(http_port=0) as server:
        assert server.http_port is not None
        yield Conversation("127.0.0.1", server.http_port, server.port, secrets.token_hex(6))

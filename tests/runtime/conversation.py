"""A server in this process and the conformance driver that speaks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.api.enums.v1 import EventType
from tests.conformance.driver import Driver, connect

from perdure.server import Server


@asynccontextmanager
async def conversation(server: Server | None = None, **options: Any) -> AsyncIterator[Driver]:
    """A driver connected to `server`, or to one in memory made with `options`, for as long as the block lasts."""
    async with server or Server(**options) as running, connect(running.address) as channel:
        yield Driver(channel)


def types(events: Any) -> list[str]:
    """The types of events (or of the reply that has them), without their prefix."""
    events = events.history.events if hasattr(events, "history") else events
    return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events]


def ids(reply: Any) -> list[int]:
    """The ids of the events of a reply."""
    return [event.event_id for event in reply.history.events]

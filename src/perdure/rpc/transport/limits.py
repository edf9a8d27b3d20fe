"""What a transport takes: the size of one request, and how much of all that are not whole yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, Self

from perdure.config import MAX_REQUEST_BYTES, MIB

MAX_UNFINISHED_BYTES: Final = 128 * MIB
"""Of requests that have begun to come and are not whole, on all connections together: 32 of the largest at once."""

UNFINISHED_REQUESTS: Final = 32
"""Where the limit of one request is raised, the other is raised to have room for as many."""

STREAM_BYTES: Final = 13 << 10
"""What the front has to keep of a stream with headers alone, beside the headers as they were sent."""

INFLATER_BYTES: Final = 48 << 10
"""What zlib has to keep to inflate one stream."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes. Replies have no limit."""

    request_bytes: int = MAX_REQUEST_BYTES
    """The largest request, after decompression."""
    unfinished_bytes: int = MAX_UNFINISHED_BYTES

    @classmethod
    def of(cls, request_bytes: int) -> Self:
        return cls(request_bytes, max(MAX_UNFINISHED_BYTES, UNFINISHED_REQUESTS * request_bytes))

    def too_large(self, size_bytes: int) -> str:
        """The real server's words for a request over the limit."""
        return f"grpc: received message larger than max ({size_bytes} vs. {self.request_bytes})"

    @property
    def too_large_inflated(self) -> str:
        """The same of a request that is over the limit only without its compression."""
        return f"grpc: received message after decompression larger than max {self.request_bytes}"

    @property
    def too_much_unfinished(self) -> str:
        """SDKs try again after this: it must not look like the words for a request that will never pass."""
        return f"requests under way fill the {self.unfinished_bytes} bytes kept for them: send fewer large ones at once"


class Holder(Protocol):
    """A connection with unfinished requests."""

    unfinished_bytes: int

    def evict(self) -> None:
        """Refuse requests until it has less. The connection may be closed instead."""


class Budget:
    """The bytes of unfinished requests on all connections. Over the limit, whoever has most gives: one that hoards is
    refused, even while it says nothing, and the others are served."""

    __slots__ = ("bytes", "holders", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self.holders: set[Holder] = set()

    def make_room(self, wanting: Holder) -> bool:
        """Evict until the limit is kept; False if `wanting` itself has the most and has to be refused."""
        while self.bytes > self.limit_bytes:
            greediest = max(self.holders, key=lambda each: each.unfinished_bytes)
            if greediest is wanting:
                return False
            greediest.evict()
        return True

"""The workers that tell of themselves: who sent a heartbeat lately.

A registry in memory, as in the real server: after a restart it fills again with the next heartbeats. A worker is
forgotten when it says that it has shut down, or when nothing was heard of it for a while.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat

from perdure.clock import Clock
from perdure.config import MIB

MAX_BYTES: Final = 32 * MIB
"""Of all heartbeats together; an ordinary one has about one KiB."""


class Workers:
    """The last heartbeat of each worker by namespace id and worker instance key.

    `ttl_s`: how long a worker is known after its last heartbeat. `max_entries`, `max_bytes`: of more, those that were
    heard of longest ago are forgotten. Heartbeats are kept serialized: a message would hold the whole request that it
    came with, and many times its size if it has many parts.
    """

    def __init__(self, clock: Clock, *, ttl_s: float, max_entries: int, max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self._ttl_ns = int(ttl_s * 1e9)
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._heard: OrderedDict[tuple[str, str], tuple[int, bytes]] = OrderedDict()
        self.size_bytes = 0
        """Of what is kept."""

    def record(self, namespace_id: str, heartbeats: Iterable[WorkerHeartbeat]) -> None:
        """Take note of heartbeats. One that says that its worker has shut down removes it."""
        now_ns = self._clock.now_ns()
        for heartbeat in heartbeats:
            key = (namespace_id, heartbeat.worker_instance_key)
            if key in self._heard:
                self._forget(key)
            if heartbeat.status != WorkerStatus.WORKER_STATUS_SHUTDOWN:
                data = heartbeat.SerializeToString()
                self._heard[key] = (now_ns, data)
                self.size_bytes += _size_bytes(key, data)
        while len(self._heard) > self._max_entries or self.size_bytes > self._max_bytes:
            self._forget(next(iter(self._heard)))

    def find(self, namespace_id: str, key: str) -> WorkerHeartbeat | None:
        """The last heartbeat of a worker by its instance key."""
        self._expire()
        found = self._heard.get((namespace_id, key))
        return WorkerHeartbeat.FromString(found[1]) if found is not None else None

    def of_namespace(self, namespace_id: str, after: str = "") -> Iterator[WorkerHeartbeat]:
        """The workers of a namespace whose instance keys come after one, by these; each is read when its turn comes."""
        self._expire()
        mine = (key for owner, key in self._heard if owner == namespace_id and (not after or key > after))
        for key in sorted(mine):
            yield WorkerHeartbeat.FromString(self._heard[namespace_id, key][1])

    def _expire(self) -> None:
        oldest_ns = self._clock.now_ns() - self._ttl_ns
        while self._heard:
            key, (heard_ns, _) = next(iter(self._heard.items()))
            if heard_ns >= oldest_ns:
                return
            self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        _, data = self._heard.pop(key)
        self.size_bytes -= _size_bytes(key, data)


def _size_bytes(key: tuple[str, str], data: bytes) -> int:
    return sys.getsizeof(key[1]) + len(data)

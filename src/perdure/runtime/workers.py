"""The workers that tell of themselves: who sent a heartbeat lately.

A registry in memory, as in the real server: after a restart it fills again with the next heartbeats. A worker is
forgotten when it says that it has shut down, or when nothing was heard of it for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat

from perdure.clock import Clock


class Workers:
    """The last heartbeat of each worker by namespace id and worker instance key.

    `ttl_s`: how long a worker is known after its last heartbeat. `max_entries`: of more workers, those that were heard
    of longest ago are forgotten.
    """

    def __init__(self, clock: Clock, *, ttl_s: float, max_entries: int) -> None:
        self._clock = clock
        self._ttl_ns = int(ttl_s * 1e9)
        self._max_entries = max_entries
        self._heard: OrderedDict[tuple[str, str], tuple[int, WorkerHeartbeat]] = OrderedDict()

    def record(self, namespace_id: str, heartbeats: Iterable[WorkerHeartbeat]) -> None:
        """Take note of heartbeats. One that says that its worker has shut down removes it."""
        now_ns = self._clock.now_ns()
        for heartbeat in heartbeats:
            key = (namespace_id, heartbeat.worker_instance_key)
            self._heard.pop(key, None)
            if heartbeat.status != WorkerStatus.WORKER_STATUS_SHUTDOWN:
                self._heard[key] = (now_ns, heartbeat)
        while len(self._heard) > self._max_entries:
            self._heard.popitem(last=False)

    def find(self, namespace_id: str, key: str) -> WorkerHeartbeat | None:
        """The last heartbeat of a worker by its instance key."""
        self._expire()
        found = self._heard.get((namespace_id, key))
        return found[1] if found is not None else None

    def of_namespace(self, namespace_id: str) -> Iterator[WorkerHeartbeat]:
        """All workers of a namespace, by their instance keys."""
        self._expire()
        for (owner, _), (_, heartbeat) in sorted(self._heard.items(), key=lambda entry: entry[0]):
            if owner == namespace_id:
                yield heartbeat

    def _expire(self) -> None:
        oldest_ns = self._clock.now_ns() - self._ttl_ns
        while self._heard:
            key, (heard_ns, _) = next(iter(self._heard.items()))
            if heard_ns >= oldest_ns:
                return
            del self._heard[key]

"""Retention: closed runs are deleted once their namespace's retention has passed.

Storage knows the closed runs of a namespace in the order of their ends, so there is one moment to wait for: that of the
run that ended first. Each namespace costs one look into an index when that moment comes, and nothing before.
"""

from __future__ import annotations

import asyncio
import logging

from perdure.clock import Timer
from perdure.engine.entity import spaces
from perdure.runtime.executor import Executor
from perdure.runtime.follow_ups import owes
from perdure.runtime.namespaces import Namespace, Namespaces
from perdure.storage.base import ClosedRun

log = logging.getLogger(__name__)

MAX_AT_ONCE = 100
"""Runs that are deleted before other changes get a turn."""
RETRY_NS = 60 * 1_000_000_000
"""When to look again at a run that still owes something to its parent or children, or after a failure."""
NEVER_NS = 1 << 62


class Retention:
    """Deletes what is due, one step at a time; see the module's text."""

    def __init__(self, executor: Executor, namespaces: Namespaces) -> None:
        self._executor = executor
        self._namespaces = namespaces
        self._wake = asyncio.Event()
        self._alarm: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self.sweeps = 0
        """How many times everything that was due has been deleted."""

    def start(self) -> None:
        self._namespaces.changed = self._wake.set
        self._task = asyncio.get_running_loop().create_task(self._run(), name="retention")

    async def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                due_ns = await self._sweep()
            except Exception:
                log.exception("closed runs could not be deleted; trying again later")
                due_ns = self._executor.now_ns() + RETRY_NS
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._executor.clock.call_at(due_ns, self._wake.set) if due_ns < NEVER_NS else None
            self.sweeps += 1
            await self._wake.wait()

    async def _sweep(self) -> int:
        """Delete what is due. Returns when to look again."""
        return min([await self._sweep_namespace(namespace) for namespace in self._namespaces], default=NEVER_NS)

    async def _sweep_namespace(self, namespace: Namespace) -> int:
        if namespace.retention_ns <= 0:
            return NEVER_NS
        return min([await self._sweep_space(space, namespace.retention_ns) for space in spaces(namespace.id)])

    async def _sweep_space(self, space: str, retention_ns: int) -> int:
        executor = self._executor
        # What closes from now on can't be due before this.
        again_ns = executor.now_ns() + retention_ns
        after: ClosedRun | None = None
        while True:
            page = await executor.storage.closed(space, after, MAX_AT_ONCE)
            for after in page:
                due_ns = after.close_ns + retention_ns
                if due_ns > executor.now_ns():
                    return min(again_ns, due_ns)
                if not await self._delete(after.run_key):
                    again_ns = min(again_ns, executor.now_ns() + RETRY_NS)
            if len(page) < MAX_AT_ONCE:
                return again_ns
            await executor.flushed()

    async def _delete(self, run_key: int) -> bool:
        """False if the run has to stay for a while."""
        run = await self._executor.by_key(run_key)
        if run is None:
            return True
        if owes(run):
            return False
        await self._executor.delete(run)
        return True

"""Retention: closed runs are deleted once their namespace's retention has passed.

Storage knows the closed runs of a namespace in the order of their ends, so there is one moment to wait for: that of the
run that ended first. Each namespace costs one look into an index when that moment comes, and nothing before.

A run that skipped time says that it ended later than it did. Such runs are held in memory until they go; a start reads
those whose end is still to come, and the others are kept until their own time has come.
"""

from __future__ import annotations

import asyncio
import logging

from perdure.clock import Timer
from perdure.engine.entity import spaces
from perdure.errors import DataLoss
from perdure.runtime.executor import Executor
from perdure.runtime.follow_ups import owes
from perdure.runtime.namespaces import Namespace, Namespaces
from perdure.runtime.run import Run
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
        self._ahead: dict[int, tuple[str, int]] = {}
        """Of runs that skipped time, by run key: the namespace id, and when they ended by the namespace's time."""
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

    def closed(self, run: Run) -> None:
        """The run has ended."""
        core = run.core
        if core.offset_ns:
            self._ahead[run.run_key] = (core.namespace_id, core.close_ns - core.offset_ns)

    async def _run(self) -> None:
        await self._read_ahead()
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
        dues = [await self._sweep_namespace(namespace) for namespace in self._namespaces]
        return min([*dues, await self._sweep_ahead()])

    async def _read_ahead(self) -> None:
        executor = self._executor
        for namespace in list(self._namespaces):
            after: ClosedRun | None = ClosedRun(executor.now_ns(), 0, 0)
            while page := await executor.storage.closed(namespace.id, after, MAX_AT_ONCE):
                for after in page:
                    run = await self._find(after.run_key)
                    if run is not None:
                        self.closed(run)

    async def _sweep_ahead(self) -> int:
        executor = self._executor
        retentions = {namespace.id: namespace.retention_ns for namespace in self._namespaces}
        again_ns = NEVER_NS
        for run_key, (namespace_id, close_ns) in list(self._ahead.items()):
            retention_ns = retentions.get(namespace_id, 0)
            if retention_ns <= 0:
                continue
            due_ns = close_ns + retention_ns
            if due_ns > executor.now_ns():
                again_ns = min(again_ns, due_ns)
            elif await self._delete(run_key):
                del self._ahead[run_key]
            else:
                again_ns = min(again_ns, executor.now_ns() + RETRY_NS)
        await executor.flushed()
        return again_ns

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
        run = await self._find(run_key)
        if run is None:
            return True
        if owes(run):
            return False
        await self._executor.delete(run)
        return True

    async def _find(self, run_key: int) -> Run | None:
        """None as well for one that can't be read: it stays, and the others go."""
        try:
            return await self._executor.by_key(run_key)
        except DataLoss as error:
            log.error("a closed run can't be deleted: %s", error)
            return None

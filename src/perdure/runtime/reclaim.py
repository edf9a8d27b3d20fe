"""What is left of a deleted namespace is taken away here, a few runs at a time.

A namespace that is deleted has a new name and the time of its removal; that is durable before anything else happens, so
after a restart the work goes on. Open runs are terminated first, so that parents and children in other namespaces get
to know, and a closed run waits until it owes nobody a report. The namespace itself goes last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from perdure.clock import SECOND_NS
from perdure.engine import inputs
from perdure.engine.entity import is_entity, spaces
from perdure.engine.machines.workflow_task import HISTORY_SERVICE
from perdure.errors import DataLoss, PerdureError
from perdure.runtime.executor import Executor
from perdure.runtime.follow_ups import owes
from perdure.runtime.run import Run
from perdure.storage.base import VisibilityRow

log = logging.getLogger(__name__)

STEP_RUNS = 50
"""Runs in one step: what others may have to wait for."""
PAUSE_NS = SECOND_NS
"""Until the next step when one failed or could do nothing."""
PATIENCE_NS = 60 * SECOND_NS
"""How long a closed run is kept for what it owes to others."""
REASON = "the namespace is deleted"


class Reclaimer:
    """Belongs to one event loop. `start` goes on with what was not finished when the server stopped."""

    def __init__(self, executor: Executor, forget: Callable[[str], None]) -> None:
        """`forget(namespace id)` is called in the batch that removes a namespace."""
        self._executor = executor
        self._forget = forget
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        for namespace in self._executor.namespaces:
            if namespace.removal_ns:
                self.reclaim(namespace.id)

    def reclaim(self, namespace_id: str) -> None:
        """Begin to take away a deleted namespace. No effect while that is under way."""
        if namespace_id in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(self._reclaim(namespace_id), name=f"reclaim {namespace_id}")
        self._tasks[namespace_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(namespace_id, None))

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reclaim(self, namespace_id: str) -> None:
        executor = self._executor
        while True:
            try:
                left, changed = await self._step(namespace_id)
                if not left:
                    break
            except PerdureError as error:
                log.warning("a deleted namespace could not be reclaimed; trying again: %s", error)
                changed = 0
            except Exception:
                log.exception("a deleted namespace could not be reclaimed; trying again")
                changed = 0
            if not changed:
                await self._wait_until(executor.now_ns() + PAUSE_NS)
        await self._remove(namespace_id)

    async def _step(self, namespace_id: str) -> tuple[int, int]:
        """Returns how many runs it looked at, and how many of them it terminated or deleted."""
        executor = self._executor
        await executor.flushed()
        rows: list[tuple[int, VisibilityRow]] = []
        for space in spaces(namespace_id):
            rows += await executor.storage.list_visibility(space, "", (), "", STEP_RUNS - len(rows))
        changed = 0
        for run_key, _ in rows:
            try:
                run = await executor.by_key(run_key)
                if run is not None and not run.deleted:
                    changed += await self._take_away(run)
            except DataLoss as error:  # it stays, and the others go
                log.error("a run of a deleted namespace can't be reclaimed: %s", error)
        await executor.flushed()
        return len(rows), changed

    async def _take_away(self, run: Run) -> bool:
        executor = self._executor
        if run.execution.running and not is_entity(run.execution):
            executor.apply(run, inputs.TerminateWorkflow(reason=REASON, identity=HISTORY_SERVICE))
            return True
        core = run.core
        if owes(run) and executor.now_ns(core.namespace_id) < core.close_ns - core.offset_ns + PATIENCE_NS:
            return False
        await executor.delete(run)
        return True

    async def _remove(self, namespace_id: str) -> None:
        executor = self._executor
        namespace = executor.namespaces.by_id(namespace_id)
        await self._wait_until(namespace.removal_ns)
        while True:
            executor.namespaces.remove(executor, namespace_id)
            self._forget(namespace_id)
            try:
                await executor.flushed()
                return
            except PerdureError as error:
                log.warning("a deleted namespace could not be removed; trying again: %s", error)
                await self._wait_until(executor.now_ns() + PAUSE_NS)

    async def _wait_until(self, due_ns: int) -> None:
        """By the server's clock."""
        come = asyncio.Event()
        timer = self._executor.clock.call_at(due_ns, come.set)
        try:
            await come.wait()
        finally:
            timer.cancel()

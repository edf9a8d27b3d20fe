"""Sticky queues, whose tasks only one worker gets: when that worker is away, they go to the normal queue."""

from __future__ import annotations

import asyncio
import logging

from perdure.clock import SECOND_NS
from perdure.engine import inputs
from perdure.engine.execution import WorkflowTask
from perdure.errors import NotFound, Unavailable
from perdure.runtime.executor import Executor
from perdure.runtime.matching import Matching
from perdure.runtime.run import Run
from perdure.storage.base import ReadyItem

log = logging.getLogger(__name__)

RECONNECT_NS = SECOND_NS
"""After the server's start, how long workers have to poll their sticky queues again."""
PAGE = 200


class StickyQueues:
    """Belongs to one event loop."""

    def __init__(self, executor: Executor, matching: Matching) -> None:
        self._executor = executor
        self._matching = matching
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at the tasks that were waiting when the server stopped, once their workers had time to come back."""
        self._task = asyncio.get_running_loop().create_task(self._look_through(), name="sticky queues")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def leave(self, run: Run, task: WorkflowTask) -> bool:
        """Let a task that waits for a worker that is away go to the normal queue. False if that is not so."""
        if self._matching.is_polled(str(task.queue)):
            return False
        try:
            self._executor.apply(run, inputs.LeaveStickyQueue())
        except (NotFound, Unavailable):
            return False
        except Exception:
            log.exception("a task of a sticky queue could not leave it; it waits until its time is over")
            return False
        return True

    async def _look_through(self) -> None:
        executor = self._executor
        started = asyncio.Event()
        timer = executor.clock.call_at(executor.now_ns() + RECONNECT_NS, started.set)
        try:
            await started.wait()
            for queue in await executor.storage.ready_queues():
                await self._look_at(queue)
        except Exception:
            log.exception("tasks of sticky queues could not be looked at; each waits until its time is over")
        finally:
            timer.cancel()

    async def _look_at(self, queue: str) -> None:
        """A queue is sticky with all its tasks or with none."""
        after: ReadyItem | None = None
        while not self._matching.is_polled(queue):
            page = await self._executor.storage.ready(queue, after, PAGE)
            for after in page:
                run = await self._executor.by_key(after.run_key)
                task = run.execution.pending_workflow_task if run is not None else None
                if run is None or task is None or task.queue != queue:
                    continue
                if not task.sticky or not self.leave(run, task):
                    return
            if len(page) < PAGE:
                return

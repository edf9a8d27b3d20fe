"""Those who wait for updates.

What an update is stands in the run (`perdure.engine.machines.update`). Here is who waits for it, for as long as they
do: a decision that changes the update tells them once it is durable.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from temporalio.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage as Stage
from temporalio.api.history.v1 import History
from temporalio.api.update.v1 import Outcome

from perdure.engine.execution import Kind, Update, UpdateState
from perdure.engine.machines.update import closed_outcome
from perdure.engine.transition import Decision, UpdateResult
from perdure.errors import DeadlineExceeded, Internal, PerdureError, Unavailable
from perdure.runtime import history
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

ADMITTED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED
ACCEPTED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
COMPLETED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
ABORTED = "workflow update was aborted"


@dataclass(frozen=True, slots=True)
class Status:
    """How far an update is. Only a completed one has an outcome; that of a rejected one is its failure."""

    stage: Stage.ValueType
    outcome: Outcome | None = None


class Waiter:
    """One call that waits for an update of a run. Make it where the update was found, with no await in between.

    Once it is made, no result of the update passes it by. `close` it at the end."""

    def __init__(self, updates: Updates, run: Run, update: Update) -> None:
        self._updates = updates
        self._run = run
        self._update_id = update.update_id
        self._accepted = update.state >= UpdateState.ACCEPTED
        self._outcome: Outcome | None = None
        self._error: PerdureError | None = None
        self._completed_event_id = update.completed_event_id
        if update.state == UpdateState.ACCEPTED and not run.execution.running:
            self._outcome = closed_outcome()
        self._changed: asyncio.Future[None] | None = None
        self._stop = run.on_change(self._wake)
        run.waiters.setdefault(self._update_id, []).append(self)
        updates.waiting.add(self)

    def close(self) -> None:
        self._stop()
        self._updates.waiting.discard(self)
        mine = self._run.waiters[self._update_id]
        mine.remove(self)
        if not mine:
            del self._run.waiters[self._update_id]

    def tell(self, result: UpdateResult) -> None:
        """A decision about the update is durable."""
        self._accepted = self._accepted or result.accepted
        self._outcome = result.outcome if result.outcome is not None else self._outcome
        self._error = result.error if result.error is not None else self._error

    def abort(self, error: PerdureError) -> None:
        """Nothing more will be known here."""
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def wait(self, stage: int, patience_s: float, timeout_s: float | None) -> Status:
        """Until the update has reached `stage`, or for `patience_s`: then how far it is. 0 or ADMITTED: now.

        Raises what ended the update, or `DeadlineExceeded` after `timeout_s`, the caller's own limit."""
        await self._load()
        core = self._run.core
        what = (core.workflow_id, core.first_run_id, self._update_id)
        release = self._updates.time.wait(core.namespace_id, lambda: self._answered(stage), what, self.abort)
        try:
            return await self._wait(stage, patience_s, timeout_s)
        finally:
            release()

    async def _wait(self, stage: int, patience_s: float, timeout_s: float | None) -> Status:
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit_s = patience_s if timeout_s is None else min(patience_s, timeout_s)
        while (status := self._reached(stage)) is None:
            if self._run.lost:
                raise Unavailable(ABORTED)
            left_s = began + limit_s - loop.time()
            if left_s <= 0:
                if timeout_s is not None and timeout_s <= patience_s:
                    raise DeadlineExceeded("context deadline exceeded")
                return Status(ACCEPTED if self._accepted else ADMITTED)
            self._changed = loop.create_future()
            timer = loop.call_later(left_s, self._wake)
            try:
                await self._changed
            finally:
                timer.cancel()
        return status

    def _reached(self, stage: int) -> Status | None:
        if self._outcome is not None:
            return Status(COMPLETED, self._outcome)
        if self._accepted and stage != COMPLETED:
            return Status(ACCEPTED)
        if self._error is not None:
            raise self._error
        return Status(ADMITTED) if stage in (0, ADMITTED) else None

    def _answered(self, stage: int) -> bool:
        return self._error is not None or self._reached(stage) is not None

    async def _load(self) -> None:
        """Read the outcome of an update that was complete when it was found."""
        run, event_id = self._run, self._completed_event_id
        await self._updates.executor.settled(run)
        if not event_id or self._outcome is not None:
            return
        page = await history.read(self._updates.executor, run, event_id, event_id + 1, 1)
        for event in History.FromString(page.data).events:
            if event.event_id == event_id:
                self._outcome = event.workflow_execution_update_completed_event_attributes.outcome
                return
        raise Internal("event pointer does not reference an update completed event")


class Updates:
    """See the module's text."""

    def __init__(self, runtime: Runtime) -> None:
        self.executor = runtime.executor
        self.time = runtime.time
        self.waiting: set[Waiter] = set()
        runtime.published = self._published

    def find(self, run: Run, update_id: str) -> Update | None:
        """An update of a run, as memory knows it."""
        return run.execution.pending[Kind.UPDATE].get(update_id)

    def _published(self, run: Run, decision: Decision) -> None:
        for update_id, result in decision.updates.items():
            for waiter in run.waiters.get(update_id, ()):
                waiter.tell(result)

    def release_all(self) -> None:
        """The server stops: those who wait are told to try again."""
        for waiter in list(self.waiting):
            waiter.abort(Unavailable(ABORTED))

"""What schedules do to workflows: start them, stop them, and hear of their ends.

Each is a pending item that is due at once, of the schedule or of the workflow that ends. It is acted on and taken off
in one batch, so no action is taken twice or never, whatever crashes when.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.schedule.v1 import Schedule
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.engine import inputs
from perdure.engine.entity import of_type, register, space
from perdure.engine.execution import Key, Kind, Scheduled
from perdure.engine.machines.workflow import Cancel, StartOptions
from perdure.engine.schedule.inputs import ActionClosed, ActionFailed, ActionStarted
from perdure.engine.schedule.rules import SCHEDULES
from perdure.engine.schedule.shown import identity, start_request
from perdure.engine.schedule.state import Definition, ScheduleCore
from perdure.engine.start import resolve
from perdure.errors import (
    FailedPrecondition,
    InvalidArgument,
    NamespaceNotFound,
    NotFound,
    PerdureError,
    Unimplemented,
    WorkflowExecutionAlreadyStarted,
)
from perdure.runtime.executor import Executor
from perdure.runtime.run import Run

register(SCHEDULES)

KINDS = frozenset({Kind.SCHEDULE_START, Kind.SCHEDULE_STOP, Kind.SCHEDULED})
CANCELLED = "cancelled by schedule overlap policy"
TERMINATED = "terminated by schedule overlap policy"

_FINAL = (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
    WorkflowExecutionAlreadyStarted,
)
"""Why a start is given up; what else keeps it from happening passes, and it is tried again."""


def core_of(run: Run) -> ScheduleCore:
    return of_type(run.core, ScheduleCore)


def definition_of(run: Run) -> Schedule:
    """Specification, action and policies of a schedule."""
    definition: Definition = run.execution.pending[Kind.SCHEDULE][""]
    return Schedule.FromString(definition.schedule)


class Schedules:
    """Acts on the items of `KINDS`. Errors that pass are raised, and the item is acted on again later."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.check_start: Callable[[StartWorkflowExecutionRequest], None] = lambda request: None
        """What the edge does to every request that starts a workflow: raises for a bad one, fills in defaults."""

    async def find(self, namespace_id: str, schedule_id: str) -> Run | None:
        """The newest schedule of that id, over or not."""
        return await self._executor.find_current(space(namespace_id, ScheduleCore.division), schedule_id)

    async def act(self, run: Run, kind: int, key: Key) -> None:
        """Do what the pending item asks for, if it still does."""
        release = run.hold()
        try:
            item = run.execution.pending[Kind(kind)].get(key)
            if item is None or item.due_ns is None:
                return
            if kind == Kind.SCHEDULE_START:
                await self._start(run, int(key), item)
            elif kind == Kind.SCHEDULE_STOP:
                await self._stop(run, key, item)
            else:
                await self._report(run, item)
        finally:
            release()

    def _still(self, run: Run, kind: Kind, key: Key) -> bool:
        return not run.lost and key in run.execution.pending[kind]

    async def _start(self, run: Run, key: int, item: Any) -> None:
        executor, core = self._executor, core_of(run)
        request = start_request(core, definition_of(run), item, executor.ids.uuid())
        with ExitStack() as both:
            try:
                namespace = executor.namespaces.living(core.namespace_id)
                request.namespace = namespace.name
                self.check_start(request)
                current = await executor.find_current(namespace.id, request.workflow_id)
                if not self._still(run, Kind.SCHEDULE_START, key):
                    return
                resolve(
                    current.core if current is not None else None,
                    request.workflow_id_reuse_policy,
                    WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
                    executor.now_ns(namespace.id),
                    executor.config,
                )
                options = _options(core, request, single=item.single, run_id=executor.ids.uuid())
                both.enter_context(executor.together())
                started = executor.start(namespace, request, options)
            except PerdureError as error:
                if not isinstance(error, _FINAL):
                    raise
                if self._still(run, Kind.SCHEDULE_START, key):
                    executor.apply(run, ActionFailed(key))
                return
            executor.apply(run, ActionStarted(key, request.workflow_id, started.core.run_id))

    async def _stop(self, run: Run, key: Key, item: Any) -> None:
        executor, core = self._executor, core_of(run)
        target = await executor.find_current(core.namespace_id, item.workflow_id)
        if not self._still(run, Kind.SCHEDULE_STOP, key):
            return
        with executor.together():
            if target is not None and target.execution.running and target.core.first_run_id == item.run_id:
                if item.terminate:
                    executor.apply(target, inputs.TerminateWorkflow(reason=TERMINATED, identity=identity(core)))
                else:
                    cancel = Cancel(reason=CANCELLED, identity=identity(core), request_id=executor.ids.uuid())
                    executor.apply(target, inputs.CancelWorkflow(cancel))
            executor.apply(run, inputs.Settled(Kind.SCHEDULE_STOP, key))

    async def _report(self, run: Run, item: Scheduled) -> None:
        executor, core = self._executor, run.core
        try:
            namespace_id = executor.namespaces.living(core.namespace_id).id
            schedule = await self.find(namespace_id, item.schedule_id)
        except NamespaceNotFound:
            schedule = None
        if not self._still(run, Kind.SCHEDULED, ""):
            return
        with executor.together():
            if schedule is not None:
                event = HistoryEvent.FromString(item.close_event)
                report = ActionClosed(core.workflow_id, core.first_run_id, core.status, event)
                # A schedule that is over needs no report.
                with contextlib.suppress(NotFound):
                    executor.apply(schedule, report)
            executor.apply(run, inputs.Settled(Kind.SCHEDULED, ""))


def _options(core: ScheduleCore, request: StartWorkflowExecutionRequest, *, single: bool, run_id: str) -> StartOptions:
    """What stands in the way of others tells its end, and is told the results of those before it."""
    options = StartOptions(run_id=run_id)
    if not single:
        return options
    options.scheduled = Scheduled(schedule_id=core.workflow_id)
    if core.last_completion_result:
        options.last_completion_result = Payloads.FromString(core.last_completion_result)
    if core.continued_failure:
        options.continued_failure = Failure.FromString(core.continued_failure)
    return options

"""What batch jobs do to executions.

A step finds some targets, and then acts on all of them and says so in the job without giving way to anything else: its
effects and the job's progress are one batch of commits, so that each target has the operation once, whatever crashes
when. A reset reads what it takes over, so each is a step of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack

from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import ResetType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest, StartBatchOperationRequest

from perdure.engine.batch import (
    JOBS,
    Definition,
    EndJob,
    JobCore,
    Outcome,
    PageFound,
    Target,
    Worked,
    chosen,
    is_out_of_targets,
)
from perdure.engine.checks.versioning import NOT_PRESENT
from perdure.engine.entity import of_type, register, space
from perdure.engine.execution import Key, Kind
from perdure.errors import InvalidArgument, NamespaceNotFound, NotFound, PerdureError
from perdure.runtime.batch_requests import request_for, request_id
from perdure.runtime.executor import Executor
from perdure.runtime.namespaces import Namespace
from perdure.runtime.requests import input_of, reset_of
from perdure.runtime.resets import NO_WORKFLOW_TASK, Point, Resets
from perdure.runtime.run import Run
from perdure.visibility.query import compile_count, compile_list

log = logging.getLogger(__name__)

register(JOBS)

KINDS = frozenset({Kind.BATCH_STEP})
PAGE = 1_000
"""Targets that are read at once."""
_OPEN = "ExecutionStatus = 'Running' OR ExecutionStatus = 'Paused'"
_OF_ANY_STATE = ("deletion_operation", "reset_operation")


def job_of(run: Run) -> JobCore:
    return of_type(run.core, JobCore)


def definition_of(run: Run) -> StartBatchOperationRequest:
    """What the job was started with."""
    definition: Definition = run.execution.pending[Kind.BATCH][""]
    return StartBatchOperationRequest.FromString(definition.request)


class Batches:
    """Acts on the items of `KINDS`. Errors that pass are raised, and the step is taken again later."""

    def __init__(self, executor: Executor, resets: Resets) -> None:
        self._executor = executor
        self._resets = resets
        self.check: Callable[[Message], None] = lambda request: None
        """What the edge does to a request about one execution: raises for a bad one, fills in defaults."""

    async def find(self, namespace_id: str, job_id: str) -> Run | None:
        """The newest job of that id, over or not."""
        return await self._executor.find_current(space(namespace_id, JobCore.division), job_id)

    async def act(self, run: Run, kind: int, key: Key) -> None:
        """Take the next step of a job, if it still has one."""
        with ExitStack() as held:
            held.callback(run.hold())
            if key not in run.execution.pending[Kind.BATCH_STEP]:
                return
            try:
                namespace = self._executor.namespaces.living(run.core.namespace_id)
            except NamespaceNotFound:
                self._executor.apply(run, EndJob(failed=True))
                return
            await self._step(run, namespace, held)

    def _still(self, run: Run) -> bool:
        """After a wait: whether the job goes on, and is the one that storage knows."""
        return not run.lost and not run.deleted and run.execution.running

    async def _step(self, run: Run, namespace: Namespace, held: ExitStack) -> None:
        executor, core, job = self._executor, job_of(run), definition_of(run)
        page = run.execution.pending[Kind.BATCH_PAGE].get("")
        if page is None or is_out_of_targets(core, page):
            await self._turn(run, job, namespace)
            return
        one_by_one = job.HasField("reset_operation")
        positions = chosen(core, page, executor.config, executor.now_ns(namespace.id), *([1] if one_by_one else []))
        targets = {position: page.targets[position] for position in positions}
        if one_by_one:
            outcomes = {
                position: await self._reset(run, job, target, namespace) for position, target in targets.items()
            }
        else:
            found = {position: await self._find(namespace, target, held) for position, target in targets.items()}
        if not self._still(run):
            return
        with executor.together():
            if not one_by_one:
                outcomes = {position: self._operate(job, targets[position], found[position]) for position in positions}
            executor.apply(run, Worked(outcomes))

    async def _turn(self, run: Run, job: StartBatchOperationRequest, namespace: Namespace) -> None:
        """Find the next targets. A query that means nothing is the end of the job."""
        storage, core = self._executor.storage, job_of(run)
        query, total = _query(job), None
        try:
            if not core.counted:
                count = compile_count(query, namespace.custom_search_attributes)
                groups = await storage.count_visibility(namespace.id, count.where, count.params)
                total = sum(number for _, number in groups)
            compiled = compile_list(query, namespace.custom_search_attributes)
        except InvalidArgument:
            if self._still(run):
                self._executor.apply(run, EndJob(failed=True))
            return
        page = compiled.after(core.page_token) if core.page_token else compiled
        rows = await storage.list_visibility(namespace.id, page.where, page.params, page.order_by, PAGE + 1)
        token = compiled.token(*rows[PAGE - 1]) if len(rows) > PAGE else b""
        if self._still(run):
            targets = [Target(row.workflow_id, row.run_id) for _, row in rows[:PAGE]]
            self._executor.apply(run, PageFound(targets, token, total))

    async def _find(self, namespace: Namespace, target: Target, held: ExitStack) -> Run | None:
        try:
            run = await self._executor.find(namespace.id, target.workflow_id, target.run_id)
        except NotFound:
            return None
        held.callback(run.hold())
        return run

    def _operate(self, job: StartBatchOperationRequest, target: Target, run: Run | None) -> Outcome:
        request = request_for(job, _execution(target))
        try:
            self.check(request)
            if run is None:
                return Outcome.DONE
            decision = self._executor.apply(run, input_of(request, run))
            if decision.error is not None:
                raise decision.error
        except PerdureError as error:
            return _outcome_of(error)
        except Exception:  # which must not keep the job from its other targets
            log.exception("a batch operation on workflow %r failed", target.workflow_id)
            return Outcome.MAY_PASS
        return Outcome.DONE

    async def _reset(self, step: Run, job: StartBatchOperationRequest, target: Target, namespace: Namespace) -> Outcome:
        request = request_for(job, _execution(target))
        assert isinstance(request, ResetWorkflowExecutionRequest)
        try:
            run = await self._executor.find(namespace.id, target.workflow_id, target.run_id)
        except NotFound:  # whose history can't be looked at for the place to go back to
            named = job.reset_operation.options.WhichOneof("target") in ("workflow_task_id", "build_id")
            return Outcome.DONE if named else Outcome.MAY_PASS
        try:
            point = await self._point(job, run)
            request.workflow_task_finish_event_id = point.event_id
            if point.run_id != run.core.run_id:
                request.workflow_execution.run_id = point.run_id
                request.request_id = request_id(job, "reset", target.workflow_id, point.run_id)
            self.check(request)
            reset = reset_of(request, namespace.id)
            reset.still = lambda: self._still(step)
            await self._resets.begin(reset)
        except PerdureError as error:
            return _outcome_of(error)
        return Outcome.DONE

    async def _point(self, job: StartBatchOperationRequest, run: Run) -> Point:
        """Where the reset goes back to."""
        operation = job.reset_operation
        which = operation.options.WhichOneof("target") if operation.HasField("options") else None
        first = operation.reset_type == ResetType.RESET_TYPE_FIRST_WORKFLOW_TASK
        if which == "workflow_task_id":
            return Point(run.core.run_id, operation.options.workflow_task_id)
        if which == "build_id":
            options = operation.options
            return self._resets.by_build_id(run, options.build_id, current_run_only=options.current_run_only)
        if which == "first_workflow_task" or (which is None and first):
            return await self._resets.first_workflow_task(run)
        return await self._resets.last_workflow_task(run)


def _query(job: StartBatchOperationRequest) -> str:
    """The query of a job, for those executions alone that its operation means something to."""
    query = job.visibility_query
    if job.unpause_activities_operation.type:
        activity_type = job.unpause_activities_operation.type.replace("\\", "\\\\").replace("'", "\\'")
        query = f"TemporalPauseInfo = 'property:activityType={activity_type}' AND ({query})"
    return query if job.WhichOneof("operation") in _OF_ANY_STATE else f"({query}) AND ({_OPEN})"


def _execution(target: Target) -> WorkflowExecution:
    return WorkflowExecution(workflow_id=target.workflow_id, run_id=target.run_id)


def _outcome_of(error: PerdureError) -> Outcome:
    """What is not there any more needs no operation; most of what is refused now may be taken later."""
    if isinstance(error, NotFound):
        return Outcome.DONE
    final = NOT_PRESENT in str(error) or NO_WORKFLOW_TASK in str(error)
    return Outcome.FAILED if final else Outcome.MAY_PASS

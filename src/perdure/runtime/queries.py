"""Queries: asked of a worker, answered from its memory, never written.

A query goes directly to a worker when the run has no workflow task pending; else it rides on that task and is answered
with its completion, so that it sees everything that happened before it was asked. All of it is volatile: when the run
is lost from memory, whoever waits is told to try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from temporalio.api.enums.v1 import QueryResultType
from temporalio.api.failure.v1 import Failure
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueResponse

from perdure.engine import inputs
from perdure.engine.queues import workflow_queue
from perdure.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PerdureError,
    QueryFailed,
    Unavailable,
    WorkflowNotReady,
    workflow_busy,
)
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

FAIL_FROM_ATTEMPT = 3
"""A workflow whose task keeps failing can't answer: queries are refused from this attempt on."""
BUFFER_FULL = (
    "consistent query buffer is full, this may be caused by too many queries and workflow not able to process "
    "query fast enough"
)
LONGEST_S = 30.0
"""No query waits longer, whatever its client's deadline is, as in the real server."""
STICKY_TIMEOUT_S = 10.0
TIMED_OUT = "query timed out before a worker could process it"


class Route(Enum):
    """How a buffered query ended: answered with the task, or to be asked directly."""

    DIRECT = auto()


@dataclass(slots=True, eq=False)
class QueryTask:
    """One query under way. `sent` tells that a worker has it with a workflow task."""

    id: str
    run: Run
    query: WorkflowQuery
    answer: asyncio.Future[WorkflowQueryResult | Route]
    sent: bool = False
    queue: str = ""


@dataclass(slots=True, eq=False)
class Session:
    """The queries that wait for the workflow task of a run, by id."""

    buffered: dict[str, QueryTask] = field(default_factory=dict)


class Queries:
    """See the module's text."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._direct: dict[str, QueryTask] = {}

    async def ask(self, run: Run, query: WorkflowQuery, timeout_s: float | None) -> WorkflowQueryResult:
        """The worker's result. Raises what the real server does when there can't be one."""
        core = run.core
        limit_s = LONGEST_S if timeout_s is None else min(timeout_s, LONGEST_S)
        task = run.execution.pending_workflow_task
        completed = core.completed_task_count > 0
        if not run.execution.running and not completed:
            raise WorkflowNotReady("Workflow execution closed before WorkflowTaskStarted event")
        if not completed and task is None and not self._first_task_comes(run, limit_s):
            raise WorkflowNotReady("Workflow task is not scheduled yet.")
        if core.workflow_task_attempt >= FAIL_FROM_ATTEMPT:
            raise WorkflowNotReady("Unable to query workflow due to Workflow Task in failed state.")
        deadline = asyncio.get_running_loop().time() + limit_s
        if completed and (not run.execution.running or task is None):
            return await self._ask_directly(run, query, deadline)
        return await self._ask_with_task(run, query, deadline)

    def _first_task_comes(self, run: Run, limit_s: float) -> bool:
        """Whether the first workflow task will be scheduled before the query is given up."""
        return run.core.execution_ns - self._executor.now_of(run) < limit_s * 1e9

    # Directly.

    async def _ask_directly(self, run: Run, query: WorkflowQuery, deadline: float) -> WorkflowQueryResult:
        core, matching = run.core, self._runtime.matching
        normal = workflow_queue(core.namespace_id, core.task_queue)
        if core.sticky_queue and self._runtime.config.enable_sticky_query:
            sticky = workflow_queue(core.namespace_id, core.sticky_queue)
            if matching.is_polled(sticky):
                limit_s = core.sticky_timeout_ns / 1e9 or STICKY_TIMEOUT_S
                try:
                    return await self._ask_queue(run, query, sticky, limit_s, deadline)
                except TimeoutError:
                    await self._reset_stickiness(run.run_key)
        if not matching.has_pollers(normal, self._runtime.config.query_poller_unavailable_window_s):
            raise FailedPrecondition("no poller seen for task queue recently, worker may be down")
        try:
            return await self._ask_queue(run, query, normal, None, deadline)
        except TimeoutError:
            raise DeadlineExceeded(TIMED_OUT) from None

    async def _reset_stickiness(self, run_key: int) -> None:
        run = await self._executor.by_key(run_key)
        if run is not None and run.execution.running:
            self._executor.apply(run, inputs.ResetStickiness())

    async def _ask_queue(
        self, run: Run, query: WorkflowQuery, queue: str, limit_s: float | None, deadline: float
    ) -> WorkflowQueryResult:
        loop = asyncio.get_running_loop()
        task = QueryTask(self._runtime.ids.uuid(), run, query, loop.create_future(), queue=queue)
        self._direct[task.id] = task
        left_s = deadline - loop.time()
        self._runtime.matching.add_query(queue, task)
        try:
            answer = await asyncio.wait_for(task.answer, left_s if limit_s is None else min(limit_s, left_s))
            assert isinstance(answer, WorkflowQueryResult)
            return answer
        finally:
            self._direct.pop(task.id, None)
            self._runtime.matching.withdraw_query(queue, task)

    def dispatch_again(self, task: QueryTask) -> None:
        """The worker that was given the query is gone."""
        if not task.answer.done():
            self._runtime.matching.add_query(task.queue, task)

    def fail(self, task: QueryTask, error: PerdureError) -> None:
        """The query could not be given to a worker."""
        if not task.answer.done():
            task.answer.set_exception(error)

    def answer_direct(self, query_id: str, result: WorkflowQueryResult) -> None:
        """A worker answered a query that it was given directly. Raises `NotFound` when nobody waits for it."""
        task = self._direct.get(query_id)
        if task is None or task.answer.done():
            raise NotFound("query task not found, or already expired")
        task.answer.set_result(result)

    # With the workflow task.

    async def _ask_with_task(self, run: Run, query: WorkflowQuery, deadline: float) -> WorkflowQueryResult:
        loop = asyncio.get_running_loop()
        session = run.session
        if session is None:
            session = run.session = Session()
        if len(session.buffered) >= self._runtime.config.max_buffered_query_count:
            raise workflow_busy(BUFFER_FULL)
        task = QueryTask(self._runtime.ids.uuid(), run, query, loop.create_future())
        session.buffered[task.id] = task
        stop = run.on_change(lambda: self._look(run))
        try:
            answer = await asyncio.wait_for(task.answer, max(0.0, deadline - loop.time()))
        except TimeoutError:
            raise DeadlineExceeded(TIMED_OUT) from None
        finally:
            stop()
            session.buffered.pop(task.id, None)
            if not session.buffered and run.session is session:
                run.session = None
        if answer is Route.DIRECT:
            return await self._ask_directly(run, query, deadline)
        assert isinstance(answer, WorkflowQueryResult)
        await self._executor.settled(run)  # the worker answered from the task that it completed with the answer
        return answer

    def _look(self, run: Run) -> None:
        """The run has changed: queries that wait for a task that does not come any more are asked directly."""
        if run.lost:
            self._end(run, Unavailable("buffered query cleared, please retry"))
        elif not run.execution.running:
            self._unblock(run)

    def _end(self, run: Run, error: PerdureError) -> None:
        for task in list(run.session.buffered.values()) if run.session else []:
            if not task.answer.done():
                task.answer.set_exception(error)

    def _unblock(self, run: Run) -> None:
        for task in list(run.session.buffered.values()) if run.session else []:
            if not task.answer.done():
                task.answer.set_result(Route.DIRECT)

    def attach(self, run: Run, response: PollWorkflowTaskQueueResponse) -> None:
        """Put the queries that wait on the workflow task that a worker is about to get."""
        if run.session is None:
            return
        for task in run.session.buffered.values():
            task.sent = True
            response.queries[task.id].CopyFrom(task.query)

    def answer(self, run: Run, results: Mapping[str, WorkflowQueryResult], *, task_created: bool) -> None:
        """A workflow task came back with these results. Without a next task, the others are asked directly."""
        if run.session is None:
            return
        for query_id, result in results.items():
            task = run.session.buffered.get(query_id)
            if task is not None and not task.answer.done():
                copy = WorkflowQueryResult()
                copy.CopyFrom(result)
                task.answer.set_result(copy)
        if not task_created:
            self._unblock(run)

    def task_failed(self, run: Run) -> None:
        """The task failed: queries go with the next attempt, unless there have been too many."""
        if run.core.workflow_task_attempt >= FAIL_FROM_ATTEMPT:
            self._end(run, WorkflowNotReady("Unable to query workflow due to Workflow Task in failed state."))


def unwrap(result: WorkflowQueryResult) -> WorkflowQueryResult:
    """The result if the worker answered. Raises `QueryFailed` if it failed."""
    if result.result_type == QueryResultType.QUERY_RESULT_TYPE_ANSWERED:
        return result
    if result.result_type == QueryResultType.QUERY_RESULT_TYPE_FAILED:
        failure = result.failure if result.HasField("failure") else Failure()
        raise QueryFailed(result.error_message, failure.SerializeToString() if result.HasField("failure") else b"")
    raise InvalidArgument("query entered invalid state, this should be impossible")

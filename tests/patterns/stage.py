"""One cell of a fault matrix: a world, a worker or several, and a workflow to whom something happens."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ResetWorkflowExecutionRequest
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner
from tests.patterns.moments import Life, Probe

from perdure.clock import SECOND_NS
from perdure.runtime.namespace_time import Mode
from perdure.testing import Env, History
from perdure.testing.faults import Faults

W = TypeVar("W")
QUEUE = "matrix"
LOOK_EVERY_S = 0.01
LATE_WITHIN_S = 10.0
NOT_FAR_S = 2 * 3600
"""How far time jumps at most while clients have not done all they want to."""
SENT_WITHIN_S = 0.03
"""Until the server has a message, which says so only when it is accepted."""
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Case(Generic[W]):
    """A pattern at work, and what has to hold of it under every fault.

    `world` makes what the outside is: fresh for each cell. `activities` are made over it. `start` starts the workflow,
    with `stage.id` and `stage.queue`. `drive` is what clients do meanwhile (messages); it may end with an error when a
    fault ends the workflow first. `when_idle` is asked when nothing will ever happen by itself: it does what a person
    would do and gives True, or False when this is how it ends. `messages` are sent at each moment, one at a time.
    `check` asserts the invariants. `leave_out`: rows that make no sense, and why. `few` cells of each row are played
    without PERDURE_SWEEP: the first, the last and some between them, or the one in the middle.
    """

    name: str
    workflows: Sequence[type]
    world: Callable[[], W]
    activities: Callable[[W], Sequence[Callable[..., Any]]]
    start: Callable[[Stage[W]], Awaitable[WorkflowHandle[Any, Any]]]
    check: Callable[[W, Outcome], Awaitable[None] | None]
    drive: Callable[[Stage[W]], Awaitable[Any]] | None = None
    when_idle: Callable[[Stage[W]], Awaitable[bool]] | None = None
    messages: Mapping[str, Callable[[Stage[W]], Awaitable[Any]]] = field(default_factory=dict)
    leave_out: Mapping[str, str] = field(default_factory=dict)
    few: int = 3


@dataclass
class Outcome:
    """How a cell came out, for `Case.check`."""

    row: str
    """The fault, as the table names it."""
    name: str
    """Which of the row's cells."""
    status: str
    """Of the last run: completed, failed, canceled, terminated, running, ..."""
    result: Any
    error: BaseException | None
    """What the result was instead: the workflow's failure."""
    drive_error: BaseException | None
    reached: bool
    """Whether what was to happen did happen."""
    histories: list[History]
    """Of all runs of the workflow's id, oldest first."""
    handle: WorkflowHandle[Any, Any]
    stage: Stage[Any]

    @property
    def history(self) -> History:
        """Of the last run."""
        return self.histories[-1]


class Stage(Generic[W]):
    """Where one cell is played."""

    def __init__(self, env: Env, case: Case[W], *, cached: bool = True, sandboxed: bool = False) -> None:
        self.env = env
        self.case = case
        self.client: Client = env.client
        self.queue = QUEUE
        self.id = f"{case.name}-{next(_numbers)}"
        """The workflow's id."""
        self.world = case.world()
        self.probe = Probe(self.id)
        self._faults = Faults(self.probe.choose, env._abandon, self.probe.waits_for_the_end)
        self._cached = cached
        self._sandboxed = sandboxed
        self._lives: list[tuple[Life, contextlib.AsyncExitStack]] = []
        self._ends: list[asyncio.Task[None]] = []
        self.handle: WorkflowHandle[Any, Any]
        self.error: BaseException | None = None
        self.result: Any = None
        self.drive_error: BaseException | None = None
        self.sent: list[asyncio.Future[Any]] = []
        """Messages, answered or not."""

    # Workers.

    async def start_worker(self) -> None:
        """A new process, as far as the server can tell."""
        life, stack = Life(f"{self.id} worker {len(self._lives) + 1}"), contextlib.AsyncExitStack()
        options: dict[str, Any] = {} if self._cached else {"max_cached_workflows": 0}
        if self._lives:
            runtime = self.env._host.service.config.runtime
            options["client"] = await Client.connect(
                self.env.address, namespace=self.env.namespace, runtime=runtime, **self.env._options
            )
        if not self._sandboxed:
            options["workflow_runner"] = UnsandboxedWorkflowRunner()
        context = self.env.worker(
            *self.case.workflows,
            activities=self.case.activities(self.world),
            task_queue=self.queue,
            identity=life.identity,
            interceptors=[self.probe.on(life), self._faults],
            **options,
        )
        self.probe.watch(await stack.enter_async_context(context), life)
        self._lives.append((life, stack))

    async def kill_worker(self) -> None:
        """What it has in hand is never answered. A new worker begins."""
        life, stack = self._lives[-1]
        life.dead = True
        host = self.env._host
        host.soon(host.time.abandon_worker, self.env._id, life.identity)
        self._ends.append(asyncio.create_task(stack.aclose()))
        await self.start_worker()

    async def worker_polls(self) -> None:
        """Until the worker is back at a server that was started again: before that it answers no queries."""
        queue = TaskQueue(name=self.queue)
        request = DescribeTaskQueueRequest(
            namespace=self.env.namespace, task_queue=queue, task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
        )
        while not (await self.env.client.workflow_service.describe_task_queue(request)).pollers:
            await asyncio.sleep(0.01)

    # What happens to the workflow.

    async def cancel(self) -> None:
        with contextlib.suppress(RPCError):
            await self.handle.cancel()

    async def terminate(self) -> None:
        with contextlib.suppress(RPCError):
            await self.handle.terminate("matrix")

    async def reset(self, number: int) -> bool:
        """To the workflow task of this number, from 1, over all runs; False if there are not so many."""
        points = [
            (run.run_id, event.event_id)
            for run in await self.env.histories(self.id)
            for event in run.events
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        ]
        if number > len(points):
            return False
        run_id, event_id = points[number - 1]
        await self.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.env.namespace,
                workflow_execution=WorkflowExecution(workflow_id=self.id, run_id=run_id),
                workflow_task_finish_event_id=event_id,
                request_id=f"reset {self.id}",
            )
        )
        return True

    async def send(self, message: Callable[[Stage[W]], Awaitable[Any]]) -> None:
        """Have it sent while a worker holds what it has; the answer may need that, so it is waited for in the end."""
        task = asyncio.ensure_future(_awaited(message(self)))
        self.sent.append(task)
        await asyncio.wait([task], timeout=SENT_WITHIN_S)

    # The play.

    async def play(self) -> None:
        """From the start until it is over: closed, or idle for ever."""
        await self.start_worker()
        self.handle = await self.case.start(self)
        await self.until_over(self.case.drive)

    async def until_over(self, drive: Callable[[Stage[W]], Awaitable[Any]] | None = None) -> None:
        """The newest run, and those that continue it."""
        self.handle = self.client.get_workflow_handle(self.id, result_type=self.handle._result_type)
        result = asyncio.ensure_future(self.handle.result())
        driving = asyncio.ensure_future(_awaited(drive(self) if drive is not None else None))
        try:
            while True:
                clients_done = driving.done() and all(task.done() for task in self.sent)
                if clients_done and result.done():
                    break
                if self.case.drive is not None:
                    await self.env._host.call(self._move_time(clients_done))
                if clients_done and await self._idle() and not await self._goes_on():
                    break
                if waiting := {each for each in (result, driving, *self.sent) if not each.done()}:
                    await asyncio.wait(waiting, timeout=LOOK_EVERY_S)
            self.drive_error = driving.exception()
            self.error = self.result = None
            if result.done() and (error := result.exception()):
                if not isinstance(error, WorkflowFailureError):
                    raise error
                self.error = error.cause
            elif result.done():
                self.result = result.result()
        finally:
            for task in (result, driving):
                task.cancel()
            await asyncio.wait([result, driving])

    async def _move_time(self, freely: bool) -> None:
        """While clients are at work time does not run away from them: it moves on only where it is awaited."""
        time = self.env._host.server.time
        if time is None:
            return
        mine = time.of(self.env._id)
        mine.mode = Mode.SKIP if freely else Mode.MANUAL
        due_ns = time.next_due_ns(mine)
        held = [what for _, what in time._in_flight(mine) if not what.startswith(("update ", "query "))]
        if freely or due_ns is None or self.probe.acting or held:
            return
        if due_ns - mine.clock.now_ns() < NOT_FAR_S * SECOND_NS:
            mine.wake.set()
            with contextlib.suppress(asyncio.CancelledError):
                await time.advance_to(due_ns, self.env._id)

    async def _idle(self) -> bool:
        host = self.env._host

        async def idle() -> bool:
            return not getattr(host, "is_down", False) and host.time.idle(self.env._id)

        if self.probe.acting or not await host.call(idle()):
            return False
        about = await self.handle.describe()
        return about.status is WorkflowExecutionStatus.RUNNING and (host.server.time is not None or not _at_work(about))

    async def _goes_on(self) -> bool:
        return self.case.when_idle is not None and await self.case.when_idle(self)

    async def late_attempts(self) -> None:
        """Let those act that have been held back so far, and wait for it."""
        self.probe.to_the_end.clear()
        for later in self._faults.later.values():
            later.set()
        async with asyncio.timeout(LATE_WITHIN_S):
            while self.probe.late:
                await asyncio.sleep(0)

    async def leave(self) -> None:
        """End all workers, and what still runs."""
        client = self.env._plain_client
        async for run in client.list_workflows("ExecutionStatus = 'Running'"):
            with contextlib.suppress(RPCError):
                await client.get_workflow_handle(run.id, run_id=run.run_id).terminate("the cell is over")
        for later in self._faults.later.values():
            later.set()
        for life, _ in self._lives:
            life.buried.set()
        await asyncio.gather(*self._ends)
        if self._lives:
            await self._lives[-1][1].aclose()


def _at_work(about: WorkflowExecutionDescription) -> bool:
    raw = about.raw_description
    return bool(raw.HasField("pending_workflow_task") or raw.pending_activities or raw.pending_children)


async def _awaited(what: Awaitable[Any] | None) -> Any:
    return None if what is None else await what

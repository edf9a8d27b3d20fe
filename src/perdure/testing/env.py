"""What a test has: a client, workers, a clock, mocks, histories, all in a namespace of its own."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, overload

from google.protobuf.duration_pb2 import Duration
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, DeleteNamespaceRequest
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest, RegisterNamespaceRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import SearchAttributeKey
from temporalio.types import MethodAsyncNoParam, MethodAsyncSingleParam
from temporalio.worker import Worker

from perdure.clock import SECOND_NS
from perdure.engine.queues import activity_queue, workflow_queue
from perdure.runtime.namespace_time import MAX_SKIPS, Mode
from perdure.testing.faults import Fault, Faults, first_attempts
from perdure.testing.history import History
from perdure.testing.host import Host
from perdure.testing.mocks import Mock
from perdure.testing.replay import REPLAYER_OPTIONS, replay
from perdure.testing.watch import WatchedService

S = TypeVar("S")
P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

STALL_S = 10.0
"""Seconds of real time without anything happening after which a test that waits is told why."""
BUILD_ID = "test"
"""Of workers; what the SDK makes up costs half a second, since it reads all modules."""
RETENTION_S = 100 * 366 * 24 * 3600
"""A century: no history under test is deleted while its clock jumps."""
DYNAMIC = ""
"""The name of a workflow that stands for all types that a worker does not have."""
_numbers = itertools.count(1)


class _Worker:
    """A worker that a test had."""

    def __init__(self, workflows: Sequence[type], queue: str, options: Mapping[str, Any]) -> None:
        self.workflows = workflows
        self.types = {_type_name(each) for each in workflows}
        self.queue = queue
        self.options = options
        self.open = True


class Env:
    """A namespace of a server for tests. Made by the fixture `perdure` and by `open_env`.

    `time`: "skip" (the clock jumps while something is awaited and nothing is in flight), "manual" (only `advance`
    makes it jump) or "real" (it never jumps). `search_attributes` are registered in the namespace. `skips` is how many
    jumps the clock may make by itself. `stall_s`: see `STALL_S`; 0 turns it off. `client_options` are those of
    `temporalio.client.Client`, such as `data_converter`.
    """

    def __init__(
        self,
        host: Host,
        *,
        name: str = "test",
        time: str = "skip",
        search_attributes: Sequence[SearchAttributeKey[Any]] = (),
        skips: int = MAX_SKIPS,
        stall_s: float = STALL_S,
        replay: bool = True,
        client_options: Mapping[str, Any] | None = None,
    ) -> None:
        from perdure.testing.watch import Watch

        self._host = host
        self.name = name
        self.namespace = f"{_plain(name)}-{next(_numbers)}-{uuid.uuid4().hex[:8]}"
        self.address = host.server.address
        """`host:port`, for clients of other kinds."""
        self._id = host.run(self._open(Mode(time), skips, search_attributes))
        self.stall_s = stall_s
        self._watch = Watch(host, self._id, stall_s)
        host.soon(host.server.observe, self._watch.published)
        self._options = dict(client_options or {})
        self.client = self.connect()
        self._plain_client = Client(host.service, namespace=self.namespace, **self._options)
        self._workers: list[_Worker] = []
        self._replay = replay
        self._which: Callable[[list[History]], list[History]] = list
        """Of all histories, those to replay in the end."""
        self._stood: tuple[BaseException, str] | None = None
        """What held time when an error left the last worker, while that still was there."""
        self._evict = False
        self._fault: Fault | None = None

    async def _open(self, mode: Mode, skips: int, attributes: Sequence[SearchAttributeKey[Any]]) -> str:
        retention = Duration(seconds=RETENTION_S)
        await self._host.service.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=self.namespace, workflow_execution_retention_period=retention)
        )
        if attributes:
            types = {key.name: IndexedValueType.ValueType(int(key.indexed_value_type)) for key in attributes}
            await self._host.service.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=self.namespace, search_attributes=types)
            )
        namespace_id = self._host.server.namespace_id(self.namespace)
        time = self._host.time.of(namespace_id)
        time.mode, time.skips_left, time.budget = mode, skips, 0
        return namespace_id

    def connect(self, **options: Any) -> Client:
        """Another client; options are those of `temporalio.client.Client`, on top of those of the environment."""
        service = WatchedService(self._host.service, self._watch)
        return Client(service, namespace=self.namespace, **{**self._options, **options})

    # Workers and workflows.

    @contextlib.asynccontextmanager
    async def worker(
        self,
        *workflows: type,
        activities: Sequence[Callable[..., Any]] = (),
        task_queue: str | None = None,
        **options: Any,
    ) -> AsyncIterator[Worker]:
        """Run a worker, on a task queue of its own unless one is named. `options` are those of
        `temporalio.worker.Worker`; sync activities get threads without being asked for."""
        queue = task_queue or f"queue-{len(self._workers) + 1}"
        mine = _Worker(workflows, queue, {key: options[key] for key in REPLAYER_OPTIONS if key in options})
        if not {"build_id", "deployment_config", "use_worker_versioning"} & options.keys():
            options["build_id"] = BUILD_ID
        if self._evict:
            options["max_cached_workflows"] = 0
        if self._fault is not None:
            faults = Faults(first_attempts(self._fault), self._abandon)
            options["interceptors"] = [*options.get("interceptors", ()), faults]
        threads = None
        if "activity_executor" not in options and any(map(_is_sync, activities)):
            threads = options["activity_executor"] = ThreadPoolExecutor()
        client = options.pop("client", None) or self.client
        self._workers.append(mine)
        polled = [workflow_queue(self._id, queue)] if workflows else []
        polled += [activity_queue(self._id, queue)] if activities else []
        self._host.soon(self._host.time.expect, self._id, polled, True)
        try:
            worker = Worker(client, task_queue=queue, workflows=workflows, activities=activities, **options)
            async with worker:
                try:
                    yield worker
                except BaseException as error:
                    self._stood = error, self.why_time_stands()
                    raise
        finally:
            mine.open = False
            self._host.soon(self._host.time.expect, self._id, polled, False)
            if threads is not None:
                threads.shutdown(wait=False)

    def faults(
        self,
        *,
        evict_every_task: bool = False,
        duplicate_attempts: bool = False,
        late_attempts: bool = False,
        lost_replies: bool = False,
    ) -> None:
        """What goes wrong in workers made from now on: workflows are rebuilt from their history for each task; of each
        activity that may be tried again, the first attempt

        - acts and fails, so that the work is done twice (`duplicate_attempts`),
        - hangs until it has timed out and a later attempt has ended, and acts then (`late_attempts`),
        - acts, and its reply is lost: it times out (`lost_replies`).

        One of these three at a time."""
        chosen = {
            Fault.DUPLICATE: duplicate_attempts,
            Fault.LATE: late_attempts,
            Fault.LOST_REPLY: lost_replies,
        }
        faults = [fault for fault, wanted in chosen.items() if wanted]
        if len(faults) > 1:
            raise ValueError("an attempt is duplicated, late, or its reply is lost: choose one")
        self._evict, self._fault = evict_every_task, next(iter(faults), None)

    def _abandon(self, run_id: str, activity_id: str) -> None:
        self._host.soon(self._host.time.abandon, self._id, run_id, activity_id)

    @overload
    async def start(self, run: MethodAsyncNoParam[S, R], **options: Any) -> WorkflowHandle[S, R]: ...
    @overload
    async def start(self, run: MethodAsyncSingleParam[S, P, R], arg: P, **options: Any) -> WorkflowHandle[S, R]: ...
    @overload
    async def start(self, run: Callable[..., Awaitable[R]], *args: Any, **options: Any) -> WorkflowHandle[Any, R]: ...
    @overload
    async def start(self, run: str, *args: Any, **options: Any) -> WorkflowHandle[Any, Any]: ...
    async def start(self, run: Any, *args: Any, **options: Any) -> WorkflowHandle[Any, Any]:
        """Start a workflow on the newest open worker that has it. `options` are those of `Client.start_workflow`; the
        id is made up unless given."""
        queue = options.pop("task_queue", None) or self._queue(run)
        workflow_id = options.pop("id", None) or f"{_plain(self.name)}-{next(_numbers)}"
        if args:
            options["args"] = args
        start: Any = self.client.start_workflow
        handle: WorkflowHandle[Any, Any] = await start(run, id=workflow_id, task_queue=queue, **options)
        return handle

    @overload
    async def execute(self, run: MethodAsyncNoParam[S, R], **options: Any) -> R: ...
    @overload
    async def execute(self, run: MethodAsyncSingleParam[S, P, R], arg: P, **options: Any) -> R: ...
    @overload
    async def execute(self, run: Callable[..., Awaitable[R]], *args: Any, **options: Any) -> R: ...
    @overload
    async def execute(self, run: str, *args: Any, **options: Any) -> Any: ...
    async def execute(self, run: Any, *args: Any, **options: Any) -> Any:
        """`start`, then the result."""
        handle = await self.start(run, *args, **options)
        return await handle.result()

    def _queue(self, run: Any) -> str:
        name = run if isinstance(run, str) else _run_name(run)
        open_workers = [worker for worker in reversed(self._workers) if worker.open]
        for worker in open_workers:
            if name in worker.types:
                return worker.queue
        if not open_workers:
            raise AssertionError(f"{name}: start it inside `async with perdure.worker(...)`, or name a task_queue")
        return open_workers[0].queue

    def mock(
        self,
        fn: Callable[..., Any] | str,
        *,
        returns: Any = None,
        raises: BaseException | type[BaseException] | Sequence[BaseException | type[BaseException] | None] = (),
        side_effect: Callable[..., Any] | None = None,
        blocks: bool = False,
    ) -> Mock:
        """Stand in for an activity: a function, a method, or just a name. It keeps name, signature and types.

        `raises`: an error for each attempt, or one a time for the first attempts (None: none for this one).
        `side_effect` is called with the arguments, may be async, and gives the result; else it is `returns`.
        With `blocks` each attempt waits for `release`. Arguments that the real one would not take, and results that
        are not of its type, fail the test."""
        return Mock(
            self._watch, self._overlook, fn, returns=returns, raises=raises, side_effect=side_effect, blocks=blocks
        )

    def _overlook(self, run_id: str, activity_id: str, attempt: int) -> None:
        self._host.soon(self._host.time.overlook, self._id, run_id, activity_id, attempt)

    def allow_task_failures(self) -> None:
        """Workflow tasks may fail in this test; what failed is in `task_failures`."""
        self._watch.tolerant = True

    @property
    def task_failures(self) -> list[str]:
        """Workflow tasks that failed so far, a text each."""
        return [str(failure) for failure in self._watch.failures]

    # Time.

    def now(self) -> datetime:
        """What the clock of the namespace says."""

        async def read() -> int:
            return self._host.time.of(self._id).clock.now_ns()

        return _datetime(self._host.run(read()))

    async def settle(self) -> None:
        """Wait until workers have done all there is to do now, apart from what hangs: after a second in which nothing
        of it begins or ends, or when an attempt takes ten."""
        await self._watch.race(self._host.call(self._host.time.settle(self._id)))

    async def advance(self, by: timedelta) -> None:
        """Settle, then move the clock on. Each timer, retry and timeout on the way happens at its exact time, and what
        follows from it is done before time goes on. Activities that hang don't stop it; their timeouts come."""
        await self.settle()
        by_ns = round(by / timedelta(microseconds=1)) * 1_000
        await self._watch.race(self._host.call(self._host.time.advance(by_ns, self._id)))
        await self.settle()

    async def advance_until(
        self, predicate: Callable[[], bool | Awaitable[bool]], limit: timedelta = timedelta(days=3660)
    ) -> None:
        """Move the clock on from deadline to deadline until the predicate holds. Raises `AssertionError` when it does
        not within `limit` of the clock's time, or when nothing more is due."""
        await self.settle()
        end_ns = _ns(self.now() + limit)
        while not await _holds(predicate):
            due_ns = await self._host.call(self._next_due())
            if due_ns is None or due_ns > end_ns:
                why = f"within {limit}" if due_ns is not None else "and nothing more is due"
                raise AssertionError(f"{_source(predicate)} did not come true {why}:\n{await self._texts()}")
            await self._watch.race(self._host.call(self._host.time.advance_to(due_ns, self._id)))
            await self.settle()

    async def _next_due(self) -> int | None:
        time = self._host.time
        return time.next_due_ns(time.of(self._id))

    # What happened.

    async def history(self, handle: WorkflowHandle[Any, Any] | str, run_id: str | None = None) -> History:
        """The history of a workflow, given by handle or id: that of the run named, or of the newest."""
        workflow_id = handle if isinstance(handle, str) else handle.id
        found = self._plain_client.get_workflow_handle(workflow_id, run_id=run_id)
        return await History.decoded(await found.fetch_history(), self._plain_client.data_converter)

    async def histories(self, workflow_id: str | None = None) -> list[History]:
        """Of all runs, or those of a workflow id, oldest first."""
        query = f"WorkflowId = '{workflow_id}'" if workflow_id else ""
        runs = await self._listed(query)
        return [await self.history(run.workflow_id, run.run_id) for run in runs]

    async def open_workflows(self) -> list[str]:
        """The ids of those that still run, or are paused, oldest first."""
        return [run.workflow_id for run in await self._listed("ExecutionStatus IN ('Running', 'Paused')")]

    async def _listed(self, query: str) -> list[WorkflowExecution]:
        """Oldest first. The SDK's own listing fails on workflows that are paused: it does not know their status."""
        request = ListWorkflowExecutionsRequest(namespace=self.namespace, query=query)
        found: list[WorkflowExecutionInfo] = []
        while True:
            page = await self._plain_client.workflow_service.list_workflow_executions(request)
            found += page.executions
            if not page.next_page_token:
                break
            request.next_page_token = page.next_page_token
        found.sort(key=lambda run: (run.start_time.ToNanoseconds(), run.execution.run_id))
        return [run.execution for run in found]

    async def _texts(self) -> str:
        return "\n".join(map(str, await self.histories()))

    def timelines(self) -> str:
        """The histories of all runs as a page to read. Not from the server's loop."""
        return self._host.run(self._texts())

    def why_time_stands(self) -> str:
        """What holds the clock now, and what no worker takes."""

        async def read() -> str:
            return self._watch.why()

        return self._host.run(read())

    def why_time_stood(self, error: BaseException | None) -> str:
        """`why_time_stands`, as it was when this error left a worker, before that closed."""
        if self._stood is not None and self._stood[0] is error:
            return self._stood[1]
        return self.why_time_stands()

    def still_open(self) -> list[str]:
        """`open_workflows`, from outside of a loop."""
        return self._host.run(self.open_workflows())

    # The end.

    def finish(self, *, passed: bool = True) -> None:
        """The test is over, and its namespace with all that it holds. `verify`, if it passed."""
        try:
            if passed:
                self.verify()
        finally:
            self.close()

    def verify(self) -> None:
        """Raises `AssertionError` when a workflow task failed or a history does not replay."""
        self._watch.check()
        failures = self._host.run(self._replays()) if self._replay else []
        if failures:
            raise AssertionError("\n".join(failures))

    def close(self) -> None:
        """The end of its namespace with all that it holds."""
        self._host.run(self._close())

    async def _close(self) -> None:
        """Nothing is left of the namespace but what the server takes away by and by."""
        self._host.server.unobserve(self._watch.published)
        self._host.time.of(self._id).mode = Mode.REAL
        await self._host.service.operator_service.delete_namespace(
            DeleteNamespaceRequest(namespace=self.namespace, namespace_delete_delay=Duration())
        )

    async def _replays(self) -> list[str]:
        """Histories of workflows that this test's workers have, and that do not replay with them."""
        failed = {failure.run_id for failure in self._watch.failures}
        waiting = {run.run_id: run for run in await self._all_runs() if run.run_id not in failed}
        texts = []
        for worker in sorted(self._workers, key=lambda worker: DYNAMIC in worker.types):
            mine = [run for run in waiting.values() if _ran_on(run, worker)]
            for run in mine:
                del waiting[run.run_id]
            if mine:
                converter = self._plain_client.data_converter
                options = {"data_converter": converter, "build_id": BUILD_ID, **worker.options}
                named = {f"{run.workflow_type} {run.workflow_id} (run {run.run_id})": run.raw for run in mine}
                texts += await replay(worker.workflows, named, options)
        return texts

    async def _all_runs(self) -> list[History]:
        return self._which(await self.histories()) if any(worker.workflows for worker in self._workers) else []


@contextlib.contextmanager
def open_env(**options: Any) -> Iterator[Env]:
    """An `Env` without pytest, with a server of its own. `options` are those of `Env`."""
    host = Host()
    host.start()
    try:
        env = Env(host, **options)
        try:
            yield env
        except BaseException:
            env.finish(passed=False)
            raise
        env.finish()
    finally:
        host.stop()


def _ran_on(run: History, worker: _Worker) -> bool:
    done = any(event.HasField("workflow_task_completed_event_attributes") for event in run.events)
    queue = run.events[0].workflow_execution_started_event_attributes.task_queue.name
    return done and (run.workflow_type in worker.types or DYNAMIC in worker.types) and queue == worker.queue


def _type_name(cls: type) -> str:
    return workflow._Definition.must_from_class(cls).name or DYNAMIC


def _run_name(run: Callable[..., Any]) -> str:
    return workflow._Definition.must_from_run_fn(run).name or ""


def _is_sync(fn: Callable[..., Any]) -> bool:
    return not activity._Definition.must_from_callable(fn).is_async


def _plain(name: str) -> str:
    return "".join(char if char.isalnum() else "-" for char in name.removeprefix("test_")).strip("-")[:80] or "test"


def _datetime(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC) + timedelta(microseconds=time_ns % SECOND_NS // 1_000)


def _ns(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


async def _holds(predicate: Callable[[], bool | Awaitable[bool]]) -> bool:
    value = predicate()
    return bool(await value if inspect.isawaitable(value) else value)


def _source(predicate: Callable[..., Any]) -> str:
    name = getattr(predicate, "__name__", repr(predicate))
    return "the condition" if name == "<lambda>" else name

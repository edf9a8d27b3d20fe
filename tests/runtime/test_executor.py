"""The executor: persist, then publish; and what becomes of memory when a commit fails."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest, StartBatchOperationRequest
from tests.engine.driver import command, start_request, start_timer, token

from perdure.clock import SECOND_NS, ManualClock, SeededIds
from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.batch import JobCore, StartJob
from perdure.engine.execution import Execution, Kind
from perdure.engine.machines.workflow import Signal, StartOptions
from perdure.engine.queues import workflow_queue
from perdure.errors import NamespaceNotFound, ResourceExhausted, Unavailable
from perdure.runtime import rows
from perdure.runtime.backlog import Task
from perdure.runtime.namespaces import Namespace
from perdure.runtime.queue import Poll, Taken
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime
from perdure.storage.base import Batch, CommitFailed, Done
from perdure.storage.sqlite import SqliteStorage

PLENTY = 10**9
PATIENCE_S = 20.0
T = TypeVar("T")


class Unreliable:
    """Storage whose next batch fails if `fails`, and waits for `release` if `holds`. All else is that of `inner`.

    With `suspends`, reads take some turns of the loop before and after they look, as those over a network do.
    """

    def __init__(self, inner: SqliteStorage, suspends: random.Random | None = None) -> None:
        self.inner = inner
        self._suspends = suspends
        self.fails = False
        self.holds = False
        self.waiting: list[tuple[Batch, Done]] = []
        self._failures = 0
        self._refusing = 0

    def __getattr__(self, name: str) -> Any:
        found, chance = getattr(self.inner, name), self._suspends
        if chance is None or not inspect.iscoroutinefunction(found):
            return found

        async def read(*args: Any, **options: Any) -> Any:
            await turns(chance.randrange(4))
            result = await found(*args, **options)
            await turns(chance.randrange(4))
            return result

        return read

    def submit(self, batch: Batch, done: Done) -> None:
        if self.holds:
            self.waiting.append((batch, done))
        elif self._refusing:
            done(CommitFailed("after a failure", self._refusing, True))
        elif self.fails:
            self.fails = False
            self._failures += 1
            self._refusing = self._failures
            done(CommitFailed("no room on the disk", self._failures, False))
        else:
            self.inner.submit(batch, done)

    def resume(self, failure: CommitFailed) -> None:
        if failure.failure == self._refusing:
            self._refusing = 0

    def release(self, *, fails: bool = False) -> None:
        self.holds, self.fails = False, fails
        waiting, self.waiting = self.waiting, []
        for batch, done in waiting:
            self.submit(batch, done)


class World:
    """A runtime on unreliable storage, on a clock that is moved by hand."""

    def __init__(self, runtime: Runtime, storage: Unreliable, clock: ManualClock) -> None:
        self.runtime = runtime
        self.executor = runtime.executor
        self.storage = storage
        self.clock = clock
        self.namespace = Namespace(id="namespace-id", name="default")

    @classmethod
    async def open(cls, cache_bytes: int = PLENTY, suspends: random.Random | None = None, **options: Any) -> World:
        storage, clock = Unreliable(SqliteStorage.open_memory(), suspends), ManualClock()
        options["cache_bytes"] = cache_bytes
        runtime = await Runtime.open(storage, clock, SeededIds(1), Dynamic(), **options)  # type: ignore[arg-type]
        world = cls(runtime, storage, clock)
        runtime.namespaces.save(runtime.executor, world.namespace)
        await runtime.executor.flushed()
        runtime.start()
        return world

    def begin(self, workflow_id: str) -> Run:
        request = start_request(workflow_id=workflow_id, request_id=self.executor.ids.uuid())
        return self.executor.start(self.namespace, request, StartOptions(run_id=self.executor.ids.uuid()))

    async def start(self, workflow_id: str) -> Run:
        run = self.begin(workflow_id)
        await self.executor.settled(run)
        return run

    async def current(self, workflow_id: str) -> Run:
        run = await self.executor.find_current(self.namespace.id, workflow_id)
        assert run is not None
        return run

    async def signal(self, workflow_id: str) -> None:
        run = await self.current(workflow_id)
        self.executor.apply(run, inputs.SignalWorkflow(Signal(name="s")))
        await self.executor.settled(run)

    def start_task(self, run: Run) -> None:
        task = run.execution.pending_workflow_task
        assert task is not None
        begun = inputs.StartWorkflowTask(task.scheduled_event_id, self.executor.ids.uuid(), "worker", sticky=False)
        self.executor.apply(run, begun)

    async def complete_task(self, run: Run, *commands: Any) -> None:
        task = run.execution.pending_workflow_task
        assert task is not None
        request = RespondWorkflowTaskCompletedRequest(identity="worker", commands=commands)
        self.executor.apply(run, inputs.CompleteWorkflowTask(*token(task), request=request))
        await self.executor.settled(run)

    def poll(self) -> asyncio.Queue[Task]:
        """A worker polls the task queue of all workflows. What it is given comes out of the queue."""
        given: asyncio.Queue[Task] = asyncio.Queue()

        async def take(task: Task) -> Taken:
            given.put_nowait(task)
            return Taken.SERVED

        self.runtime.matching.poll(workflow_queue(self.namespace.id, "q"), Poll("worker", take))
        return given

    async def stored(self, run_key: int) -> Execution | None:
        stored = await self.storage.inner.load_run(run_key)
        return rows.load(stored) if stored is not None else None

    async def event_types(self, run_key: int) -> list[str]:
        batches = await self.storage.inner.history(run_key)
        history = History.FromString(b"".join(batch.blob for batch in batches))
        return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.open()
    yield world
    await world.runtime.stop()


async def within(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        return await awaitable


def state(execution: Execution | None) -> Any:
    """All there is of an execution."""
    assert execution is not None
    pending = {(kind, key): item for kind, items in execution.pending.items() for key, item in items.items()}
    return execution.run_key, execution.core, pending


async def turns(count: int = 10) -> None:
    """Let all that is ready to run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


# Persist, then publish.


async def test_a_task_is_handed_out_when_its_run_is_durable_and_not_before(world: World):
    given = world.poll()
    await turns()
    world.storage.holds = True
    run = world.begin("w")
    await turns()
    assert world.storage.waiting and given.empty()
    world.storage.release()
    assert (await within(given.get()))[1] == run.run_key


async def test_what_was_asked_for_in_one_turn_of_the_loop_shares_a_commit(world: World):
    world.storage.holds = True
    starts = [asyncio.ensure_future(world.start(f"w{number}")) for number in range(10)]
    await turns()
    assert [len(batch.runs) for batch, _ in world.storage.waiting] == [10]
    world.storage.release()
    assert len(await within(asyncio.gather(*starts))) == 10


async def test_what_comes_while_a_commit_is_under_way_shares_the_next(world: World):
    world.storage.holds = True
    first = asyncio.ensure_future(world.start("w0"))
    await turns()
    others = [asyncio.ensure_future(world.start(f"w{number}")) for number in range(1, 10)]
    await turns()
    assert len(world.storage.waiting) == 1
    world.storage.holds = True
    (batch, done), world.storage.waiting = world.storage.waiting[0], []
    world.storage.inner.submit(batch, done)
    await within(first)
    await turns()
    assert [len(batch.runs) for batch, _ in world.storage.waiting] == [9]
    world.storage.release()
    await within(asyncio.gather(*others))


# Failing commits.


async def test_everybody_who_stands_on_a_failed_commit_is_told(world: World):
    world.storage.holds = True
    flying = [asyncio.ensure_future(world.start(f"w{number}")) for number in range(3)]
    await turns()
    waiting = [asyncio.ensure_future(world.start(f"w{number}")) for number in range(3, 6)]
    await turns()
    world.storage.release(fails=True)
    told = await within(asyncio.gather(*flying, *waiting, return_exceptions=True))
    assert [type(each) for each in told] == [Unavailable] * 6
    assert await world.storage.inner.max_run_key() == 0


async def test_after_a_failed_commit_the_run_is_as_it_was(world: World):
    run = await world.start("w")
    await world.signal("w")
    before = await world.stored(run.run_key)
    world.storage.fails = True
    with pytest.raises(Unavailable):
        await world.signal("w")
    again = await world.current("w")
    assert again is not run and run.lost
    assert again.core.signal_count == 1
    assert state(again.execution) == state(before) == state(await world.stored(run.run_key))
    with pytest.raises(Unavailable):
        world.executor.apply(run, inputs.SignalWorkflow(Signal(name="s")))
    await world.signal("w")
    assert (await world.event_types(run.run_key)).count("WORKFLOW_EXECUTION_SIGNALED") == 2


async def test_a_start_that_was_not_stored_leaves_the_workflow_id_free(world: World):
    world.storage.fails = True
    with pytest.raises(Unavailable):
        await world.start("w")
    assert await world.executor.find_current(world.namespace.id, "w") is None
    run = await world.start("w")
    assert await world.current("w") is run


async def test_a_namespace_that_was_not_stored_is_not_there(world: World):
    namespaces, executor = world.runtime.namespaces, world.executor
    world.storage.fails = True
    namespaces.save(executor, Namespace(id="n2", name="other"))
    renamed = namespaces.change(executor, world.namespace, name="renamed")
    namespaces.change(executor, renamed, name="renamed again")
    with pytest.raises(Unavailable):
        await executor.flushed()
    with pytest.raises(NamespaceNotFound):
        namespaces.get("other")
    assert [each.name for each in namespaces] == ["default"]
    assert namespaces.get("default") == namespaces.by_id(world.namespace.id) == world.namespace


async def test_nothing_of_a_failed_commit_is_published(world: World):
    given = world.poll()
    await turns()
    world.storage.fails = True
    with pytest.raises(Unavailable):
        await world.start("lost")
    await turns()
    assert given.empty()
    run = await world.start("kept")
    assert (await within(given.get()))[1] == run.run_key
    assert given.empty()


async def test_a_task_whose_completion_was_not_stored_is_offered_again(world: World):
    run = await world.start("w")
    task = await within(world.poll().get())
    world.start_task(run)
    world.storage.fails = True
    with pytest.raises(Unavailable):
        await world.complete_task(run, start_timer("t", 60))
    assert await within(world.poll().get()) == task
    again = await world.current("w")
    world.start_task(again)
    await world.complete_task(again, start_timer("t", 60))
    assert (await world.event_types(run.run_key))[-1] == "TIMER_STARTED"


async def test_a_deadline_whose_effect_was_not_stored_comes_again(world: World):
    run = await world.start("w")
    world.start_task(run)
    await world.complete_task(run, start_timer("t", 60))
    given = world.poll()
    await turns()
    world.storage.fails = True
    world.clock.advance(60 * SECOND_NS)
    assert (await within(given.get()))[1] == run.run_key
    assert not world.storage.fails
    assert (await world.event_types(run.run_key))[-2:] == ["TIMER_FIRED", "WORKFLOW_TASK_SCHEDULED"]


async def test_the_start_of_a_task_is_written_with_the_next_change(world: World):
    run = await world.start("w")
    world.start_task(run)
    await world.executor.flushed()
    stored = await world.stored(run.run_key)
    assert stored is not None and stored.pending_workflow_task is not None
    assert stored.pending_workflow_task.started_event_id == 0
    await world.signal("w")
    assert (await world.event_types(run.run_key))[-1] == "WORKFLOW_TASK_STARTED"
    assert state(await world.stored(run.run_key)) == state(run.execution)


# What memory holds.


async def test_memory_is_bounded_and_what_it_forgot_is_read_again():
    world = await World.open(cache_bytes=20_000)
    keys = [(await world.start(f"w{number}")).run_key for number in range(100)]
    assert sum(world.executor.cached(key) is not None for key in keys) < 10
    for number in range(100):
        await world.signal(f"w{number}")
    assert [(await world.current(f"w{number}")).core.signal_count for number in range(100)] == [1] * 100
    await world.runtime.stop()


async def test_schedules_and_jobs_are_forgotten_like_runs():
    """Seed 3 of the simulation: once memory was full of runs and one schedule, nothing could be read any more."""
    world = await World.open(cache_bytes=0)
    core = JobCore(namespace_id=world.namespace.id, workflow_id="job", run_id=world.executor.ids.uuid())
    request = StartBatchOperationRequest(visibility_query="WorkflowId = 'nobody'")
    job = world.executor.create(core, StartJob(request))
    await world.executor.settled(job)
    for number in range(20):
        await world.start(f"w{number}")
        await world.signal("w0")
    assert world.executor.cached(job.run_key) is not job
    await world.runtime.stop()


async def test_what_storage_does_not_have_yet_is_not_forgotten():
    world = await World.open(cache_bytes=0)
    started = [await world.start(f"w{number}") for number in range(40)]
    for run in started:
        found = await world.current(run.core.workflow_id)
        world.start_task(found)
    for run in started:
        held = world.executor.cached(run.run_key)
        assert held is not None and held.unwritten is not None
        await world.complete_task(held)
    await world.start("another")
    await world.start("and another")
    assert sum(world.executor.cached(run.run_key) is not None for run in started) < 20
    await world.runtime.stop()


async def test_what_is_on_its_way_to_storage_is_not_forgotten():
    world = await World.open(cache_bytes=0)
    world.storage.holds = True
    starts = [asyncio.ensure_future(world.start(f"w{number}")) for number in range(40)]
    await turns()
    signals = [asyncio.ensure_future(world.signal(f"w{number}")) for number in range(40)]
    await turns()
    world.storage.release()
    await within(asyncio.gather(*starts, *signals))
    assert [(await world.current(f"w{number}")).core.signal_count for number in range(40)] == [1] * 40
    await world.runtime.stop()


async def test_a_start_that_fails_leaves_the_run_that_it_would_have_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    run = await world.start("w")

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("perdure.runtime.executor.begin", broken)
        before = [(run, inputs.TerminateWorkflow(reason="replaced"))]
        options = StartOptions(run_id=world.executor.ids.uuid())
        with pytest.raises(ZeroDivisionError):
            world.executor.start(world.namespace, start_request(workflow_id="w"), options, before=before)
    assert run.execution.running


# Anything, in any order, on storage that fails now and then.


class Ledger:
    """Clients and a worker that do random things, and what the server has acknowledged to them."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.started: set[str] = set()
        self.signals: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        """How often each kind of step was acknowledged."""

    async def step(self) -> None:
        kind = self.random.choice((self.start, self.signal, self.signal, self.work, self.continue_as_new))
        try:
            await kind()
        except (Unavailable, ResourceExhausted):  # the latter while a workflow closes
            self.done["refused"] += 1
        else:
            self.done[kind.__name__] += 1

    async def start(self) -> None:
        workflow_id = f"w{self.random.randrange(10**9)}"
        await self.world.start(workflow_id)
        self.started.add(workflow_id)

    def _any(self) -> str | None:
        return self.random.choice(sorted(self.started)) if self.started else None

    async def signal(self) -> None:
        if workflow_id := self._any():
            await self.world.signal(workflow_id)
            self.signals[workflow_id] += 1

    async def work(self, *commands: Any) -> None:
        if (workflow_id := self._any()) is None:
            return
        run = await self.world.current(workflow_id)
        task = run.execution.pending_workflow_task
        if task is None:
            return
        if not task.started_event_id:
            self.world.start_task(run)
        if commands or self.random.random() < 0.7:
            number = self.random.randrange(10**9)
            await self.world.complete_task(run, *commands or [start_timer(f"t{number}", self.random.randrange(1, 20))])

    async def continue_as_new(self) -> None:
        again = command("CONTINUE_AS_NEW_WORKFLOW_EXECUTION")
        again.continue_as_new_workflow_execution_command_attributes.workflow_type.name = "Flow"
        await self.work(again)

    async def check(self) -> None:
        """Memory is storage, and storage holds what was acknowledged, no more and no less."""
        executor = self.world.executor
        await executor.flushed()
        for workflow_id in self.started:
            run = await self.world.current(workflow_id)
            stored = await self.world.stored(run.run_key)
            assert stored is not None
            if run.unwritten is None and executor.is_durable(run):
                assert state(stored) == state(run.execution)
            signals = 0
            while stored is not None:
                signals += stored.core.signal_count
                previous = stored.core.continued_run_id
                found = await executor.storage.find_run(self.world.namespace.id, workflow_id, previous)
                stored = await self.world.stored(found) if found else None
            assert signals == self.signals[workflow_id], workflow_id


@pytest.mark.parametrize(
    ("seed", "suspends"), [*((seed, False) for seed in range(8)), *((seed, True) for seed in (0, 2, 6))]
)
async def test_random_work_on_storage_that_fails(seed: int, suspends: bool):
    world = await World.open(cache_bytes=50_000, suspends=random.Random(seed) if suspends else None)
    ledger = Ledger(world, seed)
    for _ in range(60):
        world.storage.fails = ledger.random.random() < 0.3
        await within(asyncio.gather(*(ledger.step() for _ in range(ledger.random.randrange(1, 12)))))
        world.clock.advance(ledger.random.randrange(3) * SECOND_NS)
        await turns(3)
        world.storage.fails = False
        await ledger.check()
    assert all(ledger.done[kind] for kind in ("start", "signal", "work", "continue_as_new", "refused")), ledger.done
    open_runs = [await world.current(workflow_id) for workflow_id in sorted(ledger.started)]
    assert any(run.execution.pending[Kind.TIMER] for run in open_runs)
    await world.runtime.stop()

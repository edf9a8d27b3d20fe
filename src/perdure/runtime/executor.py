"""The executor: the one place that changes runs.

A request finds its run (in memory or storage), the engine decides, and the decision joins the open batch, all without
an await between the decision and the batch. The batch goes to storage when the writer is free, so that under load many
requests share one sync. Replies, tasks and deadlines leave when their batch is durable: persist, then publish.

What is in memory is a cache of what is durable, with two exceptions: a run with changes on their way to storage, and a
run whose workflow task was started (`durable=False`: the start of a task is written with the next change of its run).
Both are kept until storage has them.

When a commit fails, every run that was touched since the last durable batch is dropped from memory, its callers are
told UNAVAILABLE, and the next access loads what is durable.

A decision that can't be put into rows leaves no trace: rows are made first, then memory changes. Where several that
belong together are decided one by one (`together`), and one of them can't be, the open batch is given up like one that
storage refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from perdure.clock import Clock, Ids
from perdure.config import Dynamic
from perdure.engine import entity
from perdure.engine.decide import begin, decide
from perdure.engine.entity import EntityCore
from perdure.engine.inputs import Input
from perdure.engine.machines.workflow import StartOptions
from perdure.engine.transition import Decision, Environment, State
from perdure.errors import NotFound, PerdureError, Unavailable
from perdure.runtime import rows
from perdure.runtime.group import Group
from perdure.runtime.namespaces import Namespace, Namespaces
from perdure.runtime.reads import Reads
from perdure.runtime.run import Run
from perdure.runtime.warnings import warn_if_large
from perdure.storage.base import Batch, CommitFailed, RunChange, Storage

log = logging.getLogger(__name__)

Publish = Callable[[Run, Decision], None]
Decided = tuple[State, Decision]

WORKFLOW_NOT_FOUND = "workflow not found for ID: {}"
RUN_NOT_FOUND = 'workflow execution not found for workflow ID "{}" and run ID "{}"'
LOST = "The change could not be stored; please retry."
BROKEN_OFF = "something that was to be stored with it was broken off by an error of the server"


MAX_FORGOTTEN_AT_ONCE = 16
"""Runs that memory may give up for each one that it takes in."""


class Executor:
    """See the module's text. Belongs to one event loop."""

    def __init__(
        self,
        storage: Storage,
        namespaces: Namespaces,
        clock: Clock,
        ids: Ids,
        config: Dynamic,
        *,
        cache_bytes: int,
        first_run_key: int,
    ) -> None:
        self.storage = storage
        self.namespaces = namespaces
        self.clock = clock
        self.ids = ids
        self.config = config
        self.publish: Publish = lambda run, decision: None
        self.forgotten: Callable[[Run], None] = lambda run: None
        """Called for each run that a failed commit drops from memory, or that could not be published."""
        self.clock_of: Callable[[str], int] | None = None
        """What the clock of a namespace (by its id) says, where namespaces have clocks of their own."""
        self._loop = asyncio.get_running_loop()
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._runs: OrderedDict[int, Run] = OrderedDict()
        self._current: dict[tuple[str, str], int] = {}
        self._reads = Reads(storage)
        self._last_run_key = first_run_key - 1
        self._last_now_ns = 0
        self._open = Group(1)
        self._flying: dict[int, Group] = {}
        self._durable = 0
        self._flush_asked = False

    # Time and environment.

    def now_ns(self, namespace_id: str = "") -> int:
        """Now, never earlier than it was: a wall clock that is set back does not turn history around.

        What concerns the executions of a namespace goes by its clock, if the server has such.
        """
        if namespace_id and self.clock_of is not None:
            return self.clock_of(namespace_id)
        self._last_now_ns = max(self._last_now_ns, self.clock.now_ns())
        return self._last_now_ns

    def now_of(self, run: Run) -> int:
        """Now, in the run's own time."""
        return self.now_ns(run.core.namespace_id) + run.core.offset_ns

    def environment(self, namespace: Namespace) -> Environment:
        return Environment(
            now_ns=self.now_ns(namespace.id),
            config=self.config,
            ids=self.ids,
            namespace=namespace,
            find_namespace=self.namespaces.named,
            search_attribute_rules=self.namespaces.rules,
            new_run_key=self.new_run_key,
        )

    def new_run_key(self) -> int:
        self._last_run_key += 1
        return self._last_run_key

    # Finding runs.

    async def find_current(self, namespace_id: str, workflow_id: str) -> Run | None:
        """The newest run of a workflow id, open or closed."""
        name = (namespace_id, workflow_id)
        while True:
            last_run_key = self._last_run_key
            stored = None if name in self._current else await self.storage.find_current(*name)
            key = self._current.get(name, stored)
            run = await self.by_key(key) if key is not None else None
            if last_run_key == self._last_run_key or (run is not None and run.execution.running):
                return run
            # Others began while this one was read: was it the next one of this id?
            now = self._current.get(name) or await self.storage.find_current(*name)
            if self._current.get(name, now) == key:
                return run

    def may_be_current(self, run: Run) -> bool:
        """Whether memory knows of no newer run of the workflow id."""
        key = (run.core.namespace_id, run.core.workflow_id)
        return not run.deleted and self._current.get(key, run.run_key) == run.run_key

    async def find(self, namespace_id: str, workflow_id: str, run_id: str = "") -> Run:
        """A run by its ids; without a run id the current one. Raises `NotFound`."""
        if not run_id:
            run = await self.find_current(namespace_id, workflow_id)
            if run is None:
                raise NotFound(WORKFLOW_NOT_FOUND.format(workflow_id))
            return run
        key = self._current.get((namespace_id, workflow_id))
        cached = self._runs.get(key) if key is not None else None
        if cached is not None and cached.core.run_id == run_id and not cached.deleted:
            return cached
        return await self._find_run(namespace_id, workflow_id, run_id)

    async def _find_run(self, namespace_id: str, workflow_id: str, run_id: str) -> Run:
        for group in (self._open, *self._flying.values()):
            run = group.by_id.get((namespace_id, workflow_id, run_id))
            if run is not None and not run.deleted:
                return run
        key = await self.storage.find_run(namespace_id, workflow_id, run_id)
        run_or_none = await self.by_key(key) if key is not None else None
        if run_or_none is None:
            raise NotFound(RUN_NOT_FOUND.format(workflow_id, run_id))
        return run_or_none

    def cached(self, run_key: int) -> Run | None:
        """The run if it is in memory."""
        return self._runs.get(run_key)

    async def by_key(self, run_key: int) -> Run | None:
        """A run by its key; None if it is gone."""
        run = self._runs.get(run_key)
        if run is not None:
            self._runs.move_to_end(run_key)
            return None if run.deleted else run
        stored = await self._reads.run(run_key)
        run = self._runs.get(run_key)
        if run is not None:
            return None if run.deleted else run
        if stored is None:
            return None
        run = Run(rows.load(stored), (((kind, key), row) for kind, key, row in stored.pending))
        self._remember(run)
        return run

    def _remember(self, run: Run) -> None:
        self._runs[run.run_key] = run
        self._cached_bytes += run.size_bytes
        self._shrink(run)

    def _shrink(self, newest: Run) -> None:
        """Forget the runs used longest ago, except those that storage does not have as they are.

        It looks at a few runs at a time: those that have to stay are met again only after all others.
        """
        for _ in range(MAX_FORGOTTEN_AT_ONCE):
            oldest = next(iter(self._runs.values()))
            if self._cached_bytes <= self._cache_bytes or oldest is newest:
                return
            if oldest.group <= self._durable and oldest.unwritten is None and not oldest.pinned:
                self.forget(oldest)
            else:
                self._runs.move_to_end(oldest.run_key)

    def forget(self, run: Run) -> None:
        """Drop a run from memory."""
        self._reads.spoil(run.run_key)
        if self._runs.pop(run.run_key, None) is None:
            return
        self._cached_bytes -= run.size_bytes
        key = (run.core.space, run.core.workflow_id)
        if self._current.get(key) == run.run_key:
            del self._current[key]

    # Changing runs.

    def apply(self, run: Run, input: Input) -> Decision:
        """Let an input act on a run, and put the result into the open batch. Raises what the engine refuses with.

        The decision is not durable yet: `await settled(run)` before you answer for it.
        """
        decided = self._decide(run, input)
        self.commit(decided)
        return decided[1]

    def _decide(self, run: Run, input: Input) -> Decided:
        self.require_known(run)
        namespace = self.namespaces.by_id(run.core.namespace_id)
        return decide(run.execution, input, self.environment(namespace))

    async def perform(self, run: Run, input: Input) -> Decision:
        """`apply`, wait until that is durable, and raise the error that the decision has for its caller, if any."""
        decision = self.apply(run, input)
        await self.answered(run, decision)
        return decision

    async def answered(self, run: Run, decision: Decision) -> None:
        """Wait until the run is durable, and raise the error that the decision has for its caller, if any."""
        await self.settled(run)
        if decision.error is not None:
            raise decision.error

    def start(
        self, namespace: Namespace, request: Any, options: StartOptions, *, before: Iterable[tuple[Run, Input]] = ()
    ) -> Run:
        """Begin a run that becomes the current one of its workflow id. `before`, one input a run, is applied with it.

        Raises `NamespaceNotFound` when the namespace was deleted meanwhile.
        """
        namespace = self.namespaces.living(namespace.id)
        begun = begin(self.new_run_key(), self.environment(namespace), request, options)
        return self.commit(*(self._decide(run, input) for run, input in before), begun)

    def require_known(self, run: Run) -> None:
        """Raises if the object is no longer the run."""
        if run.deleted:
            raise NotFound(RUN_NOT_FOUND.format(run.core.workflow_id, run.core.run_id))
        if run.lost or self._runs.get(run.run_key) is not run:
            raise Unavailable(LOST)

    def create(self, core: EntityCore, input: Input) -> Run:
        """Begin an entity that becomes the current one of its id. `input` is the first that acts on it.

        Raises `NamespaceNotFound` when the namespace was deleted meanwhile, and what the engine refuses with.
        """
        namespace = self.namespaces.living(core.namespace_id)
        execution = entity.hold(self.new_run_key(), core)
        return self.commit(entity.act(execution, input, self.environment(namespace), created=True))

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is applied in the block becomes durable as a whole or, if the block is left by an exception, not at all.

        There must be no await in it.
        """
        group = self._open
        before = len(group.published)
        try:
            yield
        except BaseException:
            if len(group.published) > before:
                self._give_up()
            raise

    def commit(self, *decided: Decided) -> Run:
        """Put decisions into memory and the open batch: all of them, or none if one can't be put into rows.

        Returns the run that the last one is about.
        """
        writes = [
            (each, None if each.volatile else rows.run_change(each))
            for _, decision in decided
            for each in (decision, *decision.also)
        ]
        try:
            for t, _ in decided:
                t.commit()
            for each, change in writes:
                self._write(each, change)
        except BaseException:
            for each, _ in writes:
                if (run := self._runs.get(each.execution.run_key)) is not None:
                    self._open.touch(run)
            self._give_up()
            raise
        for each, _ in writes:
            if (run := self._runs.get(each.execution.run_key)) is not None:
                warn_if_large(run, self.namespaces, self.config, each)
        return self._runs[decided[-1][1].execution.run_key]

    def _write(self, decision: Decision, change: RunChange | None) -> None:
        execution = decision.execution
        core = decision.core
        if decision.created:
            run = Run(execution)
            self._remember(run)
            self._current[core.space, core.workflow_id] = execution.run_key
            self._open.batch.current[core.space, core.workflow_id] = execution.run_key
        else:
            run = self._runs[execution.run_key]
        self._cached_bytes += run.record(decision, change)
        if change is None:
            self.publish(run, decision)
            run.wake()
            return
        if run.unwritten is not None:
            run.unwritten.fold(change)
            change, run.unwritten = run.unwritten, None
        if not decision.durable:
            run.unwritten = change
            self.publish(run, decision)
            run.wake()
            return
        group = self._open
        group.batch.add(change)
        group.touch(run)
        group.published.append((run, decision))
        self._ask_flush()

    def write(self, change: Callable[[Batch], None], undo: Callable[[], None] | None = None) -> None:
        """Put something that is no run's (a namespace, metadata) into the open batch.

        `undo` takes the change back from memory; it is called if the batch does not become durable.
        """
        change(self._open.batch)
        if undo is not None:
            self._open.undo.append(undo)
        self._ask_flush()

    async def delete(self, run: Run) -> None:
        """Remove a run with all it has. If it is the one that its workflow id points to, the id is free again.

        It is gone at once for those who look for it; `await settled(run)` until storage knows. No effect on a run that
        was deleted before.
        """
        key = (run.core.space, run.core.workflow_id)
        current = self._current.get(key)
        if current is None:
            stored = await self.storage.find_current(*key)
            current = self._current.get(key, stored)
        if run.deleted or run.lost:
            return
        run.unwritten = None
        self._open.batch.add(RunChange(run.run_key, delete=True))
        self._open.touch(run)
        if current == run.run_key:
            self._open.batch.current[key] = None
            self._current.pop(key, None)
        run.deleted = True
        self._ask_flush()

    # Batches.

    def _ask_flush(self) -> None:
        if not self._flush_asked and not self._flying:
            self._flush_asked = True
            self._loop.call_soon(self._flush)

    def _give_up(self) -> None:
        """Let the open batch fail. It does when its turn comes: storage then has all that its runs go back to."""
        self._open.given_up = True
        self._ask_flush()

    def _flush(self) -> None:
        self._flush_asked = False
        group = self._open
        if self._flying or not (group.batch or group.waiters or group.given_up):
            return
        self._open = Group(group.number + 1)
        if group.given_up:
            self._failed(group, Unavailable(BROKEN_OFF))
            return
        self._flying[group.number] = group
        self.storage.submit(group.batch, lambda error: self._done(group, error))

    def _done(self, group: Group, error: BaseException | None) -> None:
        """On the writer's thread."""
        try:
            self._loop.call_soon_threadsafe(self._landed, group, error)
        except RuntimeError:
            log.debug("a batch landed after the event loop had closed")

    def _landed(self, group: Group, error: BaseException | None) -> None:
        self._flying.pop(group.number, None)
        if error is not None:
            self._failed(group, error)
            return
        self._durable = group.number
        for run, decision in group.published:
            if not run.deleted:
                self._publish(run, decision)
        for run in group.runs:
            if run.deleted and run.group == group.number:
                self.forget(run)
            run.wake()
        for waiter in group.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._flush()

    def _publish(self, run: Run, decision: Decision) -> None:
        """What is durable is so whatever becomes of telling it: others of the batch are told all the same."""
        try:
            self.publish(run, decision)
        except Exception:
            log.exception("a change of workflow %r could not be told on", run.core.workflow_id)
            self.forgotten(run)

    def _failed(self, group: Group, error: BaseException) -> None:
        """Give up all that is not durable, in one go."""
        log.error("a commit failed; %d runs go back to their last durable state: %s", len(group.runs), error)
        open_group, self._open = self._open, Group(self._open.number + 1)
        told = Unavailable(f"The change could not be stored, nothing of it was kept; please retry: {error}")
        for undo in reversed(group.undo + open_group.undo):
            undo()
        for lost in (group, open_group):
            for key in lost.batch.current:
                self._current.pop(key, None)
            for run in lost.runs:
                self.forget(run)
                run.lose()
                self.forgotten(run)
            for waiter in lost.waiters:
                if not waiter.done():
                    waiter.set_exception(told)
        if isinstance(error, CommitFailed):
            self.storage.resume(error)

    async def settled(self, run: Run) -> None:
        """Wait until all that memory shows of the run (the unwritten start of a task aside) is durable."""
        if run.lost:
            raise Unavailable(LOST)
        await self._settled(run.group)

    async def flushed(self) -> None:
        """Wait until all that memory shows is durable."""
        if self._open.batch:
            self._ask_flush()
            await self._settled(self._open.number)
        elif self._flying:
            await self._settled(max(self._flying))

    async def _settled(self, number: int) -> None:
        if number <= self._durable:
            return
        group = self._flying.get(number)
        if group is None:
            if self._open.number != number:
                raise Unavailable(LOST)
            group = self._open
            self._ask_flush()
        waiter = self._loop.create_future()
        group.waiters.append(waiter)
        await waiter

    def is_durable(self, run: Run) -> bool:
        return run.group <= self._durable

    async def close(self) -> None:
        """Write what is open, and wait for it."""
        while self._open.batch or self._flying:
            try:
                await self.flushed()
            except PerdureError:
                return

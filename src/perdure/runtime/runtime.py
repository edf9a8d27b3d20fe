"""The runtime: executor, matching, deadlines and follow-ups, wired together."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from perdure.clock import Clock, Ids
from perdure.config import Dynamic, Skipping
from perdure.engine import inputs
from perdure.engine.execution import Key, Kind, WorkflowTask
from perdure.engine.transition import Decision
from perdure.errors import DataLoss, NotFound
from perdure.runtime.batch import KINDS as BATCH_KINDS
from perdure.runtime.batch import Batches
from perdure.runtime.executor import Executor, Publish
from perdure.runtime.follow_ups import KINDS as FOLLOW_UP_KINDS
from perdure.runtime.follow_ups import FollowUps
from perdure.runtime.matching import Matching
from perdure.runtime.namespace_time import MAX_SKIPS
from perdure.runtime.namespaces import Namespaces
from perdure.runtime.queue_configs import QueueConfigs
from perdure.runtime.reclaim import Reclaimer
from perdure.runtime.resets import Resets
from perdure.runtime.retention import Retention
from perdure.runtime.run import Run
from perdure.runtime.schedules import KINDS as SCHEDULE_KINDS
from perdure.runtime.schedules import Schedules
from perdure.runtime.skipping import SkippedTime
from perdure.runtime.sticky import StickyQueues
from perdure.runtime.timekeeper import Timekeeper, WallTime
from perdure.runtime.workers import Workers
from perdure.storage.base import Storage

log = logging.getLogger(__name__)

Actor = Callable[[Run, int, Key], Awaitable[None]]
"""Does what a pending item asks for when its time has come, if that is more than an input to its own run."""


class Runtime:
    """Everything below the edge. Make it with `open`, on the event loop it will belong to."""

    def __init__(
        self, executor: Executor, namespaces: Namespaces, skipping: Skipping = Skipping.OFF, skips: int = MAX_SKIPS
    ) -> None:
        self.executor = executor
        self.namespaces = namespaces
        self.storage = executor.storage
        self.clock = executor.clock
        self.ids = executor.ids
        self.config = executor.config
        self.follow_ups = FollowUps(executor)
        self._actors: dict[int, Actor] = dict.fromkeys(FOLLOW_UP_KINDS, self.follow_ups.act)
        self.schedules = Schedules(executor)
        self._actors |= dict.fromkeys(SCHEDULE_KINDS, self.schedules.act)
        self.matching = Matching(executor.storage, executor.clock, self.config)
        self.queue_configs = QueueConfigs(executor, self.matching)
        self.resets = Resets(executor)
        self.batches = Batches(executor, self.resets)
        self._actors |= dict.fromkeys(BATCH_KINDS, self.batches.act)
        self.workers = Workers(
            executor.clock,
            ttl_s=self.config.worker_registry_entry_ttl_s,
            max_entries=self.config.worker_registry_max_entries,
        )
        self.sticky = StickyQueues(executor, self.matching)
        self.reclaimer = Reclaimer(executor, self._forget)
        self.skipped: SkippedTime | None = None
        """The clocks of the namespaces, if time skips."""
        self.time: Timekeeper
        if skipping is Skipping.OFF:
            self.time = WallTime(executor, self._act)
        else:
            locked = skipping is Skipping.LOCKED
            self.time = self.skipped = SkippedTime(executor, self.matching, self._act, locked=locked, skips=skips)
        self.retention = Retention(executor, namespaces)
        self.published: Publish = lambda run, decision: None
        """Called for each decision, once it is durable, after its tasks and deadlines were taken note of."""
        self.observers: list[Publish] = []
        """Called for each decision, once it is durable, after everything else; for tests that watch."""
        executor.publish = self._publish
        executor.forgotten = self._forgotten

    @classmethod
    async def open(
        cls,
        storage: Storage,
        clock: Clock,
        ids: Ids,
        config: Dynamic,
        *,
        cache_bytes: int,
        skipping: Skipping = Skipping.OFF,
        skips: int = MAX_SKIPS,
    ) -> Runtime:
        if skipping is not Skipping.OFF:
            config = replace(config, least_activity_start_to_close_s=0.0)
        namespaces = await Namespaces.load(storage, config)
        executor = Executor(
            storage,
            namespaces,
            clock,
            ids,
            config,
            cache_bytes=cache_bytes,
            first_run_key=await storage.max_run_key() + 1,
        )
        runtime = cls(executor, namespaces, skipping, skips)
        await runtime.queue_configs.load(storage)
        return runtime

    def start(self) -> None:
        """Begin to act on deadlines, to delete what was kept long enough, and go on with what a deletion left."""
        self.time.start()
        self.retention.start()
        self.reclaimer.start()
        self.sticky.start()

    async def stop(self) -> None:
        """Write what is open and close storage. Polls were answered before."""
        await self.sticky.stop()
        await self.retention.stop()
        await self.time.stop()
        await self.reclaimer.stop()
        await self.executor.close()
        await self.storage.close()

    def _forget(self, namespace_id: str) -> None:
        self.queue_configs.forget(namespace_id)
        if self.skipped is not None:
            self.skipped.forget(namespace_id)

    def _publish(self, run: Run, decision: Decision) -> None:
        """A decision is durable, or will be with the next: note its deadlines, then offer its tasks: one
        that is offered to a waiting poll starts at once, and that start is published before this returns."""
        self.time.published(run, decision)
        for kind, key, item in decision.changes:
            if item is not None and item.queue is not None:
                self._offer(run, kind, key, item, decision.core.offset_ns)
        if decision.updates:
            self.published(run, decision)
        if decision.core.close_ns:
            self.retention.closed(run)
        for observer in self.observers:
            observer(run, decision)

    def _offer(self, run: Run, kind: Kind, key: Key, item: WorkflowTask, offset_ns: int) -> None:
        if not (kind == Kind.WORKFLOW_TASK and item.sticky and self.sticky.leave(run, item)):
            self.matching.add(str(item.queue), item.order - offset_ns, run.run_key, kind, key, stored=not item.volatile)

    async def _act(self, run_key: int, kind: int, keys: Sequence[Key]) -> None:
        """The time of pending items of a run has come."""
        run = await self.executor.by_key(run_key)
        if run is None:
            return
        actor = self._actors.get(kind)
        if actor is not None:
            await self._act_on_each(run, kind, keys, actor)
            return
        pending = run.execution.pending[Kind(kind)]
        if not any(key in pending for key in keys):
            return  # most are: what they were for has happened in time
        with contextlib.suppress(NotFound):
            self.executor.apply(run, inputs.Deadline(Kind(kind), keys))

    async def _act_on_each(self, run: Run, kind: int, keys: Sequence[Key], actor: Actor) -> None:
        """One that fails does not keep the others from being acted on."""
        errors: list[Exception] = []
        for key in keys:
            try:
                await actor(run, kind, key)
            except Exception as error:
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: isinstance(error, DataLoss))  # the one that may pass: try again

    def _forgotten(self, run: Run) -> None:
        """A commit failed, or telling it: what memory knew of deadlines and tasks may have gone too early."""
        self.time.reload()
        self.matching.reload()

"""The moments of a workflow's life at which something can go wrong, and workers that stop at them.

A moment is the answer to a workflow task ("task": the code has run, the server does not know), the beginning of an
activity's attempt ("begin"), and its end ("acted": the server does not know). They are numbered as they come, so that a
run without faults tells which there are, and the next run can have something happen at any of them, while the worker
holds the task.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, NamedTuple

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

from perdure.testing.faults import Choose, Fault

RUN_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
QUIET_JOBS = {"remove_from_cache", "query_workflow"}


class Moment(NamedTuple):
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


class Label(NamedTuple):
    """An activity, the same in all runs: its type, its id without ids of runs, and which of those it is."""

    type: str
    id: str
    number: int

    def __str__(self) -> str:
        return f"{self.type} {self.id} {self.number}"


Action = Callable[[], Coroutine[Any, Any, Any]]


class Life:
    """Of a worker. When it is dead nothing is answered any more, and nothing acts."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.dead = False
        self.buried = asyncio.Event()


class Probe(Interceptor):
    """Counts the moments of one cell, and does what is wanted at some of them."""

    def __init__(self, main_id: str) -> None:
        self.main_id = main_id
        self.moments: list[Moment] = []
        self.actions: dict[Moment, Action] = {}
        self.acting = 0
        """Actions under way."""
        self.labels: dict[tuple[str, str], Label] = {}
        """(run id, activity id), in the order in which they began."""
        self.started: dict[tuple[str, str], list[tuple[datetime, Label]]] = {}
        """(workflow id, run id) -> when the server gave out attempts of its activities, by its clock."""
        self.late: set[tuple[str, str, int]] = set()
        """Attempts that are held back, and have not acted yet."""
        self.choices: dict[Label, Fault] = {}
        self.always: set[Label] = set()
        """Activities of which all attempts go wrong, not just the first."""
        self.to_the_end: set[Label] = set()
        """Activities whose late attempts act only when all is over."""
        self.every: Fault | None = None
        """What happens to the first attempts of all activities."""
        self._numbers: Counter[str] = Counter()
        self._alike: Counter[tuple[str, str]] = Counter()

    def reached(self, moment: Moment) -> bool:
        return moment in self.moments

    async def reach(self, kind: str, life: Life) -> None:
        """Returns at once, after what is to be done here, or, in a dead worker, when that is buried."""
        if not life.dead:
            self._numbers[kind] += 1
            moment = Moment(kind, self._numbers[kind])
            self.moments.append(moment)
            if action := self.actions.get(moment):
                self.acting += 1
                try:
                    await _whatever_comes(action())
                finally:
                    self.acting -= 1
        if life.dead:
            await _whatever_comes(life.buried.wait())

    def label(self, info: activity.Info) -> Label:
        key = (info.workflow_run_id or "", info.activity_id)
        if key not in self.labels:
            name = RUN_ID.sub("*", info.activity_id.replace(self.main_id, "*"))
            self._alike[info.activity_type, name] += 1
            self.labels[key] = Label(info.activity_type, name, self._alike[info.activity_type, name])
        return self.labels[key]

    @property
    def choose(self) -> Choose:
        def choose(info: activity.Info) -> Fault | None:
            label = self.label(info)
            fault = self.choices.get(label, self.every)
            if info.attempt > 1 and label not in self.always:
                return None
            if fault is Fault.LATE:
                self.late.add((info.workflow_run_id or "", info.activity_id, info.attempt))
            return fault

        return choose

    def waits_for_the_end(self, info: activity.Info) -> bool:
        return self.label(info) in self.to_the_end

    def on(self, life: Life) -> Interceptor:
        """The interceptor of one worker's activities."""
        return _ActivityProbe(self, life)

    def watch(self, worker: Worker, life: Life) -> None:
        """Stop at the worker's workflow tasks. Before it has begun to poll."""
        tasks: Any = worker._workflow_worker
        if tasks is not None:
            bridge = _Bridge(tasks._bridge_worker(), self, life)
            tasks._bridge_worker = lambda: bridge


class _ActivityProbe(Interceptor):
    def __init__(self, probe: Probe, life: Life) -> None:
        self.probe = probe
        self.life = life

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Activities(super().intercept_activity(next), self.probe, self.life)


class _Activities(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, probe: Probe, life: Life) -> None:
        super().__init__(next)
        self.probe = probe
        self.life = life

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        ids = (info.workflow_run_id or "", info.activity_id)
        began = (info.started_time, self.probe.label(info))
        self.probe.started.setdefault((info.workflow_id or "", ids[0]), []).append(began)
        await self.probe.reach("begin", self.life)
        if self.life.dead:
            raise ApplicationError("this worker is dead")
        try:
            return await super().execute_activity(input)
        finally:
            self.probe.late.discard((*ids, info.attempt))
            await self.probe.reach("acted", self.life)


class _Bridge:
    """The worker's way to the SDK's core, with a stop before each workflow task is answered."""

    def __init__(self, real: Any, probe: Probe, life: Life) -> None:
        self._real = real
        self._probe = probe
        self._life = life
        self._fresh: dict[str, bool] = {}
        """By run id: whether what the worker has is a task of its own, no replay, query or eviction."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def poll_workflow_activation(self) -> Any:
        act = await self._real.poll_workflow_activation()
        jobs = {job.WhichOneof("variant") for job in act.jobs}
        self._fresh[act.run_id] = not act.is_replaying and bool(jobs - QUIET_JOBS)
        return act

    async def complete_workflow_activation(self, completion: Any) -> None:
        if self._fresh.pop(completion.run_id, False):
            await self._probe.reach("task", self._life)
        await self._real.complete_workflow_activation(completion)


async def _whatever_comes(what: Coroutine[Any, Any, Any]) -> None:
    """Outside of the activity from which it is called, and of its cancellation."""
    task = asyncio.create_task(what, context=contextvars.Context())
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()

"""Resets: reading what the new run takes over and what is applied again, and the places that a reset can go back to.

Reading may take long and others go on meanwhile, so what comes behind is read until there is no more; from there to the
decision nothing else runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from temporalio.api.enums.v1 import EventType, WorkflowExecutionStatus
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflow.v1 import ResetPoints, WorkflowExecutionOptions

from perdure.engine.decide import begin_by_reset, decide
from perdure.engine.execution import Kind
from perdure.engine.inputs import GiveWayToReset
from perdure.engine.machines.reset import Plan, applies_again, excludes_all
from perdure.engine.rebuild import Identity, beginning, replay
from perdure.engine.times import get_time
from perdure.engine.transition import State
from perdure.errors import InvalidArgument, NotFound, Unavailable
from perdure.runtime import history
from perdure.runtime.executor import LOST, Decided, Executor
from perdure.runtime.run import Run

CONTINUED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
SCHEDULED = EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED

NO_WORKFLOW_TASK = "unable to find any scheduled or completed task"
Again = Callable[[HistoryEvent], bool]
PAGE_BATCHES = 100
EVENTS_AT_ONCE = 250
"""After so many events others get their turn."""


@dataclass(slots=True)
class Reset:
    """One reset. `event_id`: of the completion of the workflow task to go back to; events from there on are not
    taken over. `excluded`: numbers of `ResetReapplyExcludeType`. `options`: how the new run's options are changed, with
    the fields that count, in camel case. `check` raises if there is something else wrong with the request; it is called
    with the run that is reset when its event id was found to be right."""

    namespace_id: str
    workflow_id: str
    run_id: str
    event_id: int
    reason: str
    request_id: str
    excluded: frozenset[int] = frozenset()
    options: Sequence[tuple[WorkflowExecutionOptions, Collection[str]]] = ()
    check: Callable[[Run], None] = lambda run: None
    still: Callable[[], bool] = lambda: True
    """Looked at right before the decision: whether the reset is still wanted."""


class Point(NamedTuple):
    """Where a reset can go back to."""

    run_id: str
    event_id: int


class Resets:
    """See the module's text."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def reset(self, reset: Reset) -> Run:
        """The new run, durable. The same request again gives the run that it made, as long as that is the current one.

        Raises `NotFound`, and `InvalidArgument` for an event that a workflow can't be reset to."""
        run = await self.begin(reset)
        await self._executor.settled(run)
        return run

    async def begin(self, reset: Reset) -> Run:
        """`reset`, but the new run is not durable yet: what is applied next without an await is so together with it."""
        executor = self._executor
        base = await executor.find(reset.namespace_id, reset.workflow_id, reset.run_id)
        if not 1 < reset.event_id < base.core.next_event_id:
            raise InvalidArgument("Workflow task finish ID must be > 1 && <= workflow last event ID.")
        reset.check(base)
        with ExitStack() as held:
            held.callback(base.hold())
            current = await executor.find_current(reset.namespace_id, reset.workflow_id)
            if current is not None and _is_of(reset, current):
                return current
            plan = Plan(
                run_id=executor.ids.uuid(),
                base_run_id=base.core.run_id,
                reason=reset.reason,
                request_id=reset.request_id,
                start_request_id=base.core.start_request_id,
                batches=[],
                options=reset.options,
            )
            prefix = await self._take_over(base, reset.event_id, plan)
            behind = _Behind(executor, base, reset, held)
            while True:
                await behind.read()
                current = await executor.find_current(reset.namespace_id, reset.workflow_id)
                if behind.is_complete and (current is None or executor.may_be_current(current)):
                    break
            if current is not None and _is_of(reset, current):  # a repeat was faster
                return current
            if not reset.still():
                raise Unavailable(LOST)
            plan.events = behind.events
            return self._commit(prefix, plan, base, current, again=behind.again(current))

    def _commit(self, prefix: State, plan: Plan, base: Run, current: Run | None, *, again: Again | None) -> Run:
        """Begin a run with a part of the history of `base`; it becomes the current one. All or nothing.

        `current` is ended if it is open. What is buffered there is applied again if `again` says so of it."""
        executor = self._executor
        env = executor.environment(executor.namespaces.living(base.core.namespace_id))
        decided: list[Decided] = []
        for run in [base] if current is None or current is base else [base, current]:
            executor.require_known(run)
            goes_on = run is current and run.execution.running and run.core.first_run_id == prefix.core.first_run_id
            if goes_on:
                plan.scheduled = run.execution.pending[Kind.SCHEDULED].get("")
            new_run_id = plan.run_id if run is base else ""
            give_way = GiveWayToReset(plan.reason, run is current, new_run_id, goes_on)
            t, decision = decide(run.execution, give_way, env)
            decided.append((t, decision))
            if run is current and again is not None:
                events = History.FromString(b"".join(data for _, data in decision.history)).events
                plan.events += [event for event in events if again(event)]
        begun = begin_by_reset(executor.new_run_key(), env, prefix, plan)
        return executor.commit(*decided, begun)

    async def _take_over(self, base: Run, before_event_id: int, plan: Plan) -> State:
        """The state of a run with those events; their batches go into the plan."""
        core = base.core
        identity = Identity(core.namespace_id, core.workflow_id, plan.run_id, 0)
        state = beginning(identity, self._executor.config)
        async for event in _events(self._executor, base, 1, before_event_id, plan.batches):
            replay(state, event)
        if state.core.next_event_id != before_event_id:
            raise InvalidArgument(
                f"StateRebuilder unable to Rebuild mutable state to event ID: {before_event_id - 1}, version: 0, "
                "this event must be at the boundary"
            )
        return state

    # Places to go back to.

    async def first_workflow_task(self, run: Run) -> Point:
        """Behind the first completed workflow task; if there is none, behind the first that was scheduled."""
        scheduled = 0
        async for event in _events(self._executor, run, 1, run.core.next_event_id):
            if event.event_type == COMPLETED:
                return Point(run.core.run_id, event.event_id)
            if event.event_type == SCHEDULED and not scheduled:
                scheduled = event.event_id + 1
        return _point(run, scheduled)

    async def last_workflow_task(self, run: Run) -> Point:
        """Behind the last completed workflow task; if there is none, behind the first that was scheduled."""
        scheduled, before_event_id = 0, run.core.next_event_id
        await self._executor.settled(run)
        while before_event_id:
            page = await history.read_reverse(self._executor, run, before_event_id, PAGE_BATCHES)
            for _, data in page.batches:
                for event in reversed(History.FromString(data).events):
                    if event.event_type == COMPLETED:
                        return Point(run.core.run_id, event.event_id)
                    if event.event_type == SCHEDULED:
                        scheduled = event.event_id + 1
            before_event_id = page.next_event_id
        return _point(run, scheduled)

    def by_build_id(self, run: Run, build_id: str, *, current_run_only: bool = False) -> Point:
        """Behind the first workflow task that a build completed, maybe in an earlier run of the chain."""
        now_ns = self._executor.now_of(run)
        for point in ResetPoints.FromString(run.core.reset_points).points:
            if point.build_id != build_id:
                continue
            if not point.resettable:
                raise InvalidArgument(f"Reset point for {build_id} is not resettable")
            if point.HasField("expire_time") and get_time(point.expire_time) < now_ns:
                raise InvalidArgument(f"Reset point for {build_id} is expired")
            if current_run_only and point.run_id != run.core.run_id:
                raise InvalidArgument(f"Reset point for {build_id} points to previous run and CurrentRunOnly is set")
            return Point(point.run_id, point.first_workflow_task_completed_id)
        raise InvalidArgument(f"Can't find reset point for {build_id}")


def _is_of(reset: Reset, run: Run) -> bool:
    """Whether the request has made the run already."""
    return reset.request_id in (run.core.start_request_id, run.core.reset_request_id)


def _point(run: Run, event_id: int) -> Point:
    if not event_id:
        raise InvalidArgument(NO_WORKFLOW_TASK)
    return Point(run.core.run_id, event_id)


class _Behind:
    """What came behind the point, in the run itself and in those that continued it as new."""

    def __init__(self, executor: Executor, base: Run, reset: Reset, held: ExitStack) -> None:
        self._executor = executor
        self._base = base
        self._excluded = reset.excluded
        self._nothing = excludes_all(reset.excluded)
        self._held = held
        self._last = base
        self._next_event_id = reset.event_id
        self._ended = False
        self.events: list[HistoryEvent] = []
        """Those to be applied again."""

    @property
    def is_complete(self) -> bool:
        return self._nothing or self._ended or (self._has_all_of_last() and not self._continues())

    def _has_all_of_last(self) -> bool:
        return self._next_event_id == self._last.core.next_event_id

    def _continues(self) -> bool:
        return self._last.core.status == CONTINUED

    async def read(self) -> None:
        """Read on, as far as there is something."""
        while not self.is_complete:
            if self._has_all_of_last():
                await self._follow()
                continue
            until, own = self._last.core.next_event_id, self._last is self._base
            async for event in _events(self._executor, self._last, self._next_event_id, until):
                if applies_again(event, self._excluded, own=own):
                    self.events.append(event)
            self._next_event_id = until

    async def _follow(self) -> None:
        core = self._last.core
        try:
            self._last = await self._executor.find(core.namespace_id, core.workflow_id, core.new_run_id)
        except NotFound:
            self._ended = True
            return
        self._held.callback(self._last.hold())
        self._next_event_id = 1

    def again(self, current: Run | None) -> Again | None:
        """Which of the events that its end brings out of the buffer of the current run are applied again."""
        if current is not self._last or self._ended:
            return None
        own = current is self._base
        return lambda event: applies_again(event, self._excluded, own=own)


async def _events(
    executor: Executor,
    run: Run,
    first_event_id: int,
    before_event_id: int,
    batches: list[tuple[int, bytes]] | None = None,
) -> AsyncIterator[HistoryEvent]:
    """The events of a range, a page at a time, in whole batches; those go into `batches` as they are."""
    await executor.settled(run)
    seen, next_event_id = 0, first_event_id
    while next_event_id:
        page = await history.read(executor, run, next_event_id, before_event_id, PAGE_BATCHES)
        for batch in page.batches:
            if batches is not None:
                batches.append(batch)
            for event in History.FromString(batch[1]).events:
                yield event
                seen += 1
                if seen % EVENTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        next_event_id = page.next_event_id

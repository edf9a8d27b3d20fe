"""What inputs do to a schedule.

Each input ends with the same round (`_round`): act on the times that have come, go on with backfills, sort out the
buffer, and say when to look again. Starting and stopping workflows are pending items that are due at once; while
starts are under way the buffer waits for their outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.schedule.v1 import Schedule, SchedulePatch

from perdure.engine.entity import EntityTransition, EntityType
from perdure.engine.execution import RUNNING, Kind
from perdure.engine.inputs import Deadline, Input, Settled
from perdure.engine.schedule import inputs, shown
from perdure.engine.schedule.overlap import sort_out
from perdure.engine.schedule.spec import Time, Times, TooManyExclusions
from perdure.engine.schedule.state import (
    ITEMS,
    Backfill,
    Buffered,
    Definition,
    Recent,
    Running,
    ScheduleCore,
    Start,
    Stop,
    Tick,
)
from perdure.engine.times import NS, get_duration, get_storable_time
from perdure.errors import NotFound

MAX_BUFFERED = 1000
RECENT_ACTIONS = 10
BACKFILLS_AT_ONCE = 10
TIMES_AT_ONCE = 1000
"""Times that are acted on before other changes of the server get a turn."""
REQUESTS_KEPT = 100
IDLE_RETENTION_NS = 7 * 24 * 3600 * NS
"""How long a schedule that has nothing to do any more is kept."""
RESULT_OVERHEAD_BYTES = 1024
OVER = "workflow execution already completed"

_S = WorkflowExecutionStatus


class _Turn:
    """A transition of a schedule, with what everybody needs of it."""

    def __init__(self, t: EntityTransition) -> None:
        self.t = t
        self.core = t.entity(ScheduleCore)
        self.now_ns = t.now_ns
        self._schedule: Schedule | None = None

    @property
    def schedule(self) -> Schedule:
        """The definition; not to be changed in place."""
        if self._schedule is None:
            definition: Definition = self.t.items(Kind.SCHEDULE).get("")
            self._schedule = Schedule.FromString(definition.schedule)
        return self._schedule

    def define(self, schedule: Schedule) -> None:
        """Take over a definition and the state that comes with it."""
        core, state = self.core, schedule.state
        core.paused, core.notes = state.paused, state.notes
        core.limited_actions, core.remaining_actions = state.limited_actions, state.remaining_actions
        self._schedule = Schedule()
        self._schedule.CopyFrom(schedule)
        self._schedule.ClearField("state")
        for name in ("spec", "action", "policies"):
            getattr(self._schedule, name).SetInParent()
        shown.fill_policies(self._schedule)
        blob = self._schedule.SerializeToString(deterministic=True)
        self.t.items(Kind.SCHEDULE).put("", Definition(schedule=blob))

    @property
    def times(self) -> Times | None:
        return shown.times_of(self.schedule)[0]

    def next_time(self, after_ns: int) -> Time | None:
        """None as well when too much is excluded to find one."""
        known = self.times
        try:
            return known.next(shown.seed(self.core), after_ns) if known is not None else None
        except TooManyExclusions:
            return None

    def may_act(self, *, manual: bool = False, count: bool = False) -> bool:
        """Whether an action may be taken. `count`: it will be, so that one less remains."""
        core = self.core
        if manual:
            return True
        if core.paused or (core.limited_actions and core.remaining_actions <= 0):
            return False
        if core.limited_actions and count:
            core.remaining_actions -= 1
            core.conflict_token += 1
        return True


def act(t: EntityTransition, input: Input) -> Any:
    """The rules of schedules. A schedule that is over refuses everything."""
    turn = _Turn(t)
    if turn.core.status != RUNNING:
        raise NotFound(OVER)
    return _HANDLERS[type(input)](turn, input)


# Clients.


def _create(turn: _Turn, i: inputs.CreateSchedule) -> None:
    core = turn.core
    core.start_ns = core.processed_ns = turn.now_ns
    turn.define(i.schedule)
    patch = i.patch
    _round(turn, (lambda: _patch(turn, patch)) if patch is not None else None)


def _update_schedule(turn: _Turn, i: inputs.UpdateSchedule) -> None:
    if _is_repeat(turn, i.request_id):
        return
    _round(turn, lambda: _update(turn, i), redefined=True)


def _update(turn: _Turn, i: inputs.UpdateSchedule) -> None:
    """An update that does not fit the state is dropped without a word, as in the real server."""
    core = turn.core
    if i.conflict_token not in (0, core.conflict_token):
        return
    turn.define(i.schedule)
    if i.search_attributes is not None:
        core.search_attributes = i.search_attributes.SerializeToString(deterministic=True)
    core.updated_ns = turn.now_ns
    core.conflict_token += 1


def _patch_schedule(turn: _Turn, i: inputs.PatchSchedule) -> None:
    if not _is_repeat(turn, i.request_id):
        _round(turn, lambda: _patch(turn, i.patch))


def _patch(turn: _Turn, patch: SchedulePatch) -> None:
    core = turn.core
    if patch.HasField("trigger_immediately"):
        at_ns = get_storable_time(patch.trigger_immediately.scheduled_time) or turn.now_ns
        _add(turn, Time(at_ns, at_ns), patch.trigger_immediately.overlap_policy, manual=True)
    for request in patch.backfill_request:
        if len(core.backfills) >= MAX_BUFFERED:
            core.buffer_dropped += 1
            continue
        start_ns = get_storable_time(request.start_time) - 1_000_000  # the first moment counts as well
        end_ns = get_storable_time(request.end_time)
        backfill = Backfill(start_ns=start_ns, end_ns=end_ns, policy=request.overlap_policy)
        core.backfills = [*core.backfills, backfill]
    for paused, notes in ((True, patch.pause), (False, patch.unpause)):
        if notes:
            core.paused, core.notes = paused, notes
            core.conflict_token += 1


def _is_repeat(turn: _Turn, request_id: str) -> bool:
    core = turn.core
    if not request_id:
        return False
    if request_id in core.requests:
        return True
    core.requests = [*core.requests, request_id][-REQUESTS_KEPT:]
    return False


def _delete(turn: _Turn, i: inputs.DeleteSchedule) -> None:
    _close(turn, _S.WORKFLOW_EXECUTION_STATUS_TERMINATED)


def _close(turn: _Turn, status: WorkflowExecutionStatus.ValueType) -> None:
    turn.core.status, turn.core.close_ns = status, turn.now_ns
    for kind in ScheduleCore.kinds:
        if kind != Kind.SCHEDULE:
            turn.t.items(kind).clear()
    turn.t.visibility = True


# Workflows.


def _started(turn: _Turn, i: inputs.ActionStarted) -> None:
    core = turn.core
    start: Start = _take(turn, Kind.SCHEDULE_START, i.key)
    core.action_count += 1
    action = Recent(
        schedule_ns=start.actual_ns,
        actual_ns=turn.now_ns,
        workflow_id=i.workflow_id,
        run_id=i.run_id,
        status=RUNNING,
    )
    core.recent = [*core.recent, action][-RECENT_ACTIONS:]
    if start.single:
        core.running = [*core.running, Running(workflow_id=i.workflow_id, run_id=i.run_id)]
    _round(turn, backfills=False)


def _failed(turn: _Turn, i: inputs.ActionFailed) -> None:
    _take(turn, Kind.SCHEDULE_START, i.key)
    _round(turn, backfills=False)


def _take(turn: _Turn, kind: Kind, key: int | str) -> Any:
    item = turn.t.items(kind).get(key)
    if item is None:
        raise NotFound("the schedule does not wait for this any more")
    turn.t.items(kind).remove(key)
    return item


def _settled(turn: _Turn, i: Settled) -> None:
    _take(turn, i.kind, i.key)


def _closed(turn: _Turn, i: inputs.ActionClosed) -> None:
    core = turn.core
    core.running = [each for each in core.running if each.run_id != i.run_id]
    core.recent = [_with_status(each, i.status) if each.run_id == i.run_id else each for each in core.recent]
    event = i.close_event
    failure = event.workflow_execution_failed_event_attributes.failure
    if turn.schedule.policies.pause_on_failure and not core.paused:
        if i.status == _S.WORKFLOW_EXECUTION_STATUS_FAILED:
            _pause(turn, f"paused due to workflow failure: {i.workflow_id}: {failure.message}")
        elif i.status == _S.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
            _pause(turn, f"paused due to workflow timeout: {i.workflow_id}")
    completed = event.workflow_execution_completed_event_attributes
    if completed.HasField("result") and _fits(turn, completed.result):
        core.last_completion_result = completed.result.SerializeToString(deterministic=True)
        core.continued_failure = b""
    elif event.workflow_execution_failed_event_attributes.HasField("failure") and _fits(turn, failure):
        core.continued_failure = failure.SerializeToString(deterministic=True)
    _round(turn)


def _with_status(recent: Recent, status: int) -> Recent:
    return Recent(
        schedule_ns=recent.schedule_ns,
        actual_ns=recent.actual_ns,
        workflow_id=recent.workflow_id,
        run_id=recent.run_id,
        status=status,
    )


def _fits(turn: _Turn, value: Message) -> bool:
    """What is larger than an event may be is not passed on."""
    return value.ByteSize() <= turn.t.env.config.blob_size_limit_error_bytes - RESULT_OVERHEAD_BYTES


def _pause(turn: _Turn, notes: str) -> None:
    turn.core.paused, turn.core.notes = True, notes
    turn.core.conflict_token += 1


# The clock.


def _deadline(turn: _Turn, i: Deadline) -> None:
    tick = turn.t.items(Kind.SCHEDULE_TICK).get("")
    if i.kind != Kind.SCHEDULE_TICK or tick is None or tick.due_ns > turn.now_ns:
        raise NotFound("stale deadline")
    _round(turn)


def _round(
    turn: _Turn,
    change: Callable[[], None] | None = None,
    *,
    redefined: bool = False,
    backfills: bool = True,
) -> None:
    """What every input ends with. `change` is what it asks for: it counts once the times before it are acted on.

    `backfills`: go on with them; the outcome of a start does not, so that they come a few a second.
    """
    next_ns = _act_on_times(turn)
    if change is not None:
        change()
        if redefined:
            next_ns = _act_on_times(turn)
    if backfills:
        _act_on_backfills(turn)
    _act_on_buffer(turn)
    idle_ns = _idle_since(turn, next_ns)
    if idle_ns is not None and idle_ns + IDLE_RETENTION_NS <= turn.now_ns:
        _close(turn, _S.WORKFLOW_EXECUTION_STATUS_COMPLETED)
    else:
        _set_tick(turn, _next_round(turn, next_ns, idle_ns))
    _update_listing(turn)


def _act_on_times(turn: _Turn) -> int | None:
    """Take the actions whose time has come. Returns when the next one is due."""
    core, now_ns = turn.core, turn.now_ns
    if turn.times is None or not turn.may_act():
        core.processed_ns = max(core.processed_ns, now_ns)
        following = turn.next_time(core.processed_ns)
        return following.actual_ns if following is not None else None
    catchup_ns = get_duration(turn.schedule.policies.catchup_window)
    at_ns, taken = core.processed_ns, 0
    while (following := turn.next_time(at_ns)) is not None and following.actual_ns <= now_ns:
        at_ns = following.actual_ns
        taken += 1
        if core.updated_ns > at_ns:
            continue  # it was due before the update, under other rules
        if now_ns - at_ns > catchup_ns:
            core.missed_catchup_window += 1
        else:
            _add(turn, following, 0, manual=False)
            core.processed_ns = at_ns
        if taken >= TIMES_AT_ONCE:
            core.processed_ns = at_ns
            return now_ns
    return following.actual_ns if following is not None else None


def _add(turn: _Turn, time: Time, policy: int, *, manual: bool) -> None:
    core = turn.core
    if len(core.buffer) >= MAX_BUFFERED:
        core.buffer_dropped += 1
        return
    start = Buffered(nominal_ns=time.nominal_ns, actual_ns=time.actual_ns, policy=policy, manual=manual)
    core.buffer = [*core.buffer, start]


def _act_on_backfills(turn: _Turn) -> None:
    """A few at a time, and only up to half of the buffer."""
    core, left = turn.core, BACKFILLS_AT_ONCE
    while core.backfills and left > 0 and len(core.buffer) < MAX_BUFFERED // 2:
        backfill = core.backfills[0]
        at_ns = backfill.start_ns
        following = turn.next_time(at_ns)
        while following is not None and following.actual_ns <= backfill.end_ns and left > 0:
            _add(turn, following, backfill.policy, manual=True)
            at_ns = following.actual_ns
            following = turn.next_time(at_ns)
            left -= 1
        rest: list[Backfill] = []
        if following is not None and following.actual_ns <= backfill.end_ns:
            rest = [Backfill(start_ns=at_ns, end_ns=backfill.end_ns, policy=backfill.policy)]
        core.backfills = [*rest, *core.backfills[1:]]


def _act_on_buffer(turn: _Turn) -> None:
    """Decide what starts now, unless starts are under way. What may not start any more is dropped."""
    core, t = turn.core, turn.t
    if not turn.schedule.action.HasField("start_workflow"):
        core.buffer = []
    while core.buffer and not t.items(Kind.SCHEDULE_START):
        outcome = sort_out(core.buffer, turn.schedule.policies.overlap_policy, running=bool(core.running))
        core.overlap_skipped += outcome.skipped
        core.buffer = outcome.kept
        dropped = False
        for start in [*outcome.together, *([outcome.single] if outcome.single is not None else [])]:
            if turn.may_act(manual=start.manual, count=True):
                _begin(turn, start, single=start is outcome.single)
            else:
                dropped = True
        if outcome.terminate or outcome.cancel:
            _stop_others(turn, terminate=outcome.terminate)
        if not dropped:
            return


def _begin(turn: _Turn, start: Buffered, *, single: bool) -> None:
    core, starts = turn.core, turn.t.items(Kind.SCHEDULE_START)
    item = Start(
        due_ns=turn.now_ns + len(starts),  # one after the other, in this order
        nominal_ns=start.nominal_ns,
        actual_ns=start.actual_ns,
        manual=start.manual,
        single=single,
    )
    starts.put(core.next_number, item)
    core.next_number += 1


def _stop_others(turn: _Turn, *, terminate: bool) -> None:
    for each in turn.core.running:
        stop = Stop(due_ns=turn.now_ns, workflow_id=each.workflow_id, run_id=each.run_id, terminate=terminate)
        turn.t.items(Kind.SCHEDULE_STOP).put(each.run_id, stop)


def _idle_since(turn: _Turn, next_ns: int | None) -> int | None:
    """Since when there is nothing to do any more; None while there is, and while the schedule is paused."""
    core = turn.core
    if core.paused or core.backfills or (next_ns is not None and turn.may_act()):
        return None
    last_ns = core.recent[-1].actual_ns if core.recent else 0
    return max(last_ns, core.start_ns, core.updated_ns)


def _next_round(turn: _Turn, next_ns: int | None, idle_ns: int | None) -> int | None:
    core = turn.core
    if core.backfills and len(core.buffer) < MAX_BUFFERED // 2:
        soon_ns = turn.now_ns + NS
        return min(soon_ns, next_ns) if next_ns is not None and turn.may_act() else soon_ns
    if idle_ns is not None:
        return idle_ns + IDLE_RETENTION_NS
    return next_ns if turn.may_act() else None


def _set_tick(turn: _Turn, due_ns: int | None) -> None:
    ticks = turn.t.items(Kind.SCHEDULE_TICK)
    present = ticks.get("")
    if due_ns is None:
        ticks.remove("")
    elif present is None or present.due_ns != due_ns:
        ticks.put("", Tick(due_ns=due_ns))


def _update_listing(turn: _Turn) -> None:
    core = turn.core
    memo = shown.listed_memo(core, turn.schedule) if core.status == RUNNING else core.memo
    attributes = shown.with_paused(core.search_attributes, core.paused)
    if (memo, attributes) != (core.memo, core.search_attributes):
        turn.t.visibility = True
    core.memo, core.search_attributes = memo, attributes


_HANDLERS: dict[type, Callable[[_Turn, Any], Any]] = {
    inputs.CreateSchedule: _create,
    inputs.UpdateSchedule: _update_schedule,
    inputs.PatchSchedule: _patch_schedule,
    inputs.DeleteSchedule: _delete,
    inputs.ActionStarted: _started,
    inputs.ActionFailed: _failed,
    inputs.ActionClosed: _closed,
    Settled: _settled,
    Deadline: _deadline,
}

SCHEDULES = EntityType(1, ScheduleCore, ITEMS, act)

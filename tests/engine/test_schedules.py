"""Schedules without a server: calendars against a search by brute force, and what inputs do as time goes by."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.enums.v1 import ScheduleOverlapPolicy, WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.schedule.v1 import (
    BackfillRequest,
    IntervalSpec,
    Range,
    Schedule,
    SchedulePatch,
    ScheduleSpec,
    StructuredCalendarSpec,
    TriggerImmediatelyRequest,
)
from tests.engine.driver import START_NS, Conversation, S, World

from perdure.engine import entity
from perdure.engine.entity import encode_core, load, load_item
from perdure.engine.execution import Execution, Kind, encode
from perdure.engine.inputs import Deadline, Input
from perdure.engine.schedule import rules
from perdure.engine.schedule.calendar import Calendar
from perdure.engine.schedule.inputs import (
    ActionClosed,
    ActionFailed,
    ActionStarted,
    CreateSchedule,
    DeleteSchedule,
    PatchSchedule,
    UpdateSchedule,
)
from perdure.engine.schedule.spec import Times, TooManyExclusions, canonical, times
from perdure.engine.schedule.state import ScheduleCore
from perdure.errors import NotFound
from perdure.runtime import schedules  # noqa: F401 (registers the type)

HOUR_S = 3600
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney"]
Policy = ScheduleOverlapPolicy
FAILED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED
COMPLETED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED


# Calendars.


def ranges(low: int, high: int) -> st.SearchStrategy[list[Range]]:
    one = st.tuples(st.integers(low, high), st.integers(low, high), st.integers(1, 5)).map(
        lambda each: Range(start=min(each[:2]), end=max(each[:2]), step=each[2])
    )
    return st.lists(one, min_size=1, max_size=2)


calendars = st.builds(
    StructuredCalendarSpec,
    minute=st.just([Range(start=0), Range(start=30)]),
    second=st.just([Range(start=0)]),
    hour=ranges(0, 23),
    day_of_month=ranges(1, 31),
    day_of_week=ranges(0, 6),
    month=st.just([Range(start=1, end=12)]),
)
moments = st.integers(1_735_689_600, 1_830_297_600)
"""Within 2025, 2026 and 2027."""


def is_regular(moment: datetime) -> bool:
    """Whether clocks change on neither this day nor the days around it."""
    around = [(moment + timedelta(days=days)).astimezone(moment.tzinfo).utcoffset() for days in (-2, 0, 2)]
    return len(set(around)) == 1


@given(calendars, moments, st.sampled_from(ZONES))
def test_the_next_match_is_the_first_that_a_search_by_brute_force_finds(
    spec: StructuredCalendarSpec, after_s: int, zone: str
) -> None:
    info = ZoneInfo(zone)
    calendar = Calendar(spec, info)
    found_s = calendar.next(after_s)
    horizon_s = after_s + 40 * 24 * HOUR_S
    for half in range(after_s // 1800 + 1, (found_s or horizon_s) // 1800 + 1):
        time_s = half * 1800
        if time_s > horizon_s:
            return
        if is_regular(datetime.fromtimestamp(time_s, info)):
            assert calendar.matches(time_s) == (time_s == found_s)


@given(calendars, moments, st.sampled_from(ZONES))
def test_times_only_ever_grow(spec: StructuredCalendarSpec, after_s: int, zone: str) -> None:
    calendar = Calendar(spec, ZoneInfo(zone))
    for _ in range(20):
        following_s = calendar.next(after_s)
        if following_s is None:
            return
        assert following_s > after_s
        after_s = following_s


@given(st.integers(1, 10**6), st.data(), moments)
def test_intervals_are_counted_from_the_epoch(interval_s: int, data: st.DataObject, after_s: int) -> None:
    phase_s = data.draw(st.integers(0, interval_s - 1))
    spec = IntervalSpec(interval=Duration(seconds=interval_s), phase=Duration(seconds=phase_s))
    following = times(ScheduleSpec(interval=[spec])).next("", after_s * S)
    assert following is not None
    found_s = following.nominal_ns // S
    assert after_s < found_s <= after_s + interval_s and found_s % interval_s == phase_s


@given(st.integers(0, 10**5), moments)
def test_jitter_never_reaches_the_next_time(jitter_s: int, after_s: int) -> None:
    spec = ScheduleSpec(interval=[IntervalSpec(interval=Duration(seconds=60))], jitter=Duration(seconds=jitter_s))
    following = times(spec).next("n" * 36 + "-s", after_s * S)
    assert following is not None
    assert 0 <= following.actual_ns - following.nominal_ns < max(1, min(jitter_s, 60) * S)


def test_jitter_is_that_of_the_real_server() -> None:
    spec = ScheduleSpec(interval=[IntervalSpec(interval=Duration(seconds=3600))], jitter=Duration(seconds=1800))
    known, found = times(spec), []
    at_ns = 1_767_225_600 * S
    for _ in range(5):
        following = known.next("01a204af-6a9c-7487-9737-dc062675cd70-jitter-sample", at_ns)
        assert following is not None
        at_ns = following.actual_ns
        found.append(at_ns // 1_000_000 - 1_767_225_600_000)
    minutes = [(1, 8, 1779), (2, 0, 38877), (3, 21, 2231), (4, 17, 26264), (5, 5, 49124)]
    assert found == [(hours * 3600 + mins * 60) * 1000 + ms for hours, mins, ms in minutes]


def test_a_canonical_specification_stays_as_it_is() -> None:
    spec = canonical(ScheduleSpec(cron_string=["TZ=Europe/Berlin */5 9-17 * * mon-fri # c", "TZ=Europe/Berlin @daily"]))
    assert canonical(spec) == spec


# Excluded times.

excluding = st.builds(
    StructuredCalendarSpec,
    second=st.just([Range()]),
    minute=st.sampled_from([[Range()], [Range(end=59)], [Range(end=59, step=20)]]),
    hour=ranges(0, 23),
    day_of_month=st.one_of(st.just([Range(start=1, end=31)]), ranges(1, 31)),
    month=st.just([Range(start=1, end=12)]),
    day_of_week=st.one_of(st.just([Range(end=6)]), ranges(0, 6)),
)


@given(
    st.lists(excluding, max_size=2),
    st.sampled_from([0, 300, 420, 3600, 5400, 90_000]),
    st.lists(excluding, min_size=1, max_size=3),
    moments,
    st.sampled_from(ZONES),
)
def test_the_next_time_is_the_first_that_is_not_excluded(
    named: list[StructuredCalendarSpec],
    interval_s: int,
    excluded: list[StructuredCalendarSpec],
    after_s: int,
    zone: str,
) -> None:
    spec = ScheduleSpec(structured_calendar=named, exclude_structured_calendar=excluded, timezone_name=zone)
    if interval_s:
        spec.interval.add(interval=Duration(seconds=interval_s))
    without = Times(ScheduleSpec(structured_calendar=named, interval=spec.interval, timezone_name=zone))
    excludes = [Calendar(each, ZoneInfo(zone)) for each in excluded]
    try:
        found = Times(spec).next("", after_s * S)
    except TooManyExclusions:
        found = None
    for _ in range(1000):
        following = without.next("", after_s * S)
        after_s = following.nominal_ns // S if following is not None else 0
        if following is None or not any(each.matches(after_s) for each in excludes):
            assert found == following
            return
    assert found is None or found.nominal_ns > after_s * S


FIVE = StructuredCalendarSpec(
    second=[Range()],
    minute=[Range()],
    hour=[Range(start=5)],
    day_of_month=[Range(start=1, end=31)],
    month=[Range(start=1, end=12)],
    day_of_week=[Range(end=6)],
)
NEVER = StructuredCalendarSpec()
NEVER.CopyFrom(FIVE)
NEVER.month[0].CopyFrom(Range(start=2))
NEVER.day_of_month[0].CopyFrom(Range(start=30))
NO_HOUR = StructuredCalendarSpec()
NO_HOUR.CopyFrom(FIVE)
del NO_HOUR.hour[:]


@pytest.mark.parametrize("other", [NEVER, NO_HOUR])
def test_times_that_are_all_excluded_are_not_gone_through(
    other: StructuredCalendarSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0
    matches = Calendar.matches

    def counted(calendar: Calendar, time_s: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        return matches(calendar, time_s)

    monkeypatch.setattr(Calendar, "matches", counted)
    spec = ScheduleSpec(structured_calendar=[FIVE, other], exclude_structured_calendar=[FIVE])
    assert Times(spec).next("", START_NS) is None
    assert looked_at == 1


def test_so_many_excluded_times_end_the_search() -> None:
    every_minute = StructuredCalendarSpec()
    every_minute.CopyFrom(FIVE)
    every_minute.hour[0].CopyFrom(Range(end=23))
    every_minute.minute[0].CopyFrom(Range(end=59))
    spec = ScheduleSpec(structured_calendar=[every_minute], exclude_structured_calendar=[every_minute])
    with pytest.raises(TooManyExclusions):
        Times(spec).next("", START_NS)


# Rules.


class Life:
    """One schedule, every hour by default, on a clock that is moved by hand. Its starts are answered by the test."""

    def __init__(self, *, interval_s: int = HOUR_S, patch: SchedulePatch | None = None, **policies: object) -> None:
        self.world = World()
        schedule = Schedule(spec=ScheduleSpec(interval=[IntervalSpec(interval=Duration(seconds=interval_s))]))
        schedule.action.start_workflow.workflow_id = "wf"
        for name, value in policies.items():
            target = schedule.state if name in schedule.state.DESCRIPTOR.fields_by_name else schedule.policies
            if isinstance(value, Duration):
                getattr(target, name).CopyFrom(value)
            else:
                setattr(target, name, value)
        self.schedule = schedule
        core = ScheduleCore(namespace_id=self.world.namespace.id, workflow_id="s", run_id="r", namespace="default")
        self.execution = entity.hold(1, core)
        self._apply(CreateSchedule(schedule, patch), created=True)

    @property
    def core(self) -> ScheduleCore:
        return entity.of_type(self.execution.core, ScheduleCore)

    def _apply(self, input: Input, *, created: bool = False) -> None:
        t, _ = entity.act(self.execution, input, self.world.environment(), created=created)
        t.commit()
        restored = load(1, encode_core(self.execution.core))
        assert restored.core == self.execution.core
        for kind, _, item in self.execution.items():
            assert load_item(kind, encode(item)) == item

    def do(self, input: Input) -> None:
        self._apply(input)

    @property
    def due_ns(self) -> int | None:
        tick = self.execution.pending[Kind.SCHEDULE_TICK].get("")
        return tick.due_ns if tick is not None else None

    def tick(self, times: int = 1) -> None:
        """Goes to the next moment at which the schedule wants to be looked at."""
        for _ in range(times):
            assert self.due_ns is not None
            self.world.now_ns = max(self.world.now_ns, self.due_ns)
            self.do(Deadline(Kind.SCHEDULE_TICK, [""]))

    def sleep(self, seconds: float) -> None:
        self.world.now_ns += int(seconds * S)

    @property
    def starts(self) -> list[int]:
        return [int(key) for key in self.execution.pending[Kind.SCHEDULE_START]]

    def start_all(self) -> list[str]:
        """Lets everything that waits for it start. Returns the run ids."""
        runs = []
        while self.starts:
            key = self.starts[0]
            runs.append(f"run-{key}")
            self.do(ActionStarted(key, f"wf-{key}", f"run-{key}"))
        return runs

    def close(self, run_id: str, status: int = COMPLETED) -> None:
        event = HistoryEvent()
        if status == FAILED:
            event.workflow_execution_failed_event_attributes.failure.message = "broken"
        self.do(ActionClosed("wf", run_id, status, event))


def trigger(policy: int = 0) -> PatchSchedule:
    request = TriggerImmediatelyRequest(overlap_policy=Policy.ValueType(policy))
    return PatchSchedule(SchedulePatch(trigger_immediately=request))


def test_each_time_is_acted_on_once() -> None:
    life = Life()
    for count in range(1, 5):
        life.tick()
        (run,) = life.start_all()
        life.close(run)
        assert life.core.action_count == count
        assert not life.starts


def test_a_deadline_that_has_not_come_is_refused() -> None:
    life = Life()
    with pytest.raises(NotFound):
        life.do(Deadline(Kind.SCHEDULE_TICK, [""]))


def test_what_fell_due_while_nobody_looked_follows_the_catchup_window() -> None:
    life = Life(overlap_policy=Policy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL, catchup_window=Duration(seconds=2 * HOUR_S))
    life.sleep(10 * HOUR_S)
    life.tick()
    assert len(life.starts) == 2
    assert life.core.missed_catchup_window == 8


def test_a_backlog_is_worked_off_in_turns() -> None:
    life = Life(interval_s=1)
    life.sleep(rules.TIMES_AT_ONCE + 500)
    life.tick()
    assert life.due_ns == life.world.now_ns
    life.start_all()
    life.tick()
    assert life.due_ns is not None and life.due_ns > life.world.now_ns
    assert life.core.action_count == 1
    assert life.core.overlap_skipped + 1 >= rules.TIMES_AT_ONCE


def test_a_full_buffer_drops_what_comes() -> None:
    life = Life(interval_s=1, overlap_policy=Policy.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL)
    life.tick()
    life.start_all()
    life.sleep(rules.MAX_BUFFERED + 20)
    life.tick(2)
    assert len(life.core.buffer) == rules.MAX_BUFFERED
    assert life.core.buffer_dropped >= 20


def test_while_a_start_is_under_way_the_buffer_waits() -> None:
    life = Life()
    life.do(trigger())
    life.do(trigger(Policy.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL))
    assert len(life.starts) == 1 and len(life.core.buffer) == 1
    (run,) = life.start_all()
    assert len(life.core.buffer) == 1
    life.close(run)
    assert len(life.starts) == 1 and not life.core.buffer


def test_a_start_that_fails_makes_room_for_the_next() -> None:
    life = Life()
    life.do(trigger())
    life.do(trigger())
    life.do(ActionFailed(life.starts[0]))
    assert len(life.starts) == 1 and life.core.action_count == 0


def test_other_workflows_are_stopped_for_the_next() -> None:
    for policy, terminates in (
        (Policy.SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER, False),
        (Policy.SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER, True),
    ):
        life = Life(overlap_policy=policy)
        life.tick()
        (run,) = life.start_all()
        life.tick()
        (stop,) = life.execution.pending[Kind.SCHEDULE_STOP].values()
        assert (stop.run_id, stop.terminate) == (run, terminates)
        life.close(run)
        assert len(life.starts) == 1


def test_a_failure_pauses_and_a_paused_schedule_wants_nothing() -> None:
    life = Life(pause_on_failure=True)
    life.tick()
    (run,) = life.start_all()
    life.close(run, FAILED)
    assert life.core.paused and life.core.notes == "paused due to workflow failure: wf: broken"
    assert life.due_ns is None


def test_time_spent_in_a_pause_is_not_made_up_for() -> None:
    life = Life(overlap_policy=Policy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL, paused=True)
    life.sleep(10 * HOUR_S)
    life.do(PatchSchedule(SchedulePatch(unpause="go")))
    assert not life.starts and life.core.missed_catchup_window == 0


def test_limited_actions_end_with_the_schedule_after_a_week() -> None:
    life = Life(limited_actions=True, remaining_actions=1)
    life.tick()
    (run,) = life.start_all()
    life.close(run)
    assert life.core.remaining_actions == 0
    assert life.due_ns == life.world.now_ns + rules.IDLE_RETENTION_NS
    life.tick()
    assert not life.execution.running and life.due_ns is None


def test_an_update_forgets_what_was_due_under_other_rules() -> None:
    life = Life()
    life.sleep(HOUR_S / 2)
    life.schedule.spec.interval[0].interval.seconds = 60
    life.do(UpdateSchedule(life.schedule))
    assert not life.starts
    assert life.due_ns is not None and life.due_ns - life.world.now_ns <= 60 * S


def test_a_backfill_is_done_a_few_times_at_a_time() -> None:
    life = Life(paused=True)
    request = BackfillRequest(overlap_policy=Policy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL)
    request.start_time.seconds = START_NS // S // HOUR_S * HOUR_S
    request.end_time.seconds = request.start_time.seconds + 24 * HOUR_S
    life.do(PatchSchedule(SchedulePatch(backfill_request=[request])))
    assert len(life.starts) == rules.BACKFILLS_AT_ONCE
    while life.core.backfills:
        life.start_all()
        life.tick()
    life.start_all()
    assert life.core.action_count == 25
    assert life.due_ns is None


def test_a_deleted_schedule_refuses_everything() -> None:
    life = Life()
    life.do(DeleteSchedule())
    assert life.due_ns is None
    for input in (DeleteSchedule(), trigger(), ActionStarted(1, "wf", "r")):
        with pytest.raises(NotFound, match="workflow execution already completed"):
            life.do(input)


def test_workflows_have_a_core_of_their_own() -> None:
    assert not entity.is_entity(Execution(1, Conversation().execution.core))

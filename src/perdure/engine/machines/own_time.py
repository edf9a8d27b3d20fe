"""Runs that skip time: when they may, how far, and what the runs that come of them inherit.

At the end of each transition that leaves nothing in flight, the run's clock jumps to the next of its deadlines, and an
event says so. The deadline itself is then due at once, and acts in a transition of its own.
"""

from __future__ import annotations

from temporalio.api.common.v1 import TimeSkippingConfig, TimeSkippingStatePropagation
from temporalio.api.enums.v1 import event_type_pb2 as E

from perdure.engine.execution import Activity, Core, Kind
from perdure.engine.own_time import FAST_FORWARD, config_of, is_enabled
from perdure.engine.times import set_duration, set_time
from perdure.engine.transition import Transition

_KINDS = (Kind.TIMER, Kind.ACTIVITY, Kind.LIFETIME)
"""What may be pending, with deadlines, while time skips."""


def settle(t: Transition) -> None:
    """At the end of a transition: skip to the next deadline, if the run may and there is one.

    A deadline that has come and has not acted yet counts as in flight.

    Storage goes by the namespace's time, so each skip makes its deadlines late by what was skipped. Those that come
    next are written anew, and only those: the others have their turn when they are next."""
    if t.core.clock is None:
        return
    target_ns = min(_targets(t), default=0) if _is_idle(t) else 0
    if target_ns > t.now_ns:
        forward = t.items(Kind.LIFETIME).get(FAST_FORWARD)
        _record(t, target_ns, ends=forward is not None and forward.due_ns == target_ns)
        t.now_ns = target_ns
        _write_anew(t, max(target_ns, _next_ns(t)))
    elif t.core.offset_ns and _has_changed_deadlines(t):
        _write_anew(t, _next_ns(t))


def _next_ns(t: Transition) -> int:
    """The next deadline; 0 if there is none."""
    dues = (item.due_ns for kind in _KINDS for _, item in t.items(kind).snapshot() if item.due_ns is not None)
    return min(dues, default=0)


def _has_changed_deadlines(t: Transition) -> bool:
    return any(item.due_ns is not None for kind in _KINDS for item in t.items(kind).replaced())


def _write_anew(t: Transition, until_ns: int) -> None:
    for kind in _KINDS:
        items = t.items(kind)
        for key, item in items.snapshot():
            if item.due_ns is not None and item.due_ns <= until_ns:
                items.edit(key)


def _is_idle(t: Transition) -> bool:
    """Whether the run may skip time and has nothing in flight. An activity that waits for an attempt is not."""
    if not (t.running and not t.paused and t.workflow_task is None and is_enabled(t.core.clock)):
        return False
    if any(len(t.items(kind)) for kind in (Kind.CHILD, Kind.EXTERNAL_SIGNAL, Kind.EXTERNAL_CANCEL)):
        return False
    return all(_waits_for_attempt(t, activity) for _, activity in t.items(Kind.ACTIVITY).snapshot())


def _waits_for_attempt(t: Transition, activity: Activity) -> bool:
    retried = not activity.started_ns and activity.has_retry_policy and activity.attempt > 1
    held = activity.paused_ns or activity.cancel_requested
    return retried and not held and activity.scheduled_ns > t.now_ns


def _targets(t: Transition) -> list[int]:
    """What time may skip to. Before the first workflow task that is nothing but the end of the wait for it."""
    timers = [timer.due_ns for _, timer in t.items(Kind.TIMER).snapshot()]
    attempts = [activity.scheduled_ns for _, activity in t.items(Kind.ACTIVITY).snapshot()]
    has_begun = t.core.previous_started_event_id > 0
    lifetimes = [
        item.due_ns
        for what, item in t.items(Kind.LIFETIME).snapshot()
        if item.due_ns is not None and (has_begun or what in ("first-task", FAST_FORWARD))
    ]
    return timers + attempts + lifetimes


def _record(t: Transition, target_ns: int, *, ends: bool) -> None:
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED)
    event.worker_may_ignore = True
    a = event.workflow_execution_time_skipping_transitioned_event_attributes
    if target_ns:
        set_time(a.target_time, target_ns)
    a.disabled_after_fast_forward = ends
    set_time(a.wall_clock_time, t.now_ns - t.core.offset_ns)
    t.record(event)


def end_fast_forward(t: Transition) -> None:
    """The time to which the run was to be fast-forwarded has come by itself: skipping ends."""
    _record(t, 0, ends=True)


def next_run(core: Core) -> tuple[TimeSkippingConfig | None, TimeSkippingStatePropagation | None]:
    """What the run that continues this one inherits: config, clock, and the session with its fast-forward."""
    clock, enabled = core.clock, is_enabled(core.clock)
    if clock is None:
        return None, None
    state = TimeSkippingStatePropagation()
    if clock.offset_ns:
        set_duration(state.initial_skipped_duration, clock.offset_ns)
    if enabled and clock.fast_forward_ns and not clock.fast_forwarded:
        set_time(state.fast_forward_target_time, clock.fast_forward_ns)
    if enabled:
        state.initial_skip_count = clock.skip_count
    return config_of(clock) if enabled else None, state if state.ListFields() else None


def child(core: Core) -> tuple[TimeSkippingConfig | None, TimeSkippingStatePropagation | None]:
    """What a child inherits: the clock, and, unless the config forbids it, that it may skip in a session of its own."""
    clock, config = core.clock, config_of(core.clock)
    state = None
    if clock is not None and clock.offset_ns:
        state = TimeSkippingStatePropagation()
        set_duration(state.initial_skipped_duration, clock.offset_ns)
    if config is None or not config.enabled or config.disable_propagation:
        return None, state
    return TimeSkippingConfig(enabled=True, max_session_skip_count=config.max_session_skip_count), state

"""The clock of a run that may skip time by itself: what its events make of it.

Such a run lives in a time of its own, which is ahead of that of its namespace by all that has been skipped. The times
in its state and its history are of that time; `runtime/rows.py` turns those that storage goes by into the namespace's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from temporalio.api.common.v1 import TimeSkippingConfig

from perdure.engine.execution import Kind, Lifetime, OwnClock
from perdure.engine.times import get_duration, get_time

if TYPE_CHECKING:
    from perdure.engine.transition import State

FAST_FORWARD = "fast-forward"
"""The key, among the deadlines of the run itself, of the time at which skipping ends."""


def config_of(clock: OwnClock | None) -> TimeSkippingConfig | None:
    """The config in force; None if there is none."""
    return TimeSkippingConfig.FromString(clock.config) if clock is not None and clock.config else None


def is_enabled(clock: OwnClock | None) -> bool:
    """Whether the run may skip time now."""
    config = config_of(clock)
    return config is not None and config.enabled


def begin(state: State, a: Any, now_ns: int) -> None:
    """The run starts, maybe with a config, maybe with what was skipped by the run that it follows or came from."""
    config = a.time_skipping_config if a.HasField("time_skipping_config") else None
    inherited = a.time_skipping_state_propagation
    offset_ns = get_duration(inherited.initial_skipped_duration)
    if config is None and not offset_ns:
        return
    clock = OwnClock(offset_ns=offset_ns, skip_count=inherited.initial_skip_count)
    _configure(state, clock, config, get_time(inherited.fast_forward_target_time), now_ns)


def reconfigure(state: State, config: TimeSkippingConfig | None, now_ns: int) -> None:
    """The config is replaced by another one, or taken away; a new session of skips begins."""
    clock = state.core.clock
    if clock is None and config is None:
        return
    clock = msgspec.structs.replace(clock or OwnClock(), skip_count=0)
    _configure(state, clock, config, 0, now_ns)


def _configure(state: State, clock: OwnClock, config: TimeSkippingConfig | None, target_ns: int, now_ns: int) -> None:
    """`target_ns`: that of a fast-forward which the run before has begun; otherwise a new one counts from now."""
    forward_ns = 0
    if config is not None and config.enabled and get_duration(config.fast_forward_config.duration) > 0:
        forward_ns = target_ns or now_ns + get_duration(config.fast_forward_config.duration)
    state.core.clock = msgspec.structs.replace(
        clock,
        config=b"" if config is None else config.SerializeToString(deterministic=True),
        fast_forward_ns=forward_ns,
        fast_forwarded=False,
    )
    lifetimes = state.items(Kind.LIFETIME)
    if forward_ns:
        lifetimes.put(FAST_FORWARD, Lifetime(what=FAST_FORWARD, due_ns=forward_ns))
    else:
        lifetimes.remove(FAST_FORWARD)


def transitioned(state: State, a: Any, now_ns: int) -> None:
    """Time was skipped, or a fast-forward is over, or both. So many skips end the session."""
    clock, config = state.core.clock, config_of(state.core.clock)
    assert clock is not None and config is not None
    skipped_ns = get_time(a.target_time) - now_ns if a.HasField("target_time") else 0
    clock = msgspec.structs.replace(clock, offset_ns=clock.offset_ns + skipped_ns, skip_count=clock.skip_count + 1)
    if a.disabled_after_fast_forward and clock.fast_forward_ns:
        clock = msgspec.structs.replace(clock, fast_forwarded=True)
        config.enabled = False
    if clock.skip_count >= config.max_session_skip_count:
        config.enabled = False
    state.core.clock = msgspec.structs.replace(clock, config=config.SerializeToString(deterministic=True))
    if not config.enabled:
        state.items(Kind.LIFETIME).remove(FAST_FORWARD)

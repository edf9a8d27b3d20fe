"""How long `advance` waits for what holds a clock (see `skipping.py`)."""

from __future__ import annotations

from collections.abc import Iterable

from perdure.clock import SECOND_NS
from perdure.runtime.namespace_time import NamespaceTime, PendingId

PATIENCE_S = 1.0
"""How long `advance` waits for what became ready on its way, after some of that has begun, ended or been handed out."""
MOST_PATIENCE_S = 10.0
"""How long it waits for each of that, whatever else goes on."""
IMPATIENCE = 4
"""How much less it waits for an activity each time that an attempt of it has taken too long on the same way."""
LEAST_PATIENCE = 1 / 20
"""The part of its patience that is always left."""


def awaited(time: NamespaceTime, in_flight: Iterable[object], now_ns: int) -> bool:
    """Whether an `advance` has to wait for what is in flight. What takes too long is overlooked from now on."""
    before, time.blocking = time.blocking, {}
    for token in in_flight:
        if token not in time.overlooked and token not in time.blocked:
            stage = (token, _started_ns(time, token))
            time.blocking[stage] = before.get(stage, now_ns)
    if time.blocking.keys() != before.keys():
        time.changed_ns = now_ns
    if not time.blocking:
        return False
    left = {stage: _patience(time, stage[0]) * SECOND_NS for stage in time.blocking}
    gave_up = now_ns - time.changed_ns >= PATIENCE_S * max(left.values())
    for stage, since_ns in list(time.blocking.items()):
        if gave_up or now_ns - since_ns >= MOST_PATIENCE_S * left[stage]:
            del time.blocking[stage]
            time.overlooked.add(stage[0])
            if (pending := _pending(stage[0])) is not None:
                time.outlasted[pending] = time.outlasted.get(pending, 0) + 1
    return bool(time.blocking)


def _pending(token: object) -> PendingId | None:
    """Of what is in flight, the task that it is, if it is one."""
    return token[0] if isinstance(token, tuple) else None


def _started_ns(time: NamespaceTime, token: object) -> int:
    pending = _pending(token)
    return getattr(time.tasks[pending][1], "started_ns", 0) if pending in time.tasks else 0


def _patience(time: NamespaceTime, token: object) -> float:
    """The part of all patience that an `advance` has for this: attempts that hang, one after the other, are not each
    waited for as the first one was."""
    times = time.outlasted.get(pending, 0) if (pending := _pending(token)) is not None else 0
    return max(LEAST_PATIENCE, float(IMPATIENCE**-times))

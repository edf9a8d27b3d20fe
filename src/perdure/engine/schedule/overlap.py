"""What becomes of actions whose time has come while workflows of the schedule run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from temporalio.api.enums.v1 import ScheduleOverlapPolicy as Policy

from perdure.engine.schedule.state import Buffered


@dataclass(slots=True)
class Outcome:
    """`together` are started whatever runs, `single` because nothing does; `kept` wait on."""

    together: list[Buffered] = field(default_factory=list)
    single: Buffered | None = None
    kept: list[Buffered] = field(default_factory=list)
    skipped: int = 0
    cancel: bool = False
    terminate: bool = False


def policy_of(wanted: int, default: int) -> int:
    """`wanted`, or that of the schedule, or the one that both mean by saying nothing."""
    return wanted or default or Policy.SCHEDULE_OVERLAP_POLICY_SKIP


def sort_out(buffer: Iterable[Buffered], default: int, *, running: bool) -> Outcome:
    """What to do with each action in the buffer, in its order. `running`: a workflow stands in the way."""
    outcome = Outcome()
    for start in buffer:
        policy = policy_of(start.policy, default)
        if policy == Policy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL:
            outcome.together.append(start)
        elif not running and outcome.single is None:
            outcome.single = start
        else:
            _overlaps(outcome, start, policy, running=running)
    if outcome.cancel or outcome.terminate:
        outcome.together = []
    return outcome


def _overlaps(outcome: Outcome, start: Buffered, policy: int, *, running: bool) -> None:
    if policy in (Policy.SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER, Policy.SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER):
        if not running:
            outcome.single = start  # instead of the one that has not even begun
            return
        outcome.kept.append(start)
        if policy == Policy.SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER:
            outcome.cancel = True
        else:
            outcome.terminate = True
    elif policy == Policy.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL:
        outcome.kept.append(start)
    elif policy == Policy.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE and not outcome.kept:
        outcome.kept += [start]
    else:
        outcome.skipped += 1

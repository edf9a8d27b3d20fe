"""Everything that can act on a schedule, beside its deadline."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.api.common.v1 import SearchAttributes
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.schedule.v1 import Schedule, SchedulePatch

from perdure.engine.inputs import Input


@dataclass(slots=True)
class CreateSchedule(Input):
    """The first input of a schedule. The specification is canonical."""

    schedule: Schedule
    patch: SchedulePatch | None = None


@dataclass(slots=True)
class UpdateSchedule(Input):
    """`conflict_token`: 0, or the one that the schedule must have, or else nothing is changed.

    `search_attributes` take the place of those there are; None keeps them.
    """

    schedule: Schedule
    conflict_token: int = 0
    search_attributes: SearchAttributes | None = None
    request_id: str = ""


@dataclass(slots=True)
class PatchSchedule(Input):
    patch: SchedulePatch
    request_id: str = ""


@dataclass(slots=True)
class DeleteSchedule(Input):
    pass


@dataclass(slots=True)
class ActionStarted(Input):
    """The workflow of the start `key` runs."""

    key: int
    workflow_id: str
    run_id: str


@dataclass(slots=True)
class ActionFailed(Input):
    """The workflow of the start `key` can't be started, now or later."""

    key: int


@dataclass(slots=True)
class ActionClosed(Input):
    """A workflow that the schedule started is over, as the last run of its chain says. `run_id`: the chain's first."""

    workflow_id: str
    run_id: str
    status: int
    close_event: HistoryEvent

"""What is stored of a schedule.

The definition (specification, action, policies) is an item, written when it changes; what changes with every action is
in the core. Times are nanoseconds since the epoch, 0 means "not set"; protobuf values are kept serialized.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from perdure.engine.entity import EntityCore
from perdure.engine.execution import Item, Kind


class Buffered(msgspec.Struct, array_like=True, kw_only=True):
    """An action whose time has come. `policy` is what was asked for: 0 is that of the schedule at the moment of use."""

    nominal_ns: int
    actual_ns: int
    policy: int = 0
    manual: bool = False


class Backfill(msgspec.Struct, array_like=True, kw_only=True):
    """A time range to be acted on as if it were now: behind `start_ns`, up to `end_ns`."""

    start_ns: int
    end_ns: int
    policy: int = 0


class Running(msgspec.Struct, array_like=True, kw_only=True):
    """A workflow that stands in the way of others: started, in a chain that begins with `run_id`, and not yet over."""

    workflow_id: str
    run_id: str


class Recent(msgspec.Struct, array_like=True, kw_only=True):
    """An action that was taken. `status` is a number of `WorkflowExecutionStatus`."""

    schedule_ns: int
    actual_ns: int
    workflow_id: str
    run_id: str
    status: int


class ScheduleCore(EntityCore, kw_only=True):
    """A schedule. `workflow_id` is its id, `start_ns` the time of its creation."""

    division: ClassVar[str] = "schedules"
    kinds: ClassVar[tuple[Kind, ...]] = (
        Kind.SCHEDULE,
        Kind.SCHEDULE_TICK,
        Kind.SCHEDULE_START,
        Kind.SCHEDULE_STOP,
    )

    namespace: str = ""
    create_request_id: str = ""
    requests: list[str] = []
    """The last request ids of patches and updates, so that a repeat does nothing."""
    conflict_token: int = 1
    paused: bool = False
    notes: str = ""
    limited_actions: bool = False
    remaining_actions: int = 0
    updated_ns: int = 0
    processed_ns: int = 0
    """Times up to this one have been acted on, or are not to be."""
    action_count: int = 0
    missed_catchup_window: int = 0
    overlap_skipped: int = 0
    buffer_dropped: int = 0
    running: list[Running] = []
    recent: list[Recent] = []
    buffer: list[Buffered] = []
    backfills: list[Backfill] = []
    last_completion_result: bytes = b""
    continued_failure: bytes = b""
    next_number: int = 1


class Definition(Item, kw_only=True):
    """A serialized `temporal.api.schedule.v1.Schedule` without its state."""

    schedule: bytes


class Tick(Item, kw_only=True):
    """When the schedule wants to be looked at again."""


class Start(Item, kw_only=True):
    """A workflow to be started now. `single`: it stands in the way of others, and is told the results before it."""

    nominal_ns: int
    actual_ns: int
    manual: bool
    single: bool


class Stop(Item, kw_only=True):
    """A running workflow to be cancelled or terminated now, since another one is to take its place."""

    workflow_id: str
    run_id: str
    terminate: bool


ITEMS: Mapping[Kind, type[Item]] = {
    Kind.SCHEDULE: Definition,
    Kind.SCHEDULE_TICK: Tick,
    Kind.SCHEDULE_START: Start,
    Kind.SCHEDULE_STOP: Stop,
}

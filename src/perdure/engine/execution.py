"""The durable state of one workflow run.

`Execution` is a small typed core and, by kind, the items that are pending. Each item is one row in storage, so a
transition writes only what it changed. An item's `due_ns` is the deadline at which the engine wants to see it again,
its `queue` makes it a task that a worker may poll; both are columns there, so timers and backlogs are indexes and a
restart has nothing to rebuild.

All times are integers, nanoseconds since the epoch; 0 means "not set". Protobuf values that the engine only passes
through are kept serialized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, TypeVar

import msgspec


class Kind(IntEnum):
    """What is pending. The numbers are in storage: never change one."""

    WORKFLOW_TASK = 1
    ACTIVITY = 2
    TIMER = 3
    CHILD = 4
    EXTERNAL_SIGNAL = 5
    EXTERNAL_CANCEL = 6
    REQUEST = 7
    BUFFERED_EVENT = 8
    FOLLOW_UP = 9
    LIFETIME = 10
    START = 11
    DELETION = 12
    UPDATE = 13
    SCHEDULED = 20
    SCHEDULE = 21
    SCHEDULE_TICK = 22
    SCHEDULE_START = 23
    SCHEDULE_STOP = 24
    BATCH = 30
    BATCH_STEP = 31
    BATCH_PAGE = 32


class Item(msgspec.Struct, array_like=True, kw_only=True):
    """One pending thing. `order` sorts tasks of one queue (smaller first); it is meaningless without a queue."""

    due_ns: int | None = None
    queue: str | None = None
    order: int = 0

    @property
    def volatile(self) -> bool:
        """Whether the item lives in memory alone."""
        return False


class WorkflowTask(Item, kw_only=True):
    """The one workflow task of a run, scheduled or started.

    `scheduled_event_id` stands in no history while the task is unwritten (`attempt > 1`, or `speculative`: made for
    updates alone, and lost with the memory). `started_ns` is 0 until a worker has it. The task's own timeout grows with
    the attempt. `original_scheduled_ns` survives heartbeats.
    """

    scheduled_event_id: int
    scheduled_ns: int
    original_scheduled_ns: int
    timeout_ns: int
    attempt: int = 1
    task_queue: str = ""
    sticky: bool = False
    started_event_id: int = 0
    started_ns: int = 0
    request_id: str = ""
    identity: str = ""
    suggest_continue_as_new: bool = False
    suggest_reasons: list[int] = []
    history_size_bytes: int = 0
    stamp: int = 0
    speculative: bool = False

    @property
    def volatile(self) -> bool:
        return self.speculative

    @property
    def unwritten(self) -> bool:
        """Whether its events stand in no history yet."""
        return self.attempt > 1 or self.speculative


class Activity(Item, kw_only=True):
    """An activity that has not closed. `scheduled_event_id` is its key; attempts count from 1.

    `paused_ns` is 0 unless it is paused. `held`: it waits, unstarted, until its workflow is unpaused. `reset`: somebody
    reset it while an attempt ran; with `reset_heartbeat` the next attempt gets no details. `original_options`, a
    serialized `ActivityOptions`, is kept once they have been changed.
    """

    scheduled_event_id: int
    activity_id: str
    activity_type: str
    task_queue: str
    scheduled_ns: int
    first_scheduled_ns: int = 0
    schedule_to_close_ns: int = 0
    schedule_to_start_ns: int = 0
    start_to_close_ns: int = 0
    heartbeat_ns: int = 0
    retry_policy: bytes = b""
    has_retry_policy: bool = False
    retry_expiration_ns: int = 0
    attempt: int = 1
    started_ns: int = 0
    request_id: str = ""
    last_identity: str = ""
    last_heartbeat_ns: int = 0
    heartbeat_details: bytes = b""
    last_failure: bytes = b""
    last_attempt_complete_ns: int = 0
    cancel_requested: bool = False
    cancel_request_event_id: int = 0
    next_attempt_ns: int = 0
    current_retry_interval_ns: int = 0
    priority: bytes = b""
    worker_version: bytes = b""
    input: bytes = b""
    header: bytes = b""
    eager: bool = False
    stamp: int = 0
    paused_ns: int = 0
    paused_by: str = ""
    pause_reason: str = ""
    pause_request_id: str = ""
    held: bool = False
    reset: bool = False
    reset_heartbeat: bool = False
    original_options: bytes = b""
    has_priority: bool = False


class Timer(Item, kw_only=True):
    timer_id: str
    started_event_id: int


class Child(Item, kw_only=True):
    """A child workflow. Due at once while it has still to be started (a follow-up of this run)."""

    initiated_event_id: int
    namespace: str
    namespace_id: str
    workflow_id: str
    workflow_type: str
    parent_close_policy: int
    started_event_id: int = 0
    started: bool = False
    run_id: str = ""
    create_request_id: str = ""
    initiated: bytes = b""
    priority: bytes = b""


class ExternalSignal(Item, kw_only=True):
    initiated_event_id: int
    request_id: str
    namespace: str
    namespace_id: str
    initiated: bytes


class ExternalCancel(Item, kw_only=True):
    initiated_event_id: int
    request_id: str
    namespace: str
    namespace_id: str
    initiated: bytes


class Request(Item, kw_only=True):
    """A request id this run has acted on, so that its repeat does nothing. `event_id` is 0 while that is buffered."""

    request_id: str
    event_type: int = 0
    event_id: int = 0


class BufferedEvent(Item, kw_only=True):
    """An event that arrived while a worker had the workflow task; it gets its id when it is flushed."""

    event: bytes


class FollowUp(Item, kw_only=True):
    """What a closed run still owes to its parent: the report of its end. `close_event` is the event that ended it."""

    close_event: bytes


class Deletion(Item, kw_only=True):
    """The run is to be deleted as soon as it owes nothing to other runs."""


class UpdateState(IntEnum):
    """How far an update is. The numbers are in storage: never change one."""

    ADMITTED = 1
    SENT = 2
    ACCEPTED = 3
    COMPLETED = 4


class Update(Item, kw_only=True):
    """An update that was not rejected, by its id. `request` is there until it is accepted, unless an event has it
    (`in_history`: that of the admission). Its outcome is in the event `completed_event_id`."""

    update_id: str
    state: int = UpdateState.ADMITTED
    request: bytes = b""
    in_history: bool = False
    accepted_event_id: int = 0
    completed_event_id: int = 0

    @property
    def volatile(self) -> bool:
        return self.state <= UpdateState.SENT and not self.in_history


class Scheduled(Item, kw_only=True):
    """The run was started by a schedule, which is to know of its end: due, with the event that ended it, at the close.

    It goes from run to run of a chain.
    """

    schedule_id: str
    close_event: bytes = b""


class Start(Item, kw_only=True):
    """The WorkflowExecutionStarted event, kept only where a later run has to be made from it."""

    event: bytes


class Lifetime(Item, kw_only=True):
    """A deadline of the run itself: `what` is "run-timeout", "execution-timeout", "first-task" or
    "fast-forward"."""

    what: str


ITEM_TYPES: dict[Kind, type[Item]] = {
    Kind.WORKFLOW_TASK: WorkflowTask,
    Kind.ACTIVITY: Activity,
    Kind.TIMER: Timer,
    Kind.CHILD: Child,
    Kind.EXTERNAL_SIGNAL: ExternalSignal,
    Kind.EXTERNAL_CANCEL: ExternalCancel,
    Kind.REQUEST: Request,
    Kind.BUFFERED_EVENT: BufferedEvent,
    Kind.FOLLOW_UP: FollowUp,
    Kind.LIFETIME: Lifetime,
    Kind.START: Start,
    Kind.DELETION: Deletion,
    Kind.UPDATE: Update,
    Kind.SCHEDULED: Scheduled,
}

Key = int | str


class OwnClock(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The clock of a run that may skip time; see `perdure.engine.own_time`.

    `config` is a serialized `TimeSkippingConfig`, empty for none, with `enabled` as it is now. `skip_count` counts the
    skips of the session. `fast_forward_ns` is when a fast-forward ends, in the run's own time, 0 without one.
    """

    offset_ns: int = 0
    """How far the run is ahead of its namespace."""
    config: bytes = b""
    skip_count: int = 0
    fast_forward_ns: int = 0
    fast_forwarded: bool = False


class Core(msgspec.Struct, array_like=True, kw_only=True):
    """What every transition reads. Encoded whole on each write, so it stays small."""

    namespace_id: str = ""
    workflow_id: str = ""
    run_id: str = ""
    first_run_id: str = ""
    original_run_id: str = ""
    workflow_type: str = ""
    task_queue: str = ""
    status: int = 0
    next_event_id: int = 1
    start_ns: int = 0
    execution_ns: int = 0
    close_ns: int = 0
    start_request_id: str = ""
    execution_timeout_ns: int = 0
    run_timeout_ns: int = 0
    task_timeout_ns: int = 0
    execution_expiration_ns: int = 0
    run_expiration_ns: int = 0
    first_task_backoff_ns: int = 0
    attempt: int = 1
    retry_policy: bytes = b""
    cron_schedule: str = ""
    continued_run_id: str = ""
    new_run_id: str = ""
    parent_namespace_id: str = ""
    parent_namespace: str = ""
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    parent_initiated_event_id: int = 0
    root_workflow_id: str = ""
    root_run_id: str = ""
    parent_close_policy: int = 0
    memo: bytes = b""
    search_attributes: bytes = b""
    user_metadata: bytes = b""
    priority: bytes = b""
    cancel_requested: bool = False
    cancel_request_id: str = ""
    sticky_queue: str = ""
    sticky_timeout_ns: int = 0
    previous_started_event_id: int = 0
    workflow_task_attempt: int = 1
    first_task_scheduled: bool = False
    completed_task_count: int = 0
    close_attempted: bool = False
    last_task_failure_cause: int = 0
    last_task_timed_out: bool = False
    failed_attempts: int = 0
    """Attempts of workflow tasks that failed since the last one that did not."""
    reported_problems: list[str] = []
    signal_count: int = 0
    buffered_count: int = 0
    buffered_size_bytes: int = 0
    history_size_bytes: int = 0
    state_transition_count: int = 0
    last_first_event_id: int = 0
    reset_points: bytes = b""
    most_recent_worker_version: bytes = b""
    last_worker_identity: str = ""
    sdk_name: str = ""
    sdk_version: str = ""
    stamp: int = 0
    next_number: int = 1
    has_run_timeout: bool = False
    has_execution_timeout: bool = False
    has_priority: bool = False
    paused_ns: int = 0
    paused_by: str = ""
    pause_reason: str = ""
    pause_request_id: str = ""
    pause_info: list[str] = []
    """The values of TemporalPauseInfo: what of this run is paused."""
    versioning_override: bytes = b""
    original_start_ns: int = 0
    """When the history begins, where that is not when the run does: it was made by a reset."""
    reset_event_id: int = 0
    """The event with which a run that was made by a reset leaves the history that it took over."""
    reset_request_id: str = ""
    """The request that made this run by a reset."""
    reset_run_id: str = ""
    """The last run that was made from this one by a reset."""
    clock: OwnClock | None = None
    """Only of a run that may skip time, or did, or follows one that did."""

    @property
    def offset_ns(self) -> int:
        """How far the run's own time is ahead of that of its namespace."""
        return self.clock.offset_ns if self.clock is not None else 0

    @property
    def kinds(self) -> Iterable[Kind]:
        """The kinds of pending items that a workflow execution may have."""
        return ITEM_TYPES

    @property
    def space(self) -> str:
        """Where its id is unique: the namespace. Entities have spaces beside it, see `entity`."""
        return self.namespace_id


CoreT = TypeVar("CoreT", bound=msgspec.Struct)
_encode = msgspec.msgpack.Encoder().encode
_decoders = {kind: msgspec.msgpack.Decoder(cls) for kind, cls in ITEM_TYPES.items()}
_core_decoder = msgspec.msgpack.Decoder(Core)

RUNNING = 1
"""`WORKFLOW_EXECUTION_STATUS_RUNNING`."""
PAUSED = 8
"""`WORKFLOW_EXECUTION_STATUS_PAUSED`: open, but it gets no workflow tasks."""
OPEN = (RUNNING, PAUSED)


class Execution:
    """One run in memory. Only `Transition.commit` changes it."""

    __slots__ = ("core", "pending", "pending_bytes", "run_key")

    def __init__(self, run_key: int, core: Core) -> None:
        self.run_key = run_key
        self.core = core
        self.pending: dict[Kind, dict[Key, Any]] = {kind: {} for kind in core.kinds}
        self.pending_bytes = 0
        """What the pending items weigh together, see `weight_bytes`."""

    @property
    def running(self) -> bool:
        return self.core.status in OPEN

    @property
    def pending_workflow_task(self) -> WorkflowTask | None:
        """None as well for an entity, which has no such thing."""
        tasks: dict[Key, WorkflowTask] | None = self.pending.get(Kind.WORKFLOW_TASK)
        return tasks.get("") if tasks else None

    def activity(self, scheduled_event_id: int) -> Activity:
        activity: Activity = self.pending[Kind.ACTIVITY][scheduled_event_id]
        return activity

    def items(self) -> Iterator[tuple[Kind, Key, Item]]:
        for kind, items in self.pending.items():
            for key, item in items.items():
                yield kind, key, item


def encode(value: msgspec.Struct) -> bytes:
    return _encode(value)


_ITEM_BYTES = 128
"""What an item weighs without what can be large in it."""
_OWN_BYTES: dict[type[Item], Callable[[Any], int]] = {
    Activity: lambda item: len(item.activity_id) + len(item.heartbeat_details) + len(item.last_failure),
    Timer: lambda item: len(item.timer_id),
    Request: lambda item: len(item.request_id),
    BufferedEvent: lambda item: len(item.event),
    Update: lambda item: len(item.update_id),
}
"""What can be large in an item and stands in no event of the history: only that is state of its own.

The request of an update lives in memory alone, where its own limit bounds it (`max_in_flight_update_payloads_bytes`).
"""


def weight_bytes(item: Item | None) -> int:
    """What a pending item adds to the size of its run's state, about."""
    if item is None:
        return 0
    own_bytes = _OWN_BYTES.get(type(item))
    return _ITEM_BYTES if own_bytes is None else _ITEM_BYTES + own_bytes(item)


def decode_item(kind: int, blob: bytes) -> Item:
    item = _decoders[Kind(kind)].decode(blob)
    assert isinstance(item, Item)
    return item


def decode_core(blob: bytes) -> Core:
    return _core_decoder.decode(blob)

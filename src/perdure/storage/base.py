"""What storage keeps and how it is asked: data types, batches and the `Storage` protocol.

The rules, which every backend keeps and `tests/storage` checks on each:

1. A batch is one transaction. Batches become durable in the order of `submit`; no batch is ever visible, to a reader
   or after a crash, without all the batches before it.
2. `done(None)` is called after the batch is durable, never before; `done(CommitFailed)` when nothing of it is.
   Callbacks come in the order of `submit`, on the backend's writer thread, and must be short: they usually hand over
   to the event loop.
3. After a failure the writer refuses every batch until `resume(failure)`: batches that were submitted before the
   failure was known may build on what was lost. See `Storage.resume` for what the caller owes in between.
4. Reads see durable batches only.

Keys: `run_key` is an integer that the runtime gives to a run when it is born; it is never used for another run while
anything of the first is stored, and `Storage.max_run_key` says where to go on after a restart. Times are integers,
nanoseconds since the epoch (`_ns`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from perdure.errors import Unavailable

EVENT_ID_BITS = 20
"""A history batch is stored under `run_key << EVENT_ID_BITS | first_event_id`: one integer, in reading order."""

MAX_EVENT_ID = (1 << EVENT_ID_BITS) - 1
MIN_ORDER, MAX_ORDER = -(1 << 63), (1 << 63) - 1
MAX_RUN_KEY = (1 << (63 - EVENT_ID_BITS)) - 1

PendingKey: TypeAlias = tuple[int, str]
"""(kind, key) of a pending item, unique within its run."""

WorkflowKey: TypeAlias = tuple[str, str]
"""(namespace id, workflow id)."""

Done: TypeAlias = "Callable[[BaseException | None], None]"
Scalar: TypeAlias = "int | float | str | bytes | None"


class PendingRow(NamedTuple):
    """A pending item of a run: a timer, an activity, a workflow task, a follow-up, ...

    `due_ns` puts it among the deadlines (`Storage.due`), `queue` among the tasks that are ready to be polled
    (`Storage.ready`), by `order`, lowest first. `blob` is the engine's.
    """

    due_ns: int | None
    queue: str | None
    order: int
    blob: bytes


class RunIdentity(NamedTuple):
    """What names a run to clients. `run_id` is a UUID in its canonical text form."""

    namespace_id: str
    workflow_id: str
    run_id: str


class VisibilityRow(NamedTuple):
    """What listings show of a run, in the order of the columns of the table `visibility`.

    `status` is a number of `WorkflowExecutionStatus`; `search_attributes` a JSON object of plain values (Datetime as
    nanoseconds); `memo` and `attributes` are serialized `Memo` and `SearchAttributes`, as clients see them. What never
    changes in the life of a run (ids, type, start time, parent and root) is taken from its first row only.
    """

    namespace_id: str
    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: int
    start_time: int
    execution_time: int
    root_workflow_id: str
    root_run_id: str
    close_time: int | None = None
    history_length: int | None = None
    history_size_bytes: int | None = None
    execution_duration: int | None = None
    state_transition_count: int | None = None
    parent_workflow_id: str | None = None
    parent_run_id: str | None = None
    search_attributes: str | None = None
    memo: bytes | None = None
    attributes: bytes | None = None


class NamespaceRow(NamedTuple):
    """A namespace; `blob` holds everything but its id and name."""

    id: str
    name: str
    blob: bytes


class DueItem(NamedTuple):
    """A deadline; as a tuple it is the position of `Storage.due` to go on from."""

    due_ns: int
    run_key: int
    kind: int
    key: str


class ReadyItem(NamedTuple):
    """A task ready to be polled; as a tuple it is the position of `Storage.ready` to go on from."""

    order: int
    run_key: int
    kind: int
    key: str


class ClosedRun(NamedTuple):
    """A run that has ended; as a tuple it is the position of `Storage.closed` to go on from."""

    close_ns: int
    start_ns: int
    run_key: int


class HistoryBatch(NamedTuple):
    """Events written together: a serialized `temporal.api.history.v1.History`, so concatenated batches are one too."""

    first_event_id: int
    blob: bytes


class StoredRun(NamedTuple):
    """A run as it is durable, without its history."""

    run_key: int
    identity: RunIdentity
    core: bytes
    pending: list[tuple[int, str, PendingRow]]


@dataclass(slots=True)
class RunChange:
    """What one or more transitions changed of one run.

    `insert` is set in the change that creates the run and only there; `core` must be set with it. A value `None` in
    `pending` removes the item. `delete` removes the run with everything it has, its history included; the entry in
    `Batch.current` is the caller's to change. Nothing may follow a deletion.
    """

    run_key: int
    insert: RunIdentity | None = None
    core: bytes | None = None
    history: list[HistoryBatch] = field(default_factory=list)
    pending: dict[PendingKey, PendingRow | None] = field(default_factory=dict)
    visibility: VisibilityRow | None = None
    delete: bool = False

    @property
    def is_void(self) -> bool:
        """True when the run is born and gone within this change: there is nothing to write."""
        return self.delete and self.insert is not None

    def fold(self, later: RunChange) -> None:
        """Add what a later change of the same run did, so that one write has the effect of both."""
        assert not self.delete and later.insert is None, f"run {self.run_key} is changed after its end or born twice"
        if later.delete:
            self.delete = True
            self.core = self.visibility = None
            self.history = []
            self.pending = {}
            return
        if later.core is not None:
            self.core = later.core
        if later.visibility is not None:
            self.visibility = later.visibility
        self.history += later.history
        self._fold_pending(later.pending)

    def _fold_pending(self, later: dict[PendingKey, PendingRow | None]) -> None:
        if self.insert is None:
            # An item that was put and removed within the batch stays as a removal: whether an older row is stored is
            # not known here, and removing what is not there dirties no page.
            self.pending.update(later)
            return
        for key, row in later.items():
            if row is None:
                self.pending.pop(key, None)
            else:
                self.pending[key] = row


@dataclass(slots=True)
class Batch:
    """Changes that become durable together. It belongs to storage once submitted: don't touch it afterwards.

    A value `None` removes the entry, in each of `current`, `namespaces` and `meta`.
    """

    runs: dict[int, RunChange] = field(default_factory=dict)
    current: dict[WorkflowKey, int | None] = field(default_factory=dict)
    namespaces: dict[str, NamespaceRow | None] = field(default_factory=dict)
    meta: dict[str, bytes | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.runs or self.current or self.namespaces or self.meta)

    def add(self, change: RunChange) -> None:
        """Add a run's change after those already here; the batch takes the object over and may change it."""
        earlier = self.runs.get(change.run_key)
        if earlier is None:
            self.runs[change.run_key] = earlier = change
        else:
            earlier.fold(change)
        if earlier.is_void:
            del self.runs[change.run_key]

    def merge(self, later: Batch) -> None:
        """Add everything of a later batch, which must not be used afterwards."""
        for change in later.runs.values():
            self.add(change)
        self.current.update(later.current)
        self.namespaces.update(later.namespaces)
        self.meta.update(later.meta)


class CommitFailed(Unavailable):
    """Nothing of the batch is durable, and nothing of it can be seen.

    `failure` numbers the failures of a storage, from 1. `refused` is true when the batch was not even tried, because
    the one that failed as number `failure` came before it. The original error is `__cause__` where there is one.
    """

    def __init__(self, message: str, failure: int, refused: bool) -> None:
        super().__init__(message)
        self.failure = failure
        self.refused = refused


class ReadFailed(Unavailable):
    """The disk did not give what was asked for. The same read may go well later; nothing is lost by it."""


class Storage(Protocol):
    """A backend. `submit` and `resume` are called from one thread, that of the event loop.

    Reads raise `ReadFailed` when the disk fails, `DataLoss` when what it gives is damaged.
    """

    def submit(self, batch: Batch, done: Done) -> None:
        """Queue a batch to be written; rules 1 to 3 above."""

    def resume(self, failure: CommitFailed) -> None:
        """Accept batches again after `failure` was given to a `done`.

        What the caller owes: when it sees a failure that is not `refused`, it first gives up, in one go on the event
        loop, everything that stands on batches not yet acknowledged (all of them will fail), and then calls this. A
        batch submitted before the call is refused, one submitted after it is tried. Refused batches need their
        callers told and nothing else. Calling it again for the same failure has no effect, so a late call can't
        release batches that a newer failure holds back.
        """

    async def close(self) -> None:
        """Write what was submitted, then let go of the database. Nothing may be called afterwards."""

    async def find_current(self, namespace_id: str, workflow_id: str) -> int | None:
        """The run key of the current (newest) run of a workflow id."""

    async def find_run(self, namespace_id: str, workflow_id: str, run_id: str) -> int | None:
        """The run key of one run; None as well when the run id is no UUID or belongs to another workflow id."""

    async def load_run(self, run_key: int) -> StoredRun | None:
        """A run with its pending items, ordered by kind and key, as of one moment."""

    async def history(
        self,
        run_key: int,
        first_event_id: int = 1,
        before_event_id: int | None = None,
        *,
        limit_batches: int = 1000,
        limit_bytes: int = 4 * 1024 * 1024,
        reverse: bool = False,
    ) -> list[HistoryBatch]:
        """Whole batches with `first_event_id` <= their first event id < `before_event_id`, newest first if `reverse`.

        It stops after the batch that reaches a limit, so a non-empty range always gives at least one.
        """

    async def due(self, after: DueItem | None, until_ns: int, limit: int) -> list[DueItem]:
        """Deadlines at or before `until_ns`, earliest first, from the one behind `after` on."""

    async def ready(self, queue: str, after: ReadyItem | None, limit: int) -> list[ReadyItem]:
        """Tasks of a queue by their order, from the one behind `after` on."""

    async def ready_count(self, queue: str, from_order: int = MIN_ORDER, before_order: int = MAX_ORDER) -> int:
        """How many tasks are ready in a queue, with orders from one number to below another."""

    async def ready_queues(self, prefix: str = "") -> list[str]:
        """Names of the queues that have ready tasks, sorted, of those that begin with `prefix`."""

    async def list_visibility(
        self, namespace_id: str, where_sql: str, params: Sequence[Scalar], order_by_sql: str, limit: int
    ) -> list[tuple[int, VisibilityRow]]:
        """(run key, row) of the runs of a namespace that meet a condition.

        The SQL fragments come from the compiler in `perdure.visibility` and from nowhere else; an empty `where_sql`
        means all runs, an empty `order_by_sql` that of `VISIBILITY_ORDER`.
        """

    async def count_visibility(
        self, namespace_id: str, where_sql: str, params: Sequence[Scalar], group_by_sql: str | None = None
    ) -> list[tuple[Any, int]]:
        """(group, number of runs); without `group_by_sql` one pair with the group None."""

    async def closed(self, namespace_id: str, after: ClosedRun | None, limit: int) -> list[ClosedRun]:
        """Runs of a namespace that have ended, the one that ended first first, from the one behind `after` on."""

    async def namespaces(self) -> list[NamespaceRow]:
        """All namespaces, by id."""

    async def meta(self, key: str) -> bytes | None:
        """One entry of the metadata."""

    async def meta_all(self, prefix: str = "") -> dict[str, bytes]:
        """The entries of the metadata whose key begins with `prefix`, by key."""

    async def max_run_key(self) -> int:
        """The highest run key of which anything is stored; 0 when there is none."""

    async def max_order(self, queue: str) -> int | None:
        """The highest order among the ready tasks of a queue."""


VISIBILITY_ORDER = "coalesce(close_time, 9223372036854775807) DESC, start_time DESC, run_key DESC"
"""The order in which listings come unless asked for another: open runs first, then by close time; newest first."""


__all__ = [
    "EVENT_ID_BITS",
    "MAX_EVENT_ID",
    "MAX_ORDER",
    "MAX_RUN_KEY",
    "MIN_ORDER",
    "VISIBILITY_ORDER",
    "Batch",
    "ClosedRun",
    "CommitFailed",
    "Done",
    "DueItem",
    "HistoryBatch",
    "NamespaceRow",
    "PendingKey",
    "PendingRow",
    "ReadFailed",
    "ReadyItem",
    "RunChange",
    "RunIdentity",
    "Scalar",
    "Storage",
    "StoredRun",
    "VisibilityRow",
    "WorkflowKey",
]

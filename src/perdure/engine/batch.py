"""Batch jobs: one operation on many executions, a few at a time.

A job is an entity. Its targets come in pages: the list that its request has, or what a query finds, page by page. A
step takes some targets of the page; what came of them (`Worked`) moves the job on, and the next step is due when the
rate allows it. What failed for a reason that may pass is tried again; meanwhile no more than `batcher_concurrency`
targets are under way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any, ClassVar

import msgspec
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import StartBatchOperationRequest

from perdure.config import Dynamic
from perdure.engine.entity import EntityCore, EntityTransition, EntityType
from perdure.engine.execution import RUNNING, Item, Kind
from perdure.engine.inputs import Input
from perdure.engine.times import NS
from perdure.errors import NotFound

TARGETS_AT_ONCE = 50
"""Targets of one step, after which others get a turn."""
MAX_ATTEMPTS = 51
"""How often an operation is tried on one target."""
STEPS_PER_SECOND = 10
"""A job that its rate slows down waits until there is a step's worth of work."""
ROUNDING_NS = 1_000
OVER = "workflow execution already completed"

_S = WorkflowExecutionStatus


class Target(msgspec.Struct, array_like=True, frozen=True):
    """An execution that the job is about; without a run id the current run."""

    workflow_id: str
    run_id: str


class Again(msgspec.Struct, array_like=True, frozen=True):
    """A target of the page, by its position, that has failed so often."""

    position: int
    attempts: int


class JobCore(EntityCore, kw_only=True):
    """A batch job. `workflow_id` is its id; `operation` a number of `BatchOperationType`.

    `page_token` is where the next page begins, empty if there is none; `position` counts the targets of this page that
    were taken. `spent_ns` is when all that was done would have been done at the allowed rate.
    """

    division: ClassVar[str] = "batches"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.BATCH, Kind.BATCH_STEP, Kind.BATCH_PAGE)

    operation: int = 0
    identity: str = ""
    reason: str = ""
    max_rate: float = 0
    """Operations a second that the request allows; 0: as many as the server does."""
    start_request_id: str = ""
    first_run_id: str = ""
    counted: bool = False
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    page_token: bytes = b""
    position: int = 0
    again: list[Again] = []
    spent_ns: int = 0


class Definition(Item, kw_only=True):
    """A serialized `StartBatchOperationRequest`."""

    request: bytes


class Step(Item, kw_only=True):
    """When the job goes on."""


class Page(Item, kw_only=True):
    """The targets that are the next."""

    targets: list[Target]


ITEMS: Mapping[Kind, type[Item]] = {Kind.BATCH: Definition, Kind.BATCH_STEP: Step, Kind.BATCH_PAGE: Page}


class Outcome(IntEnum):
    """What came of one try."""

    DONE = auto()
    FAILED = auto()
    MAY_PASS = auto()


@dataclass(slots=True)
class StartJob(Input):
    """The first input of a job."""

    request: StartBatchOperationRequest


@dataclass(slots=True)
class PageFound(Input):
    """The next targets, and where those behind them begin. `total`: how many there are in all, if they were counted."""

    targets: Sequence[Target]
    next_token: bytes
    total: int | None = None


@dataclass(slots=True)
class Worked(Input):
    """What came of targets, by their positions."""

    outcomes: Mapping[int, Outcome]


@dataclass(slots=True)
class EndJob(Input):
    """Stopped by somebody, or, `failed`, for a reason that does not pass."""

    failed: bool = False


def act(t: EntityTransition, input: Input) -> Any:
    """The rules of jobs. A job that is over refuses everything."""
    core = t.entity(JobCore)
    if core.status != RUNNING:
        raise NotFound(OVER)
    match input:
        case StartJob():
            _start(t, core, input.request)
        case PageFound():
            _turn(t, core, input)
        case Worked():
            _move_on(t, core, input)
        case EndJob():
            status = _S.WORKFLOW_EXECUTION_STATUS_FAILED if input.failed else _S.WORKFLOW_EXECUTION_STATUS_TERMINATED
            _end(t, core, status)
        case _:
            raise AssertionError(f"{type(input).__name__} is no input of a batch job")


def _start(t: EntityTransition, core: JobCore, request: StartBatchOperationRequest) -> None:
    core.start_ns = t.now_ns
    t.items(Kind.BATCH).put("", Definition(request=request.SerializeToString(deterministic=True)))
    if not request.visibility_query:
        targets = listed(request)
        core.counted, core.total = True, len(targets)
        t.items(Kind.BATCH_PAGE).put("", Page(targets=targets))
    _go_on(t, core)


def listed(request: StartBatchOperationRequest) -> list[Target]:
    """The targets that a request has a list of."""
    if request.target_executions:
        return [Target(each.business_id, each.run_id) for each in request.target_executions]
    return [Target(each.workflow_id, each.run_id) for each in request.executions]


def _turn(t: EntityTransition, core: JobCore, i: PageFound) -> None:
    if i.total is not None:
        core.counted, core.total = True, i.total
    core.page_token, core.position = i.next_token, 0
    t.items(Kind.BATCH_PAGE).put("", Page(targets=list(i.targets)))
    _go_on(t, core)


def _move_on(t: EntityTransition, core: JobCore, i: Worked) -> None:
    attempts = {each.position: each.attempts for each in core.again}
    for position, outcome in i.outcomes.items():
        tried = attempts.pop(position, 0) + 1
        if outcome is Outcome.DONE:
            core.succeeded += 1
        elif outcome is Outcome.FAILED or tried >= MAX_ATTEMPTS:
            core.failed += 1
        else:
            attempts[position] = tried
        core.position = max(core.position, position + 1)
    core.again = [Again(*each) for each in sorted(attempts.items())]
    core.spent_ns = max(core.spent_ns, t.now_ns) + round(len(i.outcomes) * NS / _rate(core, t.env.config))
    _go_on(t, core)


def _go_on(t: EntityTransition, core: JobCore) -> None:
    page = t.items(Kind.BATCH_PAGE).get("")
    count = len(page.targets) if page is not None else 0
    if is_out_of_targets(core, page):
        if core.counted and not core.page_token:
            _end(t, core, _S.WORKFLOW_EXECUTION_STATUS_COMPLETED)
            return
        due_ns = t.now_ns
    else:
        left = count - core.position + len(core.again)
        due_ns = max(t.now_ns, _allowed_ns(core, t.env.config, left))
    t.items(Kind.BATCH_STEP).put("", Step(due_ns=due_ns))


def _end(t: EntityTransition, core: JobCore, status: int) -> None:
    core.status, core.close_ns = status, t.now_ns
    core.again = []
    t.visibility = True
    for kind in (Kind.BATCH_STEP, Kind.BATCH_PAGE):
        if t.items(kind).get("") is not None:
            t.items(kind).remove("")


def is_out_of_targets(core: JobCore, page: Page | None) -> bool:
    """Whether nothing of the page is left to be done."""
    return not core.again and core.position >= (len(page.targets) if page is not None else 0)


def chosen(core: JobCore, page: Page, config: Dynamic, now_ns: int, most: int = TARGETS_AT_ONCE) -> list[int]:
    """The positions of the targets to try now: first those that have failed before."""
    interval_ns = NS / _rate(core, config)
    free_ns = _burst(core, config) * interval_ns - (max(core.spent_ns, now_ns) - now_ns)
    count = min(int((free_ns + ROUNDING_NS) / interval_ns), most)
    again = [each.position for each in core.again][:count]
    room = config.batcher_concurrency - len(core.again) if core.again else count
    fresh = max(min(count - len(again), room, len(page.targets) - core.position), 0)
    return [*again, *range(core.position, core.position + fresh)]


def _rate(core: JobCore, config: Dynamic) -> float:
    """Operations a second."""
    rate = float(max(config.batcher_rps, 1))
    return min(rate, core.max_rate) if core.max_rate > 0 else rate


def _burst(core: JobCore, config: Dynamic) -> int:
    """Operations that a job which has waited may do at once."""
    return max(int(_rate(core, config)), 1)


def _allowed_ns(core: JobCore, config: Dynamic, wanted: int) -> int:
    """When the rate allows as many as are wanted, or a step's worth."""
    burst, interval_ns = _burst(core, config), NS / _rate(core, config)
    count = min(wanted, max(burst // STEPS_PER_SECOND, 1))
    return core.spent_ns - int((burst - count) * interval_ns)


JOBS = EntityType(2, JobCore, ITEMS, act)

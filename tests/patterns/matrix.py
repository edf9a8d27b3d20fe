"""A pattern under every fault: `await matrix(CASE)` in a test, with the fixture of that name.

The case is played once without faults, which tells its moments (tests/patterns/moments.py) and its activities. Then it
is played again for each fault at each moment or activity; after each the case's invariants have to hold, and in the
end histories have to replay. PERDURE_SWEEP=1 takes all moments and pairs of faults, and replays all; otherwise a few
cells of each row are played (`Case.few`), and what is replayed has every two events that follow each other somewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from temporalio.client import WorkflowContinuedAsNewError, WorkflowFailureError
from tests.patterns.moments import Label, Moment
from tests.patterns.stage import Case, Outcome, Stage

from perdure.testing import Env, History
from perdure.testing.faults import Fault

SWEEP = bool(os.environ.get("PERDURE_SWEEP"))
WITHIN_S = 120
"""Of real time; no play takes so long, unless something it waits for is lost."""
__all__ = ["SWEEP", "Case", "Cell", "Label", "Matrix", "Moment", "Outcome", "Stage", "play", "play_one"]

ROWS = {
    "clean": "nothing",
    "evicted": "eviction at every workflow task",
    "worker killed": "worker killed at each moment",
    "server killed": "server killed at each moment",
    "process killed": "`perdure up` killed with SIGKILL at each moment",
    "duplicate": "attempts duplicated: each, all",
    "lost reply": "replies lost: each, all",
    "late": "attempts late, after the next one: each, all",
    "late to the end": "attempts late, after all is over: each",
    "never in time": "all attempts of an activity late, after all is over: each",
    "fails before": "activity fails for good before its effect: each",
    "fails after": "activity fails for good after its effect: each",
    "cancelled": "cancelled at each moment",
    "cancelled twice": "cancelled at each moment and again later",
    "terminated": "terminated at each moment",
    "message": "each message at each moment",
    "reset": "reset to each workflow task",
    "late and failing": "an attempt late after all is over, another activity failing for good: each pair",
    "killed and cancelled": "worker killed at a moment, cancelled at a later one",
}
"""The rows of the table, in its order."""
SERVER_ROWS = {"server killed", "process killed"}
"""Those in which the server goes and comes back."""


@dataclass
class Cell:
    """One play. `prepare` comes before the workflow starts; `afterwards` when it is over, and may have it go on."""

    row: str
    name: str = ""
    prepare: Callable[[Stage[Any]], None] = lambda stage: None
    at: tuple[Moment, ...] = ()
    """Where something happens; if none of it is reached, the cell tells nothing."""
    afterwards: Callable[[Stage[Any]], Awaitable[bool]] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.row} {self.name}".strip()


@dataclass
class Matrix:
    """What came out: cells by row."""

    case: str
    held: dict[str, int] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, row: str, problem: str = "") -> None:
        if problem:
            self.failed.setdefault(row, []).append(problem)
        else:
            self.held[row] = self.held.get(row, 0) + 1

    def lines(self) -> Iterator[str]:
        """Row and what came out, for the table."""
        for row in ROWS:
            if row in self.failed:
                yield f"{row}: {len(self.failed[row])} of {len(self.failed[row]) + self.held.get(row, 0)} FAILED"
            elif row in self.held:
                yield f"{row}: {self.held[row]}"


async def play(
    case: Case[Any],
    env: Env,
    matrix: Matrix,
    *,
    server: Callable[[], Awaitable[None]] | None = None,
    row: str = "server killed",
) -> None:
    """Play all cells of a case. With `server`, which kills and starts it again, those in which that happens: the row
    of that name."""
    clean, stage = await play_one(case, env, Cell("clean", options={"sandboxed": True}))
    if server is None or clean:
        matrix.add("clean", clean)
    if clean:
        return
    matrix.left_out = dict(case.leave_out)
    cells = _server_cells(stage, row, server) if server is not None else _cells(case, stage)
    for cell in _chosen(case, cells):
        problem, played = await play_one(case, env, cell)
        if problem or not cell.at or any(map(played.probe.reached, cell.at)):
            matrix.add(cell.row, problem)


async def play_one(case: Case[Any], env: Env, cell: Cell) -> tuple[str, Stage[Any]]:
    """What is wrong, if anything."""
    stage = Stage(env, case, **cell.options)
    try:
        async with asyncio.timeout(WITHIN_S):
            await _played(case, stage, cell)
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-2:])
        texts = [f"{cell}: {type(error).__name__}: {error}", where, f"  world: {stage.world}"]
        texts += [str(run) for run in await env.histories(stage.id)]
        return "\n".join(texts), stage
    finally:
        await stage.leave()
    return "", stage


async def _played(case: Case[Any], stage: Stage[Any], cell: Cell) -> None:
    cell.prepare(stage)
    await stage.play()
    if cell.afterwards is not None and await cell.afterwards(stage):
        await stage.until_over()
    await stage.late_attempts()
    outcome = await _outcome(stage, cell)
    if cell.row == "clean" and outcome.drive_error is not None:
        raise outcome.drive_error
    if cell.row in SERVER_ROWS:
        await stage.worker_polls()
    checked = case.check(stage.world, outcome)
    if inspect.isawaitable(checked):
        await checked


async def _outcome(stage: Stage[Any], cell: Cell) -> Outcome:
    histories = await stage.env.histories(stage.id)
    return Outcome(
        row=cell.row,
        name=cell.name,
        status=histories[-1].status,
        result=stage.result,
        error=stage.error,
        drive_error=stage.drive_error,
        reached=any(map(stage.probe.reached, cell.at)),
        histories=histories,
        handle=stage.handle,
        stage=stage,
    )


def replays(env: Env) -> None:
    """What is to replay in the end."""
    if not SWEEP:
        env._which = _telling


def _telling(runs: list[History]) -> list[History]:
    """All pairs of neighbouring events that there are, in few histories; the longest are asked first."""
    seen: set[tuple[str, int, int]] = set()
    chosen = []
    for run in sorted(runs, key=lambda run: len(run.events), reverse=True):
        types = [event.event_type for event in run.events]
        pairs = {(run.workflow_type, first, second) for first, second in pairwise(types)}
        if not pairs <= seen:
            seen |= pairs
            chosen.append(run)
    return chosen


def _chosen(case: Case[Any], cells: Iterator[Cell]) -> Iterator[Cell]:
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.row not in case.leave_out:
            rows.setdefault(cell.row, []).append(cell)
    for row, found in rows.items():
        few = case.few * 2 if row == "cancelled" else case.few
        if SWEEP or len(found) <= few:
            yield from found
        elif few == 1:
            yield found[len(found) // 2]
        else:
            yield from (found[number * (len(found) - 1) // (few - 1)] for number in range(few))


def _cells(case: Case[Any], clean: Stage[Any]) -> Iterator[Cell]:
    moments = clean.probe.moments
    labels = list(clean.probe.labels.values())
    yield Cell("evicted", options={"cached": False, "sandboxed": True})
    yield from _attempts(labels)
    for moment in moments:
        yield _acting("worker killed", moment, lambda stage: stage.kill_worker, cached=False)
        yield _acting("cancelled", moment, lambda stage: stage.cancel)
        yield _acting("terminated", moment, lambda stage: stage.terminate, afterwards=_nothing_starts)
        for name, message in case.messages.items():
            yield _acting("message", moment, lambda stage, it=message: lambda: stage.send(it), name=name)
    for first, second in _pairs(moments):
        yield _twice("cancelled twice", first, second, lambda stage: (stage.cancel, stage.cancel))
        yield _twice(
            "killed and cancelled", first, second, lambda stage: (stage.kill_worker, stage.cancel), cached=False
        )
    for number in range(1, 1 + sum(each.kind == "task" for each in moments)):
        yield Cell("reset", f"to task {number}", afterwards=lambda stage, number=number: stage.reset(number))


def _server_cells(clean: Stage[Any], row: str, kill: Callable[[], Awaitable[None]]) -> Iterator[Cell]:
    for moment in clean.probe.moments:
        yield _acting(row, moment, lambda stage: kill)


def _attempts(labels: list[Label]) -> Iterator[Cell]:
    """Faults of single attempts."""
    for fault in Fault:
        if fault in (Fault.DUPLICATE, Fault.LATE, Fault.LOST_REPLY):
            yield Cell(fault.value, "all", lambda stage, fault=fault: setattr(stage.probe, "every", fault))
        for label in labels:
            yield Cell(fault.value, str(label), lambda stage, it=(label, fault): stage.probe.choices.update([it]))
    for label in labels:
        yield Cell("late to the end", str(label), lambda stage, label=label: _late(stage, label, once=True))
        yield Cell("never in time", str(label), lambda stage, label=label: _late(stage, label, once=False))
    for late in labels:
        for failing in labels:
            if late != failing:
                yield Cell(
                    "late and failing", f"{late}, {failing}", lambda stage, it=(late, failing): _both(stage, *it)
                )


def _late(stage: Stage[Any], label: Label, *, once: bool) -> None:
    stage.probe.choices[label] = Fault.LATE
    stage.probe.to_the_end.add(label)
    if not once:
        stage.probe.always.add(label)


def _both(stage: Stage[Any], late: Label, failing: Label) -> None:
    _late(stage, late, once=True)
    stage.probe.choices[failing] = Fault.FAIL_AFTER


def _acting(
    row: str,
    moment: Moment,
    action: Callable[[Stage[Any]], Callable[[], Awaitable[Any]]],
    *,
    name: str = "",
    afterwards: Callable[[Stage[Any]], Awaitable[bool]] | None = None,
    **options: Any,
) -> Cell:
    def prepare(stage: Stage[Any]) -> None:
        stage.probe.actions[moment] = action(stage)

    return Cell(row, f"{name} at {moment}".strip(), prepare, (moment,), afterwards, options)


def _twice(
    row: str, first: Moment, second: Moment, actions: Callable[[Stage[Any]], tuple[Any, Any]], **options: Any
) -> Cell:
    def prepare(stage: Stage[Any]) -> None:
        stage.probe.actions[first], stage.probe.actions[second] = actions(stage)

    return Cell(row, f"at {first} and {second}", prepare, (second,), options=options)


def _pairs(moments: list[Moment]) -> Iterator[tuple[Moment, Moment]]:
    """A moment and a later one of the same kind, which the faults before it may move beyond the last that is known."""
    for first in moments:
        known = max(each.number for each in moments if each.kind == first.kind)
        for number in range(first.number + 1, known + (4 if SWEEP else 1)):
            yield first, Moment(first.kind, number)


async def _nothing_starts(stage: Stage[Any]) -> bool:
    """After its run has ended the server gives out no attempt of an activity. Its children are terminated, one after
    the other; one whose last task is with a worker just then may complete instead, and begins nothing any more."""
    seen: set[tuple[str, str]] = set()
    while new := [ids for ids in stage.probe.started if ids not in seen]:  # a child may begin meanwhile
        workflow_id, run_id = new[0]
        seen.add(new[0])
        handle = stage.client.get_workflow_handle(workflow_id, run_id=run_id)
        with contextlib.suppress(WorkflowFailureError, WorkflowContinuedAsNewError):
            await handle.result(follow_runs=False)
        run, about = await stage.env.history(workflow_id, run_id), await handle.describe()
        assert run.ended, f"{run} outlives its parent"
        end = run.ended
        if run.status != "terminated" and about.parent_id is not None:
            parent = await stage.env.history(about.parent_id, about.parent_run_id)
            assert parent.ended
            end = min(end, parent.ended)
        late = [str(label) for began, label in stage.probe.started[new[0]] if began > end]
        assert not late, f"these activities began after the end: {late}"
    return False

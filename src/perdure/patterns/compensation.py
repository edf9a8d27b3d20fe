"""What a saga has to undo, and how it is undone: newest first, each with retries of its own, until nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from perdure.patterns.holder import held
from perdure.patterns.keys import UNDO
from perdure.patterns.options import Options
from perdure.patterns.running import WAITS, Running

QUERY = "perdure_saga"
"""The query that tells of the sagas of a run: `list[SagaReport]`."""
SIGNAL = "perdure_saga_resume"
"""The signal by which sagas that are stuck go on. Its argument is a list of keys of steps that a person has undone."""

State = Literal["running", "completed", "failed", "compensating", "compensated", "stuck"]
"""`failed` is a saga that failed after its pivot: nothing was undone."""


@dataclass(frozen=True)
class Left:
    """A step that is not undone yet.

    for step in report.left:
        print(f"{step.key}: {step.undo} is still to be done. {step.error}")
    """

    key: str
    undo: str
    """The name of the activity that undoes it."""
    error: str = ""
    """Why that has failed, if it has."""


@dataclass(frozen=True)
class SagaReport:
    """What the query tells of one saga.

    for report in await handle.query("perdure_saga", result_type=list[SagaReport]):
        if report.state == "stuck":
            print(report.number, report.left)
    """

    number: int
    """Of the saga in its run, from 1."""
    state: State
    left: list[Left]
    """What is to be undone if the saga fails, or has still to be undone, newest first."""


@dataclass(eq=False)
class Compensation:
    """How to undo one step."""

    key: str
    fn: Callable[..., Any] | str
    args: Sequence[Any]
    options: Options
    error: str = ""
    done: bool = False

    @property
    def name(self) -> str:
        return activity_name(self.fn)


@dataclass(eq=False)
class Ledger:
    """Groups of compensations of one saga, oldest first. Those of a group are undone side by side."""

    number: int
    state_key: SearchAttributeKey[str] | None
    groups: list[list[Compensation]] = field(default_factory=list)
    running: Running = field(default_factory=Running)
    state: State = "running"
    resumed: int = 0
    """How many signals to go on have come."""

    def move(self, state: State) -> None:
        """Say so wherever somebody may look."""
        workflow.set_current_details(f"saga {self.number}: {state}{self._errors()}")
        if self.state_key is not None and (state != self.state or state == "running"):
            workflow.upsert_search_attributes([self.state_key.value_set(state)])
        self.state = state

    def open(self) -> list[Compensation]:
        """What is not undone, newest first."""
        return [each for group in reversed(self.groups) for each in reversed(group) if not each.done]

    def report(self) -> SagaReport:
        """For the query."""
        return SagaReport(self.number, self.state, [Left(each.key, each.name, each.error) for each in self.open()])

    def resume(self, undone_by_hand: Sequence[str]) -> None:
        """A person has fixed the cause; what is named was even undone."""
        for each in self.open():
            each.done = each.done or each.key in undone_by_hand
        self.resumed += 1

    async def undo(self, wait_when_stuck: bool) -> None:
        """End the steps that run, then undo everything. When some of it fails for good, wait for the signal and try
        that again; without `wait_when_stuck` return with the state `stuck`."""
        self.move("compensating")
        if self.running.any():
            await self.running.end()
        while True:
            for group in reversed(self.groups):
                await self._undo_group([each for each in reversed(group) if not each.done])
            if not self.open():
                return self.move("compensated")
            seen = self.resumed
            self.move("stuck")
            if not wait_when_stuck:
                return
            await workflow.wait_condition(lambda seen=seen: self.resumed > seen)  # type: ignore[misc]
            self.move("compensating")

    async def _undo_group(self, group: Sequence[Compensation]) -> None:
        handles = []
        for each in group:
            config = each.options.config()
            config["activity_id"] = each.key + UNDO
            start: Callable[..., workflow.ActivityHandle[Any]] = workflow.start_activity
            handles.append(start(each.fn, args=each.args, **config))
        if handles:
            await workflow.wait(handles)
        for each, handle in zip(group, handles, strict=True):
            error = failure_of(handle)
            if error is None:
                each.done, each.error = True, ""
            elif isinstance(error, Exception):
                cause = error.__cause__ or error
                each.error = f"{type(cause).__name__}: {cause}"
                workflow.logger.error("compensation %s of %s failed: %s", each.name, each.key, each.error)
            else:
                raise error

    def _errors(self) -> str:
        return "".join(f"\n- {each.name} of {each.key}: {each.error}" for each in self.open() if each.error)


class Registry:
    """All sagas of a run, behind one query and one signal."""

    def __init__(self) -> None:
        self.ledgers: list[Ledger] = []
        self.steps = 0

    @classmethod
    def current(cls) -> Registry:
        """Of the current run; made on first use. The query's handler is what holds it."""
        registry = held(QUERY, cls)
        if registry is not None:
            return registry
        registry = cls()
        workflow.set_query_handler(QUERY, registry.query)
        workflow.set_signal_handler(SIGNAL, registry.signal)
        return registry

    def open(self, state_key: SearchAttributeKey[str] | None) -> Ledger:
        """For one more saga."""
        ledger = Ledger(len(self.ledgers) + 1, state_key)
        self.ledgers.append(ledger)
        return ledger

    def next_step(self) -> int:
        self.steps += 1
        return self.steps

    def query(self) -> list[SagaReport]:
        return [ledger.report() for ledger in self.ledgers]

    def signal(self, undone_by_hand: list[str] | None = None) -> None:
        for ledger in self.ledgers:
            if ledger.state == "stuck":
                ledger.resume(undone_by_hand or ())


def check_activity(fn: Callable[..., Any] | str) -> None:
    """Raises `TypeError` for what can't be called as an activity: else that would show only when it is to undo."""
    definition = getattr(fn, "__temporal_activity_definition", None)
    named = isinstance(fn, str) or getattr(definition, "name", None) is not None
    if not named and workflow.patched(WAITS):
        raise TypeError(f"{activity_name(fn)} can't undo a step: it is no activity with a name; has it @activity.defn?")


def activity_name(fn: Callable[..., Any] | str) -> str:
    """As the server will know it."""
    if isinstance(fn, str):
        return fn
    definition = getattr(fn, "__temporal_activity_definition", None)
    return str(getattr(definition, "name", None) or getattr(fn, "__name__", repr(fn)))


def failure_of(handle: workflow.ActivityHandle[Any]) -> BaseException | None:
    """Of an activity that has ended."""
    return asyncio.CancelledError() if handle.cancelled() else handle.exception()


async def undo_shielded(ledger: Ledger, wait_when_stuck: bool) -> asyncio.CancelledError | None:
    """Undo in a task of its own, which no cancellation reaches; gives the cancellation that came meanwhile, if any."""
    cancelled = None
    task = asyncio.create_task(ledger.undo(wait_when_stuck), name="saga: undo")
    while not task.done():
        try:
            await workflow.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    return cancelled

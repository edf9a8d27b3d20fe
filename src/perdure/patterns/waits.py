"""Approvals and callbacks across continue-as-new.

@dataclass
class Input:
    order: str
    waits: Waits = field(default_factory=Waits)

@workflow.defn
class Order:
    @workflow.init
    def __init__(self, input: Input) -> None:
        input.waits.restore()

    @workflow.run
    async def run(self, input: Input) -> None:
        ...
        workflow.continue_as_new(Input(input.order, Waits.carry()))
"""

from dataclasses import dataclass, field
from typing import Self

from perdure.patterns.approval import Desk
from perdure.patterns.callback import CallbackDesk, CallbackState, EarlyCall
from perdure.patterns.votes import Answer, ApprovalState

VERSION = 1


@dataclass(frozen=True)
class Waits:
    """What a run hands to the one that continues it: its approvals and callbacks, those that are open with their votes
    and points in time, and the newest of those that are over, for late answers.

    What is open is handed over whole. All else has room of 1 MB, of 2 that servers take: 250 kB for each of the four
    lists here. Of what is over the oldest are forgotten, and early answers that go beyond are dropped, with a warning.

    The next run calls `approval` and `callback` with the same ids, and goes on where this one was.

        @workflow.init
        def __init__(self, input: Input) -> None:
            input.waits.restore()

        workflow.continue_as_new(Input(input.order, Waits.carry()))  # in `run`
    """

    version: int = VERSION
    approvals: list[ApprovalState] = field(default_factory=list)
    callbacks: list[CallbackState] = field(default_factory=list)
    early_answers: list[Answer] = field(default_factory=list)
    """Those for approvals that were not open yet."""
    early_calls: list[EarlyCall] = field(default_factory=list)
    """Those for callbacks that were not open yet."""

    @classmethod
    def carry(cls) -> Self:
        """Everything of the current run. No `await` may come between this and `workflow.continue_as_new`: what is
        answered meanwhile would be lost."""
        people, systems = Desk.current(), CallbackDesk.current()
        return cls(VERSION, people.carry(), systems.carry(), people.early.carry(), systems.early.carry())

    def restore(self) -> None:
        """Go on with it. In the `__init__` of a workflow, with `@workflow.init`: the answers of the first workflow task
        are heard before `run` begins."""
        if self.version > VERSION:
            raise ValueError(f"these waits are of version {self.version}, from a newer perdure: upgrade this worker")
        Desk.current().restore(self.approvals, self.early_answers)
        CallbackDesk.current().restore(self.callbacks, self.early_calls)

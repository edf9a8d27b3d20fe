"""A group of decisions that become durable together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure.engine.transition import Decision
from perdure.runtime.run import Run
from perdure.storage.base import Batch


class Group:
    """One batch, the runs it touches and who waits for it."""

    __slots__ = ("batch", "by_id", "given_up", "number", "published", "runs", "undo", "waiters")

    def __init__(self, number: int) -> None:
        self.number = number
        self.batch = Batch()
        self.given_up = False
        """Whether half of something is in the batch, so that it must not be written."""
        self.runs: dict[Run, None] = {}
        """In the order in which they were touched: what follows from a batch has the same order each time."""
        self.by_id: dict[tuple[str, str, str], Run] = {}
        self.published: list[tuple[Run, Decision]] = []
        self.undo: list[Callable[[], None]] = []
        self.waiters: list[asyncio.Future[None]] = []

    def touch(self, run: Run) -> None:
        """The batch has a change of this run."""
        core = run.core
        self.runs[run] = None
        self.by_id[core.space, core.workflow_id, core.run_id] = run
        run.group = self.number

"""All fan-outs of a run, behind one query and three signals."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from temporalio import workflow

from perdure.patterns.fanout.outcome import FanOutProgress
from perdure.patterns.holder import held

QUERY = "perdure_fan_out"
"""The query that tells of the fan-outs of a run: `list[FanOutProgress]`."""
PAUSE = "perdure_fan_out_pause"
"""The signal that pauses the fan-out whose number is its argument; without one all that are open, or else the next."""
RESUME = "perdure_fan_out_resume"
CANCEL = "perdure_fan_out_cancel"
PAGE = "perdure_fan_out_page"
"""The signal by which a leaf tells its tree where the next page begins."""
KEPT = 20
"""How many fan-outs that are over the query still tells of."""


class Member(Protocol):
    """A fan-out, as its run knows it."""

    number: int

    def progress(self) -> FanOutProgress: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def cancel(self) -> None: ...


class Registry:
    """Of the current run."""

    def __init__(self) -> None:
        self.paused = False
        """Whether the next fan-out begins with a pause."""
        self._count = 0
        self._open: list[Member] = []
        self._closed: deque[FanOutProgress] = deque(maxlen=KEPT)

    @classmethod
    def current(cls) -> Registry:
        """Made on first use. The query's handler is what holds it."""
        registry = held(QUERY, cls)
        if registry is not None:
            return registry
        registry = cls()
        workflow.set_query_handler(QUERY, registry.query)
        workflow.set_signal_handler(PAUSE, registry.pause)
        workflow.set_signal_handler(RESUME, registry.resume)
        workflow.set_signal_handler(CANCEL, registry.cancel)
        return registry

    @property
    def upcoming(self) -> int:
        """The number of the next fan-out."""
        return self._count + 1

    def next_number(self) -> int:
        self._count += 1
        return self._count

    def open(self, member: Member) -> None:
        """It begins, with a pause if that has come before it."""
        self._open.append(member)
        if self.paused:
            self.paused = False
            member.pause()

    def close(self, member: Member) -> None:
        if member in self._open:
            self._open.remove(member)
            self._closed.append(member.progress())

    def query(self) -> list[FanOutProgress]:
        return sorted([*self._closed, *(each.progress() for each in self._open)], key=lambda told: told.number)

    def pause(self, number: int | None = None) -> None:
        self.paused = self.paused or (number is None and not self._open)
        for each in self._named(number):
            each.pause()

    def resume(self, number: int | None = None) -> None:
        self.paused = self.paused and number is not None
        for each in self._named(number):
            each.resume()

    def cancel(self, number: int | None = None) -> None:
        for each in self._named(number):
            each.cancel()

    def _named(self, number: int | None) -> list[Member]:
        return [each for each in self._open if number is None or each.number == number]

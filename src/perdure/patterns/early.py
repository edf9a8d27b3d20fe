"""Answers that come before what they are for is open. They wait for it, be they signals or updates.

The SDK hands a workflow its first signals and updates before any code of its `run`. After a reset it is handed all
answers again that came behind the point of the reset, and at once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

from temporalio import workflow

from perdure.patterns.holder import was_reset
from perdure.patterns.replies import KEPT_BYTES, Reply, size

A = TypeVar("A")

MAX_EARLY = 100
"""Answers that wait; more are ignored as signals, and rejected as updates, but not those that a reset hands over."""
PATIENCE = timedelta(seconds=5)
"""How long an update waits to hear what becomes of it: so long it may hold the end of the run, whose code may wait for
its handlers. What it has said is kept beyond that."""


class Early(Generic[A]):
    """Those of one desk, oldest first."""

    def __init__(self, id_of: Callable[[A], str]) -> None:
        self._id_of = id_of
        self._kept: list[tuple[A, asyncio.Future[Reply] | None]] = []
        """With the reply that its update waits for."""
        self._clock: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        return len(self._kept) >= MAX_EARLY

    def may_come(self, opened: bool, answer: A) -> bool:
        """Whether an update for what is not known may be for what is still to be opened. In validators alone.

        As long as nothing was `opened` it may; later whoever has sent it hears that it is not open. But what a reset
        hands to the workflow again was taken before: there nobody waits to hear that.
        """
        return was_reset() or not (opened or self.full or self._left_behind([*self._kept, (answer, None)]))

    def keep(self, *answers: A) -> None:
        """Those of signals, and of the run before."""
        self._kept.extend((answer, None) for answer in answers)

    async def reply(self, answer: A) -> Reply:
        """Keep the answer of an update, and wait for what becomes of it."""
        waits: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._kept.append((answer, waits))
        if self._clock is None:
            self._clock = asyncio.create_task(self._run_out(), name="early answers")
        return await waits

    def admit(self, id: str, take: Callable[[A], Reply], unheard: Callable[[A, Reply], None]) -> None:
        """What they are for is open: have them taken. `unheard`: of one that was not taken, and nobody hears of it."""
        mine = [each for each in self._kept if self._id_of(each[0]) == id]
        self._kept = [each for each in self._kept if self._id_of(each[0]) != id]
        for answer, waits in mine:
            reply = take(answer)
            if waits is not None and not waits.done():
                waits.set_result(reply)
            elif not reply.taken:
                unheard(answer, reply)

    def carry(self) -> list[A]:
        """For the next run, which will have those that are not open in this one, as far as there is room: signals may
        have brought more. Nobody waits any longer."""
        for number in reversed(self._left_behind(self._kept)):
            answer, waits = self._kept.pop(number)
            text = f"{self._id_of(answer)[:200]!r} is not open yet, and the workflow can't keep so much until it is."
            workflow.logger.warning("an early answer is dropped: %s", text)
            if waits is not None and not waits.done():
                waits.set_result(Reply("unknown", text))
        self._answer_all()
        return [answer for answer, _ in self._kept]

    @staticmethod
    def _left_behind(kept: Sequence[tuple[A, object]]) -> list[int]:
        """Those for which a run that continues this one has no room; the oldest go first."""
        left, room = [], KEPT_BYTES
        for number, (answer, _) in enumerate(kept):
            needed = size(answer)
            if needed > room:
                left.append(number)
            else:
                room -= needed
        return left

    async def _run_out(self) -> None:
        """One timer for all that wait. If what they are for opens in the same workflow task it costs no event."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: not self._waiting(), timeout=PATIENCE)
        self._clock = None
        self._answer_all()

    def _waiting(self) -> Sequence[tuple[A, asyncio.Future[Reply]]]:
        return [(answer, waits) for answer, waits in self._kept if waits is not None and not waits.done()]

    def _answer_all(self) -> None:
        for answer, waits in self._waiting():
            text = f"The workflow does not wait for {self._id_of(answer)!r} yet: the answer is kept until it does."
            waits.set_result(Reply("early", text))

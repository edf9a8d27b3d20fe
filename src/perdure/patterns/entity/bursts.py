"""Pauses between messages: what comes in one workflow task may be thousands, and the SDK lets a workflow think for two
seconds at most."""

from __future__ import annotations

from temporalio import workflow

BURST = 200
"""Messages handled in one go."""
BURST_BYTES = 500_000
"""Of the state, once for each of them: it is copied and encoded each time, some 100 ms for these."""
BREATH = "perdure-entity-breath-"
"""Patches that keep after how many messages of a run there was a pause before `BURST` of them."""


class Bursts:
    """The messages of a run, divided by workflow tasks, which the length of its history tells from each other."""

    def __init__(self) -> None:
        self._length = self._count = self._bytes = 0
        """Of the burst under way."""
        self._limit = BURST
        self._taken = 0
        """Messages of the run."""

    async def next(self, cost: int) -> None:
        """Before a message that costs so many bytes: pause if it has been enough."""
        length = workflow.info().get_current_history_length()
        if self._length != length:
            self._begin(length)
        if self._count >= self._limit or self._is_long(cost):
            await workflow.sleep(0.001, summary="a breath between many messages")
            self._begin(workflow.info().get_current_history_length())
            # A full burst does not count the message that has waited: histories know bursts of that length.
            self._count = -1 if self._limit == BURST else 0
        self._count += 1
        self._bytes += cost
        self._taken += 1

    def _begin(self, length: int) -> None:
        self._length, self._count, self._bytes = length, 0, 0

    def _is_long(self, cost: int) -> bool:
        """Whether this burst has cost enough.

        The size of a state is not the same at a replay by newer code, whose classes have more fields. So a pause is
        where the history has a mark for it, and later bursts of the run are no longer, which needs no marks.
        """
        if self._bytes == 0 or (not workflow.unsafe.is_replaying() and self._bytes + cost <= BURST_BYTES):
            return False
        if not workflow.patched(f"{BREATH}{self._taken}"):
            return False
        self._limit = 1 << max(self._count, 1).bit_length() - 1
        return True

"""Reading the history of a run: from memory where it is there, else from storage; whole batches, never parsed."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.runtime.executor import Executor
from perdure.runtime.run import Run

MAX_PAGE_BYTES = 3 * 1024 * 1024
"""A page ends after the batch that reaches this, whatever number of events was asked for."""


@dataclass(slots=True)
class Page:
    """Batches of history, serialized, and the id of the first event behind them (0: there is none up to the end)."""

    batches: list[bytes]
    next_event_id: int

    @property
    def data(self) -> bytes:
        """The serialized `History` that the batches make together."""
        return b"".join(self.batches)


async def read(executor: Executor, run: Run, first_event_id: int, before_event_id: int, max_events: int) -> Page:
    """Events from the batch that holds `first_event_id` up to, and without, `before_event_id`.

    Ends after the batch that reaches `max_events` events. Events that are not durable yet are shown: wait with
    `executor.settled(run)` first.
    """
    batches = run.tail_from(first_event_id)
    if batches is None:
        batches = await _read_stored(executor, run, first_event_id, before_event_id, max_events)
    taken: list[bytes] = []
    size = 0
    for index, (first, data) in enumerate(batches):
        if first >= before_event_id:
            break
        behind = batches[index + 1][0] if index + 1 < len(batches) else None
        taken.append(data)
        size += len(data)
        full = behind is not None and (behind - first_event_id >= max_events or size >= MAX_PAGE_BYTES)
        if full and behind is not None and behind < before_event_id:
            return Page(taken, behind)
    return Page(taken, 0)


async def _read_stored(
    executor: Executor, run: Run, first_event_id: int, before_event_id: int, max_events: int
) -> list[tuple[int, bytes]]:
    stored = await executor.storage.history(
        run.run_key, first_event_id, before_event_id, limit_batches=max_events + 1, limit_bytes=MAX_PAGE_BYTES + 1
    )
    batches: list[tuple[int, bytes]] = [(batch.first_event_id, batch.blob) for batch in stored]
    # What memory knows and storage does not yet: the start of a task, or a change on its way.
    last = batches[-1][0] if batches else 0
    return batches + [batch for batch in run.tail if batch[0] > last and batch[0] >= first_event_id]

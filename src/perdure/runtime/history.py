"""Reading the history of a run: from memory where it is there, else from storage; in whole batches, as they are stored.

Ranges of events are half open: from `first_event_id` up to, and without, `before_event_id`. What is not durable yet is
read, too, so take `before_event_id` from the run and then wait with `executor.settled(run)`.
"""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.api.history.v1 import History

from perdure.runtime.executor import Executor
from perdure.runtime.run import Run
from perdure.storage.base import HistoryBatch

MAX_PAGE_BYTES = 16 * 1024 * 1024
"""A page ends after the batch that reaches this, however many were asked for. Clients take messages far larger."""

EventBatch = tuple[int, bytes]
"""(first event id, serialized `History`)."""


@dataclass(slots=True)
class Page:
    """Batches of history, and the id of the event to go on from (0: the range ends here)."""

    batches: list[EventBatch]
    next_event_id: int

    @property
    def data(self) -> bytes:
        """The serialized `History` that the batches make together."""
        return b"".join(data for _, data in self.batches)


async def read(executor: Executor, run: Run, first_event_id: int, before_event_id: int, max_batches: int) -> Page:
    """The first `max_batches` of a range. Only a batch that begins before the range is parsed, to be cut."""
    batches = run.tail_from(first_event_id)
    if batches is None:
        batches = await _read_stored(executor, run, first_event_id, before_event_id, max_batches)
    page = _page(batches, before_event_id, max_batches)
    if page.batches and page.batches[0][0] < first_event_id:
        page.batches[0] = (first_event_id, _cut(page.batches[0][1], first_event_id))
    return page


async def read_reverse(executor: Executor, run: Run, before_event_id: int, max_batches: int) -> Page:
    """The last `max_batches` before an event, newest first. `next_event_id` is where the next page has to end."""
    batches = [batch for batch in reversed(run.tail) if batch[0] < before_event_id]
    if run.tail_first_event_id > 1:
        stored = await executor.storage.history(
            run.run_key, 1, before_event_id, limit_batches=max_batches, limit_bytes=MAX_PAGE_BYTES, reverse=True
        )
        newest = stored[0].first_event_id if stored else 0
        batches = [batch for batch in batches if batch[0] > newest] + _plain(stored)
    taken: list[EventBatch] = []
    size = 0
    for batch in batches:
        if len(taken) == max_batches or size >= MAX_PAGE_BYTES:
            break
        taken.append(batch)
        size += len(batch[1])
    first = taken[-1][0] if taken else 1
    return Page(taken, first if first > 1 else 0)


def _page(batches: list[EventBatch], before_event_id: int, max_batches: int) -> Page:
    taken: list[EventBatch] = []
    size = 0
    for first, data in batches:
        if first >= before_event_id:
            break
        if len(taken) == max_batches or size >= MAX_PAGE_BYTES:
            return Page(taken, first)
        taken.append((first, data))
        size += len(data)
    if size >= MAX_PAGE_BYTES:  # storage may have stopped here
        end = History.FromString(taken[-1][1]).events[-1].event_id + 1
        return Page(taken, end if end < before_event_id else 0)
    return Page(taken, 0)


async def _read_stored(
    executor: Executor, run: Run, first_event_id: int, before_event_id: int, max_batches: int
) -> list[EventBatch]:
    stored = await executor.storage.history(
        run.run_key, first_event_id, before_event_id, limit_batches=max_batches + 1, limit_bytes=MAX_PAGE_BYTES
    )
    batches = _plain(stored)
    full = len(batches) > max_batches or sum(len(data) for _, data in batches) >= MAX_PAGE_BYTES
    if not full:  # what memory knows and storage does not yet: the start of a workflow task
        last = batches[-1][0] if batches else first_event_id - 1
        batches += [batch for batch in run.tail if batch[0] > last]
    if first_event_id > 1 and (not batches or batches[0][0] > first_event_id):
        batches = await _batch_around(executor, run, first_event_id) + batches
    return batches


async def _batch_around(executor: Executor, run: Run, event_id: int) -> list[EventBatch]:
    """The batch that holds an event, if that is not the first of its batch."""
    before = await executor.storage.history(run.run_key, 1, event_id, limit_batches=1, reverse=True)
    return [batch for batch in _plain(before) if _cut(batch[1], event_id)]


def _plain(stored: list[HistoryBatch]) -> list[EventBatch]:
    return [(batch.first_event_id, batch.blob) for batch in stored]


def _cut(data: bytes, first_event_id: int) -> bytes:
    events = History.FromString(data).events
    return History(events=[event for event in events if event.event_id >= first_event_id]).SerializeToString()

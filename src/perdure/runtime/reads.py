"""Reads of runs that others may make stale: what was forgotten while storage was read is read again."""

from __future__ import annotations

from perdure.storage.base import Storage, StoredRun


class Reads:
    """Reads runs from `storage`. Tell it with `spoil` of each run that memory forgets."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._marks: dict[int, set[object]] = {}
        """Of each run that is being read, the reads that its last forgetting has not made stale."""

    def spoil(self, run_key: int) -> None:
        self._marks.pop(run_key, None)

    async def run(self, run_key: int) -> StoredRun | None:
        """What storage has of a run, not older than what memory may have had and forgotten meanwhile."""
        while True:
            mark = object()
            self._marks.setdefault(run_key, set()).add(mark)
            try:
                stored = await self._storage.load_run(run_key)
            finally:
                marks = self._marks.get(run_key, set())
                fresh = mark in marks
                marks.discard(mark)
                if not marks:
                    self._marks.pop(run_key, None)
            if fresh:
                return stored

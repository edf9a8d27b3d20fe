"""The writer thread: batches in, one transaction each, in order; and what happens when one fails.

A queue holds batches and marks. The thread that submits puts both in, the writer thread takes both out, so "submitted
before the failure was known" is nothing but a place in the queue:

    submit A   submit B   (A fails)   resume(A's failure)   submit C
    A: failed  B: refused             mark: writer accepts  C: tried

The state "a failure holds everything back" lives on the writer thread alone and needs no lock. A mark names the failure
it ends; a mark for an older one is ignored.

Several queued batches are not pulled into one transaction: the runtime collects changes for as long as a batch is being
written, so the queue is empty or holds one, and a failure keeps the fate of each batch apart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple

from perdure.storage.base import Batch, CommitFailed, Done

log = logging.getLogger(__name__)


class _Write(NamedTuple):
    batch: Batch
    done: Done


class _Resume(NamedTuple):
    failure: int


class _Stop(NamedTuple):
    pass


class Writer:
    """Runs `transact(batch)` for each batch on a thread of its own.

    `transact` returns when the batch is durable and raises when nothing of it is. `upkeep` does a small piece of
    housekeeping and says whether there is more; it runs after each batch, so that constant load can't starve it, and
    goes on while there is nothing to write.
    """

    def __init__(self, transact: Callable[[Batch], None], upkeep: Callable[[], bool]) -> None:
        self._transact = transact
        self._upkeep = upkeep
        self._queue: SimpleQueue[_Write | _Resume | _Stop] = SimpleQueue()
        self._failures = 0
        self._held_by: CommitFailed | None = None
        self._thread = threading.Thread(target=self._run, name="perdure-writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch, done: Done) -> None:
        self._queue.put(_Write(batch, done))

    def resume(self, failure: CommitFailed) -> None:
        self._queue.put(_Resume(failure.failure))

    def stop(self) -> None:
        """Write what is queued and end the thread; blocks until it has ended."""
        self._queue.put(_Stop())
        self._thread.join()

    def _run(self) -> None:
        more = True
        while True:
            try:
                item = self._queue.get(block=not more)
            except Empty:
                more = self._keep_up()
                continue
            if isinstance(item, _Stop):
                return
            if isinstance(item, _Resume):
                if self._held_by is not None and self._held_by.failure == item.failure:
                    self._held_by = None
                continue
            error = self._write(item.batch)
            try:
                item.done(error)
            except Exception:
                log.exception("the callback of a batch failed")
            more = self._keep_up()

    def _write(self, batch: Batch) -> CommitFailed | None:
        if self._held_by is not None:
            return CommitFailed("A commit before this one failed.", self._held_by.failure, refused=True)
        try:
            self._transact(batch)
        except BaseException as error:
            self._failures += 1
            log.error("commit failed: %s: %s", type(error).__name__, error)
            self._held_by = CommitFailed(f"Commit failed: {error}", self._failures, refused=False)
            self._held_by.__cause__ = error
            return self._held_by
        return None

    def _keep_up(self) -> bool:
        try:
            return self._upkeep()
        except Exception as error:
            log.warning("housekeeping of the database failed: %s: %s", type(error).__name__, error)
            return False

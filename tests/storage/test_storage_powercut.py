"""No acknowledged batch is lost when the power goes, and the test would notice if one were."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

import pytest
from tests.storage import powercut

from perdure.storage.base import Batch, Done
from perdure.storage.sqlite import SqliteStorage

IS_SWEEP = bool(os.environ.get("PERDURE_SWEEP"))
SEEDS = range(400 if IS_SWEEP else 24)
"""Each takes the power away three times."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(900 if IS_SWEEP else 120)
def test_every_acknowledged_batch_survives_with_all_before_it() -> None:
    acknowledged = sum(powercut.run(seed) for seed in SEEDS)
    assert acknowledged > 10 * len(SEEDS), "the power went too early to prove anything"


class AcknowledgesTooEarly(SqliteStorage):
    """Says "durable" just before it commits."""

    def submit(self, batch: Batch, done: Done) -> None:
        self.__dict__.setdefault("early", deque()).append(done)
        super().submit(batch, lambda error: None if error is None else done(error))

    def _transact(self, batch: Batch) -> None:
        self.__dict__["early"].popleft()(None)
        super()._transact(batch)


def open_early(path: Path, vfs: str) -> SqliteStorage:
    return AcknowledgesTooEarly.open_file(path, vfs=vfs)


def open_without_sync(path: Path, vfs: str) -> SqliteStorage:
    storage = SqliteStorage.open_file(path, vfs=vfs)
    storage._connection.execute("PRAGMA synchronous = NORMAL")
    return storage


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("open_it", [open_early, open_without_sync])
def test_an_acknowledgement_before_the_sync_is_found(open_it: powercut.Opener) -> None:
    with pytest.raises(powercut.Broken, match="were durable"):
        for seed in range(30):
            powercut.run(seed, open_it)

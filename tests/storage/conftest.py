from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.simulation.disk import Calm, Disk, SimulatedStorage
from tests.storage.support import Commits

from perdure.storage.base import Storage
from perdure.storage.sqlite import SqliteStorage


@pytest.fixture(params=["file", "memory", "simulated"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """An empty storage of each kind."""
    opened: SqliteStorage
    if request.param == "simulated":
        opened = SimulatedStorage(Disk(), Calm())
    elif request.param == "memory":
        opened = SqliteStorage.open_memory()
    else:
        opened = SqliteStorage.open_file(tmp_path / "a.db")
    yield opened
    await opened.close()


@pytest.fixture
async def commit(storage: Storage) -> Commits:
    return Commits(storage)

"""A disk that can't be read: requests are refused so that clients try again, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw
import pytest
from tests.runtime.conversation import conversation

from perdure.server import Server
from perdure.storage.base import ReadFailed
from perdure.storage.sqlite import SqliteStorage


@contextmanager
def broken() -> Iterator[None]:
    raise apsw.IOError("disk I/O error")
    yield


async def test_a_request_that_needs_the_disk_may_be_tried_again() -> None:
    """Found when reads of the simulation began to fail: such requests were answered with INTERNAL."""
    async with Server() as server, conversation(server) as d:
        await d.start()
        storage = server._runtime.storage
        assert isinstance(storage, SqliteStorage)
        storage._enter, reading = broken, storage._enter
        refused = await d.call("ListWorkflowExecutions")
        assert (refused.code, refused.message) == (
            "UNAVAILABLE",
            "The database could not be read, please retry: disk I/O error",
        )
        with pytest.raises(ReadFailed):
            await storage.load_run(1)
        storage._enter = reading
        assert len((await d.call("ListWorkflowExecutions")).executions) == 1


async def test_what_is_wrong_with_a_statement_is_no_failure_of_the_disk() -> None:
    storage = SqliteStorage.open_memory()
    with pytest.raises(apsw.SQLError):
        await storage.list_visibility("namespace-id", "no_such_column = 1", (), "", 10)
    await storage.close()

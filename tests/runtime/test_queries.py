"""Queries that nobody answers."""

from __future__ import annotations

import pytest
from temporalio.api.query.v1 import WorkflowQuery
from tests.runtime.test_executor import World, within

from perdure.errors import DeadlineExceeded
from perdure.runtime import queries


@pytest.mark.parametrize("timeout_s", [None, 3600.0])
async def test_a_query_ends_before_its_client_gives_up(
    timeout_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LONGEST_S", 0.01)
    world = await World.open()
    run = await world.start("w")
    with pytest.raises(DeadlineExceeded, match=queries.TIMED_OUT):
        await within(queries.Queries(world.runtime).ask(run, WorkflowQuery(), timeout_s))
    await world.runtime.stop()

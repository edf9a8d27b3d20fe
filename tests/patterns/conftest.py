"""The fault matrix, and what it prints in the end."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.patterns.crash import file_env
from tests.patterns.matrix import SWEEP, Case, Matrix, play, replays

from perdure.testing import Env

SECONDS = 0 if SWEEP else 900
"""A test of a matrix plays its case dozens of times, in the sweep hundreds of times without a limit."""
STALL_S = 60.0
"""A task of a worker that was killed is another's after ten seconds; that is no stall, on a busy machine neither."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "matrix" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture
async def matrix(perdure: Env, tmp_path, request: pytest.FixtureRequest) -> Callable[[Case[Any]], Awaitable[None]]:
    """Play a case under all faults; fails with all cells in which something did not hold."""

    async def run(case: Case[Any]) -> None:
        table = Matrix(case.name)
        replays(perdure)
        perdure._watch._stall_s = STALL_S
        await play(case, perdure, table)
        with file_env(tmp_path / "perdure.db", perdure) as (env, kill_server):
            replays(env)
            await play(case, env, table, server=kill_server)
        request.node.user_properties.append(("matrix", json.dumps([case.name, table.held])))
        problems = [problem for row in table.failed.values() for problem in row]
        assert not problems, "\n".join([*table.lines(), *problems])

    return run

"""The fault matrix, and what it prints in the end."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.patterns.crash import file_env
from tests.patterns.matrix import Case, Matrix, play, replays

from perdure.testing import Env

SECONDS = 900
"""A test of a matrix plays its case dozens of times."""


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
        await play(case, perdure, table)
        with file_env(tmp_path / "perdure.db", perdure) as (env, kill_server):
            replays(env)
            await play(case, env, table, server=kill_server)
        request.node.user_properties.append(("matrix", json.dumps([case.name, table.held])))
        problems = [problem for row in table.failed.values() for problem in row]
        assert not problems, "\n".join([*table.lines(), *problems])

    return run

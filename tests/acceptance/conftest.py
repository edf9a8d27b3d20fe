"""The server under test: `perdure up`, or what PERDURE_SERVER_COMMAND says ({db} and {port} are filled in)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.processes import PERDURE_UP, ServerProcess


@pytest.fixture
def server_command() -> str:
    return os.environ.get("PERDURE_SERVER_COMMAND", PERDURE_UP)


@pytest.fixture
def server(tmp_path: Path, server_command: str) -> Iterator[ServerProcess]:
    """A server on a file, not started yet."""
    process = ServerProcess(tmp_path / "server.db", tmp_path / "server.log", server_command)
    yield process
    process.kill()

"""`perdure server start-dev` in the place of the dev server that SDKs start, with the arguments that they pass."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.testing import WorkflowEnvironment

ATTRIBUTE = SearchAttributeKey.for_keyword("Customer")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """One file that can be run, as `perdure` is when it is installed."""
    path = tmp_path / "perdure"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m perdure "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def _works(client: Client) -> None:
    handle = await client.start_workflow("Order", id="order", task_queue="q", start_signal="go")
    assert (await handle.describe()).workflow_type == "Order"
    await handle.terminate()


async def test_the_python_sdk_starts_it(program: Path, tmp_path: Path) -> None:
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(program),
        dev_server_database_filename=str(tmp_path / "dev.db"),
        dev_server_extra_args=["--dynamic-config-value", "limit.maxIDLength=100"],
        search_attributes=[ATTRIBUTE],
    )
    async with environment:
        await _works(environment.client)
        assert await environment.client.count_workflows("Customer IS NULL") is not None
    assert (tmp_path / "dev.db").exists()


CORE = (
    *("--port", "0", "--namespace", "default", "--ip", "127.0.0.1", "--log-format", "pretty", "--log-level", "warn"),
    *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
    *("--dynamic-config-value", "frontend.enableUpdateWorkflowExecution=true"),
    *("--dynamic-config-value", "frontend.enableUpdateWorkflowExecutionAsyncAccepted=true"),
    "--headless",
)
"""Of the core that the Python, TypeScript, .NET and Ruby SDKs share."""
GO = (
    *("--ip", "127.0.0.1", "--port", "0", "--namespace", "mine"),
    *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
    *("--log-level", "warn", "--log-format", "json", "--headless", "--ui-port", "8233"),
    *("--search-attribute", "Customer=Keyword", "--search-attribute", "Tags=KeywordList"),
)
"""Of the Go SDK, with every option set but that of a file."""


@contextmanager
def _running(program: Path, arguments: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    command = [program, "server", "start-dev", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize(("arguments", "namespace"), [(CORE, "default"), (GO, "mine")], ids=["core", "go"])
async def test_it_takes_the_arguments_of(program: Path, arguments: tuple[str, ...], namespace: str) -> None:
    with _running(program, arguments) as process:
        assert process.stdout is not None and process.stderr is not None
        announced = process.stdout.readline()
        assert announced.startswith("Server:  localhost:"), announced
        port = announced.rpartition(":")[2].strip()
        client = await Client.connect(f"127.0.0.1:{port}", namespace=namespace)
        await _works(client)
    assert process.returncode == 0
    said = process.stderr.read().splitlines()
    assert all("--ui-port" in line for line in said), said

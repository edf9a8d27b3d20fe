"""The time-skipping environments of other people's SDKs start Perdure, and their own tests of them pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from parity.programs import TYPESCRIPT, Unavailable, build

SDK = os.environ.get("PERDURE_SDK_PYTHON", "")
CONFTEST = """
from temporalio.testing import WorkflowEnvironment

start = WorkflowEnvironment.start_time_skipping


async def start_perdure(**options):
    return await start(**{{"test_server_existing_path": {path!r}, **options}})


WorkflowEnvironment.start_time_skipping = start_perdure
"""


@pytest.fixture
def test_server(tmp_path: Path) -> Path:
    """A program to give to SDKs as their test server."""
    program = tmp_path / "perdure-test-server"
    main = "from perdure.cli.test_server import main; main()"
    program.write_text(f"#!/bin/sh\nPYTHONPATH={':'.join(sys.path)} exec {sys.executable} -c '{main}' \"$@\"\n")
    program.chmod(0o755)
    return program


@pytest.mark.skipif(not SDK, reason="PERDURE_SDK_PYTHON does not say where the Python SDK's sources are")
def test_the_python_sdk_passes_its_own_tests(test_server: Path, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    (tests / "testing").mkdir(parents=True)
    source = Path(SDK) / "tests"
    for name in ("__init__.py", "testing/__init__.py", "testing/test_workflow.py"):
        (tests / name).write_text((source / name).read_text() if (source / name).exists() else "")
    (tests / "helpers").symlink_to(source / "helpers")
    (tests / "conftest.py").write_text(CONFTEST.format(path=str(test_server)))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-k", "time_skipping", "tests/testing/test_workflow.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout


@pytest.mark.timeout(300)
def test_the_typescript_sdk_skips_a_year(test_server: Path) -> None:
    try:
        build(TYPESCRIPT)
    except Unavailable as error:
        pytest.skip(str(error))
    command = [TYPESCRIPT.command[0], str(Path(TYPESCRIPT.command[1]).with_name("skipping.js")), str(test_server)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["result"] == "awake" and told["days"] == 365

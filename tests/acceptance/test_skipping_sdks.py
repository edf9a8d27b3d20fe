"""The time-skipping environments of other people's SDKs start Perdure, and their own tests of them pass."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from examples.processes import Process, answering, free_port
from parity.programs import JAVA, TYPESCRIPT, Program, Unavailable, build

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


def built(program: Program) -> None:
    """Build the program, or skip where that is not possible."""
    try:
        build(program)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.timeout(300)
def test_the_typescript_sdk_skips_a_year(test_server: Path) -> None:
    built(TYPESCRIPT)
    command = [TYPESCRIPT.command[0], str(Path(TYPESCRIPT.command[1]).with_name("skipping.js")), str(test_server)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["result"] == "awake" and told["days"] == 365


@pytest.mark.timeout(300)
def test_the_java_sdk_skips_a_year(test_server: Path, tmp_path: Path) -> None:
    """With it a test server is started by hand; the SDK's test environment takes it as an external service."""
    built(JAVA)
    port = free_port()
    server = Process("test server", [str(test_server), str(port), "--enable-time-skipping"], tmp_path / "server.log")
    server.start()
    try:
        asyncio.run(answering(f"127.0.0.1:{port}", server))
        command = [*JAVA.command, f"127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    day = 24
    assert told["nap"] == "awake" and told["nap_hours"] == 365 * day
    assert told["retries"] == 4 and told["retries_hours"] == 1 + 2 + 4
    assert told["child"] == 10 and told["child_hours"] == 3 * 10 * day
    assert told["query"] == "waiting" and "by whom?" in told["rejected"]
    assert told["update"] == "approved by Ada" and told["update_hours"] == 0
    assert told["order"] == "approved by Ada" and told["order_hours"] == 7 * day
    assert told["attribute"] == "approved by Ada" and told["found"] == 1
    assert told["at_first"] == "waiting"
    assert told["after_29_days"] == "waiting" and told["after_31_days"] == "expired"
    assert told["forgotten"] == "expired" and told["sleeps_hours"] == (31 + 8) * day
    assert told["locked"] == "asleep" and told["unlocked"] == "awake"

"""The command as users run it: a process that listens, says so, and stops cleanly."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


def environment():
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    return environ | {"PYTHONPATH": str(SOURCE)}


@pytest.fixture
def perdure():
    """Start the command; what still runs at the end is killed."""
    processes = []

    def start(*args):
        process = subprocess.Popen(
            [sys.executable, "-m", "perdure", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ready(process):
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return json.loads(line)


async def client(port, **options):
    from temporalio.client import Client

    return await Client.connect(f"127.0.0.1:{port}", **options)


async def test_a_server_announces_its_port_answers_and_stops_cleanly(perdure, tmp_path):
    process = perdure("up", "--db", tmp_path / "x.db", "--port", 0, "--namespace", "orders", "--json")
    announced = ready(process)
    assert announced["db"] == str(tmp_path / "x.db")
    connected = await client(announced["port"], namespace="orders")
    assert [workflow async for workflow in connected.list_workflows()] == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "Traceback" not in process.stderr.read()


async def test_what_is_on_the_file_is_there_again(perdure, tmp_path):
    first = perdure("up", "--db", tmp_path / "x.db", "--port", 0, "--json")
    connected = await client(ready(first)["port"])
    await connected.start_workflow("Anything", id="kept", task_queue="nobody")
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 0
    second = perdure("up", "--db", tmp_path / "x.db", "--port", 0, "--json")
    connected = await client(ready(second)["port"])
    assert (await connected.get_workflow_handle("kept").describe()).id == "kept"


def refused(process):
    assert process.wait(60) == 1
    sentences = process.stderr.read().splitlines()
    assert len(sentences) == 1 and sentences[0].startswith("Error: "), sentences
    return sentences[0]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("up", "--memory", "--port", "PORT"), "port"),
        (("up", "--memory", "--port", "PORT", "--transport", "grpcio"), "port"),
        (("up", "--memory", "--port", "0", "--http-port", "PORT"), "http-port"),
        (("server", "start-dev", "--port", "PORT"), "port"),
        (("test-server", "PORT"), "port"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_port_that_is_taken_is_named_with_what_to_do(perdure, arguments, option):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused(perdure(*(port if word == "PORT" else word for word in arguments)))
        assert f"127.0.0.1:{port}, another program has the port" in said
        assert f"lsof -i :{port}" in said and f"give another {option}, or 0 for any free one." in said


def test_a_second_server_on_the_same_file_is_refused(perdure, tmp_path):
    first = perdure("up", "--db", tmp_path / "x.db", "--port", 0, "--json")
    ready(first)
    assert str(tmp_path / "x.db") in refused(perdure("up", "--db", tmp_path / "x.db", "--port", 0))
    assert first.poll() is None


def test_a_file_that_is_not_ours_is_named_and_left_alone(perdure, tmp_path):
    other = tmp_path / "notes.txt"
    notes = "These are notes, not workflows.\n" * 100
    other.write_text(notes)
    assert str(other) in refused(perdure("up", "--db", other, "--port", 0))
    assert other.read_text() == notes


async def test_the_python_sdk_starts_it_as_its_dev_server(tmp_path, monkeypatch):
    from temporalio.service import RPCError
    from temporalio.testing import WorkflowEnvironment

    executable = tmp_path / "perdure"
    executable.write_text(f'#!/bin/sh\nexec {sys.executable} -m perdure "$@"\n')
    executable.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    started = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(executable),
        dev_server_extra_args=["--dynamic-config-value", "limit.maxIDLength=40"],
    )
    async with started as env:
        handle = await env.client.start_workflow("Anything", id="one", task_queue="nobody")
        assert (await handle.describe()).id == "one"
        with pytest.raises(RPCError, match="exceeds maximum allowed length"):
            await env.client.start_workflow("Anything", id="x" * 41, task_queue="nobody")

"""The official CLI prints on Perdure what it printed on the reference, in text and in JSON, and exits as there."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.processes import ServerProcess
from parity import cli
from parity.golden import golden_cli
from parity.programs import Records, Unavailable, finding
from parity.results import told
from temporalio.client import WorkflowHistory


@pytest.fixture
def running(server: ServerProcess) -> Iterator[str]:
    asyncio.run(server.start_and_wait())
    yield server.address


async def printed(address: str, expected: Records) -> Records:
    """All scenarios; those that differ again, since a busy machine changes the order of events."""
    records: Records = {}
    again = list(expected)
    for _ in range(cli.TRIES):
        records.update(await cli.run(address, again, secrets.token_hex(6)))
        again = [name for name in expected if different(name, expected, records)]
        if not again:
            break
    return records


def different(name: str, expected: Records, records: Records) -> bool:
    return finding(cli.FAMILY, name, expected[name], records[name]).state == "unexplained"


@pytest.fixture
def program() -> str:
    try:
        return cli.program()
    except Unavailable as error:
        pytest.skip(str(error))


def test_a_history_that_was_shown_can_be_fixed_and_read(running: str, program: str, tmp_path: Path) -> None:
    def say(command: str) -> str:
        words = [program, *command.split(), "--address", running, "--disable-config-file"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    say("workflow start -w w --type Nothing -t nobody")
    say("workflow terminate -w w --reason enough")
    shown, fixed = tmp_path / "shown.json", tmp_path / "fixed.json"
    shown.write_text(say("workflow show -w w -o json"))
    say(f"workflow fix-history-json --source {shown} --target {fixed}")
    history = WorkflowHistory.from_json("w", fixed.read_text())
    assert history == WorkflowHistory.from_json("w", shown.read_text())
    assert history.events[-1].workflow_execution_terminated_event_attributes.reason == "enough"


@pytest.mark.timeout(400)
def test_commands_print_what_they_print_on_the_reference(running: str, program: str) -> None:
    expected = golden_cli()
    assert sorted(expected) == cli.scenarios()
    records = asyncio.run(printed(running, expected))
    wrong = [name for name in expected if different(name, expected, records)]
    assert not wrong, "\n".join(told(finding(cli.FAMILY, name, expected[name], records[name])) for name in wrong)

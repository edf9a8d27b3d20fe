"""The official CLI prints on Perdure what it printed on the reference, in text and in JSON, and exits as there."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import pytest
from examples.processes import ServerProcess
from parity import cli
from parity.golden import golden_cli
from parity.programs import Records, Unavailable, finding
from parity.results import told


@pytest.fixture
def running(server: ServerProcess) -> Iterator[str]:
    server.start()
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


@pytest.mark.timeout(400)
def test_commands_print_what_they_print_on_the_reference(running: str) -> None:
    try:
        cli.program()
    except Unavailable as error:
        pytest.skip(str(error))
    expected = golden_cli()
    assert sorted(expected) == cli.scenarios()
    records = asyncio.run(printed(running, expected))
    wrong = [name for name in expected if different(name, expected, records)]
    assert not wrong, "\n".join(told(finding(cli.FAMILY, name, expected[name], records[name])) for name in wrong)

"""The programs of the Go and the TypeScript SDK see on Perdure what they saw on the reference."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator

import pytest
from examples.processes import ServerProcess
from parity.golden import golden, outlines
from parity.programs import PROGRAMS, TRIES, Program, Records, Unavailable, build, finding
from parity.results import told


@pytest.fixture
def running(server: ServerProcess) -> Iterator[str]:
    server.start()
    yield server.address


def built(program: Program) -> None:
    """Build the program, or skip where its tool or its packages are not to be had."""
    if shutil.which(program.tool) is None:
        pytest.skip(f"{program.tool} is not installed")
    try:
        build(program)
    except Unavailable as error:
        pytest.skip(str(error))


async def on_perdure(program: Program, address: str, expected: Records) -> Records:
    """All scenarios; those that differ again, since a busy machine changes the order of events."""
    records = await outlines(program, address, [])
    for _ in range(TRIES - 1):
        again = [name for name in expected if unexplained(program, name, expected, records)]
        if not again:
            break
        records.update(await outlines(program, address, again))
    return records


def unexplained(program: Program, name: str, expected: Records, records: Records) -> bool:
    return finding(program.family, name, expected.get(name), records.get(name)).state == "unexplained"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.family)
def test_programs_see_what_they_saw_on_the_reference(program: Program, running: str) -> None:
    built(program)
    expected = golden(program)
    records = asyncio.run(on_perdure(program, running, expected))
    assert records.keys() == expected.keys()
    findings = [finding(program.family, name, expected[name], records[name]) for name in expected]
    wrong = [found for found in findings if found.state == "unexplained"]
    assert not wrong, "\n".join(map(told, wrong))

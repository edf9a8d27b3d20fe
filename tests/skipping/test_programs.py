"""Each program on Perdure in both forms of time skipping, and on the servers of others that are at hand.

`REFERENCE=host:port` names a real server that knows the newer form, `JAVA_TEST_SERVER=path` a program that starts the
test server of the Java SDK on the port it is given.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from tests.skipping.programs import PROGRAMS, Program
from tests.skipping.world import V1, V2, World, of_dev_server, of_running, of_test_server

REFERENCE = os.environ.get("REFERENCE", "")
JAVA = os.environ.get("JAVA_TEST_SERVER", "")
LIMIT_S = 60
SLACK = timedelta(minutes=5)
"""Clocks of the older form go on with real time, and `sleep` may go a little too far."""
pytestmark = pytest.mark.asyncio(loop_scope="module")


def _program(path: Path, command: str) -> str:
    path.write_text(f'#!/bin/sh\nPYTHONPATH={":".join(sys.path)} exec {sys.executable} {command} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def perdure_v1(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    path = _program(tmp_path_factory.mktemp("v1") / "perdure-test-server", "-m perdure test-server")
    async with of_test_server(path) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def perdure_v2(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    path = _program(tmp_path_factory.mktemp("v2") / "perdure", "-m perdure")
    async with of_dev_server(path) as world:
        yield world


async def _check(program: Program, world: World) -> None:
    async with world.worker():
        result, story = await asyncio.wait_for(program.run(world), LIMIT_S)
    assert (result, story.events) == (program.result, program.events)
    if world.form == V2 and program.held:
        return
    took = program.took if world.form == V1 or program.took_v2 is None else program.took_v2
    assert took - timedelta(seconds=1) <= story.took < took + SLACK


def _of(form: str) -> list[pytest.ParameterSet]:
    return [pytest.param(program, id=program.name) for program in PROGRAMS if form in program.forms]


@pytest.mark.parametrize("program", _of(V1))
async def test_on_perdure_v1(perdure_v1: World, program: Program) -> None:
    await _check(program, perdure_v1)


@pytest.mark.parametrize("program", _of(V2))
async def test_on_perdure_v2(perdure_v2: World, program: Program) -> None:
    await _check(program, perdure_v2)


@pytest.mark.skipif(not REFERENCE, reason="needs REFERENCE=host:port of a server with the newer form")
@pytest.mark.parametrize("program", _of(V2))
async def test_on_the_reference(program: Program) -> None:
    if program.not_on_reference:
        pytest.xfail(program.not_on_reference)
    async with of_running(REFERENCE) as world:
        await _check(program, world)


@pytest.mark.skipif(not JAVA, reason="needs JAVA_TEST_SERVER=path of a program that starts that server")
@pytest.mark.parametrize("program", _of(V1))
async def test_on_the_java_test_server(program: Program) -> None:
    """A server for each: what one leaves behind stops the next."""
    async with of_test_server(JAVA) as world:
        await _check(program, world)

"""The programs of the Go, the TypeScript and the Java SDK: building, running, comparing."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.runner import differences

from parity.differences import reason
from parity.histories import look
from parity.results import Difference, Finding

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "parity"
LIMIT_S = 300
MAVEN_OFFLINE_S, MAVEN_S = 60, 180
TRIES = 3
Records = dict[str, dict[str, Any]]
Told = Callable[[str], None]


class Unavailable(Exception):
    """A program can't be built here; the message says why."""


@dataclass(frozen=True)
class Program:
    """A program in the language of an SDK: `tool` builds it, `command` runs it."""

    family: str
    tool: str
    build: Callable[[], None]
    command: Sequence[str]


def _build_go() -> None:
    _run(["go", "build", "-o", str(BUILD / "go"), "."], HERE / "go")


def _build_typescript() -> None:
    """Install the packages once for each lock file; the sources are copied beside them."""
    folder, source = BUILD / "typescript", HERE / "typescript"
    folder.mkdir(parents=True, exist_ok=True)
    installed, lock = folder / "installed.json", (source / "package-lock.json").read_text()
    if not installed.exists() or installed.read_text() != lock:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(source / name, folder / name)
        # Not `npm ci`: it fails where a registry lacks the builds for other platforms, which nobody needs.
        _run(["npm", "install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund"], folder)
        installed.write_text(lock)
    shutil.rmtree(folder / "src", ignore_errors=True)
    shutil.copytree(source / "src", folder / "src")


def _build_java() -> None:
    """Compile a copy of the sources, with the libraries beside them; only what changed, and offline if that will do."""
    folder, source = BUILD / "java", HERE / "java"
    files = [source / "pom.xml", *sorted((source / "src").rglob("*.java"))]
    built, texts = folder / "built.json", json.dumps([path.read_text() for path in files])
    if built.exists() and built.read_text() == texts:
        return
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    command = ["mvn", "-q", "-B", "compiler:compile", "dependency:copy-dependencies", "-DincludeScope=runtime"]
    try:
        _run([*command, "-o"], folder, MAVEN_OFFLINE_S)
    except Unavailable:
        _run(command, folder, MAVEN_S)
    built.write_text(texts)


def _run(command: list[str], folder: Path, limit_s: float = LIMIT_S) -> None:
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not installed")
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"`{' '.join(command)}` took more than {limit_s} s") from error
    if done.returncode:
        # Maven tells of errors in its ordinary output.
        raise Unavailable(f"`{' '.join(command)}` failed: {(done.stderr + done.stdout).strip()[:800]}")


GO = Program("go", "go", _build_go, [str(BUILD / "go")])
TYPESCRIPT = Program("typescript", "node", _build_typescript, ["node", str(BUILD / "typescript" / "src" / "main.js")])
_CLASSES = os.pathsep.join(str(BUILD / "java" / "target" / part) for part in ("classes", "dependency/*"))
JAVA = Program("java", "mvn", _build_java, ["java", "-cp", _CLASSES, "perdure.parity.Skipping"])
PROGRAMS = (GO, TYPESCRIPT)
"""Those with scenarios. `JAVA` shows how time skips, and no more."""


def build(program: Program) -> None:
    """Build a program under build/parity. Raises `Unavailable` where that is not possible."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program.build()


async def run(program: Program, address: str, names: Iterable[str], token: str, tell: Told) -> Records:
    """What each scenario of a built program told and left on the server; all scenarios if none is named."""
    records: Records = {}
    async for line in lines(program, ["-address", address, "-token", token, *names]):
        name = line["scenario"]
        records[name] = await look(address, token, line["runs"], line["result"])
        if broken := line.get("broken"):
            records[name]["broken"] = broken
        tell(name)
    return records


async def lines(program: Program, arguments: Iterable[str]) -> AsyncIterator[dict[str, Any]]:
    """What a built program prints, a scenario a line; it is killed when that takes too long."""
    environment = {**os.environ, "NODE_NO_WARNINGS": "1"}
    log = (BUILD / "programs.log").open("ab")
    process = await asyncio.create_subprocess_exec(
        *program.command, *arguments, stdout=asyncio.subprocess.PIPE, stderr=log, limit=1 << 24, env=environment
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            async for line in process.stdout:
                # A dev server that the program starts may share its output.
                if line.startswith(b"{"):
                    yield json.loads(line)
            await process.wait()
    finally:
        log.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def compare(program: Program, perdure: str, reference: str, tell: Told) -> list[Finding]:
    """Every scenario on both servers; those that differ again, since a busy machine changes the order of events."""
    findings: dict[str, Finding] = {}
    names: list[str] = []
    for _ in range(TRIES):
        token = secrets.token_hex(6)
        here, there = await asyncio.gather(
            run(program, perdure, names, token, tell), run(program, reference, names, token, tell)
        )
        for name in sorted({*here, *there}):
            findings[name] = finding(program.family, name, there.get(name), here.get(name))
        names = [name for name, found in findings.items() if found.state == "unexplained"]
        if not names:
            break
    return [findings[name] for name in sorted(findings)]


def finding(family: str, name: str, reference: dict[str, Any] | None, perdure: dict[str, Any] | None) -> Finding:
    """Compare two records of one scenario."""
    if reference is None or perdure is None:
        return Finding(family, name, broken="the program ended before this scenario")
    broken = [
        f"{server}: {told}"
        for server, told in (("reference", reference.get("broken")), ("Perdure", perdure.get("broken")))
        if told
    ]
    found = [
        Difference(path, one, other, reason(family, name, path)) for path, one, other in differences(reference, perdure)
    ]
    return Finding(family, name, tuple(found), "\n  ".join(broken))

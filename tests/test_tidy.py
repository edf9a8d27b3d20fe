"""The repository's own rules."""

import ast
import re
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from perdure.config import Dynamic

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MAX_LINES = 500
LONGER = {
    "src/perdure/engine/apply.py": "one function an event type, in one table",
    "tests/engine/test_checks.py": "tables of commands and their errors",
    "tests/rpc/test_validate.py": "tables of requests and their errors",
}
"""Files that may be longer: path -> why."""

MAY_IMPORT = {
    "errors": (),
    "values": ("errors",),
    "config": ("errors", "values"),
    "clock": ("errors",),
    "engine": ("engine", "errors", "config"),
    "storage": ("storage", "errors", "config", "clock"),
    "visibility": ("visibility", "storage.base", "errors", "config"),
    "runtime": ("runtime", "engine", "storage", "visibility", "errors", "config", "clock"),
    "rpc": ("rpc", "runtime", "engine", "storage.base", "visibility", "errors", "config", "clock", "patterns.links"),
    "server": ("rpc", "runtime", "engine", "storage", "visibility", "errors", "config", "clock"),
    "testing": ("testing", "server", "runtime", "engine.decision", "engine.queues", "config", "clock"),
    "patterns": ("patterns",),
    "cli": ("cli", "server", "runtime.check", "storage.check", "rpc.http.openapi", "errors", "values", "config"),
}
"""rpc -> runtime -> {engine, storage, visibility}: part of the package -> what it may import of the others."""


@cache
def tracked():
    """The files under version control, and those about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return [file for name in listed.stdout.split("\0") if name and (file := ROOT / name).is_file()]


@cache
def text_of(file):
    return file.read_text("utf-8", errors="replace")


def short(file):
    return str(file.relative_to(ROOT))


def imports(file):
    """Modules of ours that a file imports, at any depth of it, types included, without the `perdure.`."""
    for node in ast.walk(ast.parse(text_of(file))):
        if isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("perdure.") for alias in node.names if alias.name.startswith("perdure.")
            )
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{short(file)}: relative import"
            if node.module == "perdure":
                yield from (alias.name for alias in node.names if alias.name != "__version__")
            elif (node.module or "").startswith("perdure."):
                yield (node.module or "").removeprefix("perdure.")


@pytest.mark.parametrize("file", SOURCES, ids=short)
def test_imports_point_downwards(file):
    parts = file.relative_to(ROOT / "src" / "perdure").with_suffix("").parts
    if parts[0] in ("__init__", "__main__"):
        return
    assert parts[0] in MAY_IMPORT, f"say in MAY_IMPORT what {parts[0]} may import"
    allowed = MAY_IMPORT[parts[0]]
    wrong = [name for name in imports(file) if not any(name == may or name.startswith(may + ".") for may in allowed)]
    assert not wrong, f"{short(file)} may not import {wrong}"


def test_files_are_short_enough_to_read():
    long = {short(file) for file in tracked() if file.suffix == ".py" and len(text_of(file).splitlines()) > MAX_LINES}
    assert long == set(LONGER)


@pytest.mark.parametrize("file", SOURCES, ids=short)
def test_each_public_module_says_what_it_is(file):
    public = not file.stem.startswith("_") or file.stem in ("__init__", "__main__")
    if public and text_of(file).strip():
        assert ast.get_docstring(ast.parse(text_of(file))), f"{short(file)} has no docstring"


def test_modules_are_named_for_what_they_hold():
    vague = {"utils", "util", "helpers", "helper", "misc"}
    assert [short(file) for file in tracked() if file.suffix == ".py" and file.stem in vague] == []


def test_no_note_to_self_is_left():
    note = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    code = [
        file
        for file in tracked()
        if file.suffix in (".py", ".sql", ".toml", ".go", ".md", "") and file.name != "go.sum"
    ]
    assert [short(file) for file in code if note.search(text_of(file))] == []


def test_no_file_names_a_package_registry():
    hosts = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "proxy.go" + "lang.org", "crates" + ".io"]
    found = [(short(file), host) for file in tracked() for host in hosts if host in text_of(file)]
    assert found == []


def test_constraints_are_exact():
    lines = (ROOT / "constraints.txt").read_text().split()
    assert lines and all(re.fullmatch(r"[A-Za-z0-9_.-]+==[\w.+]+", line) for line in lines)


def test_importing_the_package_is_cheap():
    code = "import sys; import perdure; assert perdure.__version__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src")
    heavy = {"temporalio", "grpc", "apsw", "google.protobuf", "asyncio", "click", "uvloop", "msgspec"}
    assert not heavy & set(loaded.stdout.split())


def test_each_dynamic_configuration_value_is_read_somewhere():
    code = "\n".join(text_of(file) for file in SOURCES if file.name != "config.py")
    assert [field.name for field in fields(Dynamic) if not re.search(rf"\.{field.name}\b", code)] == []

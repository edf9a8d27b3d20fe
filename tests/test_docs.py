"""What the documents show is true: programs run, commands exist, configuration loads, links lead somewhere.

The kinds of code blocks are explained in CONTRIBUTING.md.
"""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from docs.generate import SECTIONS, rendered

from perdure.cli import perdure as command
from perdure.cli import settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
OTHER_COMMANDS = {"pip", "sqlite3", "cp"}
LIMIT_S = 180
"""For one program."""
ADDRESS = "127.0.0.1:7233"


def short(file):
    return str(file.relative_to(ROOT))


def blocks(file, language):
    """(line, text) of each block of that language."""
    text = file.read_text("utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start()) + 2, found[1]


def with_blocks(language):
    return [pytest.param(file, id=short(file)) for file in DOCUMENTS if any(blocks(file, language))]


def all_blocks(language):
    return [
        pytest.param(text, id=f"{short(file)}:{line}") for file in DOCUMENTS for line, text in blocks(file, language)
    ]


@pytest.fixture
def server(tmp_path):
    """The address of a server for the programs."""
    environ = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    args = [sys.executable, "-m", "perdure", "up", "--memory", "--port", "0", "--json"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        finally:
            process.terminate()


# A thread of the SDK that still gives up the interpreter's lock when Python ends makes Python abort: SDK issue 300.
PATIENT_END = "import atexit, time; atexit.register(time.sleep, 0.3)"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", with_blocks("python"))
def test_programs_run(file, server, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(PATIENT_END)
    environ = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{tmp_path}", "PYTHONWARNINGS": "default"}
    for line, text in blocks(file, "python"):
        named = re.match(r"# (\w+\.py)\n", text)
        program = tmp_path / (named[1] if named else f"line_{line}.py")
        program.write_text(text.replace(ADDRESS, server), "utf-8")
        result = subprocess.run(
            [sys.executable, program.name], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert result.returncode == 0, f"{short(file)}:{line}\n{result.stderr}"


@pytest.mark.parametrize("text", all_blocks("py"))
def test_excerpts_are_python(text):
    compile(text, "excerpt", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("text", all_blocks("console"))
def test_commands_exist_with_the_flags_shown(text):
    for line in text.splitlines():
        if not line.startswith("$ "):
            continue
        name, *args = shlex.split(line[2:], comments=True)
        while "=" in name:  # a variable of the environment
            name, *args = args
        if name == "perdure":
            parse(command, args)
        elif name == "make":
            assert args and re.search(rf"^{args[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        elif name == "python":
            assert args[0] == "-m" and is_ours(args[1]), line
        else:
            assert name in OTHER_COMMANDS, line


def is_ours(module):
    """Whether `python -m module` runs something of this repository, or tests of it."""
    path = ROOT.joinpath(*module.split("."))
    return module == "pytest" or (path / "__main__.py").exists() or path.with_suffix(".py").exists()


def parse(group, args):
    """As the command would, up to the point where it does something."""
    while isinstance(group, click.Group):
        group = group.get_command(click.Context(group), args.pop(0))
        assert group is not None
    params = group.make_context("perdure", args).params
    if group.name == "up":
        config = params.pop("config")
        params.pop("as_json")
        settings.load({name.replace("_", "-"): value for name, value in params.items()}, {}, config)


@pytest.mark.parametrize("text", all_blocks("toml"))
def test_configuration_loads_without_a_warning(text, tmp_path):
    file = tmp_path / "perdure.toml"
    file.write_text(text)
    assert settings.load(config=file)[1] == []


@pytest.mark.parametrize("file", [pytest.param(file, id=short(file)) for file in DOCUMENTS])
def test_links_lead_somewhere(file):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text("utf-8")):
        assert (file.parent / target).exists(), f"{short(file)} -> {target}"


@pytest.mark.parametrize("document", SECTIONS)
def test_tables_made_from_the_code_are_up_to_date(document):
    assert (ROOT / "docs" / document).read_text("utf-8") == rendered(document), "run `make docs`"

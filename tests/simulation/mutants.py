"""Planted bugs: each patch of `mutants/`, applied to a copy of the source, has to be found by the simulation.

`python -m tests.simulation.mutants [NAME...] [--write]`; `--write` puts what was found into docs/SIMULATION.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PATCHES = sorted((Path(__file__).parent / "mutants").glob("*.patch"))
DOCS = ROOT / "docs" / "SIMULATION.md"
SEEDS = 500
_HEADER = "| planted bug | found by seed | as |"
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FAILED = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)


def plant(patch: Path, into: Path) -> None:
    """Copy what the simulation needs into a folder, and apply the patch there."""
    shutil.copytree(ROOT / "src", into / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (into / "tests").symlink_to(ROOT / "tests")
    subprocess.run(["git", "apply", "--unsafe-paths", str(patch)], cwd=into, check=True)


def find(patch: Path) -> tuple[int, str] | None:
    """The first seed that finds the bug, and what it says; None if none does."""
    with tempfile.TemporaryDirectory() as folder:
        plant(patch, Path(folder))
        environment = {**os.environ, "PYTHONPATH": f"{folder}/src{os.pathsep}{folder}"}
        command = [sys.executable, "-m", "tests.simulation", "--seeds", f"0..{SEEDS}", "--until-found"]
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        found = _FAILED.search(run.stderr)
        return (int(found[1]), found[2]) if found else None


def row(patch: Path, found: tuple[int, str] | None) -> str:
    """The line of the table in the documentation."""
    seed, words = found or ("none", "")
    return f"| {patch.stem.replace('_', ' ')} | {seed} | {_RUN_ID.sub('…', words)} |"


def write(rows: dict[str, str]) -> None:
    """Put these lines into the table, in place of those of the same bugs."""
    lines = DOCS.read_text().splitlines()
    first = lines.index(_HEADER) + 2
    end = next(number for number in range(first, len(lines)) if not lines[number].startswith("|"))
    known = {patch.stem.replace("_", " ") for patch in PATCHES}
    kept = {line.split("|")[1].strip(): line for line in lines[first:end]}
    lines[first:end] = [line for name, line in sorted((kept | rows).items()) if name in known]
    DOCS.write_text("\n".join(lines) + "\n")


def main() -> int:
    wanted = [each for each in sys.argv[1:] if not each.startswith("-")]
    escaped, rows = 0, {}
    for patch in PATCHES:
        if wanted and patch.stem not in wanted:
            continue
        found = find(patch)
        escaped += found is None
        said = f"seed {found[0]}: {found[1]}" if found else f"NOT FOUND in {SEEDS} seeds"
        rows[patch.stem.replace("_", " ")] = row(patch, found)
        print(f"{patch.stem:42} {said}", flush=True)
    if "--write" in sys.argv:
        write(rows)
    return bool(escaped)


if __name__ == "__main__":
    sys.exit(main())

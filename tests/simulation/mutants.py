"""Planted bugs: each patch of `mutants/`, applied to a copy of the source, has to be found by the simulation."""

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
SEEDS = 500
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


def main() -> int:
    wanted = sys.argv[1:]
    escaped = 0
    for patch in PATCHES:
        if wanted and patch.stem not in wanted:
            continue
        found = find(patch)
        escaped += found is None
        said = f"seed {found[0]}: {found[1]}" if found else f"NOT FOUND in {SEEDS} seeds"
        print(f"{patch.stem:42} {said}", flush=True)
    return bool(escaped)


if __name__ == "__main__":
    sys.exit(main())

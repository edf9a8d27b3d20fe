"""The planted bugs still fit the source; `make mutants` shows that each is found."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.simulation.mutants import PATCHES, ROOT


def test_there_are_enough_of_them() -> None:
    assert len(PATCHES) >= 12


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_bug_can_still_be_planted(patch: Path) -> None:
    check = ["git", "apply", "--check", "--include=src/*", str(patch)]
    run = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, f"{patch.name} no longer applies, make it anew: {run.stderr}"

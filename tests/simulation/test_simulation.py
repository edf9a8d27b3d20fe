"""A minute of the simulation, and that it is one: the same seed gives the same world, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.__main__ import replay
from tests.simulation.world import MIN_CRASHES, STEPS, simulate

ROOT = Path(__file__).parent.parent.parent
PARTS = 8
SEEDS_A_PART = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_what_was_promised_holds_whatever_goes_wrong(part: int) -> None:
    for seed in range(part * SEEDS_A_PART, (part + 1) * SEEDS_A_PART):
        report = simulate(seed)
        assert not report.problems, f"{replay(report, STEPS)}: {report.problems[:3]}"
        assert report.steps >= STEPS and report.crashes >= MIN_CRASHES


def test_a_seed_is_replayed_to_the_byte_by_another_process() -> None:
    program = (
        "from tests.simulation.world import simulate\n"
        "for seed in (3, 4): report = simulate(seed, 400); print(report.digest, report.steps)"
    )
    said = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        said.add(run.stdout)
    assert len(said) == 1 and len(said.pop().split()) == 4

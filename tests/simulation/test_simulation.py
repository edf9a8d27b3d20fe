"""A part of the simulation: all holds, everything occurs, and the same seed gives the same world, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.workflowservice.v1 import service_pb2
from tests.simulation.__main__ import replay
from tests.simulation.coverage import excused, missing, wanted
from tests.simulation.world import MIN_CRASHES, STEPS, simulate

ROOT = Path(__file__).parent.parent.parent
SEEDS = 280
"""A minute of one processor. As a rule everything occurs in 60."""
MOST_SEEDS = 500


@pytest.mark.timeout(1200)
def test_what_was_promised_holds_whatever_goes_wrong() -> None:
    counts: Counter[str] = Counter()
    for seed in range(MOST_SEEDS):
        report = simulate(seed)
        assert not report.problems, f"{replay(report, STEPS)}: {report.problems[:3]}"
        assert report.steps >= STEPS and report.crashes >= MIN_CRASHES
        counts += report.counts
        if seed >= SEEDS and not missing(counts):
            return
    assert not missing(counts), "make it more likely, or say in coverage.py why it can't occur"


def test_what_is_said_not_to_occur_exists() -> None:
    known = {f"event {key.removeprefix('EVENT_TYPE_')}" for key in EventType.keys()}  # noqa: SIM118
    known |= {f"command {key.removeprefix('COMMAND_TYPE_')}" for key in CommandType.keys()}  # noqa: SIM118
    known |= {f"rpc {method.name}" for method in service_pb2.DESCRIPTOR.services_by_name["WorkflowService"].methods}
    assert not set(excused()) - known
    assert not set(excused()) & set(wanted())


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

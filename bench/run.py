"""The benchmark: python -m bench.run [--rounds N]. Perdure on a file, and beside it another server if there is one.

Each scenario gets a fresh server on a fresh file, the contenders in turn: a busy minute of the machine hits both.
`REFERENCE_BIN` names the other server's program (called with -db FILE -port PORT).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from examples.processes import PERDURE_UP, ROOT, ProcessDied, ServerProcess
from rich.console import Console
from rich.table import Table

BENCH = ROOT / "bench"
REPORT = ROOT / "docs" / "PERFORMANCE.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
REST_S = 3.0
LINE = 140


@dataclass(frozen=True)
class Scenario:
    """What the load generator is asked for: `workflows` measured after `warm_up`, `in_flight` at a time."""

    title: str
    kind: str
    in_flight: int
    workflows: int
    warm_up: int


SCENARIOS = [
    Scenario("one activity, 1 in flight", "one", 1, 200, 20),
    Scenario("one activity, 32 in flight", "one", 32, 1000, 100),
    Scenario("one activity, 200 in flight", "one", 200, 1000, 200),
    Scenario("50 activities in a row", "row", 1, 10, 1),
    Scenario("500 activities side by side", "side", 1, 5, 1),
]
MEASURES = {  # name in the generator's result -> heading, and whether more is better
    "per_second": ("workflows/s", True),
    "p50_ms": ("p50 ms", False),
    "p99_ms": ("p99 ms", False),
    "cpu_ms_per_workflow": ("server CPU ms a workflow", False),
    "server_rss_mb": ("server RSS MB", False),
}


@dataclass
class Measured:
    """What came out: the generator's results, one a round, and the memory of each contender at rest."""

    contenders: list[str]
    scenarios: list[Scenario]
    rounds: int
    results: dict[tuple[str, Scenario], list[dict[str, Any]]] = field(default_factory=dict)
    rest_mb: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Return how many workflows failed."""
        return sum(result["failed"] for results in self.results.values() for result in results)

    def headings(self) -> list[str]:
        """Return the headings of the table."""
        return ["scenario", "measure", *self.contenders, *(["better by"] if len(self.contenders) == 2 else [])]

    def rows(self) -> Iterator[list[str]]:
        """Yield the rows of the table: scenario, measure, the median of each contender, the first's advantage."""
        for scenario in self.scenarios:
            for measure, (heading, more_is_better) in MEASURES.items():
                rounds = [self.results[name, scenario] for name in self.contenders]
                medians = [statistics.median(result[measure] for result in results) for results in rounds]
                yield [scenario.title, heading, *_cells(medians, more_is_better)]
        at_rest = [self.rest_mb[name] for name in self.contenders]
        yield ["at rest, nothing stored", "server RSS MB", *_cells(at_rest, more_is_better=False)]

    def table(self) -> Table:
        """Return the table for the terminal."""
        table = Table(*self.headings())
        for column in table.columns[2:]:
            column.justify = "right"
        for title, rows in groupby(self.rows(), key=lambda row: row[0]):
            for number, row in enumerate(rows):
                table.add_row("" if number else title, *row[1:])
            table.add_section()
        return table

    def markdown(self) -> str:
        """Return the table for the report, with what it was measured on."""
        headings = self.headings()
        lines = [
            f"Median of {self.rounds} rounds on {os.cpu_count()} cores ({platform.machine()}, {platform.system()}), "
            f"Python {platform.python_version()}; server, load and worker share the machine. MB are 10^6 bytes.",
            "",
            "| " + " | ".join(headings) + " |",
            "|" + "---|" * 2 + "---:|" * (len(headings) - 2),
        ]
        return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in self.rows())])


def _cells(values: list[float], more_is_better: bool) -> list[str]:
    cells = [f"{value:.1f}" for value in values]
    if len(values) == 2 and min(values) > 0:
        perdure, reference = values
        cells.append(f"{perdure / reference if more_is_better else reference / perdure:.1f} ×")
    return cells


def main() -> int:
    """Measure, print, and write the report; return the exit code."""
    args = _arguments()
    go = shutil.which("go")
    if go is None:
        print("The benchmark needs Go (1.25 or later, `go` on the PATH): its load comes from the official Go SDK.")
        return 2
    contenders = {"Perdure": os.environ.get("PERDURE_SERVER_COMMAND", PERDURE_UP)}
    if reference := os.environ.get("REFERENCE_BIN"):
        contenders["reference"] = f"{shlex.quote(reference)} -db {{db}} -port {{port}}"
    scenarios = [
        replace(s, workflows=max(1, round(s.workflows * args.scale)), warm_up=max(1, round(s.warm_up * args.scale)))
        for s in SCENARIOS
    ]
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        generator = Path(folder) / "load"
        subprocess.run([go, "build", "-o", str(generator), "./load"], cwd=BENCH, check=True)
        try:
            measured = asyncio.run(_measure(contenders, scenarios, args.rounds, generator))
        except ProcessDied as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    Console(width=None if sys.stdout.isatty() else LINE).print(measured.table())
    if measured.failed:
        print(f"{measured.failed} workflows failed: the figures mean nothing")
        return 1
    if args.write:
        _write_report(measured.markdown())
        print(f"written to {REPORT.relative_to(ROOT)}")
    return 0


async def _measure(contenders: dict[str, str], scenarios: list[Scenario], rounds: int, generator: Path) -> Measured:
    measured = Measured(list(contenders), scenarios, rounds)
    for name, command in contenders.items():
        measured.rest_mb[name] = await _memory_at_rest(command)
    for number in range(1, rounds + 1):
        for scenario in scenarios:
            for name, command in contenders.items():
                print(f"round {number}: {scenario.title}: {name}", file=sys.stderr)
                result = await _put_load(command, scenario, generator)
                measured.results.setdefault((name, scenario), []).append(result)
    return measured


async def _put_load(command: str, scenario: Scenario, generator: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        server = ServerProcess(Path(folder) / "server.db", Path(folder) / "server.log", command)
        await server.start_and_wait()
        options = ["-address", server.address, "-server-pid", str(server.pid), "-scenario", scenario.kind]
        counts = ["-in-flight", scenario.in_flight, "-workflows", scenario.workflows, "-warm-up", scenario.warm_up]
        try:
            run = subprocess.run([str(generator), *options, *map(str, counts)], stdout=subprocess.PIPE, text=True)
            server.check()
        finally:
            server.kill()
        if run.returncode:
            raise ProcessDied(f"the load generator failed with code {run.returncode}")
        result: dict[str, Any] = json.loads(run.stdout)
        return result


async def _memory_at_rest(command: str) -> float:
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        server = ServerProcess(Path(folder) / "server.db", Path(folder) / "server.log", command)
        await server.start_and_wait()
        try:
            await asyncio.sleep(REST_S)
            return server.rss_mb
        finally:
            server.kill()


def _write_report(text: str) -> None:
    """Put `text` between the markers of the report."""
    old = REPORT.read_text(encoding="utf-8")
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    REPORT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.run",
        description="Measure Perdure with the official Go SDK; REFERENCE_BIN=PATH puts another server next to it.",
    )
    parser.add_argument("--rounds", type=int, default=2, help="the median counts (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of workflows (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/PERFORMANCE.md as it is")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

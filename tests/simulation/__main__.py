"""`python -m tests.simulation`: live through seeds, tell what was found and what occurred."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.simulation.coverage import missing
from tests.simulation.world import STEPS, Report, simulate


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0..500", help="A..B: from A to below B (default 0..500)")
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps before the world heals (default {STEPS})")
    parser.add_argument("--trace", action="store_true", help="print all that happens (with --seed)")
    parser.add_argument("--minutes", type=float, help="end after this time, however many seeds are left")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once (default 1)")
    parser.add_argument("--until-found", action="store_true", help="end at the first seed that finds something")
    parser.add_argument("--covered", action="store_true", help="fail if something that is to occur did not")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    parser.add_argument("--add", type=Path, nargs="+", help="live through nothing, add up the figures of these files")
    return parser.parse_args()


@dataclass
class Figures:
    """What came of many seeds. `seeds` says which, as they were asked for."""

    seeds: str = ""
    done: int = 0
    steps: int = 0
    crashes: int = 0
    fewest_crashes: int | None = None
    fewest_steps: int | None = None
    commits: int = 0
    passed_s: float = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Seed -> what it found first."""
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, report: Report) -> None:
        self.counts += report.counts
        self.done += 1
        self.steps += report.steps
        self.crashes += report.crashes
        self.commits += report.commits
        if report.problems:
            self.failed[str(report.seed)] = report.problems[0]
            return
        self._least(report.crashes, report.steps)

    def _least(self, crashes: int | None, steps: int | None) -> None:
        known = [each for each in (self.fewest_crashes, crashes) if each is not None]
        self.fewest_crashes = min(known, default=None)
        known = [each for each in (self.fewest_steps, steps) if each is not None]
        self.fewest_steps = min(known, default=None)

    def merge(self, other: Figures) -> None:
        self.seeds = f"{self.seeds} {other.seeds}".strip()
        for name in ("done", "steps", "crashes", "commits", "passed_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._least(other.fewest_crashes, other.fewest_steps)
        self.failed |= other.failed
        self.counts += other.counts

    def line(self) -> str:
        return (
            f"{self.done} seeds, {self.steps} steps, {self.crashes} crashes, {self.commits} commits, "
            f"{len(self.failed)} failed, {self.passed_s:.0f} s"
        )

    def tell(self, *, covered: bool) -> bool:
        """Print all of it. Whether something is wrong."""
        print("\n".join(f"{number:9} {what}" for what, number in sorted(self.counts.items())))
        lacking = missing(self.counts) if covered else []
        for what in lacking:
            print(f"never: {what}")
        print(f"seeds {self.seeds}: {self.line()}")
        print(f"at least {self.fewest_steps} steps and {self.fewest_crashes} crashes each; failed: {[*self.failed]}")
        return bool(self.failed or lacking)


def replay(report: Report, steps: int) -> str:
    """The command that shows a seed again."""
    return f"python -m tests.simulation --seed {report.seed} --steps {steps} --trace"


def main() -> int:
    arguments = _arguments()
    if arguments.add:
        figures = Figures()
        for file in arguments.add:
            read = json.loads(file.read_text())
            figures.merge(Figures(**{**read, "counts": Counter(read["counts"])}))
        return figures.tell(covered=arguments.covered)
    if arguments.seed is not None:
        report = simulate(arguments.seed, arguments.steps, print if arguments.trace else None)
        _tell(report, arguments.steps)
        print(f"seed {report.seed}: {report.steps} steps, {report.crashes} crashes, digest {report.digest}")
        return bool(report.problems)
    first, _, end = arguments.seeds.partition("..")
    return _many(range(int(first), int(end)), arguments)


def _many(seeds: range, arguments: argparse.Namespace) -> int:
    figures, begun = Figures(arguments.seeds), time.monotonic()
    with multiprocessing.Pool(arguments.jobs, maxtasksperchild=200) as pool:
        for report in pool.imap(partial(simulate, steps=arguments.steps), seeds, chunksize=1):
            figures.add(report)
            _tell(report, arguments.steps)
            figures.passed_s = time.monotonic() - begun
            figures.seeds = f"{seeds.start}..{report.seed + 1}"
            if figures.done % 100 == 0:
                print(f"up to {report.seed}: {figures.line()}", flush=True)
                _write(figures, arguments.out)
            late = arguments.minutes is not None and figures.passed_s > 60 * arguments.minutes
            if late or (figures.failed and arguments.until_found):
                pool.terminate()
                break
    _write(figures, arguments.out)
    return figures.tell(covered=arguments.covered)


def _write(figures: Figures, file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(vars(figures), indent=1) + "\n")


def _tell(report: Report, steps: int) -> None:
    for problem in report.problems[:3]:
        print(f"seed {report.seed}: {problem}", file=sys.stderr)
    if report.problems:
        print(f"seed {report.seed}: {replay(report, steps)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

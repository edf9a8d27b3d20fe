"""`python -m tests.simulation`: live through seeds, tell what was found and what occurred."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from functools import partial

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
    return parser.parse_args()


def replay(report: Report, steps: int) -> str:
    """The command that shows a seed again."""
    return f"python -m tests.simulation --seed {report.seed} --steps {steps} --trace"


def main() -> int:
    arguments = _arguments()
    if arguments.seed is not None:
        report = simulate(arguments.seed, arguments.steps, print if arguments.trace else None)
        _tell(report, arguments.steps)
        print(f"seed {report.seed}: {report.steps} steps, {report.crashes} crashes, digest {report.digest}")
        return bool(report.problems)
    first, _, end = arguments.seeds.partition("..")
    return _many(range(int(first), int(end)), arguments)


def _many(seeds: range, arguments: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    failed: list[int] = []
    begun, done, steps, crashes, fewest = time.monotonic(), 0, 0, 0, 1 << 62
    with multiprocessing.Pool(arguments.jobs, maxtasksperchild=200) as pool:
        for report in pool.imap_unordered(partial(simulate, steps=arguments.steps), seeds, chunksize=1):
            counts += report.counts
            done, steps, crashes = done + 1, steps + report.steps, crashes + report.crashes
            fewest = min(fewest, report.crashes)
            if report.problems:
                failed.append(report.seed)
                _tell(report, arguments.steps)
            passed_s = time.monotonic() - begun
            if done % 100 == 0:
                print(
                    f"{done} seeds, {steps} steps, {crashes} crashes, {len(failed)} failed, {passed_s:.0f} s",
                    flush=True,
                )
            late = arguments.minutes is not None and passed_s > 60 * arguments.minutes
            if late or (failed and arguments.until_found):
                pool.terminate()
                break
    print("\n".join(f"{number:9} {what}" for what, number in sorted(counts.items())))
    print(f"{done} seeds, {steps} steps, {crashes} crashes (at least {fewest} each), failed: {failed or 'none'}")
    return bool(failed)


def _tell(report: Report, steps: int) -> None:
    for problem in report.problems[:3]:
        print(f"seed {report.seed}: {problem}", file=sys.stderr)
    if report.problems:
        print(f"seed {report.seed}: {replay(report, steps)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

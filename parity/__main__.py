"""Compare Perdure with a reference server: python -m parity --reference HOST:PORT [--only FAMILY ...] [--json]."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable

from rich.console import Console
from tests.conformance.driver import prepare
from tests.conformance.server import perdure as perdure_server

from parity import cli, conversations, examples, orders, timing
from parity.programs import PROGRAMS, Program, Unavailable, build
from parity.programs import compare as compare_program
from parity.results import Finding, Report

OK, DIFFERENT, UNUSABLE = 0, 1, 2
TIMING = "timing"


def main() -> int:
    """Run the comparison, and return the exit code: 0 no unexplained difference, 1 some, 2 it could not run."""
    options = _arguments()
    if not options.reference:
        print("make parity needs REFERENCE=host:port of a running Temporal server.", file=sys.stderr)
        return UNUSABLE
    known = _families()
    if unknown := set(options.only) - set(known):
        print(f"error: no family {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return UNUSABLE
    if options.perdure:
        os.environ["PERDURE"] = options.perdure
    console = Console(stderr=True)
    try:
        with perdure_server() as address:
            report = asyncio.run(_compare(options.only or known, address, options.reference, console))
    except ConnectionError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    if options.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        report.show(Console())
    return OK if report.ok else DIFFERENT


def _families() -> list[str]:
    programs = [program.family for program in PROGRAMS]
    return [*conversations.families(), orders.FAMILY, examples.FAMILY, *programs, cli.FAMILY, TIMING]


async def _compare(wanted: list[str], perdure: str, reference: str, console: Console) -> Report:
    for name, address in (("reference", reference), ("Perdure", perdure)):
        try:
            await asyncio.wait_for(prepare(address), 60)
        except (TimeoutError, AssertionError):
            raise ConnectionError(f"no {name} server answers at {address}") from None
    report = Report()
    programs = {program.family: program for program in PROGRAMS}
    for number, family in enumerate(wanted, start=1):
        said = f"{number} of {len(wanted)}: {family}"
        with console.status(said) as status:
            if not console.is_terminal:
                console.print(said)
            if family == TIMING:
                report.intervals += await timing.compare(perdure, reference)
            elif family == orders.FAMILY:
                report.findings += await orders.compare(perdure, reference)
            elif family == examples.FAMILY:
                await _examples(report, perdure, reference, _teller(said, status.update))
            elif family == cli.FAMILY:
                await _cli(report, perdure, reference)
            elif family in programs:
                tell = _teller(said, status.update)
                await _program(programs[family], report, lambda p, t=tell: compare_program(p, perdure, reference, t))
            else:
                report.findings += await conversations.compare(family, perdure, reference)
    return report


def _teller(said: str, update: Callable[[str], None]) -> Callable[[str], None]:
    done = 0

    def tell(scenario: str) -> None:
        nonlocal done
        done += 1
        update(f"{said}, {done} runs, last {scenario}")

    return tell


async def _program(program: Program, report: Report, compare: Callable[[Program], Awaitable[list[Finding]]]) -> None:
    try:
        await asyncio.to_thread(build, program)
    except Unavailable as error:
        report.skipped[program.family] = str(error)
        return
    report.findings += await compare(program)


async def _examples(report: Report, perdure: str, reference: str, tell: Callable[[str], None]) -> None:
    try:
        report.findings += await examples.compare(perdure, reference, tell)
    except Unavailable as error:
        report.skipped[examples.FAMILY] = str(error)


async def _cli(report: Report, perdure: str, reference: str) -> None:
    try:
        report.findings += await cli.compare(perdure, reference)
    except Unavailable as error:
        report.skipped[cli.FAMILY] = str(error)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m parity", description="Compare Perdure with a reference server.")
    parser.add_argument("--reference", metavar="HOST:PORT", default=os.environ.get("REFERENCE", ""))
    parser.add_argument("--perdure", metavar="HOST:PORT", help="a server that runs already (default: one in memory)")
    parser.add_argument("--only", metavar="FAMILY", action="append", default=[], help="may be given again")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout, progress on stderr")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

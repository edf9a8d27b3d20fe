"""`perdure check`: look at a database file in depth, without a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from perdure.errors import StartupError

MAX_PROBLEMS = 1000
"""So many problems are told, and of more how many there are."""


@click.command(epilog="Example: perdure check orders.db")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(file: Path, as_json: bool) -> int:
    """Check that FILE is a Perdure database and that all of it can be read and fits together.

    The file is only read; a running server may go on using it. Exit code: 0 when it is sound, 1 otherwise.
    """
    problems: list[str] = []
    count = 0
    try:
        for count, problem in enumerate(_problems(file, shown=sys.stderr.isatty() and not as_json), 1):
            if count > MAX_PROBLEMS:
                continue
            problems.append(problem)
            if not as_json:
                click.echo(problem)
    except StartupError as error:
        return _not_checked(file, error, as_json)
    if as_json:
        click.echo(json.dumps({"file": str(file), "sound": not count, "problems": problems, "count": count}))
    elif count:
        more = f", of which {MAX_PROBLEMS} are shown" if count > MAX_PROBLEMS else ""
        click.echo(f"{file} is damaged: {count} problem{'s' if count > 1 else ''} found{more}.", err=True)
    else:
        click.echo(f"{file} is sound.")
    return 1 if count else 0


def _not_checked(file: Path, error: StartupError, as_json: bool) -> int:
    """Nothing is known to be damaged."""
    if not as_json:
        raise error
    click.echo(json.dumps({"file": str(file), "sound": None, "problems": [error.message], "count": 1}))
    return 1


def _problems(file: Path, shown: bool) -> Iterator[str]:
    from rich.console import Console

    from perdure.runtime.check import examine
    from perdure.storage.check import Finding

    with Console(stderr=True, quiet=not shown).status("Opening") as status:
        for report in examine(file):
            if isinstance(report, Finding):
                yield report.message
            else:
                counted = f": {report.done:,} of {report.total:,}" if report.total else ""
                status.update(report.step + counted)

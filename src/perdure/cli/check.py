"""`perdure check`: look at a database file in depth, without a server."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from perdure.errors import StartupError


@click.command(epilog="Example: perdure check orders.db")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(file: Path, as_json: bool) -> int:
    """Check that FILE is a Perdure database and that all of it can be read and fits together.

    The file is only read; a running server may go on using it. Exit code: 0 when it is sound, 1 otherwise.
    """
    problems = _problems(file, shown=sys.stderr.isatty() and not as_json)
    if as_json:
        click.echo(json.dumps({"file": str(file), "sound": not problems, "problems": problems}))
    elif problems:
        for problem in problems:
            click.echo(problem)
        click.echo(f"{file} is damaged: {len(problems)} problem{'s' if len(problems) > 1 else ''} found.", err=True)
    else:
        click.echo(f"{file} is sound.")
    return 1 if problems else 0


def _problems(file: Path, shown: bool) -> list[str]:
    from rich.console import Console

    from perdure.storage.check import Finding, examine

    problems: list[str] = []
    with Console(stderr=True, quiet=not shown).status("Opening") as status:
        try:
            for report in examine(file):
                if isinstance(report, Finding):
                    problems.append(report.message)
                else:
                    counted = f": {report.done:,} of {report.total:,}" if report.total else ""
                    status.update(report.step + counted)
        except StartupError as error:
            problems.append(error.message)
    return problems

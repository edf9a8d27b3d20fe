"""`perdure check`: look at a database file in depth, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(epilog="Example: perdure check orders.db")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(file: Path, as_json: bool) -> int:
    """Check that FILE is a Perdure database and that all of it can be read.

    The file is only read. Exit code: 0 when it is sound, 1 otherwise.
    """
    from perdure.storage.check import check_file

    problems = check_file(file)
    if as_json:
        click.echo(json.dumps({"file": str(file), "sound": not problems, "problems": problems}))
    elif problems:
        _show(file, problems)
    else:
        click.echo(f"{file} is sound.")
    return 1 if problems else 0


def _show(file: Path, problems: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(f"{len(problems)} problem(s) in {file}", show_lines=False)
    for problem in problems:
        table.add_row(problem)
    Console(stderr=True).print(table)

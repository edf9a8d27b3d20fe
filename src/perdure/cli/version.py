"""`perdure version`."""

from __future__ import annotations

import json
import platform
from importlib import metadata

import click

from perdure import __version__


@click.command(epilog="Example: perdure version --json")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def version(as_json: bool) -> None:
    """Say which version this is, and of what it depends on most."""
    import apsw

    parts = {
        "perdure": __version__,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "temporalio": metadata.version("temporalio"),
        "pygrpc-native": metadata.version("pygrpc-native"),
    }
    if as_json:
        click.echo(json.dumps(parts))
    else:
        others = ", ".join(f"{name} {number}" for name, number in list(parts.items())[1:])
        click.echo(f"perdure {__version__} ({others})")

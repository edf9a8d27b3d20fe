"""The `perdure` command: one file a command, each loaded only when called, since a server has to be up at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click

from perdure import __version__
from perdure.errors import PerdureError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("perdure.cli.up", "up"),
    "check": ("perdure.cli.check", "check"),
    "version": ("perdure.cli.version", "version"),
    "test-server": ("perdure.cli.test_server", "test_server"),
    "server": ("perdure.cli.start_dev", "server"),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.command(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: perdure up --db orders.db",
)
@click.version_option(__version__, "-v", "--version", prog_name="perdure")
def perdure() -> None:
    """Durable workflows on one file: a server for unchanged Temporal SDKs."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command. What Perdure refuses is one sentence on standard error and exit code 1."""
    try:
        result: Any = perdure.main(args, prog_name="perdure", standalone_mode=False)
    except PerdureError as error:
        sys.exit(fail(error.message))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(result if isinstance(result, int) else 0)


def fail(sentence: str) -> int:
    """Say what is wrong; the exit code."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {sentence}", err=True)
    return 1


def warn(sentence: str) -> None:
    click.echo(f"{click.style('Warning:', fg='yellow', bold=True)} {sentence}", err=True)

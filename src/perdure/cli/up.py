"""`perdure up`: the server, durable unless told otherwise."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from perdure import __version__
from perdure.cli import settings as sources
from perdure.cli import warn
from perdure.config import LOG_FORMATS, LOG_LEVELS, TRANSPORTS, Settings, address
from perdure.errors import StartupError


@click.command(epilog="Example: perdure up --db orders.db --namespace orders --port 7233")
@click.option("--db", metavar="PATH", help="The SQLite file to keep everything in. Default: in your data directory.")
@click.option("--memory", is_flag=True, help="Keep everything in memory; it is gone at the end.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on. Default: 127.0.0.1.")
@click.option("--port", "-p", metavar="PORT", help="Port to listen on; 0: any free one. Default: 7233.")
@click.option("--http-port", metavar="PORT", help="Port of the HTTP API; 0: any free one. Default: none is served.")
@click.option(
    "--links-keys-file", metavar="PATH", help="Serve links of approvals, signed with these keys. Default: none."
)
@click.option("--namespace", "-n", multiple=True, metavar="NAME", help="Namespace to have, besides `default`.")
@click.option("--search-attribute", multiple=True, metavar="NAME=TYPE", help="Search attribute to register.")
@click.option("--dynamic-config-value", multiple=True, metavar="KEY=VALUE", help="Temporal dynamic configuration.")
@click.option("--transport", metavar="NAME", help=f"How gRPC is served: {' or '.join(TRANSPORTS)}. Default: native.")
@click.option("--log-format", metavar="NAME", help=f"{' or '.join(LOG_FORMATS)}. Default: text.")
@click.option("--log-level", metavar="NAME", help=f"{', '.join(LOG_LEVELS)}. Default: info.")
@click.option("--execution-cache-bytes", metavar="N", help="Memory for executions not in use. Default: 32 MiB.")
@click.option("--max-request-bytes", metavar="N", help="Larger requests are refused. Default: 4 MiB.")
@click.option("--shutdown-grace-s", metavar="S", help="How long a stop waits for calls under way. Default: 5.")
@click.option("--config", metavar="FILE", help="TOML file with any of these settings.")
@click.option("--json", "as_json", is_flag=True, help="Announce readiness as one JSON line.")
def up(config: str | None, as_json: bool, **flags: object) -> None:
    """Start a server and serve until SIGTERM or Ctrl-C.

    Every setting can also come from the environment (PERDURE_DB, PERDURE_PORT, ...) or a TOML file; flags win over
    the environment, the environment over the file.
    """
    given = {name.replace("_", "-"): value for name, value in flags.items()}
    settings, warnings = sources.load(given, os.environ, config)
    for sentence in warnings:
        warn(sentence)
    if settings.db == sources.default_db_path():
        _make_directory(settings.db.parent)
    _serve(settings, as_json)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"Can't make {directory} ({error.strerror}): give a path with --db, or --memory.") from error


def _serve(settings: Settings, as_json: bool) -> None:
    from perdure.cli import logs
    from perdure.cli.serve import serve

    logs.configure(settings.log_format, settings.log_level)
    serve(settings, lambda port, http_port: click.echo(announcement(settings, port, as_json, http_port)))


def announcement(settings: Settings, port: int, as_json: bool, http_port: int | None = None) -> str:
    """What is printed once clients can connect."""
    db = None if settings.db is None else str(settings.db.absolute())
    if as_json:
        ready = {"event": "ready", "version": __version__, "host": settings.host, "port": port, "db": db}
        return json.dumps(ready | {"http_port": http_port, "pid": os.getpid()})
    where = f"data in {db}" if db else "data in memory, gone at the end"
    http = "" if http_port is None else f", with HTTP on port {http_port}"
    return f"Perdure {__version__} is ready on {address(settings.host, port)}{http}, {where}."

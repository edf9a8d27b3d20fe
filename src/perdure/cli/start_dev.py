"""`perdure server start-dev`: the arguments of the official CLI's dev server, for SDKs and scripts that pass them."""

from __future__ import annotations

import dataclasses
import json

import click

from perdure.cli import settings as sources
from perdure.cli import warn
from perdure.config import Settings, address

_LOG_FORMATS = {"pretty": "text"}
_LOCALHOST = "127.0.0.1"

_WITHOUT_MEANING = {
    "metrics_port": "--metrics-port: there are no metrics.",
    "ui_port": "--ui-port: there is no Web UI; point the official one at this server.",
    "ui_ip": "--ui-ip: there is no Web UI.",
    "ui_public_path": "--ui-public-path: there is no Web UI.",
    "ui_asset_path": "--ui-asset-path: there is no Web UI.",
    "ui_codec_endpoint": "--ui-codec-endpoint: there is no Web UI.",
    "sqlite_pragma": "--sqlite-pragma: the server sets its own pragmas, durability depends on them.",
}
"""What to say of a flag that is taken and does nothing."""


@click.group(epilog="Example: perdure server start-dev --headless")
def server() -> None:
    """Stand in for `temporal server`."""


def _ignored(*names: str, **attributes: object) -> click.Option:
    return click.Option(names, hidden=True, expose_value=False, **attributes)  # type: ignore[arg-type]


_OF_EVERY_TEMPORAL_COMMAND = [
    *(_ignored(f"--{name}") for name in ("env", "env-file", "config-file", "profile", "time-format", "color")),
    *(_ignored(f"--{name}") for name in ("command-timeout", "client-connect-timeout")),
    *(_ignored(f"--{name}", is_flag=True) for name in ("disable-config-file", "disable-config-env")),
    _ignored("--no-json-shorthand-payloads", is_flag=True),
    _ignored("--output", "-o"),
]
"""They are about the CLI as a client."""


@server.command("start-dev", epilog="Example: perdure server start-dev --port 7233 --db-filename dev.db")
@click.option("--db-filename", "-f", metavar="PATH", help="SQLite file. Default: in memory.")
@click.option("--namespace", "-n", multiple=True, metavar="NAME", help="Namespace to create, besides `default`.")
@click.option("--port", "-p", default="7233", show_default=True, metavar="PORT", help="Port to listen on.")
@click.option("--ip", default="localhost", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--dynamic-config-value", multiple=True, metavar="KEY=JSON", help="Dynamic configuration.")
@click.option("--search-attribute", multiple=True, metavar="NAME=TYPE", help="Search attribute to register.")
@click.option("--log-level", default="warn", show_default=True, help="debug, info, warn, error or never.")
@click.option("--log-format", default="text", show_default=True, help="text or json.")
@click.option("--log-config", is_flag=True, help="Print the settings to standard error.")
@click.option("--headless", is_flag=True, expose_value=False, help="Without a Web UI (there is none).")
@click.option("--http-port", metavar="PORT", help="Port of the HTTP API. Default: none is served.")
@click.option("--metrics-port", metavar="PORT", help="Taken and ignored.")
@click.option("--ui-port", metavar="PORT", help="Taken and ignored.")
@click.option("--ui-ip", metavar="ADDRESS", help="Taken and ignored.")
@click.option("--ui-public-path", metavar="PATH", help="Taken and ignored.")
@click.option("--ui-asset-path", metavar="PATH", help="Taken and ignored.")
@click.option("--ui-codec-endpoint", metavar="URL", help="Taken and ignored.")
@click.option("--sqlite-pragma", multiple=True, metavar="PRAGMA=VALUE", help="Taken and ignored.")
def start_dev(log_config: bool, **flags: object) -> None:
    """Start a server as `temporal server start-dev` does: in memory unless a file is named.

    Settings come from the flags alone, so that a test suite gets the same server everywhere.
    """
    settings, warnings = to_settings(flags)
    for sentence in warnings:
        warn(sentence)
    if log_config:
        click.echo(json.dumps(dataclasses.asdict(settings), indent=2, default=str), err=True)
    _serve(settings)


start_dev.params.extend(_OF_EVERY_TEMPORAL_COMMAND)


def to_settings(flags: dict[str, object]) -> tuple[Settings, list[str]]:
    """The dev server's flags, by parameter name -> settings, and sentences to warn with."""
    warnings = [sentence for name, sentence in _WITHOUT_MEANING.items() if flags.get(name)]
    ip, log_format = str(flags["ip"]), str(flags["log_format"])
    given = {
        "db": flags["db_filename"],
        "memory": not flags["db_filename"],
        "host": _LOCALHOST if ip == "localhost" else ip,
        "port": flags["port"],
        "http-port": flags["http_port"],
        "namespace": flags["namespace"],
        "dynamic-config-value": flags["dynamic_config_value"],
        "search-attribute": flags["search_attribute"],
        "log-level": flags["log_level"],
        "log-format": _LOG_FORMATS.get(log_format, log_format),
    }
    settings, others = sources.load(given)
    return settings, warnings + others


def _serve(settings: Settings) -> None:
    from perdure.cli import logs
    from perdure.cli.serve import serve

    logs.configure(settings.log_format, settings.log_level)
    friendly = "localhost" if settings.host == _LOCALHOST else settings.host
    serve(settings, lambda port, http_port: click.echo(f"{'Server:':8} {address(friendly, port)}"))

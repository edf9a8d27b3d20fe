"""`perdure test-server` and `perdure-test-server`: a server for tests, in memory, whose time skips."""

from __future__ import annotations

from typing import NoReturn

import click

from perdure import values
from perdure.config import LOG_LEVELS, Settings, Skipping


@click.command("test-server", epilog="Example: perdure test-server 7233 --enable-time-skipping")
@click.argument("port")
@click.option("--enable-time-skipping", is_flag=True, help="Skip from the start. Default: once a client unlocks it.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--namespace", "-n", multiple=True, metavar="NAME", help="Namespace to have, besides `default`.")
@click.option(
    "--skips",
    default="100000",
    show_default=True,
    envvar="PERDURE_SKIPS",
    metavar="NUMBER",
    help="How often time may skip for each workflow or update that a client waits for.",
)
@click.option("--log-level", default="warn", show_default=True, type=click.Choice(LOG_LEVELS), help="What to log.")
@click.option("--json", "as_json", is_flag=True, help="Announce readiness as one JSON line.")
def test_server(
    port: str,
    enable_time_skipping: bool,
    host: str,
    namespace: tuple[str, ...],
    skips: str,
    log_level: str,
    as_json: bool,
) -> None:
    """Serve tests on PORT (0: any free one), with a clock for each namespace that jumps to the next deadline.

    It stands in for the test server that SDKs download: give its path to them, as in
    WorkflowEnvironment.start_time_skipping(test_server_existing_path=...).
    """
    from perdure.cli import logs
    from perdure.cli.serve import serve
    from perdure.cli.up import announcement

    settings = Settings(
        host=host,
        port=values.port(values.scalar(port), "PORT"),
        namespaces=namespace,
        log_level=log_level,
        skips=values.integer(values.scalar(skips), "--skips"),
        skipping=Skipping.UNLOCKED if enable_time_skipping else Skipping.LOCKED,
    )
    logs.configure(settings.log_format, settings.log_level)
    serve(settings, lambda port, http_port: click.echo(announcement(settings, port, as_json, http_port)))


test_server.__test__ = False  # type: ignore[attr-defined]  # not for pytest


def main() -> NoReturn:
    """`perdure-test-server`, since SDKs pass no subcommand."""
    import sys

    from perdure.cli import main as perdure

    perdure(["test-server", *sys.argv[1:]])

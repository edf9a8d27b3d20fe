"""`perdure openapi`: what the HTTP API is, for tools that make clients."""

from __future__ import annotations

import click


@click.command(epilog="Example: perdure openapi > temporal.yaml")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of YAML.")
def openapi(as_json: bool) -> None:
    """Print the OpenAPI document of the HTTP API."""
    from perdure.rpc.http import openapi as document

    click.echo(document.as_json() if as_json else document.as_yaml(), nl=False)

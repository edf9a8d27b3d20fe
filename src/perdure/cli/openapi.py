"""`perdure openapi`: what the HTTP API is, for tools that make clients."""

from __future__ import annotations

import click


@click.command(epilog="Example: perdure openapi --json")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of YAML.")
def openapi(as_json: bool) -> None:
    """Print the OpenAPI document of the HTTP API."""
    from perdure.rpc.http.openapi import as_json as json_text
    from perdure.rpc.http.openapi import as_yaml

    click.echo(json_text() if as_json else as_yaml(), nl=False)

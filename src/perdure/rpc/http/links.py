"""Where the links of approvals and callbacks are served: `perdure.patterns.links` over a client of this very server."""

from __future__ import annotations

from pathlib import Path

from temporalio.client import Client

from perdure.config import address
from perdure.errors import StartupError
from perdure.patterns.links import Links, read_keys

PREFIX = "/perdure/links"
"""Where on the port; the `base_url` of a `Signer` ends with it."""
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Addresses to listen on that nobody can connect to -> which to use."""


async def links_app(keys_file: Path, host: str, port: int) -> Links:
    """For all namespaces of the server that listens there for gRPC. Raises `StartupError` for bad keys."""
    try:
        keys = read_keys(keys_file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise StartupError(f"Can't read the keys of links in {keys_file}: {reason}.") from error
    except ValueError as error:
        raise StartupError(f"The keys of links in {keys_file}: {error}.") from error
    name = _ANY.get(host, host)
    service = (await Client.connect(address(name, port), lazy=True)).service_client
    return Links(lambda namespace: Client(service, namespace=namespace), keys=keys)

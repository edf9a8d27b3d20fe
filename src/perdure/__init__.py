"""Perdure: durable workflows in one process, over Temporal's own protocol.

Importing this package is cheap on purpose: the SDK's workflow sandbox imports it again for each workflow.
`Server` is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.server import Server as Server

__version__ = "0.1.0"
__all__ = ["Server", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Server":
        from perdure.server import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Listening on TCP, with what to do where that fails."""

from __future__ import annotations

import errno
import socket
from typing import Any

from perdure.config import address
from perdure.errors import StartupError

BACKLOG = 2048
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen(host: str, port: int, option: str = "port") -> list[socket.socket]:
    """Sockets on every address that `host` means, all on one port (a free one if it is 0).

    `option` is the setting that names the port. Raises `StartupError` with a sentence that says what to do.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        why = "that name has no address: give an address of this machine as host"
        raise StartupError(f"Can't listen on {address(host, port)}, {why}.") from error
    targets = list(dict.fromkeys((family, target) for family, _, _, _, target in found))
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    for family, target in targets:
        try:
            listeners.append(_listener(family, target, listeners, alone=len(targets) == 1))
        except OSError as error:
            if error.errno in NOT_HERE:  # a name may have addresses of a kind that this machine lacks
                missing = error
                continue
            for listener in listeners:
                listener.close()
            raise _refusal(error, host, port, option) from error
    if missing is not None and not listeners:
        raise _refusal(missing, host, port, option) from missing
    return listeners


def _listener(family: int, target: Any, others: list[socket.socket], *, alone: bool) -> socket.socket:
    # asyncio turns delays of small writes off only where the protocol is named, and each costs its client 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not alone:  # alone, `::` takes IPv4, too
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        port = others[0].getsockname()[1] if others else target[1]
        listener.bind((target[0], port, *target[2:]))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _refusal(error: OSError, host: str, port: int, option: str) -> StartupError:
    return StartupError(f"Can't listen on {address(host, port)}{_why(error, port, option)}.")


def _why(error: OSError, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        who = f"`ss -ltnp 'sport = :{port}'` or `lsof -i :{port}` shows which"
        return f", another program has the port: stop it ({who}) or give another {option}, or 0 for any free one"
    if error.errno in NOT_HERE:
        return ", no interface of this machine has that address: give another host"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f", that takes more rights than this user has: give a higher {option}, or 0 for any free one"
    return f": {error.strerror or error}"

"""The Perdure server that the scenarios talk to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def perdure() -> Iterator[str]:
    """The address of a server: the one that PERDURE=host:port names, else one started for the occasion, in memory."""
    if address := os.environ.get("PERDURE"):
        yield address
        return
    port = _free_port()
    command = [sys.executable, "-m", "perdure.cli", "up", "--memory", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

"""The Perdure server that the scenarios talk to."""

from __future__ import annotations

import json
import os
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
    command = [sys.executable, "-m", "perdure.cli", "up", "--memory", "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        finally:
            process.terminate()

"""Server and worker processes that can be killed and started again: for the examples, the benchmarks and the tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

ROOT = Path(__file__).parent.parent
PERDURE_UP = f"{shlex.quote(sys.executable)} -m perdure.cli up --db {{db}} --port {{port}}"
PORTS = range(20_000, 30_000)
READY_WITHIN_S = 30.0
LOG_LINES_SHOWN = 15
MB = 1_000_000
# What a call may end with when the server dies under it, or is not there.
NOBODY_THERE = {
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.UNKNOWN,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.DEADLINE_EXCEEDED,
}
T = TypeVar("T")


class ProcessDied(Exception):
    """A process ended although nobody stopped it; the message has the end of its output."""


class Process:
    """A child process with its output in a file. `start` and `kill` may alternate as often as one likes."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the id of the process that runs now."""
        assert self._popen is not None, f"{self.name} is not running"
        return self._popen.pid

    @property
    def cpu_s(self) -> float:
        """Return the CPU time the process has used, user and system together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def rss_mb(self) -> float:
        """Return the memory the process holds now, in 10^6 bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB

    def start(self) -> None:
        """Start the process, with this checkout importable."""
        assert self._popen is None, f"{self.name} runs already"
        path = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": path},
            )

    @property
    def exit_code(self) -> int | None:
        """Return what the process ended with by itself, None while it runs."""
        return None if self._popen is None else self._popen.poll()

    def check(self) -> None:
        """Raise `ProcessDied` if the process ended by itself."""
        if self.exit_code is not None:
            tail = self.log.read_text(errors="replace").strip().splitlines()[-LOG_LINES_SHOWN:]
            what = f"the {self.name} ended with code {self.exit_code}: {shlex.join(self.command)}"
            raise ProcessDied("\n  ".join([what, *tail]))

    def kill(self) -> None:
        """End the process with SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the process to end (SIGTERM); kill it if it takes longer than ten seconds."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._popen is None:
            return
        self._popen.send_signal(number)
        try:
            self._popen.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen = None


class ServerProcess(Process):
    """A server on a file. `command` is a shell-like line in which {db}, {host} and {port} are filled in.

    The port stays the same over restarts, so that clients find the server again.
    """

    def __init__(self, db: Path, log: Path, command: str = PERDURE_UP) -> None:
        self.db = db
        self.host, self.port = "127.0.0.1", free_port()
        words = shlex.split(command)
        super().__init__("server", [w.format(db=db, host=self.host, port=self.port) for w in words], log)

    @property
    def address(self) -> str:
        """Return host:port."""
        return f"{self.host}:{self.port}"

    async def start_and_wait(self) -> float:
        """Start the server, wait until it answers, and return how long that took in seconds."""
        began = time.monotonic()
        self.start()
        await answering(self.address, self)
        return time.monotonic() - began


async def answering(address: str, server: Process | None = None) -> Client:
    """Wait until the server at `address` answers for the namespace `default`, and return a client of it."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            client = await Client.connect(address)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
            return client
        except (RuntimeError, RPCError) as error:
            if server is not None:
                server.check()
            if time.monotonic() > deadline:
                raise ProcessDied(f"no server answers at {address}: {error}") from error
            await asyncio.sleep(0.02)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call, and make it again until somebody answers it. It has to be one that may be repeated."""
    while True:
        try:
            return await call()
        except RPCError as error:
            if error.status not in NOBODY_THERE:
                raise
            await asyncio.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on, of those that systems give to nobody who has not asked for that very one.

    So it is still free when a server binds it, and while a server that was killed is away.
    """
    while True:
        port = PORTS[secrets.randbelow(len(PORTS))]
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            return port

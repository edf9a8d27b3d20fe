"""A PostgreSQL cluster of a test's own: temporary, on a socket in its folder, without syncing to disk."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

USERS = ("postgres", "nobody")
"""It does not run as root."""


def program(name: str) -> str:
    """Where it is; in the sweep it is installed if it is missing, else the test is skipped."""
    found = _find(name)
    if found is None and os.environ.get("PERDURE_SWEEP") and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-y", "-q", "postgresql"], check=True)
        found = _find(name)
    if found is None:
        pytest.skip(f"{name} of PostgreSQL is not installed: apt-get install postgresql")
    return found


def _find(name: str) -> str | None:
    debian = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return shutil.which(name) or next(iter(debian[::-1]), None)


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The address for SQLAlchemy of a new cluster, which is gone in the end."""
    initdb, server = program("initdb"), program("postgres")
    folder = Path(tempfile.mkdtemp(prefix="perdure-pg-"))
    user = _user() if os.geteuid() == 0 else None
    data = folder / "data"
    process = None
    try:
        if user is not None:
            shutil.chown(folder, user)
        options = {"user": user, "cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        made = subprocess.run([initdb, "-D", data, "-U", "perdure", "-A", "trust", "-N"], **options)
        assert made.returncode == 0, made.stdout.decode()
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        process = subprocess.Popen([server, "-D", data, *settings], **options)
        for line in process.stdout:
            if b"ready to accept connections" in line:
                break
        assert process.poll() is None, "PostgreSQL did not start"
        yield f"postgresql+psycopg://perdure@/postgres?host={folder}"
    finally:
        if process is not None:
            process.terminate()
            process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str:
    import pwd

    return next(name for name in USERS if name in {each.pw_name for each in pwd.getpwall()})

"""One server a database file: a lock on a side file, which the operating system drops with the process.

The lock is not on the database itself: SQLite's own locks are there, and other programs may read the file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from perdure.errors import StartupError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> None:
        # Behind the content, which others can then still read.
        os.lseek(fd, 1024, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        os.lseek(fd, 0, os.SEEK_SET)
else:
    import fcntl

    def _try_lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held from construction to `release`. Raises `StartupError` when another server has it, OSError otherwise."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        while not self._acquire(database):
            pass

    def _acquire(self, database: Path) -> bool:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _try_lock(fd)
        except (BlockingIOError, PermissionError) as error:
            holder = os.read(fd, 20).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise StartupError(
                f"Another server (process {holder}) is using {database}: stop it, or give this one a file of its own."
            ) from error
        if not self._is_still_there(fd):
            # The holder before us removed the file between our open and our lock.
            os.close(fd)
            return False
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
        self._fd = fd
        return True

    def _is_still_there(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(fd))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        if sys.platform == "win32":  # an open file can't be removed there
            os.close(self._fd)
            self.path.unlink(missing_ok=True)
        else:
            self.path.unlink(missing_ok=True)
            os.close(self._fd)

"""A directory for the sockets behind the gate, for this user alone, that does not outlive its owner for long.

They stand together in one directory of the user, each with a lock on it that ends with its process, however that ends.
Whoever makes one removes those whose lock is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from typing import Final

TRIES: Final = 100
"""Others may remove what is not locked yet: then again."""

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class SocketDirectory:
    """Made at once; `close` removes it."""

    def __init__(self) -> None:
        self._parent = os.path.join(tempfile.gettempdir(), f"perdure-{os.getuid()}")
        self._lock: int | None = None
        try:
            self.path = self._make()
        except OSError:  # something else has the name, or locks are not to be had here
            self.path = tempfile.mkdtemp(prefix="perdure-")

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is None:
            return
        os.close(self._lock)
        self._lock = None
        with contextlib.suppress(OSError):  # it has others
            os.rmdir(self._parent)

    def _make(self) -> str:
        for _ in range(TRIES):
            try:
                self._clean()
                path = tempfile.mkdtemp(prefix="", dir=self._parent)
                lock = os.open(path, _OPEN)
            except FileNotFoundError:
                continue
            try:
                if _take(lock) and _is_at(lock, path):
                    self._lock = lock
                    return path
            except OSError:
                os.rmdir(path)
                raise
            finally:
                if self._lock is None:
                    os.close(lock)
        raise OSError("others remove what is made")

    def _clean(self) -> None:
        """Have the parent, and in it only what has an owner. Raises `OSError` if others could have made the parent."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._parent, 0o700)
        parent = os.open(self._parent, _OPEN)
        try:
            found = os.fstat(parent)
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise PermissionError(f"{self._parent} is open to others")
            for name in os.listdir(parent):
                _remove_if_left(name, parent)
        finally:
            os.close(parent)


def _remove_if_left(name: str, parent: int) -> None:
    try:
        lock = os.open(name, _OPEN, dir_fd=parent)
    except OSError:
        return
    try:
        if _take(lock):
            shutil.rmtree(name, ignore_errors=True, dir_fd=parent)
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(opened: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), os.stat(path))
    except FileNotFoundError:
        return False

"""A disk that fails or loses its power, as a SQLite file layer.

SQLite sees what it wrote at once, as with a page cache. Beside that, the disk keeps for each file what was synced and
the writes since then. `survivors` makes of these what a machine might find after a power cut: unsynced writes are
dropped, torn or kept in any combination of sectors, which is also what reordering looks like.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR_BYTES = 512
_names = itertools.count(1)


@dataclass(slots=True)
class Write:
    offset: int
    data: bytes


@dataclass(slots=True)
class Truncate:
    size: int


@dataclass(slots=True)
class Platter:
    """One file: what is synced (None: not even its name), and what is not."""

    synced: bytearray | None = None
    unsynced: list[Write | Truncate] = field(default_factory=list)

    def sync(self) -> None:
        self.synced = self.synced if self.synced is not None else bytearray()
        for operation in self.unsynced:
            apply(self.synced, operation)
        self.unsynced = []


class Disk(apsw.VFS):
    """Register with the name `self.name`, to open files with; `close` takes it away.

    `fault(operation, file)` is asked before each write, sync, truncate, delete and creation, and may raise.
    `power_off_after` is the number of those operations that still work.
    """

    def __init__(self, power_off_after: int | None = None, *, safe_overwrite: bool = True) -> None:
        self.name = f"disk-{next(_names)}"
        self.platters: dict[str, Platter] = {}
        self.removed: dict[str, Platter] = {}
        self.power_off_after = power_off_after
        self.is_off = False
        self.operations = 0
        self.fault: Callable[[str, str], None] = lambda operation, file: None
        self.characteristics = apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE if safe_overwrite else 0
        super().__init__(self.name, "")

    def load(self, directory: Path) -> None:
        """Take over the files of a directory as synced."""
        for path in directory.iterdir():
            self.platters[str(path)] = Platter(bytearray(path.read_bytes()))

    def close(self) -> None:
        self.unregister()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            return apsw.VFSFile("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path not in self.platters:
            self.operation("create", path)
            self.platters[path] = Platter()
        return File(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.operation("delete", filename)
        super().xDelete(filename, syncdir)
        platter = self.platters.pop(filename)
        if not syncdir:
            self.removed[filename] = platter

    def excepthook(self, *error: object) -> bool:
        """Errors within SQLite's own clean-up, which it ignores: nothing to print."""
        return True

    def operation(self, operation: str, file: str) -> None:
        """Count an operation; raises when it doesn't take place."""
        self.operations += 1
        if self.power_off_after is not None and self.operations > self.power_off_after:
            self.is_off = True
        if self.is_off:
            raise apsw.IOError("the power is off")
        self.fault(operation, file)

    def survivors(self, rng: random.Random, target: Path) -> None:
        """Write to `target` what might be left of the files."""
        for path, platter in self.removed.items():
            if path not in self.platters and platter.synced is not None and rng.random() < 0.5:
                (target / Path(path).name).write_bytes(platter.synced)
        for path, platter in self.platters.items():
            if platter.synced is None and rng.random() < 0.5:
                continue
            image = bytearray(platter.synced or b"")
            for operation in surviving(platter.unsynced, rng):
                apply(image, operation)
            (target / Path(path).name).write_bytes(image)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, path: str, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._disk = disk
        self._path = path
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        platter = self._disk.platters[self._path]
        if not self._disk.is_off:
            # The write at which the power goes may leave its traces, too.
            platter.unsynced.append(Write(offset, bytes(data)))
        self._disk.operation("write", self._path)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.operation("truncate", self._path)
        super().xTruncate(newsize)
        self._disk.platters[self._path].unsynced.append(Truncate(newsize))

    def xSync(self, flags: int) -> None:
        self._disk.operation("sync", self._path)
        self._disk.platters[self._path].sync()

    def excepthook(self, *error: object) -> bool:
        return True

    def xDeviceCharacteristics(self) -> int:
        return self._disk.characteristics

    def xSectorSize(self) -> int:
        return SECTOR_BYTES


def surviving(operations: list[Write | Truncate], rng: random.Random) -> list[Write | Truncate]:
    """What is left of unsynced operations: nothing, all, a beginning with a torn end, or any sectors."""
    way = rng.choice(("none", "all", "beginning", "sectors"))
    if way == "none":
        return []
    if way == "all":
        return operations
    if way == "beginning":
        kept = operations[: rng.randint(0, len(operations))]
        if kept and isinstance(kept[-1], Write):
            kept[-1] = Write(kept[-1].offset, kept[-1].data[: rng.randint(0, len(kept[-1].data))])
        return kept
    share = rng.choice((0.1, 0.5, 0.9))
    pieces = [piece for operation in operations for piece in sectors(operation)]
    return [piece for piece in pieces if rng.random() < share]


def sectors(operation: Write | Truncate) -> list[Write | Truncate]:
    if isinstance(operation, Truncate):
        return [operation]
    pieces: list[Write | Truncate] = []
    start = 0
    while start < len(operation.data):
        end = start + SECTOR_BYTES - (operation.offset + start) % SECTOR_BYTES
        pieces.append(Write(operation.offset + start, operation.data[start:end]))
        start = end
    return pieces


def apply(image: bytearray, operation: Write | Truncate) -> None:
    if isinstance(operation, Truncate):
        del image[operation.size :]
        return
    missing = operation.offset - len(image)
    if missing > 0:
        image.extend(bytes(missing))
    image[operation.offset : operation.offset + len(operation.data)] = operation.data

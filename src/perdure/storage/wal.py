"""Telling a damaged write-ahead log from one that a power cut left unfinished.

SQLite reads the log up to the first frame that is not intact and ignores the rest, silently. After a power cut that is
right: what is ignored is the one transaction that was not yet synced. But when a frame of an older transaction has
rotted, later ones go with it, and they had been acknowledged.

The difference can be seen. Each frame carries a checksum that continues from the one before, and a transaction is
written only after the one before it was synced. So when, behind the first broken frame, a transaction ends and intact
frames follow in the same chain, then the broken one was complete once.

And telling that a log is missing: the index of a log (`-shm`) counts its frames and those that are in the database.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC_LITTLE, _MAGIC_BIG = 0x377F0682, 0x377F0683
_INDEX = struct.Struct("=I8xBx2xI28x")
_INDEX_VERSION = 3007000
_COPIED_AT = 2 * _INDEX.size
_CHECKSUM_LIMIT_FRAMES = 4000
"""A tail longer than this is not looked through: checksums in Python take 0.1 ms a frame, and a start must not."""

_Checksum = tuple[int, int]


class _Header(NamedTuple):
    order: str  # of the integers that are summed: "<" or ">"
    page_bytes: int
    salts: tuple[int, int]
    checksum: _Checksum


class _Frame(NamedTuple):
    page: int
    commits: bool
    salts: tuple[int, int]
    checksum: _Checksum
    summed: bytes


def damaged_at(log: Path, valid_frames: int) -> int | None:
    """The offset in bytes at which acknowledged transactions are lost; None when there is no sign of that.

    `valid_frames` is how many frames SQLite found intact and committed.
    """
    with log.open("rb") as stream:
        header = _read_header(stream)
        if header is None:
            # The header is synced before the first frame is written, so frames without one mean damage.
            has_frames = log.stat().st_size > _HEADER.size + _FRAME.size
            return 0 if has_frames and not _is_restart(log) else None
        frame_bytes = _FRAME.size + header.page_bytes
        broken = _lost_frame(header, _frames(stream, header, valid_frames), valid_frames)
    return None if broken is None else _HEADER.size + broken * frame_bytes


def had_more(index: Path) -> bool:
    """Whether a log had frames that are not in the database, by what its index says; False as well without one.

    The index is memory that processes share, in the byte order of the machine. It outlives a process that is killed,
    but no power cut.
    """
    try:
        with index.open("rb") as stream:
            data = stream.read(_COPIED_AT + 4)
    except FileNotFoundError:
        return False
    if len(data) < _COPIED_AT + 4 or data[: _INDEX.size] != data[_INDEX.size : _COPIED_AT]:
        return False
    version, is_set, frames = _INDEX.unpack_from(data)
    return version == _INDEX_VERSION and is_set == 1 and bool(frames > int.from_bytes(data[_COPIED_AT:], sys.byteorder))


def pages_in(log: Path, valid_frames: int) -> set[int]:
    """Numbers of the pages of which the log holds a version."""
    with log.open("rb") as stream:
        header = _read_header(stream)
        if header is None:
            return set()
        pages = set()
        for index in range(valid_frames):
            stream.seek(_HEADER.size + index * (_FRAME.size + header.page_bytes))
            pages.add(int.from_bytes(stream.read(4), "big"))
    return pages


def _lost_frame(header: _Header, frames: Iterator[_Frame], first: int) -> int | None:
    previous = next(frames) if first else None
    broken: int | None = None
    has_ended = False
    for index, frame in enumerate(frames, first):
        if index > first + _CHECKSUM_LIMIT_FRAMES:
            return None
        intact = _is_intact(header, frame, previous)
        # On some disks SQLite fills the sector behind a commit with a copy of its last frame, not all of it synced.
        is_filling = frame.commits and previous is not None and previous.commits and frame.page == previous.page
        if intact and has_ended and not is_filling:
            return broken
        if not intact:
            broken = index if broken is None else broken
            has_ended = False
        if broken is not None and frame.commits and frame.salts == header.salts and not is_filling:
            has_ended = True
        previous = frame
    return None


def _is_intact(header: _Header, frame: _Frame, previous: _Frame | None) -> bool:
    start = header.checksum if previous is None else previous.checksum
    return frame.salts == header.salts and _sum(header.order, frame.summed, start) == frame.checksum


def _read_header(stream: BinaryIO) -> _Header | None:
    data = stream.read(_HEADER.size)
    return _header(data) if len(data) == _HEADER.size else None


def _header(data: bytes) -> _Header | None:
    magic, _version, page_bytes, _sequence, salt1, salt2, sum1, sum2 = _HEADER.unpack(data)
    if magic not in (_MAGIC_LITTLE, _MAGIC_BIG):
        return None
    order = "<" if magic == _MAGIC_LITTLE else ">"
    if _sum(order, data[:24], (0, 0)) != (sum1, sum2):
        return None
    return _Header(order, page_bytes, (salt1, salt2), (sum1, sum2))


def _is_restart(log: Path) -> bool:
    """Whether the power went while a new header was written over an old log, all of which was in the database.

    A new header has a sequence number and a first salt that are one higher.
    """
    with log.open("rb") as stream:
        fields = list(_HEADER.unpack(stream.read(_HEADER.size)))
        old_salt1 = _FRAME.unpack(stream.read(_FRAME.size))[2]
    if fields[4] == (old_salt1 + 1) & 0xFFFFFFFF:
        return True
    fields[3] = (fields[3] - 1) & 0xFFFFFFFF
    return _header(_HEADER.pack(*fields)) is not None


def _frames(stream: BinaryIO, header: _Header, valid_frames: int) -> Iterator[_Frame]:
    """The last valid frame, if there is one, and all behind it."""
    frame_bytes = _FRAME.size + header.page_bytes
    stream.seek(_HEADER.size + max(valid_frames - 1, 0) * frame_bytes)
    while len(data := stream.read(frame_bytes)) == frame_bytes:
        page, size, salt1, salt2, sum1, sum2 = _FRAME.unpack_from(data)
        yield _Frame(page, size > 0, (salt1, salt2), (sum1, sum2), data[:8] + data[_FRAME.size :])


def _sum(order: str, data: bytes, start: _Checksum) -> _Checksum:
    first, second = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second

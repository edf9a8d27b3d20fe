"""Opening a database file: is it ours, is it whole, is it new enough; and bringing its schema up to date.

Whatever stands in the way becomes a `StartupError`, one sentence that says what to do.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from perdure.errors import DamagedFile, StartupError
from perdure.storage import wal
from perdure.storage.lock import FileLock
from perdure.storage.queries import Migration, migrations

APPLICATION_ID = 0x50524452
"""'PRDR', in the header of each of our files (`PRAGMA application_id`)."""

SCHEMA_VERSION = len(migrations())
PAGE_SIZE_BYTES = 4096
BUSY_TIMEOUT_MS = 2000
WAL_KEEP_BYTES = 32 * 1024 * 1024
ROOM_BYTES = 256 * 1024
"""With less on the disk SQLite can't work, and does not always say why: an index of the log alone takes 32 KiB."""

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_PAGE_COUNT_AT = 28
_ID_AT = 68


def connect(location: str, vfs: str | None = None, *, read_only: bool = False) -> apsw.Connection:
    """A connection with our settings. `location` is a path or, for an in-memory database, a `file:` URI."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(location, flags=flags | apsw.SQLITE_OPEN_URI, vfs=vfs, statementcachesize=100)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # Freed pages are used again by later rows, so the file stays as large as it was at its fullest. Auto-vacuum would
    # give them back at the price of moving pages in ordinary commits; `VACUUM` does it when it is wanted.
    for pragma in (
        "synchronous = FULL",
        "temp_store = MEMORY",
        "cache_size = -8192",
        f"journal_size_limit = {WAL_KEEP_BYTES}",
        "wal_autocheckpoint = 0",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """What is inside becomes durable together, or, when it raises, not at all."""
    if connection.in_transaction:
        # An earlier rollback failed with the disk.
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some errors, a full disk among them.
        if connection.in_transaction:
            with suppress(apsw.Error):
                connection.execute("ROLLBACK")
        raise


def open_database(file: Path, vfs: str | None = None) -> tuple[FileLock, apsw.Connection]:
    """Lock, check and migrate the file, which is created if need be; the connection is the one to write with."""
    with startup_errors(file):
        _check_place(file)
        _check_names(file)
        lock = FileLock(file)
        try:
            _check_log_is_there(file)
            connection = _open_to_write(file, vfs)
        except BaseException:
            lock.release()
            raise
    return lock, connection


def _open_to_write(file: Path, vfs: str | None) -> apsw.Connection:
    connection = connect(str(file), vfs)
    try:
        if connection.readonly("main"):
            raise StartupError(_no_access(file, "it is read-only"))
        # A log that we refuse must stay as it is, and the last connection to close would clear it.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # The switch to WAL is made with a rollback journal. If that came back after a power cut, because its removal
        # was not synced, SQLite would undo the switch and with it forget the log; EXTRA syncs the removal.
        connection.execute("PRAGMA synchronous = EXTRA")
        if _is_new(connection):
            _create(connection)
        else:
            _check_content(connection, file)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, file)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(file: Path) -> apsw.Connection:
    """A read-only connection to a file that passes the checks of `open_database`, in use by a server or not."""
    if file.is_dir():
        raise StartupError(f"{file} is a directory: give the path of the database file in it.")
    if not file.exists():
        raise StartupError(f"There is no file {file}: give the path of a database file.")
    _check_names(file)
    _check_log_is_there(file)
    # Where there is no log, a plain read-only connection would leave an empty one behind.
    is_in_use = _has_log(file) or (_wal_of(file).exists() and _index_of(file).exists())
    location = str(file) if is_in_use else f"{file.as_uri()}?immutable=1"
    try:
        return _open_to_read(file, location)
    except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
        if not _has_log(file):
            raise
        raise StartupError(
            f"The write-ahead log of {file} can't be read where it is ({error}), since SQLite needs to write an index "
            "beside it: copy the file and its -wal to a directory that can be written, and look at the copy."
        ) from error


def _open_to_read(file: Path, location: str) -> apsw.Connection:
    connection = connect(location, read_only=True)
    try:
        if _is_new(connection):
            raise StartupError(f"{file} is empty: there is nothing to look at.")
        _check_content(connection, file)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: apsw.Connection, file: Path | None) -> None:
    """Apply the missing migrations, each in a transaction of its own, after a copy of a file that holds data."""
    version = _pragma(connection, "user_version")
    missing = [migration for migration in migrations() if migration.version > version]
    if missing and version and file is not None:
        back_up(connection, file.with_name(f"{file.name}.schema-{version}.backup"))
    for migration in missing:
        with transaction(connection):
            _apply(connection, migration)


def _apply(connection: apsw.Connection, migration: Migration) -> None:
    connection.execute(migration.script).fetchall()
    connection.execute(f"PRAGMA user_version = {migration.version}")


def back_up(connection: apsw.Connection, target: Path) -> None:
    """Copy the database to `target`, which appears only when the copy is whole."""
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    copy = apsw.Connection(str(partial))
    try:
        with copy.backup("main", connection, "main") as backup:
            backup.step()
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
    partial.replace(target)


@contextmanager
def startup_errors(file: Path, *, reading: bool = False) -> Iterator[None]:
    """Turn what SQLite and the operating system say into what a person can act on."""
    try:
        yield
    except (apsw.FullError, apsw.IOError, OSError) as error:
        if _is_full(file, error):
            raise StartupError(f"There is no room left on the disk of {file}: free some, then try again.") from error
        if isinstance(error, apsw.IOError):
            raise StartupError(f"The disk of {file} does not work ({error}): check it, then try again.") from error
        raise StartupError(_no_access(file, error, reading)) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError) as error:
        raise StartupError(_no_access(file, error, reading)) from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise _what_is_damaged(file, error, reading) from error
    except apsw.BusyError as error:
        raise StartupError(
            f"Another program holds the database {file} locked: close it there, then try again."
        ) from error


def _is_full(file: Path, error: Exception) -> bool:
    if isinstance(error, apsw.FullError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    if not isinstance(error, apsw.IOError):
        return False
    try:
        return shutil.disk_usage(file.parent).free < ROOM_BYTES
    except OSError:
        return False


def _no_access(file: Path, reason: object, reading: bool = False) -> str:
    if reading:
        return f"The database {file} can't be read ({reason}): check the rights on the file and its directory."
    return (
        f"The database {file} can't be opened for writing ({reason}): "
        "check the rights on the file and its directory, or give another path."
    )


def _check_place(file: Path) -> None:
    if not file.parent.is_dir():
        raise StartupError(f"The directory {file.parent} does not exist: create it, or give another path.")
    if file.exists() and not file.is_file():
        raise StartupError(f"{file} is not a file: give the path of a file.")


def _check_names(file: Path) -> None:
    """Refuse a file with several names. Lock and log stand beside one of them: under another, nobody finds them."""
    if file.exists() and (names := file.stat().st_nlink) > 1:
        raise StartupError(
            f"The database {file} has {names} names (hard links), and a server that uses another one would not be "
            "noticed, nor a write-ahead log beside it: remove the other names, or make a copy and use that."
        )


def _check_log_is_there(file: Path) -> None:
    """Refuse a file whose log somebody took away: the index that a killed server leaves tells what was in it.

    Whoever closes the database cleanly removes both, the index first.
    """
    if not _wal_of(file).exists() and wal.had_more(_index_of(file)) and not _wal_of(file).exists():
        raise DamagedFile(
            f"The write-ahead log {_wal_of(file)} is missing, and with it acknowledged changes: put it back beside the "
            f"database, or restore a backup, or, to go on without those changes, remove {_index_of(file)}."
        )


def _is_new(connection: apsw.Connection) -> bool:
    # Not by the size of the file: after a power cut at its creation, SQLite first takes back what was half written.
    return _pragma(connection, "page_count") == 0


def _has_log(file: Path) -> bool:
    return _wal_of(file).exists() and _wal_of(file).stat().st_size > 0


def _what_is_damaged(file: Path, error: Exception, reading: bool) -> StartupError:
    """A look at a file that SQLite has given up."""
    with file.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    is_ours = header[_ID_AT : _ID_AT + 4] == APPLICATION_ID.to_bytes(4, "big")
    if not header.startswith(_MAGIC):
        if is_ours or header.startswith(_MAGIC[:6]):
            return DamagedFile(f"The header of the database {file} is damaged: restore a backup of the file.")
        return StartupError(f"{file} is not a database: give another path.")
    pages = int.from_bytes(header[_PAGE_COUNT_AT : _PAGE_COUNT_AT + 4], "big")
    if len(header) < _HEADER_BYTES or (is_ours and file.stat().st_size < pages * PAGE_SIZE_BYTES):
        return DamagedFile(_truncated(file))
    hint = "" if reading else f", or look at what is left of it with `perdure check {file}`"
    return DamagedFile(f"The database {file} is damaged ({error}): restore a backup{hint}.")


def _wal_of(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


def _index_of(file: Path) -> Path:
    return file.with_name(file.name + "-shm")


def _truncated(file: Path) -> str:
    return f"The database {file} is truncated, its end is missing: restore a backup of the file."


def _create(connection: apsw.Connection) -> None:
    """All of the schema at once and before WAL, so that it is in the file itself, whatever becomes of the log.

    A file with our id and no schema can then be nothing but one whose log is missing.
    """
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")
    with transaction(connection):
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for migration in migrations():
            _apply(connection, migration)


def _check_content(connection: apsw.Connection, file: Path) -> None:
    application_id = _pragma(connection, "application_id")
    if application_id != APPLICATION_ID:
        raise StartupError(f"{file} is the database of another program: give another path.")
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise StartupError(
            f"{file} was written by a newer Perdure (schema {version}, this one knows {SCHEMA_VERSION}): "
            "update Perdure, or give another path."
        )
    _check_log(connection, file)
    if version == 0:
        raise DamagedFile(
            f"The database {file} is nothing but a beginning, the rest was in the write-ahead log {_wal_of(file)}: "
            "put that back beside it, or restore a backup; if nothing was ever kept in it, remove the file."
        )


def _check_log(connection: apsw.Connection, file: Path) -> None:
    """Refuse a log of which SQLite would leave acknowledged transactions out, and a file whose end is missing.

    The end is in order when what the file lacks of it is in the log: a checkpoint may have been interrupted.
    """
    log = _wal_of(file)
    if not _has_log(file):
        return  # SQLite itself sees that a file without a log is too short
    frames, _copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    frames = max(frames, 0)
    offset = wal.damaged_at(log, frames)
    if offset is not None:
        raise DamagedFile(
            f"The write-ahead log {log} is damaged at byte {offset}, so acknowledged changes are missing: "
            "restore a backup of both files, or move the log away to go on without those changes."
        )
    pages_there = file.stat().st_size // _pragma(connection, "page_size")
    missing = set(range(pages_there + 1, _pragma(connection, "page_count") + 1))
    if missing and missing - wal.pages_in(log, frames):
        raise DamagedFile(_truncated(file))


def _pragma(connection: apsw.Connection, name: str) -> int:
    value = connection.pragma(name)
    assert isinstance(value, int)
    return value

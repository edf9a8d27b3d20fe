"""Files that can't be used are refused with a sentence that helps; and one server a file."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.storage.support import Commits, batch_of, born

from perdure.errors import StartupError
from perdure.storage import opening
from perdure.storage.base import Batch
from perdure.storage.check import check_file
from perdure.storage.queries import Migration, migrations
from perdure.storage.sqlite import SqliteStorage


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A file of several pages, closed cleanly."""
    path = tmp_path / "a.db"
    storage = SqliteStorage.open_file(path)
    commit = Commits(storage)
    for key in range(1, 60):
        await commit(born(key, core=bytes(1000)))
    await storage.close()
    return path


@pytest.fixture
async def crashed(tmp_path: Path) -> Path:
    """A file with a log that holds all of 30 transactions."""
    path, copy = tmp_path / "a.db", tmp_path / "crashed.db"
    storage = SqliteStorage.open_file(path)
    commit = Commits(storage)
    for number in range(30):
        await commit(meta={str(number): bytes(500)})
    shutil.copy(path, copy)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    await storage.close()
    return copy


def refusal(path: Path) -> str:
    with pytest.raises(StartupError) as caught:
        SqliteStorage.open_file(path)
    return caught.value.message


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def python(code: str, *arguments: Path) -> list[str]:
    """The command that runs a program on this code."""
    paths = f"import sys; sys.path[:] = {sys.path!r}\n"
    return [sys.executable, "-c", paths + code, *map(str, arguments)]


def log_of(path: Path) -> Path:
    return Path(f"{path}-wal")


async def test_our_files_say_what_they_are(file: Path) -> None:
    database = sqlite3.connect(file)
    assert database.execute("PRAGMA application_id").fetchone() == (opening.APPLICATION_ID,)
    assert database.execute("PRAGMA user_version").fetchone() == (opening.SCHEMA_VERSION,)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA page_size").fetchone() == (4096,)
    database.close()


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    storage = SqliteStorage.open_file(tmp_path / "a.db")
    await storage.close()
    assert check_file(tmp_path / "a.db") == []


async def test_a_clean_end_leaves_one_file(file: Path) -> None:
    assert [path.name for path in file.parent.iterdir()] == ["a.db"]


def test_no_such_directory(tmp_path: Path) -> None:
    assert "does not exist: create it" in refusal(tmp_path / "none" / "a.db")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path)


def test_something_else_is_no_database(tmp_path: Path) -> None:
    for content in (b"hello", b"hello" * 1000, bytes(5000)):
        (tmp_path / "a.db").write_bytes(content)
        assert "is not a database: give another path" in refusal(tmp_path / "a.db")
        assert (tmp_path / "a.db").read_bytes() == content


def test_the_database_of_another_program(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "a.db")
    database.execute("CREATE TABLE theirs (a)")
    database.close()
    before = (tmp_path / "a.db").read_bytes()
    assert "is the database of another program" in refusal(tmp_path / "a.db")
    assert (tmp_path / "a.db").read_bytes() == before


def test_a_newer_schema(file: Path) -> None:
    database = sqlite3.connect(file)
    database.execute(f"PRAGMA user_version = {opening.SCHEMA_VERSION + 1}")
    database.close()
    assert "was written by a newer Perdure" in refusal(file) and "update Perdure" in refusal(file)


def test_a_damaged_header(file: Path) -> None:
    overwrite(file, 0, b"\x00" * 16)
    assert "The header of the database" in refusal(file) and "restore a backup" in refusal(file)


@pytest.mark.parametrize("left", [60, 4096, 30_000])
def test_a_truncated_file(file: Path, left: int) -> None:
    os.truncate(file, left)
    assert "is truncated, its end is missing: restore a backup" in refusal(file)
    assert check_file(file) != []


async def test_a_truncated_file_beside_a_log_that_does_not_hold_the_rest(file: Path, tmp_path: Path) -> None:
    storage = SqliteStorage.open_file(file)
    await Commits(storage)(meta={"a": b"b"})
    copy = tmp_path / "copy.db"
    copy.write_bytes(file.read_bytes()[:40_000])
    shutil.copy(log_of(file), log_of(copy))
    await storage.close()
    assert "is truncated" in refusal(copy)


def test_a_damaged_page_of_the_schema(file: Path) -> None:
    overwrite(file, 100, b"\xff" * 300)
    assert "is damaged" in refusal(file) and "perdure check" in refusal(file)


@pytest.mark.parametrize("offset", [0, 18, 32 + 5, 32 + 24 + 1000, 32 + 10 * 4120 + 17, 32 + 10 * 4120 + 3000])
def test_a_damaged_log_that_held_acknowledged_changes(crashed: Path, offset: int) -> None:
    overwrite(log_of(crashed), offset, bytes(byte ^ 0xFF for byte in log_of(crashed).read_bytes()[offset : offset + 4]))
    before = log_of(crashed).read_bytes(), crashed.read_bytes()
    assert "-wal is damaged at byte" in refusal(crashed)
    assert "-wal is damaged at byte" in check_file(crashed)[0]
    assert (log_of(crashed).read_bytes(), crashed.read_bytes()) == before, "evidence must stay"


@pytest.mark.parametrize("cut", [1, 2000, 4120])
async def test_a_log_whose_last_transaction_is_unfinished_is_in_order(crashed: Path, cut: int) -> None:
    os.truncate(log_of(crashed), log_of(crashed).stat().st_size - cut)
    storage = SqliteStorage.open_file(crashed)
    assert len(await storage.meta_all()) == 29
    await storage.close()
    assert check_file(crashed) == []


@pytest.fixture
def as_nobody() -> Callable[[Path], str]:
    """Opens a file in a process without special rights; gives the sentence of the refusal."""
    code = (
        "import os, sys\n"
        "from perdure.errors import StartupError\n"
        "from perdure.storage.sqlite import SqliteStorage\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: SqliteStorage.open_file(sys.argv[1])\n"
        "except StartupError as error: print(error.message)\n"
    )

    def open_it(path: Path) -> str:
        return subprocess.run(python(code, path), capture_output=True, text=True, check=True).stdout

    return open_it


@pytest.mark.skipif(sys.platform == "win32", reason="rights work differently there")
def test_no_rights(file: Path, as_nobody: Callable[[Path], str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        copy = Path(shutil.copy(file, place))
        copy.chmod(0o666)
        place.chmod(0o555)
        assert "can't be opened for writing" in as_nobody(copy)
        assert "check the rights" in as_nobody(place / "new.db")
        place.chmod(0o777)
        copy.chmod(0o444)
        assert "can't be opened for writing" in as_nobody(copy)


def test_no_room_for_a_new_file(tmp_path: Path) -> None:
    from tests.storage.disk import Disk

    def full(operation: str, file: str) -> None:
        if operation == "write":
            raise apsw.FullError("no space left")

    disk = Disk()
    disk.fault = full
    with pytest.raises(StartupError, match="no room left on the disk"):
        SqliteStorage.open_file(tmp_path / "a.db", vfs=disk.name)
    disk.close()


def test_so_little_room_that_sqlite_does_not_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no word for an index of the log that finds no room: that is an error of the disk like any other."""
    from tests.storage.disk import Disk

    def failing(operation: str, file: str) -> None:
        raise apsw.IOError("disk I/O error")

    disk = Disk()
    disk.fault = failing
    with pytest.raises(StartupError, match=r"The disk of .* does not work"):
        SqliteStorage.open_file(tmp_path / "a.db", vfs=disk.name)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=16 * 1024))
    with pytest.raises(StartupError, match="no room left on the disk"):
        SqliteStorage.open_file(tmp_path / "a.db", vfs=disk.name)
    disk.close()


async def test_a_file_with_two_names_is_refused(file: Path) -> None:
    """Lock and log stand beside one of them."""
    other = file.with_name("other.db")
    storage = SqliteStorage.open_file(file)
    os.link(file, other)
    for path in (file, other):
        assert "has 2 names (hard links)" in refusal(path)
    await Commits(storage)(meta={"still": b"works"})
    await storage.close()
    other.unlink()
    storage = SqliteStorage.open_file(file)
    assert await storage.meta("still") == b"works"
    await storage.close()


async def test_the_schema_is_in_the_file_itself(tmp_path: Path) -> None:
    storage = SqliteStorage.open_file(tmp_path / "a.db")
    shutil.copy(tmp_path / "a.db", tmp_path / "alone.db")
    await storage.close()
    assert check_file(tmp_path / "alone.db") == []
    database = sqlite3.connect(tmp_path / "alone.db")
    assert database.execute("PRAGMA user_version").fetchone() == (opening.SCHEMA_VERSION,)
    database.close()


def test_a_beginning_without_its_log(tmp_path: Path) -> None:
    """What a file was whose schema was in the log, and the log is gone."""
    database = sqlite3.connect(tmp_path / "a.db")
    database.execute(f"PRAGMA application_id = {opening.APPLICATION_ID}")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    before = (tmp_path / "a.db").read_bytes()
    assert "is nothing but a beginning, the rest was in the write-ahead log" in refusal(tmp_path / "a.db")
    assert "is nothing but a beginning" in check_file(tmp_path / "a.db")[0]
    assert (tmp_path / "a.db").read_bytes() == before


KEEPS_WRITING = (
    "import sys\n"
    "from perdure.storage.base import Batch\n"
    "from perdure.storage.sqlite import SqliteStorage\n"
    "storage = SqliteStorage.open_file(sys.argv[1])\n"
    "def next_batch(number):\n"
    "    def done(error):\n"
    "        print(number, flush=True)\n"
    "        next_batch(number + 1)\n"
    "    storage.submit(Batch(meta={'n': b'%d' % number}), done)\n"
    "next_batch(0)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def killed(file: Path) -> Path:
    """A file whose newest changes are in its log alone, since the server was killed."""
    with subprocess.Popen(
        python(KEEPS_WRITING, file), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
    return file


def test_a_log_that_was_removed_is_missed(killed: Path) -> None:
    log_of(killed).rename(killed.with_name("away"))
    before = killed.read_bytes()
    for _ in range(2):
        assert "-wal is missing, and with it acknowledged changes: put it back beside the database" in refusal(killed)
        assert "-wal is missing" in check_file(killed)[0]
    assert killed.read_bytes() == before and not log_of(killed).exists()
    killed.with_name("away").rename(log_of(killed))
    assert check_file(killed) == []


async def test_without_its_index_the_database_goes_on_without_the_log(killed: Path) -> None:
    """As the sentence says; so does a backup that was put in its place, without both."""
    log_of(killed).unlink()
    Path(f"{killed}-shm").unlink()
    assert check_file(killed) == []
    storage = SqliteStorage.open_file(killed)
    assert await storage.max_run_key() == 59
    await storage.close()


async def test_no_log_is_missed_that_others_have_copied_into_the_database(killed: Path) -> None:
    """Another program that closes the database cleanly takes the log away. The lock of the dead server stays."""
    database = sqlite3.connect(killed)
    (number,) = database.execute("SELECT value FROM meta WHERE key = 'n'").fetchone()
    database.close()
    assert killed.with_name("a.db.lock").exists() and not log_of(killed).exists()
    assert check_file(killed) == []
    storage = SqliteStorage.open_file(killed)
    assert await storage.meta("n") == number
    await storage.close()


@pytest.mark.parametrize("how", ["vacuum", "backup", "command", "copied"])
async def test_no_log_is_missed_of_a_copy(file: Path, tmp_path: Path, how: str) -> None:
    """Taken while a server runs; the last one is of all files, for which the server stands still."""
    storage = SqliteStorage.open_file(file)
    await Commits(storage)(meta={"a": b"1"})
    copy = tmp_path / "copy.db"
    database = sqlite3.connect(file)
    if how == "vacuum":
        database.execute("VACUUM INTO ?", (str(copy),))
    elif how == "backup":
        database.backup(target := sqlite3.connect(copy))
        target.close()
    elif how == "command":
        opening.back_up(storage._connection, copy)
    else:
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{file}{suffix}", f"{copy}{suffix}")
    database.close()
    await storage.close()
    assert check_file(copy) == []
    storage = SqliteStorage.open_file(copy)
    assert await storage.meta("a") == b"1"
    await storage.close()


async def test_no_log_is_missed_of_which_all_is_in_the_database(file: Path, tmp_path: Path) -> None:
    """What a server leaves that is killed right behind a checkpoint."""
    storage = SqliteStorage.open_file(file)
    await Commits(storage)(meta={"a": b"1"})
    copy = tmp_path / "copy.db"
    shutil.copy(f"{file}-shm", f"{copy}-shm")
    shutil.copy(file, copy)
    assert "-wal is missing" in refusal(copy)
    storage._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    shutil.copy(f"{file}-shm", f"{copy}-shm")
    shutil.copy(file, copy)
    await storage.close()
    assert check_file(copy) == []
    storage = SqliteStorage.open_file(copy)
    assert await storage.meta("a") == b"1"
    await storage.close()


async def test_an_index_that_says_nothing_is_no_sign_of_a_log(file: Path) -> None:
    """As after a power cut, which it does not outlive."""
    index = Path(f"{file}-shm")
    for content in (b"", bytes(32768), b"\xff" * 32768):
        index.write_bytes(content)
        storage = SqliteStorage.open_file(file)
        assert await storage.max_run_key() == 59
        await storage.close()


async def test_a_second_server_is_refused_until_the_first_has_ended(file: Path) -> None:
    storage = SqliteStorage.open_file(file)
    assert f"Another server (process {os.getpid()}) is using" in refusal(file)
    link = file.with_name("link.db")
    link.symlink_to(file)
    assert "Another server" in refusal(link)
    await Commits(storage)(meta={"still": b"works"})
    await storage.close()
    storage = SqliteStorage.open_file(link)
    assert await storage.meta("still") == b"works"
    await storage.close()


async def test_a_killed_server_leaves_a_file_that_opens_without_a_lock(file: Path) -> None:
    with subprocess.Popen(
        python(KEEPS_WRITING, file), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(50)]
        assert f"process {process.pid}" in refusal(file)
        process.send_signal(signal.SIGKILL)
        acknowledged = int((lines + process.stdout.readlines())[-1])
    storage = SqliteStorage.open_file(file)
    assert int(await storage.meta("n") or 0) >= acknowledged >= 49
    await storage.close()
    assert check_file(file) == []


async def test_other_programs_can_read_while_a_server_runs(file: Path) -> None:
    storage = SqliteStorage.open_file(file)
    commit = Commits(storage)
    await commit(meta={"a": b"1"})
    code = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM meta').fetchone()[0])"
    found = subprocess.run(python(code, file), capture_output=True, text=True, check=True).stdout
    assert found.strip() == "1"
    await commit(meta={"b": b"1"})
    assert check_file(file) == []
    await commit(meta={"c": b"1"})
    await storage.close()
    assert check_file(file) == []


async def test_a_migration_keeps_a_copy_of_the_file_before(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = migrations()
    later = Migration(
        len(first) + 1, "CREATE TABLE added (a); INSERT INTO added VALUES (1); INSERT INTO added VALUES (2)"
    )
    monkeypatch.setattr(opening, "migrations", lambda: (*first, later))
    monkeypatch.setattr(opening, "SCHEMA_VERSION", later.version)
    storage = SqliteStorage.open_file(file)
    await Commits(storage)(meta={"new": b""})
    await storage.close()
    database = sqlite3.connect(file)
    assert database.execute("SELECT count(*) FROM added").fetchone() == (2,)
    assert database.execute("PRAGMA user_version").fetchone() == (later.version,)
    database.close()
    monkeypatch.undo()
    copy = file.with_name(f"a.db.schema-{len(first)}.backup")
    assert check_file(copy) == []
    storage = SqliteStorage.open_file(copy)
    assert await storage.max_run_key() == 59 and await storage.meta("new") is None
    await storage.close()


def test_a_failing_migration_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = migrations()
    broken = Migration(len(first) + 1, "CREATE TABLE added (a); INSERT INTO no_such_table VALUES (1)")
    monkeypatch.setattr(opening, "migrations", lambda: (*first, broken))
    with pytest.raises(apsw.SQLError):
        SqliteStorage.open_file(file)
    monkeypatch.undo()
    assert check_file(file) == []


async def test_memory_databases_are_apart(tmp_path: Path) -> None:
    one, two = SqliteStorage.open_memory(), SqliteStorage.open_memory()
    assert await Commits(one).start(Batch(meta={"a": b"1"})) is None
    assert await two.meta("a") is None
    assert await Commits(two).start(batch_of(born(1))) is None
    await one.close()
    assert await two.load_run(1) is not None
    await two.close()

"""`perdure check` tells a sound file from a damaged one, and both from one that it can't look at."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.conformance import schedules
from tests.conformance.messages import activity, child, succeed, timer
from tests.runtime.conversation import conversation

from perdure.cli.check import check
from perdure.engine.execution import BufferedEvent, Kind, decode_item, encode
from perdure.errors import StartupError
from perdure.storage.sqlite import SqliteStorage


async def live(file: Path) -> None:
    """Something of each sort: workflows that are over, that wait, and that were not begun; a schedule; a batch job."""
    async with conversation(db=file, dynamic_config={"worker.batcherRPS": 1}) as d:
        await d.start("over")
        await d.step(succeed())
        await d.start("failing")
        await d.step(timer("u", 3600))
        assert (await d.signal(execution="failing")).HasField("link")
        await d.fail(await d.poll_wft())
        await d.poll_wft()
        await d.start("waiting")
        elsewhere = d.name("elsewhere")
        await d.step(activity("a", task_queue=elsewhere), timer("t", 3600), child("kid", task_queue=elsewhere))
        await d.step()
        assert (await d.signal(execution="waiting")).HasField("link")
        await d.start("busy", task_queue="busy")
        await d.poll_wft("busy")
        await d.signal(execution="busy")
        await d.start("fresh")
        await schedules.create(d)
        targets = [{"workflow_id": d.name(f"none{number}")} for number in range(500)]
        job = {"job_id": "job", "reason": "because", "executions": targets}
        await d.call("StartBatchOperation", **job, signal_operation={"signal": "s"})
        config = {"task_queue": "orders", "task_queue_type": "TASK_QUEUE_TYPE_ACTIVITY"}
        await d.call(
            "UpdateTaskQueueConfig", **config, update_queue_rate_limit={"rate_limit": {"requests_per_second": 1}}
        )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sound") / "x.db"
    asyncio.run(live(file))
    return file


@pytest.fixture
def database(sound: Path, tmp_path: Path) -> Path:
    """A file to break."""
    return Path(shutil.copy(sound, tmp_path))


def run(*args: object) -> Result:
    return CliRunner().invoke(check, [str(arg) for arg in args], standalone_mode=False)


def change(file: Path, sql: str, *values: Any) -> None:
    database = sqlite3.connect(file)
    assert database.execute(sql, values).rowcount, "nothing was changed"
    database.commit()
    database.close()


def found(file: Path) -> str:
    """What is found; all ways to ask agree that it is damage."""
    told = run(file)
    assert told.exception is None and told.return_value == 1
    problems = json.loads(run(file, "--json").output)
    assert problems["sound"] is False and problems["count"] == len(problems["problems"]) >= 1
    assert f"{file} is damaged: {problems['count']} problem" in told.output
    assert all(f"{problem}\n" in told.output for problem in problems["problems"])
    return told.output


def refusal(file: Path) -> str:
    """Why a file can't be looked at; that is told as no damage."""
    told = run(file)
    assert isinstance(told.exception, StartupError)
    as_json = json.loads(run(file, "--json").output)
    assert as_json == {"file": str(file), "sound": None, "problems": [told.exception.message], "count": 1}
    assert "damage" not in told.exception.message and "--db" not in told.exception.message
    return told.exception.message


def test_a_sound_file_is_said_to_be_sound(database: Path) -> None:
    result = run(database)
    assert (result.return_value, result.output) == (0, f"{database} is sound.\n")
    as_json = json.loads(run(database, "--json").output)
    assert as_json == {"file": str(database), "sound": True, "problems": [], "count": 0}


WAITING = "(SELECT run_key FROM visibility WHERE workflow_id LIKE '%waiting')"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "DELETE FROM history WHERE id = (SELECT max(id) FROM history WHERE id >> 20 = {run})",
            "history ends with event",
        ),
        ("DELETE FROM history WHERE id = (SELECT min(id) FROM history WHERE id >> 20 = {run})", "where 1 is expected"),
        ("UPDATE history SET blob = x'ffff' WHERE id >> 20 = {run}", "can't be read at event"),
        ("UPDATE executions SET core = x'00'", "its state can't be read"),
        ("UPDATE executions SET core = x''", "its state can't be read"),
        ("UPDATE executions SET core = x'c107' WHERE instr(namespace_id, '/')", "its state can't be read"),
        ("UPDATE executions SET core = x'90' WHERE run_key = {run}", "its state is that of another run"),
        (
            "UPDATE executions SET core = (SELECT core FROM executions WHERE workflow_id LIKE '%fresh')"
            " WHERE run_key = {run}",
            "its state is that of another run",
        ),
        ("UPDATE namespaces SET blob = x'00'", "namespace 'default' can't be read"),
        ("UPDATE namespaces SET name = 'other' WHERE name = 'default'", "stored under another name"),
        ("DELETE FROM namespaces WHERE name = 'default'", "runs belong to a namespace that is not there"),
        ("UPDATE meta SET value = x'ff' WHERE key LIKE 'task-queue-config/%'", "what was set for task queues"),
        ("UPDATE pending SET blob = x'00'", "can't be read"),
        ("UPDATE pending SET kind = 99 WHERE kind = 3", "pending item of kind 99 't' can't be read"),
        ("UPDATE pending SET key = '5' WHERE kind = 2", "a key that nobody looks for"),
        ("UPDATE pending SET due_ns = NULL WHERE kind = 3", "but is stored as due at None"),
        ("UPDATE pending SET due_ns = due_ns + 1 WHERE kind = 22", "but is stored as due at"),
        ("UPDATE pending SET queue = NULL", "but is stored in None"),
        ("UPDATE pending SET queue = 'x' WHERE kind = 2", "but is stored in 'x'"),
        ('UPDATE pending SET "order" = 1 WHERE kind = 2', "but is stored with 1"),
        ("DELETE FROM pending WHERE kind = 1", "pending workflow task is missing, which its history leaves open"),
        (
            "DELETE FROM pending WHERE kind = 1"
            " AND run_key = (SELECT run_key FROM visibility WHERE workflow_id = 'failing')",
            "pending workflow task is missing, with which it would be told of event",
        ),
        ("DELETE FROM pending WHERE kind = 2", "pending activity '5' is missing"),
        ("DELETE FROM pending WHERE kind = 3", "pending timer 't' is missing"),
        ("DELETE FROM pending WHERE kind = 4", "pending child '7' is missing"),
        ("DELETE FROM pending WHERE kind = 8", "of its 1 buffered events, 0 are there"),
        (
            "UPDATE pending SET blob = {garbled} WHERE kind = 8",
            "its history makes no sense behind event 3 (DecodeError",
        ),
        ("DELETE FROM pending WHERE kind = 21", "pending schedule is missing"),
        ("DELETE FROM pending WHERE kind = 31", "pending batch step is missing"),
        (
            "INSERT INTO pending SELECT run_key, kind, 'v', due_ns, queue, \"order\", blob FROM pending WHERE kind = 3",
            "pending timer 'v' is not what its history leaves open",
        ),
        ("UPDATE visibility SET status = 2 WHERE run_key = {run}", "listings show its status as 2, but it is 1"),
        ("UPDATE visibility SET history_length = 77 WHERE status = 2", "listings show its history_length as 77, but"),
        ("UPDATE visibility SET close_time = 1 WHERE status = 2", "listings show its close_time as 1, but"),
        (
            "UPDATE visibility SET status = 4 WHERE instr(namespace_id, '/')",
            "listings show its status as 4, but it is 1",
        ),
        ("UPDATE visibility SET memo = x'ff'", "its memo in listings can't be read"),
        ("DELETE FROM current WHERE run_key = {run}", "it is open, but its workflow id leads to no run"),
        ("DROP TABLE pending", "The file can't be read further: "),
    ],
)
def test_damage_of_each_kind_is_told(database: Path, sql: str, expected: str) -> None:
    garbled = encode(BufferedEvent(event=b"\xff")).hex()
    change(database, sql.format(run=WAITING, garbled=f"x'{garbled}'"))
    assert expected in found(database)


def test_without_pending_rows_each_open_run_lacks_something(database: Path) -> None:
    """The one whose task failed, too: its next task is in no history."""
    change(database, "DELETE FROM pending")
    problems = [line for line in found(database).splitlines() if "missing" in line]
    named = {problem.split(", run ")[0].split("-")[0].strip("'") for problem in problems}
    workflows = {f"Workflow '{name}" for name in ("waiting", "kid", "failing", "fresh", "busy")}
    assert named == {*workflows, "Entity 's", "Entity 'job' of batches"}


def test_a_deadline_that_was_changed_where_it_is_stored_twice(database: Path) -> None:
    connection = sqlite3.connect(database)
    ((blob,),) = connection.execute("SELECT blob FROM pending WHERE kind = 3 AND key = 't'").fetchall()
    connection.close()
    item = decode_item(Kind.TIMER, blob)
    item.due_ns = 7
    change(database, "UPDATE pending SET due_ns = 7, blob = ? WHERE kind = 3 AND key = 't'", encode(item))
    assert "pending timer 't' is due at 7, but at " in found(database)


def test_of_very_many_problems_a_thousand_are_told(database: Path) -> None:
    change(
        database,
        "INSERT INTO history WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
        " SELECT (i + 1000) << 20 | 1, x'' FROM n",
    )
    lines = run(database).output.splitlines()
    assert len(lines) == 1001 and "5000 problems found, of which 1000 are shown" in lines[-1]
    as_json = json.loads(run(database, "--json").output)
    assert (len(as_json["problems"]), as_json["count"]) == (1000, 5000)


def test_a_damaged_page_is_damage(database: Path) -> None:
    with database.open("r+b") as stream:
        stream.seek(5 * 4096)
        stream.write(b"\xff" * 4096)
    assert "The structure of the file is damaged" in found(database)


def test_what_is_no_database_of_ours_is_not_called_damaged(tmp_path: Path) -> None:
    assert f"There is no file {tmp_path / 'z.db'}" in refusal(tmp_path / "z.db")
    assert "is a directory: give the path of the database file" in refusal(tmp_path)
    (tmp_path / "y.db").write_bytes(b"not a database, but long enough" * 99)
    assert "is not a database: give another path" in refusal(tmp_path / "y.db")
    (tmp_path / "empty.db").touch()
    assert "is empty" in refusal(tmp_path / "empty.db")
    database = sqlite3.connect(tmp_path / "theirs.db")
    database.execute("CREATE TABLE theirs (a)")
    database.close()
    assert "is the database of another program" in refusal(tmp_path / "theirs.db")


def test_a_newer_file_is_not_called_damaged(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "was written by a newer Perdure (schema 99, this one knows 1): update Perdure" in refusal(database)


def test_a_file_with_two_names_is_not_called_damaged(database: Path) -> None:
    os.link(database, database.with_name("other.db"))
    assert "has 2 names (hard links)" in refusal(database)


def test_a_header_that_is_cut_off_is_damage(tmp_path: Path) -> None:
    (tmp_path / "y.db").write_bytes(b"SQLite format 3\0" * 3)
    assert "is truncated" in found(tmp_path / "y.db")


@pytest.mark.skipif(sys.platform == "win32", reason="rights work differently there")
def test_a_log_that_needs_an_index_where_none_can_be_written(sound: Path, tmp_path: Path) -> None:
    storage = SqliteStorage.open_file(Path(shutil.copy(sound, tmp_path / "a.db")))
    storage._connection.execute("CREATE TABLE more (a)")
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for name in ("a.db", "a.db-wal"):
            shutil.copy(tmp_path / name, place)
            (place / name).chmod(0o666)
        asyncio.run(storage.close())
        place.chmod(0o555)
        told = as_nobody(place / "a.db")
        assert told.startswith("The write-ahead log of") and "copy the file and its -wal" in told
        place.chmod(0o777)
        assert as_nobody(place / "a.db") == "[]\n"


def as_nobody(file: Path) -> str:
    """What a look at the file gives in a process without special rights."""
    code = (
        f"import os, sys; sys.path[:] = {sys.path!r}\n"
        "from perdure.errors import StartupError\n"
        "from perdure.runtime.check import check_file\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: print(check_file(sys.argv[1]))\n"
        "except StartupError as error: print(error.message)\n"
    )
    return subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """A file that has all it keeps in its log: the server was killed."""
    file = tmp_path / "k.db"
    code = f"import sys; sys.path[:] = {sys.path!r}\nfrom perdure.cli import main; main(sys.argv[1:])"
    arguments = ["up", "--db", str(file), "--port", "0", "--json"]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and json.loads(process.stdout.readline())["event"] == "ready"
        process.send_signal(signal.SIGKILL)
    yield file


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_a_log_that_was_taken_away_is_missed(killed: Path) -> None:
    assert run(killed).output == f"{killed} is sound.\n"
    killed.with_name("k.db-wal").rename(killed.with_name("away"))
    assert "k.db-wal is missing, and with it acknowledged changes" in found(killed)
    with pytest.raises(StartupError, match=r"k.db-wal is missing, and with it acknowledged changes: put it back"):
        SqliteStorage.open_file(killed)
    killed.with_name("away").rename(killed.with_name("k.db-wal"))
    assert run(killed).output == f"{killed} is sound.\n"

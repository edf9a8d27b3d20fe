"""What a server does with a damaged file: it does not start, or goes on with all that can be read."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.messages import activity, succeed, timer
from tests.runtime.conversation import conversation, types

from perdure.errors import DamagedFile, DataLoss
from perdure.server import Server
from perdure.storage.sqlite import SqliteStorage


def change(file: Path, sql: str) -> None:
    database = sqlite3.connect(file)
    assert database.execute(sql).rowcount, "nothing was changed"
    database.commit()
    database.close()


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """The workflows `broken`, whose state can't be read, and `sound` do the same; what they wait for is due."""
    file = tmp_path / "x.db"
    async with conversation(db=file) as d:
        for name in ("broken", "sound"):
            await d.start(name, task_queue="shared")
            await d.complete(
                await d.poll_wft("shared"),
                timer("t", 0.2),
                activity("a", task_queue="shared", start_to_close_timeout=9),
            )
            await d.start(f"{name}-over", task_queue="over")
            await d.complete(await d.poll_wft("over"), succeed())
        for name in ("broken", "sound"):
            await d.start(f"{name}-later", task_queue="shared")
    change(file, "UPDATE executions SET core = x'00' WHERE workflow_id LIKE 'broken%'")
    return file


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE namespaces SET blob = x'00'",
        "INSERT INTO meta VALUES ('task-queue-config/x/2/y', x'ff')",
        "INSERT INTO meta VALUES ('task-queue-config/x', x'')",
    ],
)
async def test_what_every_server_needs_is_missed_in_one_sentence(file: Path, sql: str) -> None:
    change(file, sql)
    with pytest.raises(
        DamagedFile, match=r"is damaged: .* can't be read.*; `perdure check .*` tells what is left of it"
    ):
        await Server(db=file).start()
    code = f"import sys; sys.path[:] = {sys.path!r}\nfrom perdure.cli import main; main(sys.argv[1:])"
    told = subprocess.run(
        [sys.executable, "-c", code, "up", "--db", str(file), "--port", "0"], capture_output=True, text=True
    )
    assert told.returncode == 1 and told.stdout == ""
    assert told.stderr.count("\n") == 1 and told.stderr.startswith(f"Error: The database {file} is damaged: ")


async def test_a_run_that_cannot_be_read_is_refused_with_words_and_the_others_go_on(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with conversation(db=file) as d:
        got = {}
        for _ in range(2):
            task = await d.poll_wft("shared")
            got[task.workflow_execution.workflow_id] = task
        assert set(got) == {"sound", "sound-later"}
        assert (await d.poll_activity("shared")).workflow_execution.workflow_id == "sound"
        assert "TIMER_FIRED" in types(await d.events("sound"))
        broken = {"workflow_id": "broken"}
        for refused in (await d.describe(broken), await d.signal(execution=broken), await d.terminate(broken)):
            assert refused.code == "DATA_LOSS"
            assert refused.message.startswith("what is stored of workflow 'broken', run ")
            assert "perdure check" in refused.message
        await asyncio.sleep(1.5)  # longer than it takes to try again
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len([error for error in errors if error.startswith("a deadline can't be acted on")]) <= 3
    assert 1 <= len([error for error in errors if "can't be handed out" in error]) <= 4


async def test_a_closed_run_that_cannot_be_read_keeps_no_other(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(file, "UPDATE visibility SET close_time = close_time - 864000000000000 WHERE close_time IS NOT NULL")
    async with Server(db=file) as server:
        assert server._runtime is not None
        async with asyncio.timeout(10):
            while not server._runtime.retention.sweeps:
                await asyncio.sleep(0.01)
    database = sqlite3.connect(file)
    left = database.execute("SELECT workflow_id FROM executions WHERE workflow_id LIKE '%over'").fetchall()
    database.close()
    assert left == [("broken-over",)]
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def test_a_damaged_page_is_loss_of_data(file: Path) -> None:
    database = sqlite3.connect(file)
    (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'meta'").fetchone()
    database.close()
    with file.open("r+b") as stream:
        stream.seek((page - 1) * 4096)
        stream.write(b"\xff" * 4096)
    storage = SqliteStorage.open_file(file)
    with pytest.raises(DataLoss, match="The database is damaged"):
        await storage.meta("cluster-id")
    await storage.close()
    with pytest.raises(DamagedFile, match="is damaged"):
        await Server(db=file).start()

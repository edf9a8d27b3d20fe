"""A file of rows goes into a database, a call a row. The worker dies in the middle, with calls half done; another one
goes on where it was. Bad rows end up in a report. At the end each good row is in the database, as the file has it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from examples.rows.activities import Cursor, Importer, Report
from examples.rows.workflow import ImportRows
from examples.show import Mismatch, fresh, run, until_polled
from perdure.patterns import PatternsPlugin, fan_out_progress

PAGE = 500
BAD_EVERY = 97


class Dying(Importer):
    """Of a worker that dies half-way: what it calls then is written, and nobody hears of it."""

    def __init__(self, database: Path, after: int) -> None:
        super().__init__(database)
        self.left = after
        self.died = asyncio.Event()

    @activity.defn
    async def upsert(self, row: str) -> int:
        """As long as it lives."""
        cents = await super().upsert(row)
        self.left -= 1
        if self.left < 0:
            self.died.set()
            await asyncio.Event().wait()
        return cents


def row(number: int) -> str:
    """Of the file; some are bad."""
    cents = "a lot" if number % BAD_EVERY == 0 else str(number * 37 % 10_000)
    return f"c{number},Customer {number},{cents}"


def lines(rows: int) -> Iterator[str]:
    """Of the file."""
    return (f"{row(number)}\n" for number in range(1, rows + 1))


async def show(client: Client, rows: int = 2000) -> None:
    """Import so many rows, with a crash; the database has to have what the file has."""
    with tempfile.TemporaryDirectory() as folder:
        file, database = Path(folder, "customers.csv"), Path(folder, "customers.db")
        file.write_text("".join(lines(rows)))
        report = await _import(client, file, database, rows)
        _check(Importer(database), report, rows)


async def _import(client: Client, file: Path, database: Path, rows: int) -> Report:
    queue = fresh("rows")
    dying = Dying(database, after=rows // 2)
    async with _worker(client, queue, dying):
        handle = await client.start_workflow(
            ImportRows.run, Cursor(str(file), 0, PAGE), id=f"{queue}-import", task_queue=queue
        )
        await dying.died.wait()
        [progress] = await fan_out_progress(client, handle.id)
        print(f"the worker dies: {progress.completed} rows are imported, {progress.in_flight} are half done")
    async with _worker(client, queue, Importer(database)) as other:
        await until_polled(client, queue, str(other.config()["identity"]))
        return await handle.result()


def _worker(client: Client, queue: str, importer: Importer) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[ImportRows],
        activities=[importer.read_rows, importer.upsert, importer.report, importer.add],
        plugins=[PatternsPlugin()],
        identity=fresh("importer"),
    )


def _check(importer: Importer, report: Report, rows: int) -> None:
    written = importer.db.execute("SELECT id, name, cents FROM customer").fetchall()
    again = importer.db.execute("SELECT sum(writes - 1) FROM customer").fetchone()[0] or 0
    rejected = [line for (line,) in importer.db.execute("SELECT line FROM rejected ORDER BY line")]
    print(
        f"{report.imported} rows are imported, {again} of them were written once more, {report.rejected} are rejected"
    )
    bad = [number for number in range(1, rows + 1) if number % BAD_EVERY == 0]
    good = {tuple(row(number).split(",")) for number in range(1, rows + 1) if number % BAD_EVERY}
    if {(number, name, str(cents)) for number, name, cents in written} != good:
        raise Mismatch("the database does not have what the file has")
    if rejected != bad:
        raise Mismatch(f"{len(rejected)} rows are in the report of bad rows, {len(bad)} are bad")
    if report != Report(len(good), len(bad), sum(cents for _, _, cents in written)):
        raise Mismatch(f"the workflow says {report}")


if __name__ == "__main__":
    run(show, __doc__)

"""What touches the world: the file that is read, and the database that is written."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure.patterns import Page

TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS customer (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL, writes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS rejected (line INTEGER PRIMARY KEY, text TEXT NOT NULL, why TEXT NOT NULL);
"""


@dataclass
class Cursor:
    """Where a page begins. The same cursor always gives the same page."""

    file: str
    byte: int
    size: int
    """Rows of a page."""


@dataclass
class Report:
    """What became of rows."""

    imported: int = 0
    rejected: int = 0
    cents: int = 0


class Importer:
    """The activities, on one database."""

    def __init__(self, database: Path) -> None:
        self.db = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self.db.executescript(TABLES)

    @activity.defn
    async def read_rows(self, at: Cursor) -> Page[str, Cursor]:
        """A page of lines, read from where the one before has ended."""
        with Path(at.file).open("rb") as file:
            file.seek(at.byte)
            lines = [line.decode().rstrip("\n") for _, line in zip(range(at.size), file, strict=False)]
            end = at.byte + sum(len(line.encode()) + 1 for line in lines)
            more = bool(file.read(1)) if len(lines) == at.size else False
        return Page(lines, Cursor(at.file, end, at.size) if more else None)

    @activity.defn
    async def upsert(self, row: str) -> int:
        """Write a row, once or again: the row that is there afterwards is the same. Returns its cents."""
        number, name, cents = parse(row)
        self.db.execute(
            "INSERT INTO customer VALUES (?, ?, ?, 1)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, cents = excluded.cents, writes = writes + 1",
            (number, name, cents),
        )
        return cents

    @activity.defn
    async def report(self, done: list[tuple[int, str, int]], failed: list[tuple[int, str, str]]) -> Report:
        """Add the bad rows of a page to the report of what was rejected, and count."""
        self.db.executemany(
            "INSERT INTO rejected VALUES (?, ?, ?) ON CONFLICT (line) DO NOTHING",
            [(index + 1, row, why) for index, row, why in failed],
        )
        return Report(len(done), len(failed), sum(cents for _, _, cents in done))

    @activity.defn
    async def add(self, reports: list[Report]) -> Report:
        """One report of several."""
        return Report(
            sum(each.imported for each in reports),
            sum(each.rejected for each in reports),
            sum(each.cents for each in reports),
        )


def parse(row: str) -> tuple[str, str, int]:
    """Of a row `id,name,cents`. A row that is wrong stays wrong, so it is not tried again."""
    try:
        number, name, cents = row.split(",")
        return number, name, int(cents)
    except ValueError as error:
        raise ApplicationError(str(error), type="BadRow", non_retryable=True) from error

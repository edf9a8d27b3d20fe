"""Named statements and migrations, kept as SQL files beside this module."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{3})_\w+\.sql$")


class Migration(NamedTuple):
    """A script that takes a database from schema `version - 1` to `version`."""

    version: int
    script: str


@cache
def queries() -> dict[str, str]:
    """The statements of `sql/queries.sql` by name, without comments."""
    text = (files(__package__) / "sql" / "queries.sql").read_text()
    parts = _NAME.split(text)[1:]
    return {name: _without_comments(sql) for name, sql in zip(parts[::2], parts[1::2], strict=True)}


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations, in order, without gaps."""
    found = []
    for entry in (files(__package__) / "sql").iterdir():
        if match := _MIGRATION.match(entry.name):
            found.append(Migration(int(match[1]), entry.read_text()))
    found.sort()
    assert [migration.version for migration in found] == list(range(1, len(found) + 1)), "migrations have gaps"
    return tuple(found)


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.strip().splitlines() if line and not line.startswith("--"))

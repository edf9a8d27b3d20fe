"""A visibility table in memory, for what the compiler makes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import apsw

from perdure.visibility.query import Compiled, CompiledCount

SECOND = 10**9
CUSTOM = {"MyText": 1, "MyKw": 2, "MyInt": 3, "MyDouble": 4, "MyBool": 5, "MyTime": 6, "MyList": 7}


@dataclass(frozen=True)
class Run:
    run_key: int
    workflow_id: str = "w"
    run_id: str = "r"
    workflow_type: str = "T"
    task_queue: str = "q"
    status: int = 1
    start_time: int = 1_700_000_000 * SECOND
    execution_time: int = 1_700_000_000 * SECOND
    root_workflow_id: str = "w"
    root_run_id: str = "r"
    close_time: int | None = None
    history_length: int | None = None
    history_size_bytes: int | None = None
    execution_duration: int | None = None
    state_transition_count: int | None = None
    parent_workflow_id: str | None = None
    parent_run_id: str | None = None
    search_attributes: str | None = None

    def closed(self, at: int, status: int = 2) -> Run:
        return replace(
            self, close_time=at, status=status, history_length=5, history_size_bytes=500,
            execution_duration=at - self.start_time, state_transition_count=4,
        )  # fmt: skip


COLUMNS = [field.name for field in fields(Run)]


def run(run_key: int, workflow_id: str = "w", *, attributes: dict[str, Any] | None = None, **columns: Any) -> Run:
    text = json.dumps(attributes) if attributes else None
    return Run(run_key, workflow_id, root_workflow_id=workflow_id, search_attributes=text, **columns)


class Table:
    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._db = apsw.Connection(":memory:")
        self._db.execute(f"CREATE TABLE visibility (run_key INTEGER PRIMARY KEY, {', '.join(COLUMNS[1:])})")
        self._db.execute(
            "CREATE INDEX visibility_time ON visibility"
            " (coalesce(close_time, 9223372036854775807) DESC, start_time DESC, run_key DESC)"
        )
        for each in runs:
            self.insert(each)

    def insert(self, new: Run) -> None:
        marks = ", ".join("?" * len(COLUMNS))
        self._db.execute(f"INSERT INTO visibility VALUES ({marks})", [getattr(new, name) for name in COLUMNS])

    def list(self, compiled: Compiled, limit: int = 1000) -> list[Run]:
        sql = f"SELECT * FROM visibility WHERE {compiled.where or 'true'} ORDER BY {compiled.order_by} LIMIT ?"
        return [Run(*row) for row in self._db.execute(sql, (*compiled.params, limit))]

    def count(self, compiled: CompiledCount) -> list[tuple[Any, int]]:
        group = compiled.group_by or "NULL"
        tail = f" GROUP BY {group} ORDER BY {group}" if compiled.group_by else ""
        sql = f"SELECT {group}, count(*) FROM visibility WHERE {compiled.where or 'true'}{tail}"
        return [(value, number) for value, number in self._db.execute(sql, compiled.params)]

    def plan(self, compiled: Compiled) -> str:
        sql = f"EXPLAIN QUERY PLAN SELECT * FROM visibility WHERE {compiled.where} ORDER BY {compiled.order_by}"
        return " ".join(row[3] for row in self._db.execute(sql, compiled.params))

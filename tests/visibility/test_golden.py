"""The same queries and values that the real server was asked, and its answers.

`golden_queries.json` was recorded on four runs: a1 and a2 of type Ta, b3 of type Tb, all running; b4 of type Tb,
terminated. Where we differ on purpose, the reason stands below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from tests.visibility.table import CUSTOM, Table, run

from perdure.errors import InvalidArgument
from perdure.visibility import values
from perdure.visibility.query import compile_count, compile_list
from perdure.visibility.schema import check_names, check_values, encode_group, set_types

HERE = Path(__file__).parent
QUERIES = json.loads((HERE / "golden_queries.json").read_text())["queries"]
VALUES = json.loads((HERE / "golden_values.json").read_text())["values"]

NO_SUBQUERIES = "constructs of SQL that no filter can hold are refused by the parser, not after it"
TUPLE = "the real server's database fails on it"
RAW_FIELD = "custom attributes are not kept in numbered columns"
CASE = "the real server's SQLite compares these without regard to case; its other databases do not"
NAME_CASE = "a name that is also a type or command of SQL keeps its case and needs no backticks"
EXACT_TIME = "the real server's SQLite keeps and compares times as text; these are equal"

DIFFERENCES = {
    "MyKw = ('k_1%', 'a')": TUPLE,
    "ExecutionStatus = ('Running','Failed')": TUPLE,
    "MyInt = (5,6)": TUPLE,
    "MyInt IN ((5,6))": TUPLE,
    "MyInt BETWEEN (5,6) AND 7": TUPLE,
    "MyKw = x'41'": "a hexadecimal literal is a number to the real server",
    "MyInt IN (SELECT 1 FROM t)": NO_SUBQUERIES,
    "EXISTS (SELECT 1 FROM t)": NO_SUBQUERIES,
    "(SELECT 1)": NO_SUBQUERIES,
    "MyInt = (SELECT 1)": NO_SUBQUERIES,
    "MyInt = CASE WHEN 1 THEN 2 END": NO_SUBQUERIES,
    "interval 5 day": NO_SUBQUERIES,
    "MyKw COLLATE utf8 = 'a'": NO_SUBQUERIES,
    "default": NO_SUBQUERIES,
    "MyInt = 5 UNION SELECT * FROM t": "an internal error of the real server",
    "MyInt = 5 HAVING MyInt = 7": "the real server ignores it",
    "MyInt = 5 FOR UPDATE": "the real server ignores it",
    "MyInt = 5\x00": "the real server ignores it",
    "Keyword01 = 'k_1%'": RAW_FIELD,
    "TemporalKeyword01 = 'a'": RAW_FIELD,
    "BatcherNamespace = 'a'": "the real server's database lacks the column",
    "MyKw = status": NAME_CASE,
    "MyKw = time": NAME_CASE,
    "Date = 'x'": NAME_CASE,
    "order = 5": "an ORDER without BY is noticed at the next word",
    "`` = 'a'": "an empty name is noticed as a backtick without end",
    "MyInt = - - 1.5": "the expression is repeated as it was written",
    "MyInt = 5 ORDER BY StartTime": "we have ORDER BY",
    "MyInt = 5 ORDER BY StartTime DESC": "we have ORDER BY",
    "ORDER BY StartTime": "we have ORDER BY",
    "MyKw = 'a' ORDER BY StartTime, CloseTime DESC": "we have ORDER BY",
    "MyList = 'a' ORDER BY MyList": "a list has no order",
    "MyKw starts_with 'K_'": CASE,
    "MyKw STARTS_WITH 'k_'": CASE,
    "MyKw NOT STARTS_WITH 'k_'": CASE,
    "MyList = 'x'": CASE,
    "MyList = 'X'": CASE,
    "MyList != 'x'": CASE,
    "MyList IN ('x','q')": CASE,
    "MyList NOT IN ('x','q')": CASE,
    "MyTime = '2024-01-02T03:04:05Z'": EXACT_TIME,
    "MyTime > 1704164645000000000": EXACT_TIME,
    "MyTime = '2025-01-02T03:04:05.123456789Z'": EXACT_TIME,
}


@pytest.fixture(scope="module")
def table() -> Table:
    a1: dict[str, Any] = {"MyText": "Hello, World foo-bar", "MyKw": "k_1%", "MyInt": 5, "MyDouble": 1.5, "MyBool": True}
    a1 |= {"MyTime": values.parse_time_ns("2024-01-02T03:04:05Z"), "MyList": ["x", "Y z"]}
    a2: dict[str, Any] = {"MyText": "hello there", "MyKw": "K_1", "MyInt": 7, "MyDouble": 2.0, "MyBool": False}
    a2 |= {"MyTime": values.parse_time_ns("2025-01-02T03:04:05.123456789Z"), "MyList": ["X"]}
    b4 = run(4, "b4", workflow_type="Tb").closed(1_700_000_001 * 10**9, status=5)
    return Table(
        [
            run(1, "a1", workflow_type="Ta", attributes=a1),
            run(2, "a2", workflow_type="Ta", attributes=a2),
            run(3, "b3", workflow_type="Tb", attributes={"MyKw": "it's", "MyInt": -1}),
            b4,
        ]
    )


def ask(table: Table, entry: dict[str, Any]) -> Any:
    try:
        if not entry.get("count"):
            return sorted(found.workflow_id for found in table.list(compile_list(entry["query"], CUSTOM)))
        compiled = compile_count(entry["query"], CUSTOM)
    except InvalidArgument as error:
        return f"INVALID_ARGUMENT: {error.message}"
    rows = table.count(compiled)
    groups = []
    if compiled.group_field:
        groups = [[encode_group(compiled.group_field, value).data.decode(), number] for value, number in rows]
    return [sum(number for _, number in rows), groups]


def agree(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, str) and isinstance(theirs, str):
        return ours == theirs or ours.startswith(theirs + " (at position ")
    return bool(ours == theirs)


@pytest.mark.parametrize(
    "entry", [e for e in QUERIES if e["query"] not in DIFFERENCES], ids=lambda entry: entry["query"][:60]
)
def test_a_query_is_answered_as_by_the_real_server_and_an_error_also_says_where(
    table: Table, entry: dict[str, Any]
) -> None:
    ours, theirs = ask(table, entry), entry["answer"]
    assert agree(ours, theirs), (ours, theirs)
    if isinstance(ours, str):
        assert "(at position " in ours


@pytest.mark.parametrize("query", DIFFERENCES)
def test_each_listed_difference_is_one(table: Table, query: str) -> None:
    entries = [entry for entry in QUERIES if entry["query"] == query]
    assert entries
    assert not all(agree(ask(table, entry), entry["answer"]) for entry in entries)


@pytest.mark.parametrize("entry", VALUES, ids=lambda entry: f"{entry['name']}={entry['value']!r}"[:60])
def test_a_value_is_taken_or_refused_as_by_the_real_server(entry: dict[str, Any]) -> None:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(entry["value"]).encode())
    fields = {entry["name"]: payload}
    check_names(fields, CUSTOM, "default")
    if isinstance(entry["answer"], str):
        with pytest.raises(InvalidArgument) as refused:
            check_values(fields, CUSTOM, 100)
        assert f"INVALID_ARGUMENT: {refused.value.message}" == entry["answer"]
        return
    set_types(fields, CUSTOM)
    kept = {name: fields[name] for name, value in check_values(fields, CUSTOM, 100).items() if value is not None}
    ours = {
        name: [{key: value.decode() for key, value in kept[name].metadata.items()}, kept[name].data.decode()]
        for name in kept
    }
    assert ours == entry["answer"]

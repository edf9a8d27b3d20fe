"""Compiling: pages, order, groups, bounds, and what hostile queries cost."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest
from tests.visibility.table import CUSTOM, SECOND, Table, run

from perdure.errors import InvalidArgument
from perdure.visibility import values
from perdure.visibility.query import compile_count, compile_list
from perdure.visibility.scanner import MAX_QUERY_BYTES


def refusal(query: str) -> str:
    with pytest.raises(InvalidArgument) as refused:
        compile_list(query, CUSTOM)
    return refused.value.message


def keys(table: Table, query: str) -> list[int]:
    return [found.run_key for found in table.list(compile_list(query, CUSTOM))]


def test_open_runs_come_first_then_those_closed_last() -> None:
    start = 1_700_000_000 * SECOND
    table = Table(
        [
            run(1, start_time=start).closed(start + 9),
            run(2, start_time=start + 1),
            run(3, start_time=start + 2).closed(start + 5),
            run(4, start_time=start),
            run(5, start_time=start),
        ]
    )
    assert keys(table, "") == [2, 5, 4, 1, 3]


def test_runs_without_the_attribute_come_last_in_either_direction() -> None:
    table = Table([run(1, attributes={"MyInt": 1}), run(2), run(3, attributes={"MyInt": 3})])
    assert keys(table, "ORDER BY MyInt") == [1, 3, 2]
    assert keys(table, "order by MyInt DESC") == [3, 1, 2]


def test_the_default_order_and_its_pages_are_read_off_the_index() -> None:
    table = Table([run(1), run(2)])
    compiled = compile_list("WorkflowType = 'T'", CUSTOM)
    later = compiled.after(compiled.token(2, table.list(compiled)[0]))
    for page in (compiled, later):
        plan = table.plan(page)
        assert "visibility_time" in plan and "TEMP B-TREE" not in plan
    assert "visibility_time (<expr><?)" in table.plan(later)


def test_a_division_is_hidden_unless_the_query_speaks_of_divisions() -> None:
    table = Table([run(1), run(2, attributes={"TemporalNamespaceDivision": "TemporalScheduler"})])
    assert keys(table, "") == [1]
    assert keys(table, "NOT WorkflowId = 'x' OR WorkflowId = 'w'") == [1]
    assert keys(table, "TemporalNamespaceDivision = 'TemporalScheduler'") == [2]
    assert keys(table, "NamespaceDivision IS NOT NULL") == [2]
    assert keys(table, "WorkflowId = 'w' AND TemporalNamespaceDivision IS NULL") == [1]
    assert keys(table, "TemporalNamespaceDivision IS NULL OR TemporalNamespaceDivision IS NOT NULL") == [2, 1]
    count = compile_count("GROUP BY TemporalNamespaceDivision", CUSTOM)
    assert table.count(count) == [(None, 1), ("TemporalScheduler", 1)]


def test_a_count_by_status_has_a_group_for_each() -> None:
    table = Table([run(1), run(2), run(3).closed(1_700_000_001 * SECOND)])
    compiled = compile_count("WorkflowType = 'T' GROUP BY ExecutionStatus", CUSTOM)
    assert table.count(compiled) == [(1, 2), (2, 1)]
    assert compiled.group_field is not None and compiled.group_field.name == "ExecutionStatus"
    assert table.count(compile_count("", CUSTOM)) == [(None, 3)]


def test_a_custom_attribute_hides_the_schedule_id_that_stands_for_a_workflow_id() -> None:
    table = Table([run(1, "a", attributes={"ScheduleId": "b"}), run(2, "b")])
    assert keys(table, "ScheduleId = 'b'") == [2]
    assert [row.run_key for row in table.list(compile_list("ScheduleId = 'b'", {"ScheduleId": 2}))] == [1]


def test_a_cached_query_follows_the_attributes_of_its_namespace() -> None:
    assert compile_list("Later = 5", {"Later": 3}).params[-1] == 5
    with pytest.raises(InvalidArgument, match="invalid value type for search attribute Later of type Keyword"):
        compile_list("Later = 5", {"Later": 2})
    with pytest.raises(InvalidArgument, match="invalid search attribute: Later"):
        compile_list("Later = 5", {})


def test_values_and_names_never_become_part_of_the_sql() -> None:
    evil = "x' OR 1=1 --"
    compiled = compile_list(
        f"MyKw = \"{evil}\" OR `{evil}` = 'y' OR MyKw STARTS_WITH 'q' ORDER BY `{evil}`", {**CUSTOM, evil: 2}
    )
    assert "OR 1=1" not in compiled.where + compiled.order_by
    assert evil in compiled.params


@pytest.mark.parametrize(
    "token", [b"", b"garbage", b"[]", b"{}", b"[1,2,3,4]", b"\xff", b"[" * 100_000, b"null", b'["a"]']
)
def test_a_token_that_is_not_one_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"Invalid NextPageToken\."):
        compile_list("", CUSTOM).after(token)


def test_a_token_of_another_order_is_refused() -> None:
    row = run(1)
    token = compile_list("ORDER BY StartTime", CUSTOM).token(1, row)
    for other in ("", "ORDER BY StartTime DESC", "ORDER BY StartTime, RunId"):
        with pytest.raises(InvalidArgument):
            compile_list(other, CUSTOM).after(token)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("WorkflowId = 'a' AND foo = 'b'", "(at position 22, near 'foo')"),
        ("  MyInt = 'abc'", "(at position 11, near ''abc'')"),
        ("MyKw LIKE 'a'", "(at position 6, near 'LIKE')"),
        ("MyKw = 'a' AND", "(at position 15, at the end)"),
        ("é = 5", "(at position 1, near 'é')"),
        ("MyKw = 'é' é", "(at position 12, near 'é')"),
        ("MyInt IN (1, 2, 'x')", "(at position 17, near ''x'')"),
        ("MyInt = 1 XOR MyInt = 2", "near 'xor' (at position 11, near 'XOR')"),
        ("MyInt IS TRUE", "(at position 7, near 'IS TRUE')"),
        ("ORDER BY MyInt, MyText", "(at position 17, near 'MyText')"),
        (f"MyInt = '{'x' * 100}'", f"(at position 9, near ''{'x' * 39}...')"),
    ],
)
def test_an_error_names_the_place_and_the_word(query: str, place: str) -> None:
    assert refusal(query).endswith(place)


HOSTILE = {
    "parentheses": "(" * 10_000 + "MyInt = 5" + ")" * 10_000,
    "closing parentheses": "MyInt = 5" + ")" * 100_000,
    "not": "NOT " * 30_000 + "MyInt = 5",
    "not in parentheses": "NOT (" * 20_000,
    "signs": "MyInt = " + "- " * 60_000 + "5",
    "and": " AND ".join(["MyInt = 5"] * 9_000),
    "between": " AND ".join(["MyInt BETWEEN 1 AND 2"] * 1_500),
    "sum": "MyInt = " + "1+" * 60_000 + "1",
    "a megabyte": "MyKw = '" + "x" * 1_000_000 + "'",
    "a megabyte of terms": "MyInt = 5 OR " * 80_000,
    "a megabyte beyond ASCII": "é" * 500_000,
    "quotes": "MyKw = " + "'" * 99_999,
    "backslashes": "MyKw = '" + "\\" * 99_999,
    "comments": "/*" * 60_000,
    "tuples": "MyInt IN (" + "(1,2)," * 20_000 + "1)",
    "clauses": "MyInt = 5 ORDER BY " + "MyText, " * 15_000 + "MyInt",
}


@pytest.mark.parametrize("query", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.timeout(20)
def test_a_hostile_query_costs_an_error_and_bounded_memory(query: str) -> None:
    compile_list("MyInt = 5", CUSTOM)
    tracemalloc.start()
    try:
        refusal(query)
        assert tracemalloc.get_traced_memory()[1] < 100 * MAX_QUERY_BYTES * 8
    finally:
        tracemalloc.stop()


def test_the_deepest_and_widest_queries_that_pass_run_on_the_database() -> None:
    table = Table([run(1, "w1", attributes={"MyInt": 5})])
    deep = "(WorkflowId = 'w1' AND NOT " * 99 + "MyInt = 6" + ")" * 99
    wide = " OR ".join(["MyInt = 6"] * 990 + ["MyInt = 5"])
    many = "WorkflowId IN (" + ", ".join(f"'w{n}'" for n in range(5_000)) + ")"
    assert keys(table, deep) in ([], [1])
    assert keys(table, wide) == [1]
    assert keys(table, many) == [1]
    assert keys(table, f"WorkflowId NOT IN ({', '.join(f'{chr(39)}v{n}{chr(39)}' for n in range(5_000))})") == [1]


def test_a_server_starts_without_the_parser() -> None:
    script = "import sys, perdure.visibility.query, perdure.visibility.filters; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("2024-02-29T12:00:00+01:30", 1_709_202_600 * SECOND),
        ("2024-02-29T12:00:00.123456789123Z", 1_709_208_000_123_456_789),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * SECOND),
        ("2023-02-29T12:00:00Z", None),
        ("2024-02-29", None),
        ("2024-02-29T12:00:00", None),
        ("2024-02-29T24:00:00Z", None),
        ("٢٠٢٤-02-29T12:00:00Z", None),
    ],
)
def test_times(text: str, ns: int | None) -> None:
    assert values.parse_time_ns(text) == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1h", 3600 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("1d2h3m4s5ms6us7ns", 93784 * SECOND + 5_006_007),
        ("-5s", -5 * SECOND),
        ("01:02:03", 3723 * SECOND),
        ("100:00:00", 360_000 * SECOND),
        ("42", 42),
        ("99999999999999999999", None),
        ("10000000h", None),
        ("1:60:00", None),
        ("-1:00:00", None),
        ("1", 1),
        ("h", None),
        ("1 h", None),
        ("9" * 100_000 + "h", None),
        ("9" * 100_000 + ":00:00", None),
    ],
)
def test_durations(text: str, ns: int | None) -> None:
    assert values.parse_duration_ns(text) == ns


@pytest.mark.parametrize("prefix", ["a", "a\U0010ffff", "\U0010ffff", "\ud7ff", "a%", ""])
def test_a_prefix_finds_what_begins_with_it_and_nothing_behind(prefix: str) -> None:
    ids = ["", "a", "a\U0010ffff", "a\U0010ffffb", "b", "\U0010ffff", "\U0010ffffz", "\ud7ff", "\ue000", "a%", "A"]
    table = Table(run(number, workflow_id) for number, workflow_id in enumerate(ids, 1))
    found = table.list(compile_list(f"WorkflowId STARTS_WITH '{prefix}'", CUSTOM))
    assert {row.workflow_id for row in found} == {each for each in ids if each.startswith(prefix)}

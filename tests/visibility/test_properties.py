"""Random filters: their text parses back to the same tree, and their SQL finds the runs that it should."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.visibility.table import CUSTOM, Run, Table, run

from perdure.visibility import conditions as c
from perdure.visibility import syntax as s
from perdure.visibility.checker import check
from perdure.visibility.filters import quote
from perdure.visibility.grammar import parse
from perdure.visibility.query import compile_list
from perdure.visibility.schema import SYSTEM, Attribute

# Trees and their text

WORDS = st.text(st.sampled_from("aAbk_% '\"\\`!é\n-/*#"), max_size=6)
NAMES = st.sampled_from([*CUSTOM, *SYSTEM, "ScheduleId", "BuildIds", "select", "with space", "x-y"])

columns = NAMES.map(s.Column)
strings = WORDS.map(s.String)
numbers = st.one_of(st.integers(-20, 20).map(str), st.sampled_from(["1.5", "0.25", "1e3", ".5", "2."])).map(s.Number)
operands = st.one_of(strings, numbers, st.booleans().map(s.Boolean))
comparisons = st.one_of(
    st.builds(s.Comparison, st.sampled_from(["=", "!=", "<", ">", "<=", ">=", "<=>"]), columns, operands),
    st.builds(
        s.Comparison, st.sampled_from(["starts_with", "not starts_with", "like", "not regexp"]), columns, strings
    ),
    st.builds(
        s.Comparison,
        st.sampled_from(["in", "not in"]),
        columns,
        st.lists(operands, min_size=1, max_size=4).map(s.Tuple),
    ),
    st.builds(s.Range, columns, operands, operands, st.booleans()),
    st.builds(s.Is, columns, st.sampled_from(["null", "not null", "true", "not false"])),
)


def grown(inner: st.SearchStrategy[s.Node]) -> st.SearchStrategy[s.Node]:
    return st.one_of(
        inner.map(s.Not),
        inner.map(s.Paren),
        st.lists(inner, min_size=2, max_size=4).map(s.And),
        st.lists(inner, min_size=2, max_size=4).map(s.Or),
    )


trees = st.recursive(comparisons, grown, max_leaves=12).map(lambda node: bracketed(node))
queries = st.builds(
    s.Query,
    st.none() | trees,
    st.lists(columns, max_size=2),
    st.lists(st.builds(s.Order, columns, st.booleans()), max_size=3),
)


def bracketed(node: s.Node) -> s.Node:
    """The tree with parentheses where its text needs them."""

    def within(child: s.Node, *loose: type[s.Node]) -> s.Node:
        child = bracketed(child)
        return s.Paren(child) if isinstance(child, loose) else child

    match node:
        case s.Or(terms):
            return s.Or([within(term, s.Or) for term in terms])
        case s.And(terms):
            return s.And([within(term, s.Or, s.And) for term in terms])
        case s.Not(inner):
            return s.Not(within(inner, s.Or, s.And))
        case s.Paren(inner):
            return s.Paren(bracketed(inner))
    return node


def text(node: s.Node) -> str:
    match node:
        case s.Query():
            parts = [text(node.where)] if node.where else []
            parts += ["group by " + ", ".join(map(text, node.group_by))] if node.group_by else []
            parts += ["Order BY " + ", ".join(map(text, node.order_by))] if node.order_by else []
            return " ".join(parts)
        case s.Order(by, descending):
            return text(by) + (" DESC" if descending else "")
        case s.Column(name):
            return f"`{name}`"
        case s.String(value):
            return quote(value)
        case s.Number(written):
            return written
        case s.Boolean(value):
            return str(value)
        case s.Tuple(items):
            return f"({', '.join(map(text, items))})"
        case s.Paren(inner):
            return f"({text(inner)})"
        case s.Not(inner):
            return f"NOT {text(inner)}"
        case s.And(terms):
            return " AND ".join(map(text, terms))
        case s.Or(terms):
            return " or ".join(map(text, terms))
        case s.Comparison(operator, left, right):
            return f"{text(left)} {operator} {text(right)}"
        case s.Range(left, low, high, negated):
            return f"{text(left)} {'NOT ' * negated}BETWEEN {text(low)} AND {text(high)}"
        case s.Is(left, test):
            return f"{text(left)} is {test}"
    raise AssertionError(node)


@given(queries)
def test_the_text_of_a_tree_parses_to_the_same_tree(query: s.Query) -> None:
    assert parse(text(query)) == query


@given(queries)
def test_every_node_knows_where_it_stands(query: s.Query) -> None:
    written = text(query)
    for name in names(parse(written)):
        assert written[name.start : name.end] == f"`{name.name}`"


def names(node: Any) -> list[s.Column]:
    if isinstance(node, s.Column):
        return [node]
    children = node if isinstance(node, list) else [getattr(node, f) for f in getattr(node, "__dataclass_fields__", ())]
    return [found for child in children for found in names(child)]


# Runs, and which of them a filter means

KEYWORDS = st.sampled_from(["", "a", "aB", "ab", "Ab%", "é", "\U0010ffff", "\U0010ffffa", "it's", "k_1"])
TEXTS = st.sampled_from(["Hello, World", "hello", "foo-bar baz", "foo bar", "", "--", "été chaud", "a1 b2"])
TIMES = st.integers(-3, 3).map(lambda n: 1_700_000_000_000_000_000 + n)
VALUES: dict[int, st.SearchStrategy[Any]] = {
    1: TEXTS,
    2: KEYWORDS,
    3: st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63)]),
    4: st.sampled_from([0.5, -1.0, 2.0, 1e300, 0.1]),
    5: st.booleans(),
    6: TIMES,
    7: st.lists(KEYWORDS, min_size=1, max_size=3),
}
STORED = {"MyText": 1, "MyKw": 2, "MyInt": 3, "MyDouble": 4, "MyBool": 5, "MyTime": 6, "MyList": 7, 'q"t': 2, "x y": 7}

stored = st.fixed_dictionaries({}, optional={name: VALUES[kind] for name, kind in STORED.items()})
runs = st.lists(
    st.tuples(stored, KEYWORDS, st.integers(0, 8), TIMES, st.none() | TIMES, st.none() | st.integers(0, 3)), max_size=8
).map(
    lambda rows: [
        run(
            key, workflow_id, attributes=attributes, status=status, start_time=start, close_time=close,
            history_length=length, parent_workflow_id=workflow_id or None,
        )
        for key, (attributes, workflow_id, status, start, close, length) in enumerate(rows, 1)
    ]
)  # fmt: skip


@st.composite
def single_condition(draw: st.DrawFn) -> str:
    name, kind = draw(
        st.sampled_from(
            [
                *STORED.items(),
                ("WorkflowId", 2),
                ("ParentWorkflowId", 2),
                ("StartTime", 6),
                ("CloseTime", 6),
                ("HistoryLength", 3),
            ]
        )
    )
    item = {1: TEXTS.filter(lambda t: any(x.isalnum() for x in t)), 7: KEYWORDS}.get(kind, VALUES[kind])

    def value() -> str:
        drawn = draw(item)
        return (
            str(drawn).lower() if isinstance(drawn, bool) else quote(drawn) if isinstance(drawn, str) else repr(drawn)
        )

    operators = {1: ["=", "!="], 7: ["=", "!=", "in", "not in"], 5: ["=", "!=", "in"]}.get(
        kind, ["=", "!=", "<", "<=", ">", ">=", "in", "not in", "between", "not between"]
    )
    if kind == 2:
        operators = [*operators, "starts_with", "not starts_with"]
    operator = draw(st.sampled_from([*operators, "is null", "is not null"]))
    if operator.startswith("is "):
        return f"`{name}` {operator}"
    if operator.endswith("between"):
        return f"`{name}` {operator} {value()} AND {value()}"
    if operator.endswith("in"):
        return f"`{name}` {operator} ({', '.join(value() for _ in range(draw(st.sampled_from([1, 2, 20]))))})"
    return f"`{name}` {operator} {value()}"


filters = st.recursive(
    single_condition(),
    lambda inner: st.one_of(
        inner.map(lambda term: f"NOT ({term})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda terms: "(" + " AND ".join(terms) + ")"),
        st.lists(inner, min_size=2, max_size=3).map(lambda terms: "(" + " OR ".join(terms) + ")"),
    ),
    max_leaves=6,
)


def value_of(attribute: Attribute, row: Run) -> Any:
    if attribute.column:
        return getattr(row, attribute.column)
    return json.loads(row.search_attributes or "{}").get(attribute.name)


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, small; what is not ASCII counts as a letter and stays as it is."""
    spaced = "".join(x.lower() if x.isascii() and x.isalnum() else " " if x.isascii() else x for x in text)
    return spaced.split()


def meant(condition: c.Condition, row: Run) -> bool | None:
    """What a condition says of a run; None when it says neither yes nor no."""
    match condition:
        case c.AllOf(terms):
            said = [meant(term, row) for term in terms]
            return False if False in said else None if None in said else True
        case c.AnyOf(terms):
            said = [meant(term, row) for term in terms]
            return True if True in said else None if None in said else False
        case c.Not(term):
            inner = meant(term, row)
            return None if inner is None else not inner
        case c.IsNull(attribute):
            return value_of(attribute, row) is None
        case c.HasAny(attribute, wanted):
            return any(word in wanted for word in value_of(attribute, row) or [])
        case c.HasToken(attribute, phrases):
            words = words_of(value_of(attribute, row) or "")
            return any(words[at : at + len(phrase)] == list(phrase) for phrase in phrases for at in range(len(words)))
    value = value_of(condition.attribute, row)
    if value is None:
        return None
    match condition:
        case c.Compare(_, operator, wanted):
            return {
                "=": value == wanted, "!=": value != wanted, "<": value < wanted,
                "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted,
            }[operator]  # fmt: skip
        case c.OneOf(_, wanted_values):
            return value in wanted_values
        case c.Between(_, low, high):
            return low <= value <= high
        case c.StartsWith(_, prefix):
            return bool(value.startswith(prefix))
    raise AssertionError(condition)


@given(runs, filters)
@settings(max_examples=300)
def test_sql_finds_the_runs_that_the_conditions_mean(rows: list[Run], query: str) -> None:
    where = check(query, parse(query), STORED).where
    assert where is not None
    found = {row.run_key for row in Table(rows).list(compile_list(query, STORED))}
    assert found == {row.run_key for row in rows if meant(where, row)}


ORDERS = [
    "",
    "ORDER BY MyInt",
    "ORDER BY MyKw DESC, MyBool",
    "ORDER BY CloseTime DESC",
    "ORDER BY MyDouble, MyTime DESC",
    'ORDER BY `q"t`, StartTime',
    "ORDER BY ExecutionStatus DESC, HistoryLength",
]


@given(runs, st.sampled_from(ORDERS), st.integers(1, 4))
def test_pages_put_together_are_the_whole_list(rows: list[Run], query: str, size: int) -> None:
    table, compiled = Table(rows), compile_list(query, STORED)
    whole = [row.run_key for row in table.list(compiled)]
    paged: list[int] = []
    page = compiled
    while found := table.list(page, size):
        paged += [row.run_key for row in found]
        page = compiled.after(compiled.token(found[-1].run_key, found[-1]))
    assert paged == whole == list(dict.fromkeys(whole))
    assert len(whole) == len(rows)


@given(runs, runs, st.sampled_from(ORDERS), st.integers(1, 3))
def test_runs_that_come_between_pages_shift_nothing(rows: list[Run], later: list[Run], query: str, size: int) -> None:
    table, compiled = Table(rows), compile_list(query, STORED)
    seen: list[int] = []
    page = compiled
    arriving = [replace(new, run_key=100 + new.run_key) for new in later]
    while found := table.list(page, size):
        seen += [row.run_key for row in found]
        page = compiled.after(compiled.token(found[-1].run_key, found[-1]))
        if arriving:
            table.insert(arriving.pop())
    assert len(seen) == len(set(seen))
    assert {row.run_key for row in rows} <= set(seen)

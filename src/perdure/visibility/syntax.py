"""The syntax tree of a list filter: what was written, before names and types are looked at.

Every node knows where it stands in the query (`start`, `end`: offsets in characters), so that whatever is wrong can be
pointed at. Positions take no part in comparisons: two spellings of the same filter are equal.

AND and OR hold all their terms, so a chain of a thousand terms is flat; depth comes from parentheses only, and the
scanner bounds those.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_UNPLACED = -1


@dataclass(slots=True)
class Node:
    """Base of all nodes."""

    start: int = field(default=_UNPLACED, compare=False, kw_only=True)
    end: int = field(default=_UNPLACED, compare=False, kw_only=True)


@dataclass(slots=True)
class Column(Node):
    """A name, without its backticks."""

    name: str


@dataclass(slots=True)
class String(Node):
    """A string in single or double quotes, escapes decoded."""

    value: str


@dataclass(slots=True)
class Number(Node):
    """An integer or a decimal number, as written; a minus sign in front of an integer is part of it."""

    text: str


@dataclass(slots=True)
class Opaque(Node):
    """A value that the language knows but no attribute takes: hexadecimal, bits, a placeholder."""

    text: str


@dataclass(slots=True)
class Boolean(Node):
    value: bool


@dataclass(slots=True)
class Null(Node):
    pass


@dataclass(slots=True)
class Paren(Node):
    inner: Node


@dataclass(slots=True)
class Tuple(Node):
    items: list[Node]


@dataclass(slots=True)
class Unary(Node):
    operator: str
    inner: Node


@dataclass(slots=True)
class Binary(Node):
    """Arithmetic. No filter may hold it, so its operands are not kept."""


@dataclass(slots=True)
class Call(Node):
    """A function call. No filter may hold one."""

    name: str


@dataclass(slots=True)
class Comparison(Node):
    """`operator` in lower case, words separated by one space. The right side of IN is a `Tuple`."""

    operator: str
    left: Node
    right: Node
    operator_start: int = field(default=_UNPLACED, compare=False)
    operator_end: int = field(default=_UNPLACED, compare=False)


@dataclass(slots=True)
class Range(Node):
    left: Node
    low: Node
    high: Node
    negated: bool = False


@dataclass(slots=True)
class Is(Node):
    """`test` is one of null, not null, true, not true, false, not false."""

    left: Node
    test: str
    operator_start: int = field(default=_UNPLACED, compare=False)
    operator_end: int = field(default=_UNPLACED, compare=False)


@dataclass(slots=True)
class And(Node):
    terms: list[Node]


@dataclass(slots=True)
class Or(Node):
    terms: list[Node]


@dataclass(slots=True)
class Not(Node):
    inner: Node


@dataclass(slots=True)
class Order(Node):
    by: Node
    descending: bool = False


@dataclass(slots=True)
class Clause(Node):
    """A clause that no filter may have: `name` is HAVING or LIMIT."""

    name: str


@dataclass(slots=True)
class Query(Node):
    where: Node | None = None
    group_by: list[Node] = field(default_factory=list)
    order_by: list[Order] = field(default_factory=list)
    refused: list[Clause] = field(default_factory=list)


GO_TYPES: dict[type[Node], str] = {
    Column: "*sqlparser.ColName",
    String: "*sqlparser.SQLVal",
    Number: "*sqlparser.SQLVal",
    Opaque: "*sqlparser.SQLVal",
    Boolean: "sqlparser.BoolVal",
    Null: "*sqlparser.NullVal",
    Paren: "*sqlparser.ParenExpr",
    Tuple: "sqlparser.ValTuple",
    Unary: "*sqlparser.UnaryExpr",
    Binary: "*sqlparser.BinaryExpr",
    Call: "*sqlparser.FuncExpr",
    Comparison: "*sqlparser.ComparisonExpr",
    Range: "*sqlparser.RangeCond",
    Is: "*sqlparser.IsExpr",
    And: "*sqlparser.AndExpr",
    Or: "*sqlparser.OrExpr",
    Not: "*sqlparser.NotExpr",
}
"""What the real server calls these in its messages."""

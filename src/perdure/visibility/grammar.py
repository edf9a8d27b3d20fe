"""The grammar of list filters, and the one function that parses: `parse`.

It takes more than a filter may hold (arithmetic, calls, tuples), because the real server's parser does: such queries
are well-formed there and are refused later, in other words.

Importing this module imports lark and builds tables, which takes a while: import it when the first query comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lark
from lark.lexer import Lexer, Token

from perdure.visibility import syntax
from perdure.visibility.scanner import END, Word, malformed, scan
from perdure.visibility.syntax import Node

_GRAMMAR = r"""
query: (where group_by? having? order_by? limit? | group_by having? order_by? limit? | order_by limit?)? SEMICOLON?

where: _expression
group_by: GROUP BY _expression (_COMMA _expression)*
having: HAVING _expression
order_by: ORDER BY order (_COMMA order)*
order: _expression (ASC | DESC)?
limit: LIMIT _expression (_COMMA _expression)?

_expression: _conjunction | or_
or_: _conjunction (_OR _conjunction)+
_conjunction: _negation | and_
and_: _negation (_AND _negation)+
_negation: _test | not_
not_: NOT _negation
_test: _predicate | is_
is_: _test IS NOT? (NULL | TRUE | FALSE)

_predicate: _operand | compare | in_ | match | between
compare: _operand (EQ | NE | LT | GT | LE | GE | SAME) _operand
in_: _operand NOT? IN values
match: _operand NOT? (LIKE | REGEXP | STARTS_WITH) _operand (_ESCAPE _operand)?
between: _operand NOT? BETWEEN _operand _AND _operand

_operand: _unary | binary
binary: _operand (PLUS | MINUS | ARITHMETIC) _unary
_unary: _primary | unary
unary: (PLUS | MINUS | TILDE | BANG | BINARY) _unary
_primary: string | number | opaque | boolean | null | column | tuple_ | call
string: STRING
number: NUMBER
opaque: OPAQUE
boolean: TRUE | FALSE
null: NULL
column: NAME (_DOT NAME)*
values: OPEN _expression (_COMMA _expression)* CLOSE
tuple_: OPEN _expression (_COMMA _expression)* CLOSE
call: NAME OPEN (_argument (_COMMA _argument)*)? CLOSE | CLOCK (OPEN CLOSE)?
_argument: _expression | ARITHMETIC

%declare SEMICOLON GROUP BY HAVING ORDER ASC DESC LIMIT _COMMA _OR _AND NOT IS NULL TRUE FALSE EQ NE LT GT LE GE SAME
%declare IN LIKE REGEXP STARTS_WITH _ESCAPE BETWEEN PLUS MINUS TILDE BANG BINARY ARITHMETIC _DOT
%declare STRING NUMBER OPAQUE NAME OPEN CLOSE CLOCK
"""

_OPERATORS = {"EQ": "=", "NE": "!=", "LT": "<", "GT": ">", "LE": "<=", "GE": ">=", "SAME": "<=>"}
_SIGNS = {"PLUS": "+", "MINUS": "-", "TILDE": "~", "BANG": "!", "BINARY": "binary "}


class _Scanner(Lexer):
    """Lets lark read from our scanner."""

    def __init__(self, lexer_conf: Any) -> None:
        pass

    def lex(self, data: str) -> Iterator[Token]:  # type: ignore[override]
        for kind, value, start, end in scan(data):
            yield Token(kind, value, start_pos=start, end_pos=end)


class _Builder(lark.Transformer[Token, Any]):
    """Builds a node as soon as its rule is complete; the methods are called by the names of the rules."""

    def query(self, parts: list[Any]) -> syntax.Query:
        query = syntax.Query()
        for part in parts:
            match part:
                case Token():
                    pass
                case syntax.Clause():
                    query.refused.append(part)
                case ("where", node):
                    query.where = node
                case ("group", nodes):
                    query.group_by = nodes
                case ("order", orders):
                    query.order_by = orders
        return query

    def where(self, parts: list[Any]) -> tuple[str, Node]:
        return "where", parts[0]

    def group_by(self, parts: list[Any]) -> tuple[str, list[Node]]:
        return "group", parts[2:]

    def order_by(self, parts: list[Any]) -> tuple[str, list[syntax.Order]]:
        return "order", parts[2:]

    def order(self, parts: list[Any]) -> syntax.Order:
        descending = len(parts) > 1 and parts[1].type == "DESC"
        return syntax.Order(parts[0], descending, start=parts[0].start, end=parts[0].end)

    def having(self, parts: list[Any]) -> syntax.Clause:
        return syntax.Clause("HAVING", start=parts[0].start_pos, end=parts[0].end_pos)

    def limit(self, parts: list[Any]) -> syntax.Clause:
        return syntax.Clause("LIMIT", start=parts[0].start_pos, end=parts[0].end_pos)

    def or_(self, terms: list[Node]) -> syntax.Or:
        return syntax.Or(terms, start=terms[0].start, end=terms[-1].end)

    def and_(self, terms: list[Node]) -> syntax.And:
        return syntax.And(terms, start=terms[0].start, end=terms[-1].end)

    def not_(self, parts: list[Any]) -> syntax.Not:
        return syntax.Not(parts[1], start=parts[0].start_pos, end=parts[1].end)

    def is_(self, parts: list[Any]) -> syntax.Is:
        left, first, *words = parts
        return syntax.Is(
            left,
            " ".join(word.type.lower() for word in words),
            first.start_pos,
            words[-1].end_pos,
            start=left.start,
            end=words[-1].end_pos,
        )

    def compare(self, parts: list[Any]) -> syntax.Comparison:
        left, operator, right = parts
        return syntax.Comparison(
            _OPERATORS[operator.type],
            left,
            right,
            operator.start_pos,
            operator.end_pos,
            start=left.start,
            end=right.end,
        )

    def in_(self, parts: list[Any]) -> syntax.Comparison:
        return _worded(parts[0], parts[1:-1], parts[-1])

    def match(self, parts: list[Any]) -> syntax.Comparison:
        words = [part for part in parts[1:] if isinstance(part, Token)]
        return _worded(parts[0], words, parts[1 + len(words)])

    def between(self, parts: list[Any]) -> syntax.Range:
        left, *words, low, high = parts
        return syntax.Range(left, low, high, len(words) > 1, start=left.start, end=high.end)

    def binary(self, parts: list[Any]) -> syntax.Binary:
        # A long sum is a deep tree, but nobody walks it: only where it begins and ends matters.
        return syntax.Binary(start=parts[0].start, end=parts[2].end)

    def unary(self, parts: list[Any]) -> Node:
        sign, inner = parts
        if isinstance(inner, syntax.Number) and inner.text.lstrip("-").isdigit() and sign.type in ("PLUS", "MINUS"):
            text = inner.text
            if sign.type == "MINUS":
                text = text[1:] if text[0] == "-" else "-" + text
            return syntax.Number(text, start=sign.start_pos, end=inner.end)
        return syntax.Unary(_SIGNS[sign.type], inner, start=sign.start_pos, end=inner.end)

    def string(self, parts: list[Token]) -> syntax.String:
        return syntax.String(parts[0].value, **_span(parts[0]))

    def number(self, parts: list[Token]) -> syntax.Number:
        return syntax.Number(parts[0].value, **_span(parts[0]))

    def opaque(self, parts: list[Token]) -> syntax.Opaque:
        return syntax.Opaque(parts[0].value, **_span(parts[0]))

    def boolean(self, parts: list[Token]) -> syntax.Boolean:
        return syntax.Boolean(parts[0].type == "TRUE", **_span(parts[0]))

    def null(self, parts: list[Token]) -> syntax.Null:
        return syntax.Null(**_span(parts[0]))

    def column(self, parts: list[Token]) -> syntax.Column:
        return syntax.Column(".".join(part.value for part in parts), **_span(parts[0], parts[-1]))

    def values(self, parts: list[Any]) -> syntax.Tuple:
        return syntax.Tuple(parts[1:-1], **_span(parts[0], parts[-1]))

    def tuple_(self, parts: list[Any]) -> Node:
        if len(parts) == 3:
            return syntax.Paren(parts[1], **_span(parts[0], parts[2]))
        return syntax.Tuple(parts[1:-1], **_span(parts[0], parts[-1]))

    def call(self, parts: list[Any]) -> syntax.Call:
        return syntax.Call(parts[0].value, **_span(parts[0]))


def _span(first: Token, last: Token | None = None) -> dict[str, int]:
    start, end = first.start_pos, (first if last is None else last).end_pos
    assert start is not None and end is not None
    return {"start": start, "end": end}


def _worded(left: Node, words: list[Token], right: Node) -> syntax.Comparison:
    first, last = _span(words[0], words[-1]).values()
    operator = " ".join(word.type.lower() for word in words)
    return syntax.Comparison(operator, left, right, first, last, start=left.start, end=right.end)


_LARK = lark.Lark(_GRAMMAR, parser="lalr", lexer=_Scanner, start="query", transformer=_Builder())


def parse(query: str) -> syntax.Query:
    """The syntax tree of a query. Raises InvalidArgument with the place of the first token that cannot stand there."""
    try:
        parsed: syntax.Query = _LARK.parse(query)  # type: ignore[assignment]
    except lark.UnexpectedToken as unexpected:
        token = unexpected.token
        if token.type == "$END":
            end = len(query.rstrip())
            raise malformed(query, Word(END, "", end, end)) from None
        start, end = _span(token).values()
        raise malformed(query, Word(token.type, token.value, start, end)) from None
    return parsed

"""From conditions to SQL. What differs between databases is in one class for each; values are always parameters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from perdure.visibility.conditions import (
    AllOf,
    AnyOf,
    Between,
    Compare,
    Condition,
    HasAny,
    HasToken,
    IsNull,
    Not,
    OneOf,
    StartsWith,
    Value,
)
from perdure.visibility.schema import Attribute

Param: TypeAlias = str | int | float | None

_INT64 = range(-(2**63), 2**63)
_OPERATORS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

_WORD = "a-z0-9\u0080-\U0010ffff"
"""Characters of tokens, as the range of a GLOB pattern; all else separates."""

_LONGEST_PATTERN_BYTES = 50_000
"""SQLite takes no longer pattern; no value is that long, so such a token is in none."""

_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_FEW = 16
"""Up to so many values are parameters of their own; more go as one JSON array, since parameters are limited."""


class Fragment:
    """SQL in the making: pieces of text, and the parameters of the placeholders in them, in order."""

    def __init__(self) -> None:
        self.params: list[Param] = []

    def bind(self, value: Value | None) -> str:
        """The placeholder of a value."""
        if isinstance(value, int) and value not in _INT64:
            value = float(value)
        self.params.append(value)
        return "?"


class SqliteDialect:
    """SQLite, with the columns of the table `visibility`.

    Strings compare by code point, in upper and lower case apart. Attributes in the JSON object are read with
    `json_extract`, which gives NULL for what is not there.
    """

    def condition(self, condition: Condition, into: Fragment) -> str:
        """SQL that is true for the runs that meet a condition; its parameters are added to `into`."""
        match condition:
            case AllOf(terms):
                return self._joined(terms, " AND ", into)
            case AnyOf(terms):
                return self._joined(terms, " OR ", into)
            case Not(term):
                return f"NOT ({self.condition(term, into)})"
            case Compare(attribute, operator, value):
                return f"{self.value(attribute, into)} {_OPERATORS[operator]} {into.bind(value)}"
            case OneOf(attribute, values):
                return f"{self.value(attribute, into)} IN ({self._listed(values, into)})"
            case Between(attribute, low, high):
                return f"{self.value(attribute, into)} BETWEEN {into.bind(low)} AND {into.bind(high)}"
            case IsNull(attribute):
                return f"{self.value(attribute, into)} IS NULL"
            case StartsWith(attribute, prefix):
                return self._starts_with(attribute, prefix, into)
            case HasAny(attribute, values):
                source = f"json_each(search_attributes, {into.bind(json_path(attribute))})"
                return f"EXISTS (SELECT 1 FROM {source} WHERE value IN ({self._listed(values, into)}))"
            case HasToken(attribute, phrases):
                return self._has_token(attribute, phrases, into)

    def value(self, attribute: Attribute, into: Fragment) -> str:
        """SQL of the value of an attribute."""
        if attribute.column:
            return attribute.column
        if '"' in attribute.name or "\\" in attribute.name:
            # A JSON path cannot name these.
            return f"(SELECT value FROM json_each(search_attributes) WHERE key = {into.bind(attribute.name)})"
        return f"json_extract(search_attributes, {into.bind(json_path(attribute))})"

    def _joined(self, terms: Sequence[Condition], operator: str, into: Fragment) -> str:
        """Pairs of pairs: SQLite bounds the depth of an expression, and a plain chain is as deep as it is long."""
        pieces = []
        for term in terms:
            pieces.append(f"({self.condition(term, into)})")
        while len(pieces) > 1:
            pairs = [f"({left}{operator}{right})" for left, right in zip(pieces[::2], pieces[1::2], strict=False)]
            pieces = pairs + pieces[len(pieces) & ~1 :]
        return pieces[0]

    def _listed(self, values: Sequence[Value], into: Fragment) -> str:
        if len(values) <= _FEW:
            return ", ".join(into.bind(value) for value in values)
        return f"SELECT value FROM json_each({into.bind(_json_array(values))})"

    def _starts_with(self, attribute: Attribute, prefix: str, into: Fragment) -> str:
        """A range, which an index can serve: from the prefix up to, without, the next string that lacks it."""
        if not prefix:
            return f"{self.value(attribute, into)} >= ''"
        low = f"{self.value(attribute, into)} >= {into.bind(prefix)}"
        above = _next_prefix(prefix)
        return low if above is None else f"{low} AND {self.value(attribute, into)} < {into.bind(above)}"

    def _has_token(self, attribute: Attribute, phrases: Sequence[Sequence[str]], into: Fragment) -> str:
        separator = f"[^{_WORD}]"
        tests = []
        for phrase in phrases:
            pattern = f"*{separator}{separator.join(phrase)}{separator}*"
            if len(pattern.encode()) <= _LONGEST_PATTERN_BYTES:
                text = f"coalesce(' ' || lower({self.value(attribute, into)}) || ' ', '')"
                tests.append(f"({text} GLOB {into.bind(pattern)})")
        return " OR ".join(tests) or "0"


def json_path(attribute: Attribute) -> str:
    return f'$."{attribute.name}"'


def _json_array(values: Sequence[Value]) -> str:
    return json.dumps([float(v) if isinstance(v, int) and v not in _INT64 else v for v in values], ensure_ascii=False)


def _next_prefix(prefix: str) -> str | None:
    """The smallest string above all those with the prefix; None when there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at]) + 1
        if code in _SURROGATES:
            code = _SURROGATES.stop
        if code <= _LAST_CODE_POINT:
            return prefix[:at] + chr(code)
    return None

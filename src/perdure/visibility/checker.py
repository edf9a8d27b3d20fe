"""From the syntax tree of a query to conditions, or the real server's message about the first thing wrong.

Checks come in the real server's order, left to right: the name, then the value, then whether the type takes the
operator. Where it lets a query through that its database then fails on, the message is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from perdure.visibility import schema, syntax, values
from perdure.visibility.conditions import (
    AllOf,
    AnyOf,
    Between,
    Compare,
    Condition,
    Filter,
    HasAny,
    HasToken,
    IsNull,
    Not,
    OneOf,
    OrderKey,
    StartsWith,
    Value,
    tokens,
)
from perdure.visibility.problems import problem
from perdure.visibility.scanner import MAX_CONDITIONS, too_deep
from perdure.visibility.schema import Attribute
from perdure.visibility.syntax import Node

_NOT_SUPPORTED = "operation is not supported"
_INVALID = "invalid expression"

_COMPARISONS = frozenset(("=", "!=", "<", ">", "<=", ">=", "in", "not in"))
_OPERATORS: Mapping[int, frozenset[str]] = {
    schema.KEYWORD: _COMPARISONS | {"starts_with", "not starts_with"},
    schema.KEYWORD_LIST: frozenset(("=", "!=", "in", "not in")),
    schema.TEXT: frozenset(("=", "!=")),
}
"""What a type takes; a type not named takes comparisons."""

_RANGES = frozenset((schema.DATETIME, schema.DOUBLE, schema.INT, schema.KEYWORD))
_UNSORTABLE = frozenset((schema.TEXT, schema.KEYWORD_LIST))
_GROUPS = frozenset((schema.EXECUTION_STATUS, schema.NAMESPACE_DIVISION))

_Plain = str | int | float | bool


def check(query: str, tree: syntax.Query, custom: Mapping[str, int], *, counting: bool = False) -> Filter:
    """What a query means in a namespace with these custom attributes (types by name).

    `counting`: the query is for a count, which may be grouped but not ordered; a list ignores GROUP BY, as the real
    server does. Raises InvalidArgument.
    """
    return _Checker(query, custom).filter(tree, counting)


class _Checker:
    def __init__(self, query: str, custom: Mapping[str, int]) -> None:
        self._query = query
        self._custom = custom
        self._conditions = 0
        self._saw_division = False
        self._fields: set[str] = set()

    def filter(self, tree: syntax.Query, counting: bool) -> Filter:
        for clause in tree.refused:
            self._fail(clause, f"{_NOT_SUPPORTED}: '{clause.name}' clause")
        where = self._where(tree.where) if tree.where else None
        group_by = self._group_by(tree.group_by)
        order_by = tuple(self._order_key(order) for order in tree.order_by)
        if counting and tree.order_by:
            self._fail(tree.order_by[0], f"{_NOT_SUPPORTED}: 'ORDER BY' clause")
        if not self._saw_division:
            default = IsNull(schema.built_in(schema.NAMESPACE_DIVISION))
            where = AllOf((default, where)) if where else default
        return Filter(where, order_by, group_by, frozenset(self._fields))

    def _group_by(self, nodes: list[Node]) -> Attribute | None:
        if len(nodes) > 1:
            self._fail(nodes[1], f"{_NOT_SUPPORTED}: 'GROUP BY' clause supports only a single field")
        for node in nodes:
            attribute = self._attribute(node)
            if attribute.name not in _GROUPS:
                what = f"'GROUP BY' clause is not supported for search attribute {attribute.alias}"
                self._fail(node, f"{_NOT_SUPPORTED}: {what}")
            return attribute
        return None

    def _order_key(self, order: syntax.Order) -> OrderKey:
        attribute = self._attribute(order.by)
        if attribute.type in _UNSORTABLE:
            type_name = schema.TYPE_NAMES[attribute.type]
            self._fail(order.by, f"{_NOT_SUPPORTED}: unable to sort by search attribute type {type_name}")
        return OrderKey(attribute, order.descending)

    # Conditions

    def _where(self, node: Node) -> Condition:
        negated = False
        while isinstance(node, syntax.Paren | syntax.Not):
            negated ^= isinstance(node, syntax.Not)
            node = node.inner
        condition = self._unwrapped(node)
        return Not(condition) if negated else condition

    def _unwrapped(self, node: Node) -> Condition:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise too_deep(self._query, node.start, node.end)
        match node:
            case syntax.And(terms) | syntax.Or(terms):
                checked = []
                for term in terms:
                    checked.append(self._where(term))
                return AllOf(tuple(checked)) if isinstance(node, syntax.And) else AnyOf(tuple(checked))
            case syntax.Comparison():
                return self._comparison(node)
            case syntax.Range():
                return self._range(node)
            case syntax.Is():
                return self._is(node)
            case syntax.Column():
                self._fail(node, f"{_INVALID}: incomplete expression")
            case syntax.Call() if not _is_group_concat(node):
                self._fail(node, f"{_NOT_SUPPORTED}: function expression")
        self._fail(node, f"{_NOT_SUPPORTED}: expression of type {_go_type(node)}")

    def _comparison(self, node: syntax.Comparison) -> Condition:
        attribute = self._attribute(node.left)
        operator = node.operator
        if operator in ("in", "not in"):
            assert isinstance(node.right, syntax.Tuple)
            operands = tuple(self._value(item, attribute) for item in node.right.items)
            self._allow(node, attribute)
            return _negated(_one_of(attribute, operands), operator == "not in")
        if isinstance(node.right, syntax.Tuple):
            self._refuse_tuple(node, attribute, node.right)
        value = self._value(node.right, attribute)
        self._allow(node, attribute)
        if operator.endswith("starts_with"):
            return self._starts_with(node, attribute, value)
        match attribute.type:
            case schema.KEYWORD_LIST:
                return _negated(HasAny(attribute, (str(value),)), operator == "!=")
            case schema.TEXT:
                return _negated(HasToken(attribute, self._phrases(node.right, attribute, str(value))), operator == "!=")
        return Compare(attribute, operator, value)

    def _starts_with(self, node: syntax.Comparison, attribute: Attribute, value: Value) -> Condition:
        if not isinstance(value, str):
            what = f'right-hand side of "{node.operator}" operator must be a literal string'
            self._fail(node.right, f"{_INVALID}: {what} (got: {values.STATUSES[int(value)]})")
        return _negated(StartsWith(attribute, value), node.operator == "not starts_with")

    def _phrases(self, node: Node, attribute: Attribute, text: str) -> tuple[tuple[str, ...], ...]:
        phrases = tuple(phrase for word in text.split(" ") if (phrase := tokens(word)))
        if not phrases:
            what = f"no tokens found filtering on Text type search attribute {attribute.alias}"
            self._fail(node, f"{_INVALID}: {what}")
        return phrases

    def _range(self, node: syntax.Range) -> Condition:
        attribute = self._attribute(node.left)
        if attribute.type not in _RANGES:
            what = f"cannot do range condition on search attribute '{attribute.alias}'"
            self._fail(node.left, f"{_INVALID}: {what} of type {schema.TYPE_NAMES[attribute.type]}")
        low = self._value(node.low, attribute)
        high = self._value(node.high, attribute)
        return _negated(Between(attribute, low, high), node.negated)

    def _is(self, node: syntax.Is) -> Condition:
        attribute = self._attribute(node.left)
        if node.test not in ("null", "not null"):
            what = "'IS' operator can only be used as 'IS NULL' or 'IS NOT NULL'"
            raise problem(self._query, node.operator_start, node.operator_end, f"{_INVALID}: {what}")
        return _negated(IsNull(attribute), node.test == "not null")

    def _allow(self, node: syntax.Comparison, attribute: Attribute) -> None:
        if node.operator in _OPERATORS.get(attribute.type, _COMPARISONS):
            return
        type_name = schema.TYPE_NAMES[attribute.type]
        what = f"operator '{node.operator.upper()}' not supported for {type_name} type search attribute"
        message = f"{_NOT_SUPPORTED}: {what} '{attribute.alias}'"
        raise problem(self._query, node.operator_start, node.operator_end, message)

    def _refuse_tuple(self, node: syntax.Comparison, attribute: Attribute, items: syntax.Tuple) -> NoReturn:
        operands = [self._plain(item, attribute) for item in items.items]
        self._allow(node, attribute)
        if node.operator.endswith("starts_with"):
            what = f'right-hand side of "{node.operator}" operator must be a literal string'
            self._fail(items, f"{_INVALID}: {what} (got: {values.spell(operands)})")
        if attribute.type == schema.KEYWORD_LIST:
            spelled = ", ".join(f"'{operand}'" for operand in operands)
            self._fail(items, f"{_INVALID}: unexpected value type (expected string, got ({spelled}))")
        self._fail(items, f"{_INVALID}: unexpected value type {_go_type(items)}")

    # Names and values

    def _attribute(self, node: Node) -> Attribute:
        if not isinstance(node, syntax.Column):
            self._fail(node, f"{_INVALID}: must be a column name but was {_go_type(node)}")
        attribute = schema.resolve(node.name, self._custom)
        if attribute is None:
            self._fail(node, f"invalid search attribute: {node.name}")
        self._fields.add(attribute.alias)
        self._saw_division |= attribute.name == schema.NAMESPACE_DIVISION
        return attribute

    def _value(self, node: Node, attribute: Attribute) -> Value:
        """The value that a condition on an attribute holds."""
        plain = self._plain(node, attribute)
        if attribute.name == schema.EXECUTION_STATUS and isinstance(plain, str):
            number = values.parse_status(plain)
            assert number is not None
            return number
        return int(plain) if isinstance(plain, bool) else plain

    def _plain(self, node: Node, attribute: Attribute) -> _Plain:
        """The same, with a status as its name and a Bool as such: what messages show."""
        match node:
            case syntax.String():
                return self._typed(node, attribute, node.value)
            case syntax.Number():
                return self._typed(node, attribute, values.parse_number(node.text))
            case syntax.Boolean():
                return self._of_type(node, attribute, node.value)
            case syntax.Opaque():
                self._fail(node, f"{_INVALID}: unable to parse value {values.quoted(node.text)}")
            case syntax.Unary():
                return self._signed(node, attribute)
            case syntax.Call() if _is_group_concat(node):
                self._fail(node, f"{_NOT_SUPPORTED}: 'group_concat'")
            case syntax.Call():
                self._fail(node, f"{_NOT_SUPPORTED}: nested func")
            case syntax.Column():
                hint = f"did you forget to quote {values.quoted(node.name)}?"
                what = f"column name on the right side of comparison expression ({hint})"
                self._fail(node, f"{_NOT_SUPPORTED}: {what}")
        self._fail(node, f"{_INVALID}: unexpected value type {_go_type(node)}")

    def _signed(self, node: syntax.Unary, attribute: Attribute) -> _Plain:
        if node.operator not in "+-":
            self._fail(node, f"{_NOT_SUPPORTED}: unary operator {values.quoted(node.operator)}")
        if not isinstance(node.inner, syntax.Number):
            written = values.quoted(self._query[node.start : node.end])
            self._fail(node, f"{_INVALID}: unary operator not supported in {written}")
        value = values.parse_number(node.inner.text)
        self._typed(node.inner, attribute, value)
        return -value if node.operator == "-" else value

    def _typed(self, node: Node, attribute: Attribute, value: _Plain) -> _Plain:
        special: Callable[[Node, _Plain], _Plain] | None = None
        if attribute.name == schema.EXECUTION_STATUS:
            special = self._status
        elif attribute.name == schema.EXECUTION_DURATION:
            special = self._duration
        return special(node, value) if special else self._of_type(node, attribute, value)

    def _status(self, node: Node, value: _Plain) -> str:
        match value:
            case int() if 0 <= value < len(values.STATUSES):
                return values.STATUSES[value]
            case int():
                self._fail(node, f"{_INVALID}: invalid ExecutionStatus value {value}")
            case str() if values.parse_status(value) is not None:
                return value
            case str():
                self._fail(node, f"{_INVALID}: invalid ExecutionStatus value '{value}'")
        self._fail(node, f"{_INVALID}: unexpected value type float64 for search attribute ExecutionStatus")

    def _duration(self, node: Node, value: _Plain) -> int:
        match value:
            case int():
                return value
            case str():
                if (parsed := values.parse_duration_ns(value)) is not None:
                    return parsed
                what = "invalid duration value for search attribute ExecutionDuration"
                self._fail(node, f"{_INVALID}: {what}: {value}")
        self._fail(node, f"{_INVALID}: unexpected value type float64 for search attribute ExecutionDuration")

    def _of_type(self, node: Node, attribute: Attribute, value: _Plain) -> _Plain:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        match attribute.type:
            case schema.INT | schema.DOUBLE if is_number:
                return value
            case schema.BOOL if isinstance(value, bool):
                return value
            case schema.DATETIME if isinstance(value, str):
                if (time_ns := values.parse_time_ns(value)) is not None:
                    return time_ns
                self._fail(node, f"{_INVALID}: unable to parse datetime '{value}'")
            case schema.DATETIME if is_number and isinstance(value, int):
                return value
            case schema.KEYWORD | schema.KEYWORD_LIST | schema.TEXT if isinstance(value, str):
                return value
        what = f"invalid value type for search attribute {attribute.alias}"
        type_name = schema.TYPE_NAMES[attribute.type]
        self._fail(node, f"{_INVALID}: {what} of type {type_name}: {values.spell_typed(value)}")

    def _fail(self, node: Node, message: str) -> NoReturn:
        raise problem(self._query, node.start, node.end, message)


def _one_of(attribute: Attribute, operands: tuple[Value, ...]) -> Condition:
    if attribute.type == schema.KEYWORD_LIST:
        return HasAny(attribute, tuple(str(operand) for operand in operands))
    return OneOf(attribute, operands)


def _negated(condition: Condition, negated: bool) -> Condition:
    return Not(condition) if negated else condition


def _is_group_concat(node: syntax.Call) -> bool:
    return node.name.lower() == "group_concat"


def _go_type(node: Node) -> str:
    if isinstance(node, syntax.Call) and _is_group_concat(node):
        return "*sqlparser.GroupConcatExpr"
    return syntax.GO_TYPES[type(node)]

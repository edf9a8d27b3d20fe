"""A checked filter: names resolved, values converted, operators allowed. What a database has to compute.

What the conditions mean for a run that lacks the attribute: a comparison is neither true nor false, like NULL in SQL,
and NOT leaves it so; `HasAny` and `HasToken` are plain tests, so their negations hold for such a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from perdure.visibility.schema import Attribute

Value: TypeAlias = str | int | float
"""A value in a condition: Datetime as nanoseconds since the epoch, ExecutionDuration as nanoseconds, ExecutionStatus
as its number, Bool as 0 or 1."""


@dataclass(frozen=True, slots=True)
class Compare:
    """`operator` is one of = != > >= < <=."""

    attribute: Attribute
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    attribute: Attribute
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """Both ends are included."""

    attribute: Attribute
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class StartsWith:
    attribute: Attribute
    prefix: str


@dataclass(frozen=True, slots=True)
class IsNull:
    attribute: Attribute


@dataclass(frozen=True, slots=True)
class HasAny:
    """A KeywordList holds at least one of the values."""

    attribute: Attribute
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasToken:
    """A Text holds at least one of the phrases: its tokens one behind the other, with one character in between."""

    attribute: Attribute
    phrases: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Not:
    term: Condition


@dataclass(frozen=True, slots=True)
class AllOf:
    terms: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    terms: tuple[Condition, ...]


Condition: TypeAlias = Compare | OneOf | Between | StartsWith | IsNull | HasAny | HasToken | Not | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class OrderKey:
    attribute: Attribute
    descending: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked query. `where` is None when every run of the namespace's default division is meant."""

    where: Condition | None
    order_by: tuple[OrderKey, ...] = ()
    group_by: Attribute | None = None
    fields: frozenset[str] = frozenset()
    """The words of the query that name attributes."""


def tokens(text: str) -> tuple[str, ...]:
    """The tokens of a Text: runs of letters and digits, in lower case as far as ASCII goes.

    Every character beyond ASCII counts as a letter. That is how a database finds tokens without an index of its own.
    """
    spaced = "".join(c if c.isalnum() or not c.isascii() else " " for c in text)
    return tuple("".join(c.lower() if c.isascii() else c for c in word) for word in spaced.split(" ") if word)

"""List filters, compiled: `compile_list` and `compile_count`.

    compiled = compile_list("WorkflowType = 'Order' AND Customer = 'C-1'", {"Customer": KEYWORD})
    rows = await storage.list_visibility(namespace_id, compiled.where, compiled.params, compiled.order_by, limit)
    token = compiled.token(*rows[-1])
    next_page = compiled.after(token)

A page token holds where the last run of a page stands in the order, so runs that come or go between two pages shift
nothing: no run is shown twice or left out because of others.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from perdure.errors import InvalidArgument
from perdure.visibility.checker import check
from perdure.visibility.conditions import Filter, OrderKey
from perdure.visibility.dialect import Fragment, Param, SqliteDialect
from perdure.visibility.schema import Attribute

_OPEN = 2**63 - 1
"""Stands for the close time of a run that is open, so that those come first; storage has an index on this."""

_DEFAULT_KEYS = f"coalesce(close_time, {_OPEN}), start_time, run_key"
_DEFAULT_ORDER = f"coalesce(close_time, {_OPEN}) DESC, start_time DESC, run_key DESC"

_POSITION = re.compile(r"^(syntax error at position )(\d+)")
_CACHED_QUERIES = 256
_LONGEST_CACHED_QUERY = 4096
"""Characters. Longer queries are rare, and the cache is to stay small."""


class Row(Protocol):
    """What a page token needs of a run: the columns of the table `visibility`, as attributes."""

    @property
    def start_time(self) -> int: ...
    @property
    def close_time(self) -> int | None: ...
    @property
    def search_attributes(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL of a list: `where` (a condition on the table `visibility`) and `order_by`.

    `params` are those of `where`, then those of `order_by`.
    """

    where: str
    params: tuple[Param, ...]
    order_by: str
    _keys: tuple[OrderKey, ...] = ()
    _order_params: int = 0

    def token(self, run_key: int, row: Row) -> bytes:
        """What `after` needs to go on behind this run. Opaque to clients."""
        if self._keys:
            place = [_value(key.attribute, row) for key in self._keys]
        else:
            place = [_OPEN if row.close_time is None else row.close_time]
        return json.dumps([self._fingerprint(), *place, row.start_time, run_key]).encode()

    def after(self, token: bytes) -> Compiled:
        """The same list from behind a run on. Raises InvalidArgument for a token that is not one of this order."""
        place = self._place(token)
        fragment = Fragment()
        if self._keys:
            behind = _behind(self._keys, place, fragment)
        else:
            fragment.params += [place[0], *place]
            # The first part is implied by the second; SQLite sees a range of its index only in the first.
            behind = f"coalesce(close_time, {_OPEN}) <= ? AND ({_DEFAULT_KEYS}) < (?, ?, ?)"
        split = len(self.params) - self._order_params
        return Compiled(
            f"({self.where}) AND {behind}",
            (*self.params[:split], *fragment.params, *self.params[split:]),
            self.order_by,
            self._keys,
            self._order_params,
        )

    def _fingerprint(self) -> int:
        return zlib.crc32(repr([(key.attribute.name, key.descending) for key in self._keys]).encode())

    def _place(self, token: bytes) -> list[Param]:
        try:
            parts: list[Any] = json.loads(token)
            fingerprint, *place = parts
        except (ValueError, TypeError, RecursionError):
            raise InvalidArgument("Invalid NextPageToken.") from None
        fits = fingerprint == self._fingerprint() and len(place) == max(len(self._keys), 1) + 2
        if not fits or not all(value is None or isinstance(value, str | int | float) for value in place):
            raise InvalidArgument("Invalid NextPageToken.")
        return list[Param](place)


@dataclass(frozen=True, slots=True)
class CompiledCount:
    """SQL of a count. `group_by` is an expression without parameters, `group_field` the attribute it gives.

    `fields`: the words of the query that name attributes.
    """

    where: str
    params: tuple[Param, ...]
    group_by: str | None = None
    group_field: Attribute | None = None
    fields: frozenset[str] = frozenset()


def compile_list(query: str, attributes: Mapping[str, int]) -> Compiled:
    """A query for a list of runs in a namespace with these custom attributes (types by name).

    Raises InvalidArgument with the real server's message, the position and the word.
    """
    return _LISTS.get(query, attributes)


def compile_count(query: str, attributes: Mapping[str, int]) -> CompiledCount:
    """A query for a number of runs, perhaps by groups. Raises InvalidArgument like `compile_list`."""
    return _COUNTS.get(query, attributes)


def check_syntax(query: str) -> None:
    """Whether a query of a batch operation can be read: raises InvalidArgument. What its names mean is not looked at.

    The statement that the real server pastes it into is one byte shorter than that of listings, and has its WHERE
    always.
    """
    from perdure.visibility.grammar import parse  # deferred, as below

    try:
        parsed = parse(query)
    except InvalidArgument as error:
        words = str(error).removeprefix("invalid query: malformed SQL query: ")
        words = _POSITION.sub(lambda match: f"{match[1]}{int(match[2]) - 1}", words)
        raise InvalidArgument(f"invalid visibility query: {words}") from None
    if parsed.where is None:
        word, *_ = query.split() or [""]
        place = query.find(word)
        position = len("select * from dummy where ") + place + len(word) + 1
        near = f" near '{word.lower()}' (at position {place + 1}, near '{word}')" if word else ""
        raise InvalidArgument(f"invalid visibility query: syntax error at position {position}{near}")


def _filter(query: str, attributes: Mapping[str, int], *, counting: bool) -> Filter:
    # Deferred: the parser takes a fifth of a second to build, and many a server never sees a query.
    from perdure.visibility.grammar import parse

    return check(query, parse(query), attributes, counting=counting)


def _compile_list(query: str, attributes: Mapping[str, int]) -> Compiled:
    checked = _filter(query, attributes, counting=False)
    fragment, dialect = Fragment(), SqliteDialect()
    where = dialect.condition(checked.where, fragment) if checked.where else ""
    filters = len(fragment.params)
    keys = [
        f"{dialect.value(key.attribute, fragment)} {'DESC' if key.descending else 'ASC'} NULLS LAST"
        for key in checked.order_by
    ]
    order_by = ", ".join([*keys, "start_time DESC, run_key DESC"]) if keys else _DEFAULT_ORDER
    return Compiled(where, tuple(fragment.params), order_by, checked.order_by, len(fragment.params) - filters)


def _compile_count(query: str, attributes: Mapping[str, int]) -> CompiledCount:
    checked = _filter(query, attributes, counting=True)
    fragment, dialect = Fragment(), SqliteDialect()
    where = dialect.condition(checked.where, fragment) if checked.where else ""
    group = checked.group_by
    if group is None:
        return CompiledCount(where, tuple(fragment.params), fields=checked.fields)
    # The names of the few attributes that can be grouped by are ours, so this one path may stand in the text.
    expression = group.column or f"json_extract(search_attributes, '$.{group.name}')"
    return CompiledCount(where, tuple(fragment.params), expression, group, checked.fields)


_T = TypeVar("_T")


@dataclass(slots=True)
class _Cache(Generic[_T]):
    """The last queries, compiled. One entry a text: the same text means the same until the attributes change."""

    compile: Callable[[str, Mapping[str, int]], _T]
    entries: OrderedDict[str, tuple[dict[str, int], _T]] = field(default_factory=OrderedDict)

    def get(self, query: str, attributes: Mapping[str, int]) -> _T:
        entry = self.entries.get(query)
        if entry is not None and entry[0] == attributes:
            self.entries.move_to_end(query)
            return entry[1]
        compiled = self.compile(query, attributes)
        if len(query) <= _LONGEST_CACHED_QUERY:
            self.entries[query] = (dict(attributes), compiled)
            if len(self.entries) > _CACHED_QUERIES:
                self.entries.popitem(last=False)
        return compiled


_LISTS = _Cache(_compile_list)
_COUNTS = _Cache(_compile_count)


def _value(attribute: Attribute, row: Row) -> Param:
    if attribute.column:
        found: Param = getattr(row, attribute.column)
        return found
    members: dict[str, Any] = json.loads(row.search_attributes or "{}")
    value = members.get(attribute.name)
    return int(value) if isinstance(value, bool) else value


def _behind(keys: tuple[OrderKey, ...], place: list[Param], fragment: Fragment) -> str:
    """SQL for "comes later in the order than `place`": equal in some keys from the first on, later in the next."""
    dialect = SqliteDialect()
    *values, start_time, run_key = place
    choices = []
    for last in range(len(keys)):
        if values[last] is None:
            continue  # Runs without the attribute come last: none is behind in this key.
        equal = [_equal(dialect, keys[at], values[at], fragment) for at in range(last)]
        sign = "<" if keys[last].descending else ">"
        later = f"{dialect.value(keys[last].attribute, fragment)} {sign} {fragment.bind(values[last])}"
        missing = f"{dialect.value(keys[last].attribute, fragment)} IS NULL"
        choices.append(" AND ".join([*equal, f"({later} OR {missing})"]))
    equal = [_equal(dialect, key, value, fragment) for key, value in zip(keys, values, strict=True)]
    fragment.params += [start_time, run_key]
    choices.append(" AND ".join([*equal, "(start_time, run_key) < (?, ?)"]))
    return "(" + " OR ".join(f"({choice})" for choice in choices) + ")"


def _equal(dialect: SqliteDialect, key: OrderKey, value: Param, fragment: Fragment) -> str:
    return f"{dialect.value(key.attribute, fragment)} IS {fragment.bind(value)}"

"""What a fan-out over more than a list reads, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from perdure.patterns import options as presets
from perdure.patterns.options import Options

T = TypeVar("T")
R = TypeVar("R")
A = TypeVar("A")
C = TypeVar("C")


@dataclass(frozen=True)
class Page(Generic[T, C]):
    """What a reading activity returns: up to about a thousand items, and where the next page begins.

    @activity.defn
    async def read_rows(at: int) -> Page[Row, int]:
        rows = await table.rows(first=at, most=1000)
        return Page(rows, at + len(rows) if len(rows) == 1000 else None)
    """

    items: list[T]
    next: C | None = None
    """The cursor of the next page; None after the last."""


@dataclass(frozen=True)
class Remaining:
    """Items that have not completed, for a second fan-out over the same.

    summary = await fan_out(Pages(read_rows, 0), upsert, on_error="collect")
    if summary.remaining.ranges:
        await fan_out(Pages(read_rows, 0, only=summary.remaining), upsert)
    """

    key: str
    """What the keys of their calls begin with."""
    ranges: list[list[int]] = field(repr=False)
    """First and last index of each stretch, in order; the last is -1 where the end was not read."""
    known: bool = True
    """False if there are too many stretches, so that these are not all."""


class Pages(Generic[T]):
    """Items that an activity reads page by page: it gets a cursor and returns a `Page`.

        @activity.defn
        async def read_rows(at: Cursor) -> Page[Row, Cursor]: ...

        summary = await fan_out(Pages(read_rows, Cursor("rows.csv", 0)), upsert, on_error="collect")

    The same cursor has to give the same page, also to a second attempt. Items have to survive a journey as JSON: they
    go from page to call without their type. `only` are those that an earlier fan-out over the same source has left.
    """

    @overload
    def __init__(
        self,
        read: Callable[[C], Awaitable[Page[T, C]]],
        first: C,
        *,
        options: Options = ...,
        only: Remaining | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self, read: Callable[[C], Page[T, C]], first: C, *, options: Options = ..., only: Remaining | None = None
    ) -> None: ...
    def __init__(
        self, read: Callable[..., Any], first: Any, *, options: Options = presets.quick, only: Remaining | None = None
    ) -> None:
        if only is not None and not only.known:
            raise ValueError("too many stretches of items are left to name them all: go over all items again")
        self.read = read
        self.first = first
        self.options = options
        self.only = only


class Fold(Generic[T, R, A]):
    """Makes one value of many outcomes, in activities: nothing that is kept grows with the number of items.

        @activity.defn
        async def count(done: list[tuple[int, Row, int]], failed: list[tuple[int, Row, str]]) -> Totals: ...

        @activity.defn
        async def add(totals: list[Totals]) -> Totals: ...

        summary = await fan_out(pages, upsert, fold=Fold(count, add))

    `each` gets what has completed of a page, with index, item and result, and what has failed, with index, item and
    error. `merge` makes one of several such values, in any grouping and order. Without `merge` the first is called for
    its effect alone, such as the report of what was rejected. Both may be called twice for the same.
    """

    @overload
    def __init__(
        self,
        each: Callable[[list[tuple[int, T, R]], list[tuple[int, T, str]]], Awaitable[A]],
        merge: Callable[[list[A]], Awaitable[A]],
        *,
        options: Options = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        each: Callable[[list[tuple[int, T, R]], list[tuple[int, T, str]]], A],
        merge: Callable[[list[A]], A],
        *,
        options: Options = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Fold[T, R, None],
        each: Callable[[list[tuple[int, T, R]], list[tuple[int, T, str]]], Awaitable[None]],
        *,
        options: Options = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Fold[T, R, None],
        each: Callable[[list[tuple[int, T, R]], list[tuple[int, T, str]]], None],
        *,
        options: Options = ...,
    ) -> None: ...
    def __init__(
        self, each: Callable[..., Any], merge: Callable[..., Any] | None = None, *, options: Options = presets.quick
    ) -> None:
        self.each = each
        self.merge = merge
        self.options = options


@dataclass(frozen=True)
class FirstError:
    """One of the first that failed."""

    index: int
    error: str


@dataclass(frozen=True)
class Summary(Generic[A]):
    """What a fan-out over pages gives: no list, however many items there were.

    summary = await fan_out(Pages(read_rows, 0), upsert, on_error="collect")
    print(f"{summary.completed} rows, {summary.failed} failed: {summary.first_errors}")
    """

    pages: int
    """That were read."""
    completed: int
    failed: int
    cancelled: int
    skipped: int
    """Of the pages that were read; `read_all` tells whether that is everything."""
    read_all: bool
    first_errors: list[FirstError]
    """Up to ten, those of the lowest indexes."""
    remaining: Remaining
    """What has not completed."""
    folded: A | None
    """What `Fold` has made of the outcomes; None if there were none. After an error, of those that could be folded."""

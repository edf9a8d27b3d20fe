"""`fan_out`, and doing again what has failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

from temporalio import workflow
from temporalio.types import MethodAsyncSingleParam

from perdure.patterns.fanout import flat
from perdure.patterns.fanout.flat import FanOut, FanOutStream, beginner, borne_failures, check_in_flight
from perdure.patterns.fanout.flight import Entry
from perdure.patterns.fanout.large import FanOutPages
from perdure.patterns.fanout.outcome import Outcome
from perdure.patterns.fanout.pages import Fold, Pages
from perdure.patterns.fanout.registry import Registry
from perdure.patterns.keys import run_key
from perdure.patterns.options import Options

T = TypeVar("T")
R = TypeVar("R")
A = TypeVar("A")
OnError = Literal["fail_fast", "collect"] | int | float
WHOLE_TEXTS = "perdure-fan-out-whole-texts"
"""Runs of before have called for each character of a text."""
NO_SETS = "perdure-fan-out-no-sets"
"""Runs of before have taken sets, in the order that they had."""


class How(TypedDict, total=False):
    """Keyword arguments of `fan_out`, which tells what they mean."""

    max_in_flight: int
    on_error: OnError
    options: Options | None


@overload
def fan_out(
    items: Iterable[T], fn: Callable[[T], Awaitable[R]], *, as_completed: Literal[False] = False, **how: Unpack[How]
) -> FanOut[T, R]: ...
@overload
def fan_out(
    items: Iterable[T],
    fn: MethodAsyncSingleParam[Any, T, R],
    *,
    as_completed: Literal[False] = False,
    **how: Unpack[How],
) -> FanOut[T, R]: ...
@overload
def fan_out(
    items: Iterable[T], fn: Callable[[T], R], *, as_completed: Literal[False] = False, **how: Unpack[How]
) -> FanOut[T, R]: ...
@overload
def fan_out(
    items: Iterable[T], fn: Callable[[T], Awaitable[R]], *, as_completed: Literal[True], **how: Unpack[How]
) -> FanOutStream[T, R]: ...
@overload
def fan_out(
    items: Iterable[T], fn: MethodAsyncSingleParam[Any, T, R], *, as_completed: Literal[True], **how: Unpack[How]
) -> FanOutStream[T, R]: ...
@overload
def fan_out(
    items: Iterable[T], fn: Callable[[T], R], *, as_completed: Literal[True], **how: Unpack[How]
) -> FanOutStream[T, R]: ...
@overload
def fan_out(
    items: Pages[T],
    fn: Callable[[T], Awaitable[R]],
    *,
    fold: Fold[T, R, A],
    children: int | None = None,
    **how: Unpack[How],
) -> FanOutPages[A]: ...
@overload
def fan_out(
    items: Pages[T],
    fn: MethodAsyncSingleParam[Any, T, R],
    *,
    fold: Fold[T, R, A],
    children: int | None = None,
    **how: Unpack[How],
) -> FanOutPages[A]: ...
@overload
def fan_out(
    items: Pages[T], fn: Callable[[T], R], *, fold: Fold[T, R, A], children: int | None = None, **how: Unpack[How]
) -> FanOutPages[A]: ...
@overload
def fan_out(
    items: Pages[T], fn: Callable[[T], Awaitable[R]], *, children: int | None = None, **how: Unpack[How]
) -> FanOutPages[None]: ...
@overload
def fan_out(
    items: Pages[T], fn: MethodAsyncSingleParam[Any, T, R], *, children: int | None = None, **how: Unpack[How]
) -> FanOutPages[None]: ...
@overload
def fan_out(
    items: Pages[T], fn: Callable[[T], R], *, children: int | None = None, **how: Unpack[How]
) -> FanOutPages[None]: ...
def fan_out(
    items: Any,
    fn: Any,
    *,
    max_in_flight: int = 100,
    on_error: OnError = "fail_fast",
    options: Options | None = None,
    as_completed: bool = False,
    fold: Fold[Any, Any, Any] | None = None,
    children: int | None = None,
) -> Any:
    """Call an activity, or a child workflow (`Ship.run`), for each item, with at most `max_in_flight` at a time.

        outcomes = await fan_out(orders, ship, max_in_flight=20, on_error="collect", options=options.flaky_api)

    `on_error` is what happens when calls fail for good: "fail_fast" stops at the first, a number at the one after so
    many, a share (0.05) after that share of the items; then what is in flight is cancelled and waited for, and
    `FanOutFailed` is raised. "collect" goes on to the end, and the outcomes tell.

    `options` are those of the activity, `options.quick` if none are given. With `as_completed=True` it is iterated, and
    gives outcomes as they come. A cancellation of the workflow cancels what is in flight and waits for it.

    `Pages` are for more than a list holds. They are done by a tree of children, a page each, `children` at a time with
    their share of `max_in_flight`; workers need `PatternsPlugin`. Instead of a list it gives a `Summary`, with what
    `fold` has made of the outcomes. Failures are added up when a page is done, so a number of them that is borne may be
    exceeded by what the children in flight bear.

        summary = await fan_out(Pages(read_rows, first), upsert, max_in_flight=200, fold=Fold(count, add))
    """
    if isinstance(items, Pages):
        if as_completed:
            raise ValueError("outcomes of `Pages` don't come one by one: give a `Fold`")
        borne = borne_failures(on_error, None)
        collect = on_error == "collect"
        return FanOutPages(
            items, fn, most=max_in_flight, leaves=children, borne=borne, collect=collect, options=options, fold=fold
        )
    if fold is not None or children is not None:
        raise ValueError("fold and children belong to `Pages`")
    if isinstance(items, str | bytes) and workflow.patched(WHOLE_TEXTS):
        raise ValueError("items is a text, which would be taken apart: give a list of items, [text] if it is one item")
    if isinstance(items, set | frozenset) and workflow.patched(NO_SETS):
        raise TypeError("items is a set, whose order may be another in a replay: give a list, sorted(items)")
    entries = list(items)
    if len(entries) > flat.MOST_ITEMS:
        raise ValueError(
            f"{len(entries)} items are too many for one history ({flat.MOST_ITEMS}): read them from `Pages`"
        )
    prefix = f"{run_key()}/fan_out#{Registry.current().upcoming}/step#"
    listed = [Entry(index, f"{prefix}{index}", item) for index, item in enumerate(entries)]
    return _start(listed, fn, max_in_flight, on_error, options, as_completed)


@overload
def retry_failed(
    outcomes: Sequence[Outcome[T, R]], fn: Callable[[T], Awaitable[R]], **how: Unpack[How]
) -> FanOut[T, R]: ...
@overload
def retry_failed(
    outcomes: Sequence[Outcome[T, R]], fn: MethodAsyncSingleParam[Any, T, R], **how: Unpack[How]
) -> FanOut[T, R]: ...
@overload
def retry_failed(outcomes: Sequence[Outcome[T, R]], fn: Callable[[T], R], **how: Unpack[How]) -> FanOut[T, R]: ...
def retry_failed(
    outcomes: Sequence[Any],
    fn: Any,
    *,
    max_in_flight: int = 100,
    on_error: OnError = "fail_fast",
    options: Options | None = None,
) -> Any:
    """Call again for the items that have not completed, under the same keys; gives the outcomes of all items.

    outcomes = await fan_out(orders, ship, on_error="collect")
    await workflow.sleep(timedelta(hours=1))
    outcomes = await retry_failed(outcomes, ship, on_error="collect")
    """
    again = [Entry(each.index, each.key, each.item) for each in outcomes if not each.ok]
    started = _start(again, fn, max_in_flight, on_error, options, as_completed=False)
    started.keep([each for each in outcomes if each.ok])
    return started


def _start(
    entries: list[Entry[Any]],
    fn: Callable[..., Any],
    most: int,
    on_error: OnError,
    options: Options | None,
    as_completed: bool,
) -> FanOut[Any, Any]:
    check_in_flight(most)
    borne = borne_failures(on_error, len(entries))
    kind = FanOutStream if as_completed else FanOut
    return kind(entries, beginner(fn, options), most, borne, collect=on_error == "collect")

"""The activities of `poll`: what they wait for, and how each attempt ends."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, get_args, overload

from temporalio import activity
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError

R = TypeVar("R")
A = TypeVar("A")
P = ParamSpec("P")

GAVE_UP = "GaveUp"
NOT_YET = "NotYet"
SHORTEST_S = 0.001
"""Of waits: the server takes none at all for no wish."""
SHOWN = 200
"""Characters of a value in an error's message."""


class GaveUp(ApplicationError):
    """It had not come true when it was time to give up. `last` is what was seen last; None: nothing was.

    try:
        build = await poll(build_state, "b-17", every=timedelta(minutes=1), give_up=timedelta(hours=6))
    except GaveUp as error:
        return f"still {error.last}"
    """

    def __init__(self, what: str, last: Any) -> None:
        text = f"gave up on {what}; {_shown(last)}"
        super().__init__(text, last, type=GAVE_UP, non_retryable=True)

    @property
    def last(self) -> Any:
        return self.details[0]


@dataclass(frozen=True)
class Checks(Generic[R]):
    """What an activity of `polled_many` tells: values as JSON, by their place among the things asked for."""

    done: dict[int, Any]
    pending: dict[int, Any]


class _Asks(Protocol[R]):
    """A decorator of activities that give `R`."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]: ...
    @overload
    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]: ...


class _AsksMany(Protocol[R]):
    @overload
    def __call__(self, fn: Callable[[list[A]], Awaitable[list[R]]]) -> Callable[[list[A]], Awaitable[Checks[R]]]: ...
    @overload
    def __call__(self, fn: Callable[[list[A]], list[R]]) -> Callable[[list[A]], Checks[R]]: ...


@dataclass(frozen=True)
class Question:
    """What the decorators leave at an activity, for `poll`."""

    fn: Callable[..., Any]
    jitter: float
    many: bool

    def result_type(self) -> Any:
        hint = inspect.get_annotations(self.fn, eval_str=True).get("return")
        return next(iter(get_args(hint)), None) if self.many else hint


def polled(until: Callable[[R], bool], *, jitter: float = 0.1) -> _Asks[R]:
    """Make an activity that looks once into one that is asked again until `until` holds for what it gives.

    @activity.defn
    @polled(is_over)
    async def build_state(build_id: str) -> Build: ...

    `until` runs in the activity. `jitter` is by how much of its length a wait differs, so that many don't ask at the
    same moment. An error that the activity raises counts as "not yet", unless it is not to be retried. Called without
    `poll` it is tried again by its retry policy until it has come true.
    """

    def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        async def ask(*args: Any, **kwargs: Any) -> Any:
            attempt = _Attempt(jitter)
            while True:
                with attempt:
                    value = await fn(*args, **kwargs)
                if until(value):
                    return value
                await asyncio.sleep(attempt.not_yet(value))

        @functools.wraps(fn)
        def ask_in_thread(*args: Any, **kwargs: Any) -> Any:
            attempt = _Attempt(jitter)
            while True:
                with attempt:
                    value = fn(*args, **kwargs)
                if until(value):
                    return value
                activity.wait_for_cancelled_sync(attempt.not_yet(value))
                if activity.is_cancelled():
                    raise CancelledError("the activity was cancelled")

        found = ask if inspect.iscoroutinefunction(fn) else ask_in_thread
        return _mark(found, Question(fn, _valid(jitter), many=False))

    return decorate


def polled_many(until: Callable[[R], bool], *, jitter: float = 0.1) -> _AsksMany[R]:
    """The same for an activity that looks after many things at once: it takes a list, and gives one in the same order.

    @activity.defn
    @polled_many(is_over)
    async def build_states(build_ids: list[str]) -> list[Build]: ...

    It is for mode "child". `until` is asked for each; those that are over are not asked for again.
    """

    def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
        async def ask(items: Any) -> Any:
            return _checks(fn, items, await fn(items), until)

        def ask_in_thread(items: Any) -> Any:
            return _checks(fn, items, fn(items), until)

        found: Any = ask if inspect.iscoroutinefunction(fn) else ask_in_thread
        [items] = inspect.signature(fn).parameters
        functools.update_wrapper(found, fn)
        del found.__wrapped__
        found.__annotations__ = {"items": inspect.get_annotations(fn, eval_str=True).get(items, list), "return": Checks}
        return _mark(found, Question(fn, _valid(jitter), many=True))

    return decorate


def _checks(fn: Callable[..., Any], items: Sequence[Any], values: Sequence[Any], until: Callable[..., bool]) -> Any:
    if len(values) != len(items):
        text = f"{fn.__name__} gave {len(values)} values for {len(items)} things: it has to give one each, in order"
        raise ApplicationError(text, type="WrongCount", non_retryable=True)
    converter = activity.payload_converter()
    checks = Checks[Any]({}, {})
    for number, value in enumerate(values):
        (checks.done if until(value) else checks.pending)[number] = as_json(converter, value)
    return checks


class _Attempt:
    """One attempt of an activity that is asked again: it ends with an error each time, or goes on in itself.

    How often, until when and in which way is said by the activity's options, as `poll` has made them: with a heartbeat
    timeout it is a loop. What can change them, such as the CLI, changes the polling.
    """

    def __init__(self, jitter: float) -> None:
        info = activity.info()
        self._what = info.activity_type
        self._began_s = time.monotonic()
        policy = info.retry_policy
        self._every_s = policy.initial_interval.total_seconds() if policy is not None else 1.0
        self._jitter = jitter
        self._loops = info.heartbeat_timeout is not None
        self._last = info.heartbeat_details[0] if info.heartbeat_details else None
        limit, reserve = info.schedule_to_close_timeout, info.heartbeat_timeout or info.start_to_close_timeout
        self._left_s: float | None = None
        if limit is not None:
            if reserve is not None and reserve < limit:
                limit -= reserve
            self._left_s = (info.scheduled_time + limit - info.started_time).total_seconds()

    def __enter__(self) -> None:
        """Around a look, whose errors are to be tried again as often as one wants to look."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, Exception) or _is_final(error):
            return
        wait = _td(self._wait_s(self._last, error))
        if not isinstance(error, ApplicationError):
            raise ApplicationError(str(error), type=type(error).__name__, next_retry_delay=wait) from error
        if error.next_retry_delay is None:
            raise ApplicationError(
                error.message, *error.details, type=error.type, next_retry_delay=wait, category=error.category
            ) from error.__cause__

    def not_yet(self, value: Any) -> float:
        """How long to wait before the next look, in seconds; else raises what makes the server try again."""
        self._last = value
        wait_s = self._wait_s(value, None)
        activity.heartbeat(value)
        if self._loops:
            return wait_s
        text = f"not yet; {_shown(value)}"
        benign = ApplicationErrorCategory.BENIGN
        raise ApplicationError(text, value, type=NOT_YET, next_retry_delay=_td(wait_s), category=benign)

    def _wait_s(self, last: Any, error: Exception | None) -> float:
        """Raises `GaveUp` when it is time for that."""
        wait_s = self._every_s * random.uniform(1 - self._jitter, 1 + self._jitter)
        if self._left_s is None:
            return wait_s
        left_s = self._left_s - (time.monotonic() - self._began_s)
        if left_s <= 0:
            raise GaveUp(self._what, last) from error
        return max(min(wait_s, left_s), SHORTEST_S)


def _is_final(error: Exception) -> bool:
    """Whether it is not to be tried again; also by its name, which the policy knows."""
    policy = activity.info().retry_policy
    names = (policy.non_retryable_error_types or ()) if policy is not None else ()
    if isinstance(error, ApplicationError):
        return error.non_retryable or error.type in names
    return type(error).__name__ in names


def as_json(converter: PayloadConverter, value: Any) -> Any:
    """A value as JSON, as the converter writes it. It may have an encoding of its own for that."""
    [payload] = converter.to_payloads([value])
    if payload.metadata.get("encoding") == b"binary/null":
        return None
    if payload.metadata.get("encoding") == b"json/plain":
        return json.loads(payload.data)
    try:
        return json.loads(json.dumps(converter.from_payload(payload)))
    except Exception as error:
        text = f"{type(value).__name__} is not written as JSON: poll in mode 'child' needs that"
        raise TypeError(text) from error


def _mark(fn: Callable[..., Any], question: Question) -> Callable[..., Any]:
    fn.__perdure_polled__ = question  # type: ignore[attr-defined]
    return fn


def _valid(jitter: float) -> float:
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter is {jitter}: it has to be at least 0 and below 1")
    return jitter


def _td(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"last seen: {text if len(text) <= SHOWN else text[:SHOWN] + '...'}"

"""Waiting for what nobody tells: asking again and again until it has come true, or a time to give up.

    def is_over(build: Build) -> bool:
        return build.state != "running"

    @activity.defn
    @polled(is_over)
    async def build_state(build_id: str) -> Build: ...

    build = await poll(build_state, "b-17", every=timedelta(minutes=1), give_up=timedelta(hours=6))

| mode | how | for | cost |
|---|---|---|---|
| `"retry"` (default) | the server tries the activity again | every few seconds to days | one activity, however long |
| `"activity"` | a loop inside one attempt, with heartbeats | every second or less | one activity, and a worker's slot |
| `"child"` | one child workflow asks for many | hundreds of things | a round: an activity for each hundred, a timer |
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeVar, TypeVarTuple, Unpack, overload

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError

from perdure.patterns import options as presets
from perdure.patterns.compensation import activity_name
from perdure.patterns.options import Options
from perdure.patterns.polled import GAVE_UP, NOT_YET, SHORTEST_S, Checks, GaveUp, Question, as_json
from perdure.patterns.registered import expect, registered

R = TypeVar("R")
A = TypeVar("A")
Args = TypeVarTuple("Args")

PAGE = 100
"""How many things one call of an activity asks for in mode "child"."""


@dataclass(frozen=True)
class Polled(Generic[R]):
    """What became of one thing of many.

    polls = await poll(build_states, ["b-17", "b-18"], every=MINUTE, give_up=HOUR, mode="child")
    late = [each.value for each in polls if not each.done]
    """

    done: bool
    """Whether it came true; False: given up."""
    value: R | None
    """What was seen last; None: nothing."""


@overload
async def poll(
    fn: Callable[[Unpack[Args]], Awaitable[R]],
    *args: *Args,
    every: timedelta,
    give_up: timedelta | datetime,
    mode: Literal["retry", "activity"] = "retry",
    options: Options = presets.quick,
) -> R: ...
@overload
async def poll(
    fn: Callable[[Unpack[Args]], R],
    *args: *Args,
    every: timedelta,
    give_up: timedelta | datetime,
    mode: Literal["retry", "activity"] = "retry",
    options: Options = presets.quick,
) -> R: ...
@overload
async def poll(
    fn: Callable[[list[A]], Awaitable[Checks[R]]],
    args: Sequence[A],
    /,
    *,
    every: timedelta,
    give_up: timedelta | datetime,
    mode: Literal["child"],
    options: Options = presets.quick,
) -> list[Polled[R]]: ...
@overload
async def poll(
    fn: Callable[[list[A]], Checks[R]],
    args: Sequence[A],
    /,
    *,
    every: timedelta,
    give_up: timedelta | datetime,
    mode: Literal["child"],
    options: Options = presets.quick,
) -> list[Polled[R]]: ...
async def poll(  # type: ignore[misc]
    fn: Callable[..., Any],
    *args: Any,
    every: timedelta,
    give_up: timedelta | datetime,
    mode: Literal["retry", "activity", "child"] = "retry",
    options: Options = presets.quick,
) -> Any:
    """Ask by an activity of `polled` until it has come true, and return what it gave then.

    build = await poll(build_state, "b-17", every=timedelta(minutes=1), give_up=timedelta(hours=6))

    `give_up` counts from now, or is a moment. Then there is a last look, and `GaveUp` is raised, with what was seen
    last. Of `options`, `start_to_close` is for one look, and how often it is tried is replaced by `every` and
    `give_up`. Errors of the activity that are not to be retried end it at once, as an `ActivityError`.

    Mode "activity" looks in a loop inside one attempt. Mode "child" asks for many things, with an activity of
    `polled_many`, and returns a `Polled` for each in their order, after the last has come true or was given up; the
    worker needs the workflow `PollMany`:

    states = await poll(build_states, ["b-17", "b-18"], every=..., give_up=..., mode="child")
    """
    question = getattr(fn, "__perdure_polled__", None)
    if question is None or question.many != (mode == "child"):
        decorator = "@polled_many(until)" if mode == "child" else "@polled(until)"
        raise TypeError(f"{activity_name(fn)} says not what to wait for: put {decorator} below its @activity.defn")
    if every <= timedelta(0):
        raise ValueError(f"every is {every}: it has to be positive")
    left = give_up - workflow.now() if isinstance(give_up, datetime) else give_up
    left = max(left, timedelta(seconds=SHORTEST_S))
    if mode == "child":
        return await _child(fn, question, args[0], every, left, options)
    execute: Callable[..., Awaitable[Any]] = workflow.execute_activity
    try:
        return await execute(fn, args=args, **_config(options, every, left, mode == "activity"))
    except ActivityError as error:
        gave_up = _gave_up(fn, question, error)
        if gave_up is None:
            raise
        raise gave_up from error


def _config(options: Options, every: timedelta, left: timedelta, loops: bool) -> workflow.ActivityConfig:
    config = options.config()
    look = options.start_to_close
    reserve = 2 * every + look if loops else look
    config["schedule_to_close_timeout"] = left + reserve
    config["start_to_close_timeout"] = left + reserve if loops else look
    config["heartbeat_timeout"] = reserve if loops else None
    names = config["retry_policy"].non_retryable_error_types if config["retry_policy"] is not None else None
    config["retry_policy"] = RetryPolicy(
        initial_interval=every, backoff_coefficient=1, maximum_interval=every, non_retryable_error_types=names
    )
    return config


def _gave_up(fn: Callable[..., Any], question: Question, error: ActivityError) -> GaveUp | None:
    """The activity gave up, or ran out of time since no worker took it or its last look took too long."""
    cause: BaseException | None = error.cause
    if isinstance(cause, TimeoutError):
        last = cause.last_heartbeat_details[0] if cause.last_heartbeat_details else None
        cause = cause.cause
        if last is None and isinstance(cause, ApplicationError) and cause.type == NOT_YET and cause.details:
            last = cause.details[0]
    elif isinstance(cause, ApplicationError) and cause.type in (GAVE_UP, NOT_YET):
        last = cause.details[0] if cause.details else None
    else:
        return None
    if last is not None:
        converter = workflow.payload_converter()
        [last] = converter.from_payloads(converter.to_payloads([last]), [question.result_type() or object])
    return GaveUp(activity_name(fn), last)


@dataclass(frozen=True)
class PollManyState:
    """What `PollMany` carries from run to run. Values are JSON, by their place among the things asked for."""

    activity: str
    items: dict[int, Any]
    """What is asked for; those that have come true are taken out."""
    every_s: float
    jitter: float
    deadline_s: float
    """When to give up, in seconds of Unix time."""
    look_s: float
    look_with_retries_s: float
    attempts: int
    never_retry: list[str] = field(default_factory=list)
    task_queue: str | None = None
    done: dict[int, Any] = field(default_factory=dict)
    last: dict[int, Any] = field(default_factory=dict)
    version: int = 1


@workflow.defn(name="perdure.poll")
class PollMany:
    """Asks for many things until each has come true, and continues as new by itself. Started by `poll`.

    `PatternsPlugin` registers it; without that it is one more workflow of the worker:

        Worker(client, task_queue="builds", workflows=[Release, PollMany], activities=[build_states])
    """

    @workflow.run
    async def run(self, state: PollManyState) -> PollManyState:
        registered()
        while True:
            state = await self._look(state)
            workflow.set_current_details(f"{len(state.done)} of {len(state.done) + len(state.items)} have come true")
            left_s = state.deadline_s - workflow.time()
            if not state.items or left_s <= 0:
                return state
            wait_s = state.every_s * workflow.random().uniform(1 - state.jitter, 1 + state.jitter)
            await workflow.sleep(max(min(wait_s, left_s), SHORTEST_S))
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(state)

    async def _look(self, state: PollManyState) -> PollManyState:
        numbers = list(state.items)
        pages = [numbers[start : start + PAGE] for start in range(0, len(numbers), PAGE)]
        found = await asyncio.gather(*(self._page(state, page) for page in pages))
        done, last = dict(state.done), dict(state.last)
        for page, checks in zip(pages, found, strict=True):
            done.update({page[place]: value for place, value in checks.done.items()})
            last.update({page[place]: value for place, value in checks.pending.items()})
        items = {number: item for number, item in state.items.items() if number not in done}
        return replace(state, items=items, done=done, last={number: last[number] for number in items if number in last})

    async def _page(self, state: PollManyState, page: list[int]) -> Checks[Any]:
        look = timedelta(seconds=state.look_s)
        try:
            checks: Checks[Any] = await workflow.execute_activity(
                state.activity,
                [state.items[number] for number in page],
                result_type=Checks,
                task_queue=state.task_queue,
                start_to_close_timeout=look,
                schedule_to_close_timeout=timedelta(seconds=state.look_with_retries_s),
                retry_policy=RetryPolicy(maximum_attempts=state.attempts, non_retryable_error_types=state.never_retry),
            )
            return checks
        except ActivityError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError) and (cause.non_retryable or cause.type in state.never_retry):
                raise
            workflow.logger.warning("%d things could not be looked after: %s", len(page), cause)
            return Checks({}, {})


async def _child(
    fn: Callable[..., Any],
    question: Question,
    items: Sequence[Any],
    every: timedelta,
    left: timedelta,
    options: Options,
) -> list[Polled[Any]]:
    converter = workflow.payload_converter()
    state = PollManyState(
        activity=activity_name(fn),
        items={number: as_json(converter, item) for number, item in enumerate(items)},
        every_s=every.total_seconds(),
        jitter=question.jitter,
        deadline_s=workflow.time() + left.total_seconds(),
        look_s=options.start_to_close.total_seconds(),
        look_with_retries_s=options.schedule_to_close.total_seconds(),
        attempts=options.attempts,
        never_retry=options.error_types(),
        task_queue=options.task_queue,
    )
    if not state.items:
        return []
    expect("perdure.poll", "PollMany")
    end = await workflow.execute_child_workflow(PollMany.run, state)
    result_type = question.result_type()
    polls: list[Polled[Any]] = []
    for number in range(len(items)):
        done = number in end.done
        found = end.done if done else end.last
        polls.append(Polled(done, _value(converter, found[number], result_type) if number in found else None))
    return polls


def _value(converter: PayloadConverter, found: Any, hint: Any) -> Any:
    [value] = converter.from_payloads(converter.to_payloads([found]), [hint] if hint is not None else None)
    return value

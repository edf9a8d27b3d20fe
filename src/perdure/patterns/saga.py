"""Sagas: a transaction over many services, whose steps are undone when it can't be completed.

async with Saga(deadline=timedelta(hours=1)) as saga:
    seat = await saga.step(reserve_seat, trip, undo=release_seat, options=quick)
    async with saga.parallel() as group:
        hotel = group.start(book_hotel, trip, undo=cancel_hotel)
        car = group.start(book_car, trip, undo=cancel_car)
    await saga.step(charge, trip, undo=refund, options=flaky_api)
    saga.pivot()
    await saga.step(send_tickets, trip)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, TypeVarTuple, Unpack, cast, overload

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ApplicationError, is_cancelled_exception

from perdure.patterns import options as presets
from perdure.patterns.compensation import (
    Compensation,
    Registry,
    activity_name,
    check_activity,
    failure_of,
    undo_shielded,
)
from perdure.patterns.keys import step_key
from perdure.patterns.notes import MEMO, Note, difference
from perdure.patterns.options import Options
from perdure.patterns.running import WAITS, current_task
from perdure.patterns.snapshot import snapshot

R = TypeVar("R")
P = ParamSpec("P")
Args = TypeVarTuple("Args")

STRICT = "perdure-saga-strict"
"""The change by which steps of a group outside of its block, and a pivot beside a step, are refused. It is asked about
where that happens only: runs that were begun before go on, and no other run has it in its history."""


class SagaDeadline(ApplicationError):
    """The saga took longer than its deadline; what it did was undone.

    try:
        async with Saga(timedelta(hours=1)) as saga:
            await saga.step(charge, trip, undo=refund)
    except SagaDeadline:
        return "too late, nothing is booked"
    """

    def __init__(self, deadline: timedelta) -> None:
        super().__init__(f"the saga's deadline of {deadline} has passed", type="SagaDeadline", non_retryable=True)


class SagaStuck(ApplicationError):
    """Compensations failed for good and the saga was not to wait; `details` are what is left, as `Left`.

    try:
        async with Saga(wait_when_stuck=False) as saga:
            await saga.step(charge, trip, undo=refund)
    except SagaStuck as stuck:
        await workflow.execute_activity(call_somebody, list(stuck.details), **options.quick.config())
    """


class Saga:
    """Steps and how to undo them; use it with `async with` in workflow code.

        async with Saga(timedelta(hours=1)) as saga:
            seat = await saga.step(reserve_seat, trip, undo=release_seat)
            await saga.step(charge, trip, undo=refund, options=options.flaky_api)

    When the body fails or is cancelled, or its `deadline` passes (counted from the beginning of the body; None: none),
    all steps that were started are undone, newest first, and then the error goes on: the body's own, `SagaDeadline`, or
    the cancellation. Nobody can cancel the undoing. A step is undone even if it failed, since it may have acted before
    that; so an `undo` has to work when there is nothing to undo.

    The block ends after all its steps, in whichever tasks they run: one that still runs when the body fails is
    cancelled and waited for before anything is undone; one that still runs when the body ends is waited for, and when
    its task fails, so does the block.

    A saga within a saga is a transaction of its own: once it is over, the outer one does not undo it.

    Errors that only fail a workflow task, which are bugs, undo nothing: the task is tried again until the code is
    fixed. Continue-as-new inside a saga is such a bug.

    A compensation that fails for good does not stop the others. Then the saga is stuck: it says so by the query
    `perdure_saga`, in the workflow's details, and in `state_key`, a search attribute, if one is given (it has to be
    registered); it goes on with what failed after the signal `perdure_saga_resume`. With `wait_when_stuck=False` it
    raises `SagaStuck` instead.

    No code of a workflow runs after it was terminated or has timed out; `perdure.patterns.resume` undoes what such a
    run has left. Use `deadline` in place of the workflow's timeouts.
    """

    def __init__(
        self,
        deadline: timedelta | None = None,
        *,
        options: Options = presets.quick,
        undo_options: Options = presets.undo,
        wait_when_stuck: bool = True,
        state_key: SearchAttributeKey[str] | None = None,
    ) -> None:
        """`options` and `undo_options` are those of steps and compensations that are given none."""
        if deadline is not None and deadline <= timedelta(0):
            raise ValueError(f"deadline is {deadline}: it has to be positive")
        self._deadline = deadline
        self._options = options
        self._undo_options = undo_options
        self._wait_when_stuck = wait_when_stuck
        self._registry = Registry.current()
        self._ledger = self._registry.open(state_key)
        self._timer: asyncio.TimerHandle | None = None
        self._entered = self._expired = self._pivoted = self._closed = False

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a saga can be entered once")
        self._entered = True
        info = workflow.info()
        if info.run_timeout or info.execution_timeout:
            workflow.logger.warning(
                "this workflow has a timeout: when it passes nothing is undone; use the saga's deadline"
            )
        self._task = current_task()
        if self._ledger.state_key is not None:
            self._ledger.move("running")
        if self._deadline is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._deadline.total_seconds(), self._expire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        late = None
        if error is None and not self._expired and self._ledger.running.any():
            error = late = await self._ledger.running.failure()
        if isinstance(error, workflow.ContinueAsNewError):
            raise RuntimeError("continue-as-new inside a saga: leave the saga first") from error
        if error is None and not self._expired:
            self._stop_timer()
            self._over()
            self._ledger.move("completed")
        elif error is None or isinstance(error, asyncio.CancelledError) or _fails_the_workflow(error):
            self._stop_timer()
            await self._fail(error)
        if late is not None:
            raise late

    def pivot(self) -> None:
        """From here on the saga only goes forward: nothing is undone any more, and the deadline is off.

        Raises `SagaDeadline` if that has passed and the body has caught its cancellation: it is too late then; and
        `RuntimeError` while a step runs that has an `undo`: await it first, it may fail yet.

        await saga.step(charge, order, undo=refund)
        saga.pivot()
        await saga.step(ship, order)
        """
        if self._expired and not self._pivoted and workflow.patched(WAITS):
            raise self._too_late()
        if not self._pivoted and self._ledger.running.undoable() and workflow.patched(STRICT):
            raise RuntimeError("a step with an undo still runs, and may fail: await it before the pivot")
        self._stop_timer()
        if not self._pivoted:
            self._over()
        self._pivoted = True

    @overload
    async def step(
        self,
        fn: Callable[[Unpack[Args]], Awaitable[R]],
        *args: *Args,
        undo: Callable[[Unpack[Args]], Any] | None = None,
        options: Options | None = None,
        undo_options: Options | None = None,
    ) -> R: ...
    @overload
    async def step(
        self,
        fn: Callable[[Unpack[Args]], R],
        *args: *Args,
        undo: Callable[[Unpack[Args]], Any] | None = None,
        options: Options | None = None,
        undo_options: Options | None = None,
    ) -> R: ...
    async def step(  # type: ignore[misc]
        self,
        fn: Callable[..., Any],
        *args: Any,
        undo: Callable[..., Any] | None = None,
        options: Options | None = None,
        undo_options: Options | None = None,
    ) -> Any:
        """Execute an activity whose effect is undone by the activity `undo`, with the same arguments.

            seat = await saga.step(reserve_seat, trip, undo=release_seat, options=options.flaky_api)

        What the arguments are now counts, whatever the workflow changes in them before they are undone.

        A step that is cancelled is waited for, so that it is not undone while it acts; it hears of the cancellation by
        its heartbeats. When it completes nevertheless, the cancellation still ends the body. Raises `TypeError` if
        `undo` is no activity, `RuntimeError` outside of the block and, if there is an `undo`, after the pivot.
        """
        return await _ended(self._start(fn, args, undo, options, undo_options, group=None))

    def parallel(self) -> Parallel:
        """Steps at the same time, which are also undone at the same time.

        async with saga.parallel() as group:
            hotel = group.start(book_hotel, trip, undo=cancel_hotel)
            car = group.start(book_car, trip, undo=cancel_car)
        print(hotel.result(), car.result())
        """
        return Parallel(self)

    def on_undo(self, fn: Callable[[Unpack[Args]], Any], *args: *Args, options: Options | None = None) -> str:
        """Have an activity undo what is done by other means, such as a child workflow; say so before it is done.

            saga.on_undo(cancel_tour, trip)
            await workflow.execute_child_workflow(Tour.run, trip)

        Returns the key that the compensation gets from `undone_key()`. `resume` can't see these.
        """
        self._check_open()
        compensation = self._compensation(fn, args, options)
        self._ledger.groups.append([compensation])
        return compensation.key

    def _start(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        undo: Callable[..., Any] | None,
        options: Options | None,
        undo_options: Options | None,
        group: list[Compensation] | None,
    ) -> workflow.ActivityHandle[Any]:
        config = (options or self._options).config()
        config["cancellation_type"] = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        if undo is None:
            self._check_running()
            config["activity_id"] = step_key(self._registry.next_step())
        else:
            self._check_open()
            compensation = self._compensation(undo, args, undo_options)
            if any(isinstance(each, RawValue) for each in compensation.args):
                args = tuple(compensation.args)  # what can be converted but not copied, may be gone after that
            if group is None:
                self._ledger.groups.append([compensation])
            else:
                group.append(compensation)
            config["activity_id"] = compensation.key
            note = Note(self._ledger.number, activity_name(undo), difference(compensation.options))
            config["summary"] = str(note)
        start: Callable[..., workflow.ActivityHandle[Any]] = workflow.start_activity
        handle = start(fn, args=args, **config)
        self._ledger.running.add(handle, undoable=undo is not None)
        return handle

    def _compensation(self, fn: Callable[..., Any], args: tuple[Any, ...], options: Options | None) -> Compensation:
        check_activity(fn)
        kept = snapshot(args, workflow.payload_converter)
        return Compensation(step_key(self._registry.next_step()), fn, kept, options or self._undo_options)

    def _check_running(self) -> None:
        if not self._entered or self._closed or self._ledger.state != "running":
            raise RuntimeError("steps belong inside `async with Saga()`")

    def _check_open(self) -> None:
        self._check_running()
        if self._pivoted:
            raise RuntimeError("after the pivot nothing is undone: this step can't have an undo")

    def _over(self) -> None:
        """Nothing is to be undone any more, which a `resume` has to see in the history."""
        if self._ledger.groups:
            workflow.upsert_memo({MEMO.format(self._ledger.number): "over"})
        self._ledger.groups.clear()

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def _fail(self, error: BaseException | None) -> None:
        """Undo, then raise what is not `error`, which goes on by itself."""
        if self._expired and self._task.cancelling():
            self._task.uncancel()
        cancelled = None
        if not self._pivoted:
            cancelled = await undo_shielded(self._ledger, self._wait_when_stuck)
        elif self._ledger.running.any():
            self._closed = True
            cancelled = await self._ledger.running.end()
        if self._pivoted:
            self._ledger.move("failed")
        if self._ledger.state == "stuck":
            left = self._ledger.report().left
            text = f"{len(left)} compensations failed: {', '.join(f'{each.undo} of {each.key}' for each in left)}"
            raise SagaStuck(text, *left, type="SagaStuck", non_retryable=True) from error
        if cancelled is not None:
            raise cancelled from error
        ours = error is None or isinstance(error, asyncio.CancelledError) or is_cancelled_exception(error)
        if self._expired and not self._pivoted and ours and workflow.cancellation_reason() is None:
            raise self._too_late() from error

    def _too_late(self) -> SagaDeadline:
        assert self._deadline is not None
        return SagaDeadline(self._deadline)


class Parallel:
    """Steps at the same time; made by `Saga.parallel`. Leaving the block waits for all of them.

        async with saga.parallel() as group:
            hotel = group.start(book_hotel, trip, undo=cancel_hotel)
        print(hotel.result())

    When one fails the others are cancelled and waited for, then the error of the first of those that failed goes on.
    """

    def __init__(self, saga: Saga) -> None:
        self._saga = saga
        self._compensations: list[Compensation] = []
        self._handles: list[workflow.ActivityHandle[Any]] = []
        self._open = False

    async def __aenter__(self) -> Self:
        self._saga._check_running()
        self._open = True
        self._saga._ledger.groups.append(self._compensations)
        return self

    @overload
    def start(
        self,
        fn: Callable[[Unpack[Args]], Awaitable[R]],
        *args: *Args,
        undo: Callable[[Unpack[Args]], Any] | None = None,
        options: Options | None = None,
        undo_options: Options | None = None,
    ) -> workflow.ActivityHandle[R]: ...
    @overload
    def start(
        self,
        fn: Callable[[Unpack[Args]], R],
        *args: *Args,
        undo: Callable[[Unpack[Args]], Any] | None = None,
        options: Options | None = None,
        undo_options: Options | None = None,
    ) -> workflow.ActivityHandle[R]: ...
    def start(  # type: ignore[misc]
        self,
        fn: Callable[..., Any],
        *args: Any,
        undo: Callable[..., Any] | None = None,
        options: Options | None = None,
        undo_options: Options | None = None,
    ) -> workflow.ActivityHandle[Any]:
        """Start a step; its `result()` is there after the block. Raises `RuntimeError` outside of it."""
        if not self._open and workflow.patched(STRICT):
            raise RuntimeError("steps of a group belong inside its block: `async with saga.parallel() as group`")
        handle = self._saga._start(fn, args, undo, options, undo_options, group=self._compensations)
        self._handles.append(handle)
        return handle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled = await self._all_ended(abandoned=error is not None)
        self._open = False
        if cancelled is not None:
            raise cancelled
        if error is None:
            failures = [failure for handle in self._handles if (failure := failure_of(handle)) is not None]
            real = [failure for failure in failures if not is_cancelled_exception(failure)]
            if failures:
                raise (real or failures)[0]

    async def _all_ended(self, abandoned: bool) -> asyncio.CancelledError | None:
        cancelled = None
        while pending := [handle for handle in self._handles if not handle.done()]:
            failed = any(handle.done() and failure_of(handle) for handle in self._handles)
            if abandoned or failed or cancelled:
                for handle in pending:
                    handle.cancel()
            try:
                await workflow.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                cancelled = error
        return cancelled


def method(fn: Callable[Concatenate[Any, P], R]) -> Callable[P, R]:
    """An activity that is a method, as a step takes it.

    await saga.step(method(Bank.charge), order, undo=method(Bank.refund))
    """
    return cast(Callable[P, R], fn)


async def _ended(handle: workflow.ActivityHandle[Any]) -> Any:
    """The result, once the activity has ended; a cancellation is passed on to it, and raised when it has ended."""
    cancelled = None
    while not handle.done():
        try:
            await workflow.wait([handle])
        except asyncio.CancelledError as error:
            cancelled = error
            handle.cancel()
    if cancelled is not None:
        raise cancelled
    return handle.result()


def _fails_the_workflow(error: BaseException) -> bool:
    return isinstance(error, Exception) and workflow.is_failure_exception(error)

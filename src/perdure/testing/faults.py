"""Faults that a correct workflow does not notice, made by the worker of a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

LOST = "the result of this attempt was lost (perdure.faults)"


class Fault(Enum):
    """What happens to an attempt of an activity."""

    DUPLICATE = "duplicate"
    """It acts, and then fails, so that it is tried again."""
    LATE = "late"
    """It acts only after it has timed out and a later attempt has ended; if none comes, when the worker ends."""
    LOST_REPLY = "lost reply"
    """It acts, and nobody hears of it: it times out."""
    FAIL_BEFORE = "fails before"
    """It fails for good, without having acted."""
    FAIL_AFTER = "fails after"
    """It fails for good, after it has acted."""


Choose = Callable[[activity.Info], Fault | None]
"""What is to happen to an attempt."""
Abandon = Callable[[str, str], None]
"""Tells the server's clock that nobody will answer an attempt (run id, activity id)."""


def first_attempts(fault: Fault) -> Choose:
    """The fault, for the first attempt of each activity that may be tried again."""

    def choose(info: activity.Info) -> Fault | None:
        policy = info.retry_policy
        again = policy is None or policy.maximum_attempts != 1
        return fault if info.attempt == 1 and again else None

    return choose


class Faults(Interceptor):
    """Attempts of activities go wrong as `choose` says; local ones are left alone."""

    def __init__(
        self,
        choose: Choose,
        abandon: Abandon,
        until_released: Callable[[activity.Info], bool] = lambda info: False,
    ) -> None:
        """`until_released` tells which late attempts go on only when their event in `later` is set by others."""
        self.choose = choose
        self.abandon = abandon
        self.until_released = until_released
        self.later: dict[tuple[str, str], asyncio.Event] = {}
        """Set once a later attempt of an activity (run id, activity id) has ended."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Attempts(super().intercept_activity(next), self)


class _Attempts(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, faults: Faults) -> None:
        super().__init__(next)
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        fault = None if info.is_local else self._faults.choose(info)
        later = self._faults.later.setdefault((info.workflow_run_id or "", info.activity_id), asyncio.Event())
        if fault is Fault.LATE:
            await self._abandoned(info, later)
            return await super().execute_activity(input)
        if fault is Fault.FAIL_BEFORE:
            raise _failure()
        try:
            result = await super().execute_activity(input)
        finally:
            if info.attempt > 1 and not self._faults.until_released(info):
                later.set()
        if fault is Fault.LOST_REPLY:
            await self._abandoned(info, later)
        elif fault is Fault.DUPLICATE:
            raise ApplicationError(LOST, type="ResultLost")
        elif fault is Fault.FAIL_AFTER:
            raise _failure()
        return result

    async def _abandoned(self, info: activity.Info, later: asyncio.Event) -> None:
        """Nobody waits for this attempt any more. It goes on when a later one has ended, or the worker ends."""
        self._faults.abandon(info.workflow_run_id or "", info.activity_id)
        with contextlib.suppress(asyncio.CancelledError):
            await later.wait()


def _failure() -> ApplicationError:
    return ApplicationError("this attempt failed for good (perdure.faults)", type="Fault", non_retryable=True)

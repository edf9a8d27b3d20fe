"""Faults that a correct workflow does not notice, made by the worker of a test."""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

LOST = "the result of this attempt was lost (perdure.faults)"


class DuplicateAttempts(Interceptor):
    """Each activity that may be tried again does its work twice: the first attempt's result is lost.

    Attempts count from 2 for the result that arrives. Activities with a single attempt, and local ones, are left alone.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Duplicate(super().intercept_activity(next))


class _Duplicate(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        result = await super().execute_activity(input)
        info = activity.info()
        policy = info.retry_policy
        again = policy is None or policy.maximum_attempts != 1
        if info.attempt == 1 and again and not info.is_local:
            raise ApplicationError(LOST, type="ResultLost")
        return result

"""A canary deployment: more and more traffic as long as all is well, back to none as soon as it is not."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from examples.canary.activities import Operations, Share
    from perdure.patterns import GaveUp, Saga, method, options, poll

STAGES = [5, 25, 50, 100]
"""Percent of the traffic."""
SETTLE = timedelta(minutes=10)
"""So long a new share is left alone before it is measured."""
MEASURE_EVERY = timedelta(minutes=1)
PATIENCE = timedelta(minutes=20)
"""With too little traffic to tell until then, it is not promoted."""


@workflow.defn
class Canary:
    def __init__(self) -> None:
        self._percent = 0
        self._stopped_by: str | None = None

    @workflow.run
    async def run(self, service: str, version: str) -> str:
        try:
            async with Saga() as saga:
                for percent in STAGES:
                    await self._stage(saga, Share(service, version, percent))
                saga.pivot()
        except ApplicationError as error:
            await self._tell(f"{version} of {service} is rolled back: {error.message}")
            return f"rolled back at {self._percent} %: {error.message}"
        await self._tell(f"{version} of {service} has all the traffic")
        return "promoted"

    async def _stage(self, saga: Saga, share: Share) -> None:
        self._percent = share.percent
        await saga.step(method(Operations.set_share), share, undo=method(Operations.restore_share))
        await self._tell(f"{share.version} of {share.service} has {share.percent} %")
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._stopped_by is not None, timeout=SETTLE)
        if self._stopped_by is not None:
            raise _bad(f"stopped by {self._stopped_by}")
        try:
            verdict = await poll(method(Operations.measure), share, every=MEASURE_EVERY, give_up=PATIENCE)
        except GaveUp as error:
            raise _bad(f"only {error.last.requests if error.last else 0} requests in {PATIENCE}") from error
        if not verdict.good:
            raise _bad(f"{verdict.errors} of {verdict.requests} requests failed")

    async def _tell(self, text: str) -> None:
        await workflow.execute_activity_method(Operations.tell, text, **options.quick.config())

    @workflow.signal
    def stop(self, person: str) -> None:
        """Somebody does not like what they see."""
        self._stopped_by = person

    @workflow.query
    def percent(self) -> int:
        """The share that is tried now."""
        return self._percent


def _bad(why: str) -> ApplicationError:
    return ApplicationError(why, type="Bad", non_retryable=True)

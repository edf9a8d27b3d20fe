"""The campaign: a window that slides over the recipients."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from examples.campaign.activities import Mail, ask_to_go_on, send
    from perdure.patterns import FanOut, fan_out, options, retry_failed

SEND = options.flaky_api.but(attempts=3, never_retry=("NoSuchMailbox",))
COOL_DOWN = timedelta(hours=1)
SECOND_TRY = timedelta(days=1)


@dataclass
class Plan:
    """A campaign."""

    name: str
    recipients: list[str]
    window: int = 20
    """Mails in flight at a time."""


@dataclass
class End:
    """How it ended: how many mails, by what became of them."""

    counts: dict[str, int] = field(default_factory=dict)
    pauses: int = 0


@workflow.defn
class Campaign:
    """Sends to all; tries those who could not be reached once more the next day.

    It is paused and stopped by the signals of its fan-out, `perdure_fan_out_pause` and `perdure_fan_out_cancel`. An
    hour after it was paused the person on duty is asked whether it goes on.
    """

    @workflow.init
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pauses = 0

    @workflow.run
    async def run(self, plan: Plan) -> End:
        mails = [Mail(plan.name, to) for to in plan.recipients]
        sending = fan_out(mails, send, max_in_flight=plan.window, on_error="collect", options=SEND)
        watching = asyncio.create_task(self._watch(sending))
        outcomes = await sending
        watching.cancel()
        if sending.progress().state == "completed" and not all(outcome.ok for outcome in outcomes):
            await workflow.sleep(SECOND_TRY)
            outcomes = await retry_failed(outcomes, send, max_in_flight=plan.window, on_error="collect", options=SEND)
        return End(dict(Counter(str(outcome.state) for outcome in outcomes)), self._pauses)

    async def _watch(self, sending: FanOut[Mail, str]) -> None:
        while True:
            await workflow.wait_condition(lambda: sending.progress().state == "paused")
            self._pauses += 1
            await workflow.sleep(COOL_DOWN)
            goes_on = await workflow.execute_activity(ask_to_go_on, self._plan.name, **options.human.config())
            if not goes_on:
                return sending.cancel()
            sending.resume()

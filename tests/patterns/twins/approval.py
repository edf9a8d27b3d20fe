"""An approval and a callback as an expert writes them by hand, for the same story as `Ask` and `Call`."""

import asyncio
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from tests.patterns.waiting import REQUEST as REQUEST
    from tests.patterns.waiting import CallbackAddress, Notice, Payload, Terms, Wanted, submit, tell

MINUTE = timedelta(minutes=1)


@workflow.defn
class AskByHand:
    """Quorum, reminders, one escalation; answers by update, checked by its validator."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.votes: dict[str, bool] = {}
        self.telling: list[asyncio.Task[None]] = []

    @workflow.run
    async def run(self, terms: Terms) -> bool:
        began = workflow.now()
        self.quorum = terms.quorum
        moments = [(days, who) for days, who in terms.escalate]
        every = float(terms.remind) if not isinstance(terms.remind, list) else 0.0
        moments += [(every * n, []) for n in range(1, int(terms.days / every) + 1) if every * n < terms.days]
        self.ask("asked", terms.approvers)
        for days, who in [*sorted(moments), (terms.days, [])]:
            wait = began + timedelta(days=days) - workflow.now()
            try:
                await workflow.wait_condition(self.decided, timeout=wait)
                return all(self.votes.values())
            except TimeoutError:
                if who:
                    self.ask("escalated", who)
                elif days < terms.days:
                    self.ask("reminder", [each for each in self.asked if each not in self.votes])
        return False

    def ask(self, kind: str, people: list[str]) -> None:
        self.asked += [each for each in people if each not in self.asked]
        for who in people:
            notice = Notice("approval", kind, who, REQUEST, workflow.now(), "")  # type: ignore
            self.telling.append(asyncio.create_task(self.send(notice)))

    async def send(self, notice: Notice) -> None:
        await workflow.execute_activity(tell, notice, start_to_close_timeout=MINUTE)

    def decided(self) -> bool:
        return len(self.votes) >= self.quorum or not all(self.votes.values())

    @workflow.update
    def answer(self, who: str, yes: bool) -> None:
        self.votes[who] = yes

    @answer.validator
    def _check(self, who: str, yes: bool) -> None:
        if who not in self.asked or who in self.votes or self.decided():
            raise ValueError("no")


@workflow.defn
class CallByHand:
    """Asks, and waits with a deadline."""

    def __init__(self) -> None:
        self.done: list[Payload] = []

    @workflow.run
    async def run(self, wanted: Wanted) -> Payload:
        address = CallbackAddress("callback", workflow.info().workflow_id, "", workflow.now())
        asking = asyncio.create_task(
            workflow.execute_activity(submit, args=[address, "talk.mov"], start_to_close_timeout=MINUTE)
        )
        await workflow.wait_condition(lambda: bool(self.done), timeout=timedelta(days=wanted.days))
        await asking
        return self.done[0]

    @workflow.update
    def complete(self, payload: Payload) -> None:
        self.done.append(payload)

"""Workflows that wait for people and outside systems, which the tests of approvals, callbacks and links run."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from perdure.patterns import (
        ApprovalRequest,
        CallbackAddress,
        CallbackStalled,
        Decision,
        Notice,
        Waits,
        approval,
        callback,
        options,
    )

DAY = timedelta(days=1)
REQUEST = ApprovalRequest("A train to Oslo", "ann", {"price": "420 EUR"})
PEOPLE = ["bob", "carol", "dora"]
TOLD: list[Notice] = []
CALLED: list[tuple[CallbackAddress, str]] = []


@dataclass
class Terms:
    approvers: list[str] = field(default_factory=lambda: list(PEOPLE))
    quorum: int = 1
    veto: bool = True
    days: float = 10
    until: datetime | None = None
    escalate: list[tuple[float, list[str]]] = field(default_factory=list)
    remind: float | list[float] = 0
    told: bool = True
    id: str = "approval"
    waits: Waits = field(default_factory=Waits)


@activity.defn
async def tell(notice: Notice) -> None:
    TOLD.append(notice)


@activity.defn
async def tell_but_bob(notice: Notice) -> None:
    if notice.to == "bob":
        raise ApplicationError("bob has no address", non_retryable=True)
    TOLD.append(notice)


async def ask(terms: Terms, notify=tell) -> Decision:
    remind = terms.remind
    return await approval(
        REQUEST,
        terms.approvers,
        quorum=terms.quorum,
        veto=terms.veto,
        deadline=terms.until or timedelta(days=terms.days),
        escalate=[(timedelta(days=days), who) for days, who in terms.escalate],
        remind=[timedelta(days=each) for each in remind] if isinstance(remind, list) else timedelta(days=remind) or (),
        notify=notify if terms.told else None,
        id=terms.id,
    )


@workflow.defn
class Ask:
    """One approval."""

    @workflow.run
    async def run(self, terms: Terms) -> Decision:
        return await ask(terms)


@workflow.defn
class AskAllButBob:
    @workflow.run
    async def run(self, terms: Terms) -> Decision:
        return await ask(terms, tell_but_bob)


@workflow.defn
class AskAndStay:
    """One approval, then open for a month, to hear what comes late."""

    @workflow.run
    async def run(self, terms: Terms) -> Decision:
        decision = await ask(terms)
        await workflow.sleep(30 * DAY)
        return decision


@workflow.defn
class AskTwo:
    """Two at the same time."""

    @workflow.run
    async def run(self) -> list[str]:
        first, second = await asyncio.gather(
            approval(REQUEST, ["bob"], deadline=DAY, id="first"), approval(REQUEST, ["bob"], deadline=DAY, id="second")
        )
        return [first.outcome, second.outcome]


@workflow.defn
class AskBadly:
    """What is wrong with the terms, as text."""

    @workflow.run
    async def run(self, terms: Terms) -> str:
        try:
            await ask(terms)
        except ValueError as error:
            return str(error)
        return ""


@workflow.defn
class AskForever:
    """An approval that crosses runs, whenever the signal says so."""

    @workflow.init
    def __init__(self, terms: Terms) -> None:
        terms.waits.restore()
        self.turns = 0

    @workflow.run
    async def run(self, terms: Terms) -> Decision:
        task = asyncio.create_task(ask(terms))
        await workflow.wait_condition(lambda: task.done() or self.turns > 0)
        if self.turns > 0:
            terms.waits = Waits.carry()
            workflow.continue_as_new(terms)
        return task.result()

    @workflow.signal
    def turn(self) -> None:
        self.turns += 1


@dataclass
class Later:
    turns: int = 0
    sleep_s: float = 0
    ids: list[str] = field(default_factory=lambda: ["approval"])
    waits: Waits = field(default_factory=Waits)


@workflow.defn
class AskLater:
    """Approvals one after the other, each after a sleep, in a run that others came before; then all are answered."""

    @workflow.init
    def __init__(self, later: Later) -> None:
        later.waits.restore()

    @workflow.run
    async def run(self, later: Later) -> list[str]:
        if later.turns:
            workflow.continue_as_new(replace(later, turns=later.turns - 1, waits=Waits.carry()))
        found = []
        await asyncio.sleep(0 if later.ids else later.sleep_s)
        for id in later.ids:
            await asyncio.sleep(later.sleep_s)
            found += (await approval(REQUEST, PEOPLE, deadline=DAY, id=id)).by
        await workflow.wait_condition(workflow.all_handlers_finished)
        return found


@dataclass
class Payload:
    url: str
    seconds: int


def positive(payload: Payload) -> None:
    if payload.seconds <= 0:
        raise ValueError("seconds has to be positive")


@activity.defn
async def submit(address: CallbackAddress, what: str) -> None:
    CALLED.append((address, what))


@dataclass
class Wanted:
    days: float = 10
    stall_s: float = 0
    waits: Waits = field(default_factory=Waits)


@workflow.defn
class Call:
    """One callback."""

    @workflow.run
    async def run(self, wanted: Wanted) -> Payload:
        return await callback(
            Payload,
            "talk.mov",
            notify=submit,
            expires=timedelta(days=wanted.days),
            stall_timeout=timedelta(seconds=wanted.stall_s) if wanted.stall_s else None,
            check=positive,
            options=options.quick.but(attempts=2),
        )


@workflow.defn
class CallAndStay:
    """One callback, then open for a month."""

    @workflow.run
    async def run(self, wanted: Wanted) -> str:
        try:
            end = str(await callback(Payload, notify=None, expires=timedelta(days=wanted.days)))
        except ApplicationError as error:
            end = str(error.type)
        await workflow.sleep(30 * DAY)
        return end


@workflow.defn
class CallForever:
    """A callback that crosses runs, whenever the signal says so, and is taken by the code an hour into a run."""

    @workflow.init
    def __init__(self, wanted: Wanted) -> None:
        wanted.waits.restore()
        self.turns = 0

    @workflow.run
    async def run(self, wanted: Wanted) -> Payload:
        if wanted.waits.callbacks:
            await workflow.sleep(timedelta(hours=1))
        expires = timedelta(days=wanted.days)
        task = asyncio.create_task(callback(Payload, "talk.mov", notify=submit, expires=expires, check=positive))
        await workflow.wait_condition(lambda: task.done() or self.turns > 0)
        if self.turns > 0:
            wanted.waits = Waits.carry()
            workflow.continue_as_new(wanted)
        return task.result()

    @workflow.signal
    def turn(self) -> None:
        self.turns += 1


@workflow.defn
class Again:
    """A callback that is asked for again from its last progress when it stalls."""

    @workflow.run
    async def run(self, wanted: Wanted) -> list[str]:
        frame = 0
        for attempt in range(1, 4):
            try:
                done = await callback(
                    Payload,
                    f"from {frame}",
                    notify=submit,
                    expires=timedelta(days=wanted.days),
                    stall_timeout=timedelta(seconds=wanted.stall_s),
                    id=f"attempt-{attempt}",
                )
            except CallbackStalled as stalled:
                frame = stalled.progress(int) or frame
            else:
                return [str(attempt), str(frame), done.url]
        raise ApplicationError("it never works", non_retryable=True)


WAITING = (Ask, AskAllButBob, AskAndStay, AskTwo, AskForever, AskLater, Call, CallAndStay, CallForever, Again)


def fresh() -> None:
    TOLD.clear()
    CALLED.clear()

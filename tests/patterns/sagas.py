"""A shop in memory, and the workflows that the tests of sagas run."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from perdure.patterns import Saga, idempotency_key, options, undone_key

QUICK = options.quick.but(attempts=2)
UNDO = options.undo.but(attempts=2)
NAMES = ["seat", "room", "car", "money", "mail"]


@dataclass
class World:
    """What the outside sees: each step's effect by its key."""

    effects: Counter = field(default_factory=Counter)
    refused: set = field(default_factory=set)
    """Keys that were undone: a late step may not act any more."""
    log: list = field(default_factory=list)
    fail: dict = field(default_factory=dict)
    """name -> "before" or "after": fail for good, before or after the effect"""
    block: set = field(default_factory=set)
    """Names that wait until they are cancelled."""
    broken: set = field(default_factory=set)
    """Names that can't be undone."""
    keys: dict = field(default_factory=dict)


WORLD = World()


def fresh():
    WORLD.__init__()
    return WORLD


@activity.defn
async def act(name: str) -> str:
    key = idempotency_key()
    WORLD.keys[name] = key
    if WORLD.fail.get(name) == "before":
        raise ApplicationError(f"{name} failed", non_retryable=True)
    if key in WORLD.refused:
        raise ApplicationError(f"{name} was undone", non_retryable=True)
    if not WORLD.effects[key]:
        WORLD.effects[key] = 1
        WORLD.log.append(f"+{name}")
    while name in WORLD.block:
        activity.heartbeat()
        await asyncio.sleep(0.01)
    if WORLD.fail.get(name) == "after":
        raise ApplicationError(f"{name} failed", non_retryable=True)
    return name.upper()


@activity.defn
async def revoke(name: str) -> None:
    if name in WORLD.broken:
        raise ApplicationError(f"{name} can't be undone", non_retryable=True)
    key = undone_key()
    if key not in WORLD.refused:
        WORLD.log.append(f"-{name}")
    WORLD.refused.add(key)
    WORLD.effects[key] = 0


@workflow.defn
class Trip:
    """seat, then room and car side by side, money, the pivot, mail."""

    @workflow.run
    async def run(self, deadline_s: float = 0) -> list[str]:
        deadline = timedelta(seconds=deadline_s) if deadline_s else None
        async with Saga(deadline, options=QUICK.but(heartbeat=timedelta(seconds=5)), undo_options=UNDO) as saga:
            seat = await saga.step(act, "seat", undo=revoke)
            async with saga.parallel() as group:
                room = group.start(act, "room", undo=revoke)
                car = group.start(act, "car", undo=revoke)
            money = await saga.step(act, "money", undo=revoke)
            saga.pivot()
            mail = await saga.step(act, "mail")
        return [seat, room.result(), car.result(), money, mail]


@workflow.defn
class Short:
    """One step, then whatever the argument says."""

    @workflow.run
    async def run(self, then: str = "") -> str:
        wait = then != "stuck fails"
        try:
            async with Saga(timedelta(days=1), options=QUICK, undo_options=UNDO, wait_when_stuck=wait) as saga:
                await saga.step(act, "seat", undo=revoke)
                await saga.step(act, "room", undo=revoke)
                if then == "sleep":
                    await asyncio.sleep(7 * 86400)
                elif then == "continue as new":
                    workflow.continue_as_new("")
                elif then == "bug":
                    raise KeyError("bug")
                elif then == "swallow":
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(7 * 86400)
                elif then:
                    raise ApplicationError(then)
        except ApplicationError as error:
            if then == "caught":
                return f"caught {error}"
            raise
        if then == "":
            await asyncio.sleep(7 * 86400)
        return "done"


@workflow.defn
class Chain:
    """A saga a run, three runs."""

    @workflow.run
    async def run(self, left: int) -> None:
        async with Saga(options=QUICK) as saga:
            await saga.step(act, f"seat{left}", undo=revoke)
        if left > 1:
            workflow.continue_as_new(left - 1)


@workflow.defn
class Loose:
    """Steps in tasks of their own, and what else the argument says."""

    @workflow.run
    async def run(self, then: str, deadline_s: float = 86400) -> str:
        options = QUICK.but(heartbeat=timedelta(seconds=2))
        async with Saga(timedelta(seconds=deadline_s), options=options, undo_options=UNDO) as saga:
            await saga.step(act, "seat", undo=revoke)
            if then == "gather":
                await asyncio.gather(saga.step(act, "room", undo=revoke), saga.step(act, "money", undo=revoke))
            elif then == "left":
                self.task = asyncio.create_task(saga.step(act, "room", undo=revoke))
                await saga.step(act, "money", undo=revoke)
            elif then == "late pivot":
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(7 * 86400)
                saga.pivot()
                await saga.step(act, "mail")
        return "done"


@workflow.defn
class Aside:
    """A saga whose body leaves while a task of its own has two steps to do, then what the argument says."""

    @workflow.run
    async def run(self, then: str) -> str:
        options = QUICK.but(heartbeat=timedelta(seconds=2))
        async with Saga(options=options, undo_options=UNDO) as saga:
            await saga.step(act, "seat", undo=revoke)
            if then == "pivot":
                saga.pivot()
                await asyncio.gather(saga.step(act, "room"), saga.step(act, "money"))
            self.task = asyncio.create_task(self.aside(saga, bears=then == "bears"))
            await asyncio.sleep(0)
        return await self.task

    async def aside(self, saga: Saga, bears: bool) -> str:
        try:
            await saga.step(act, "room", undo=revoke)
        except ActivityError:
            if not bears:
                raise
        await saga.step(act, "car", undo=revoke)
        return "aside"


@workflow.defn
class Late:
    """Whether anything of the deadline's cancellation is left when the saga is over."""

    @workflow.run
    async def run(self, then: str) -> int:
        with contextlib.suppress(ApplicationError):
            async with Saga(timedelta(days=1), options=QUICK, undo_options=UNDO) as saga:
                await saga.step(act, "seat", undo=revoke)
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(7 * 86400)
                if then == "pivot":
                    saga.pivot()
                elif then == "fails":
                    raise ApplicationError("no")
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()


@workflow.defn
class Careless:
    """What is refused by now: steps of a group outside of its block, a pivot beside a step."""

    @workflow.run
    async def run(self, then: str) -> None:
        async with Saga(options=QUICK, undo_options=UNDO) as saga:
            group = saga.parallel()
            if then == "after the group":
                async with group:
                    await group.start(act, "seat", undo=revoke)
            if then == "pivot":
                task = asyncio.create_task(saga.step(act, "seat", undo=revoke))
                await asyncio.sleep(0)
                saga.pivot()
                await task
            else:
                await group.start(act, "room", undo=revoke)
            await saga.step(act, "money", undo=None if then == "pivot" else revoke)


ELSEWHERE = UNDO.but(
    task_queue="elsewhere", attempts=3, first_retry=timedelta(seconds=2), never_retry=("Never", KeyError)
)


@workflow.defn
class Far:
    """One step on another queue, one that is undone on another queue."""

    @workflow.run
    async def run(self) -> None:
        async with Saga(options=QUICK) as saga:
            await saga.step(act, "seat", undo=revoke, options=QUICK.but(task_queue="elsewhere"))
            await saga.step(act, "room", undo=revoke, undo_options=ELSEWHERE)
            await asyncio.sleep(7 * 86400)

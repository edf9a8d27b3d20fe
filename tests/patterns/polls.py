"""Things to wait for, and workflows that do."""

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

from perdure.patterns import GaveUp, Polled, options, poll, polled, polled_many

LONG = timedelta(minutes=1)
SHORT = timedelta(milliseconds=30)


@dataclass
class Build:
    name: str
    looks: int
    over: bool


@dataclass
class World:
    """How often each thing was looked at, and from which look on it is over; 0: never."""

    over_at: int = 3
    looks: dict[str, int] = field(default_factory=dict)
    at: list[datetime] = field(default_factory=list)
    broken: set[int] = field(default_factory=set)
    """Looks that fail."""
    final: Exception | None = None
    hangs: threading.Event | None = None

    def look(self, name: str) -> Build:
        looks = self.looks[name] = self.looks.get(name, 0) + 1
        if activity.in_activity():
            self.at.append(activity.info().started_time)
        if self.final is not None:
            raise self.final
        if looks in self.broken:
            raise ConnectionError("down")
        return Build(name, looks, bool(self.over_at) and looks >= self.over_at)


world = World()


def fresh(**options):
    global world
    world = World(**options)
    return world


def is_over(build: Build) -> bool:
    return build.over


@activity.defn
@polled(is_over)
async def build_state(name: str) -> Build:
    return world.look(name)


@activity.defn
@polled(is_over, jitter=0)
def build_state_in_thread(name: str) -> Build:
    if world.hangs is not None:
        world.hangs.wait(10)
    return world.look(name)


@activity.defn
@polled_many(is_over)
async def build_states(names: list[str]) -> list[Build]:
    return [world.look(name) if name != "never" else Build(name, 0, False) for name in names]


@activity.defn
@polled_many(is_over)
def build_states_in_thread(names: list[str]) -> list[Build]:
    return [world.look(name) for name in names]


@dataclass
class Ask:
    mode: str = "retry"
    every_s: float = 60.0
    give_up_s: float = 3600.0
    thread: bool = False
    look_s: float = 10.0
    never_retry: tuple[str, ...] = ()
    until_moment: bool = False


@workflow.defn
class Waiter:
    @workflow.run
    async def run(self, ask: Ask) -> Build:
        every, give_up = timedelta(seconds=ask.every_s), timedelta(seconds=ask.give_up_s)
        how = options.quick.but(start_to_close=timedelta(seconds=ask.look_s), never_retry=ask.never_retry)
        until = workflow.now() + give_up if ask.until_moment else give_up
        fn = build_state_in_thread if ask.thread else build_state
        mode = "activity" if ask.mode == "activity" else "retry"
        try:
            return await poll(fn, "b", every=every, give_up=until, mode=mode, options=how)
        except GaveUp as error:
            assert error.last is None or isinstance(error.last, Build), error.last
            raise


@dataclass
class AskMany:
    names: list[str]
    every_s: float = 60.0
    give_up_s: float = 3600.0
    thread: bool = False


@workflow.defn
class ManyWaiter:
    @workflow.run
    async def run(self, ask: AskMany) -> tuple[list[bool], list[Build | None]]:
        every, give_up = timedelta(seconds=ask.every_s), timedelta(seconds=ask.give_up_s)
        fn = build_states_in_thread if ask.thread else build_states
        polls: list[Polled[Build]] = await poll(fn, ask.names, every=every, give_up=give_up, mode="child")
        assert all(each.value is None or isinstance(each.value, Build) for each in polls)
        return [each.done for each in polls], [each.value for each in polls]


def final(text="no such build"):
    return ApplicationError(text, type="NoSuchBuild", non_retryable=True)


async def soon(predicate):
    while not predicate():
        await asyncio.sleep(0.01)

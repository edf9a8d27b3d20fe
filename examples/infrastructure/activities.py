"""A cloud that keeps accounts, and the activities that ask it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure.patterns import idempotency_key, polled, undone_key


@dataclass
class Resource:
    name: str
    kind: str
    needs: list[str]
    """The names of what has to run before it is made, and stays as long as it is there."""


@dataclass
class Plan:
    name: str
    resources: list[Resource]


@dataclass
class Status:
    name: str
    state: str
    """creating or running"""


def runs(status: Status) -> bool:
    """What is waited for."""
    return status.state == "running"


@dataclass
class Thing:
    resource: Resource
    plan: str
    looks: int = 0


@dataclass
class Cloud:
    """Makes things under tokens: a known token makes no second one, and none any more after it was deleted."""

    slow: dict[str, int] = field(default_factory=dict)
    """How many looks a kind takes to come up; 0: it never does. Others take two."""
    quota: dict[str, int] = field(default_factory=dict)
    """How many of a kind may exist."""
    things: dict[str, Thing] = field(default_factory=dict)
    """What exists, by its token."""
    deleted: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    """+PLAN/NAME and -PLAN/NAME, as it happened."""

    def create(self, token: str, plan: str, resource: Resource) -> None:
        if token in self.deleted:
            raise ApplicationError(f"{token} was deleted", type="Deleted", non_retryable=True)
        if token in self.things:
            return
        there = {thing.resource.name for thing in self.things.values() if thing.plan == plan and self._runs(thing)}
        if missing := set(resource.needs) - there:
            raise ApplicationError(f"{resource.name} needs {missing}", type="Dependency", non_retryable=True)
        if sum(thing.resource.kind == resource.kind for thing in self.things.values()) >= self._most(resource.kind):
            raise ApplicationError(f"no more {resource.kind}s", type="Quota", non_retryable=True)
        self.things[token] = Thing(resource, plan)
        self.log.append(f"+{plan}/{resource.name}")

    def look(self, plan: str, name: str) -> Status:
        [thing] = [each for each in self.things.values() if (each.plan, each.resource.name) == (plan, name)]
        thing.looks += 1
        return Status(name, "running" if self._runs(thing) else "creating")

    def _runs(self, thing: Thing) -> bool:
        needed = self.slow.get(thing.resource.kind, 2)
        return bool(needed) and thing.looks >= needed

    def delete(self, token: str) -> None:
        """Refused while something else needs it."""
        self.deleted.add(token)
        thing = self.things.get(token)
        if thing is None:
            return
        name = thing.resource.name
        users = [
            each.resource.name
            for each in self.things.values()
            if each.plan == thing.plan and name in each.resource.needs
        ]
        if users:
            raise ApplicationError(f"{name} is in use by {users}", type="InUse", non_retryable=True)
        del self.things[token]
        self.log.append(f"-{thing.plan}/{name}")

    def of(self, plan: str) -> list[str]:
        """What exists for a plan."""
        return sorted(thing.resource.name for thing in self.things.values() if thing.plan == plan)

    def _most(self, kind: str) -> int:
        return self.quota.get(kind, 10**6)


class CloudActivities:
    """Every other request gets no answer, though the cloud has done what was asked for."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._requests = 0

    def all(self) -> list[Callable[..., Any]]:
        return [self.create, self.delete, self.look]

    @activity.defn
    async def create(self, plan: str, resource: Resource) -> None:
        self._cloud.create(idempotency_key(), plan, resource)
        self._lose_answers()

    @activity.defn
    async def delete(self, plan: str, resource: Resource) -> None:
        self._cloud.delete(undone_key())
        self._lose_answers()

    @activity.defn
    @polled(runs)
    async def look(self, plan: str, name: str) -> Status:
        return self._cloud.look(plan, name)

    def _lose_answers(self) -> None:
        self._requests += 1
        if self._requests % 2:
            raise ConnectionError("no answer")

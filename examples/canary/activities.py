"""A router, what it measures, and the activities that ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure.patterns import idempotency_key, polled, undone_key

ENOUGH = 1_000
"""Requests of the new version after which its errors mean something."""
TOO_MANY = 0.02
"""More of the requests failing than this is bad, however few they are above `ENOUGH`."""


@dataclass
class Share:
    service: str
    version: str
    percent: int


@dataclass
class Verdict:
    """What was measured of the new version since its share was set."""

    requests: int
    errors: int
    decided: bool

    @property
    def good(self) -> bool:
        return self.errors <= TOO_MANY * self.requests


def is_decided(verdict: Verdict) -> bool:
    """What is waited for: enough requests, or far too many errors."""
    return verdict.decided


@dataclass
class Service:
    requests: int
    """A minute, of all versions."""
    error_rates: dict[str, list[float]]
    """Of each version, at 0-9 %, 10-49 % and from 50 % of the traffic: some break under load only."""
    percent: dict[str, int] = field(default_factory=dict)
    seen: dict[str, list[int]] = field(default_factory=dict)
    """Requests and errors of each version since its share was set."""


class Router:
    """Who gets how much traffic. It keeps a log, and knows the key of each change."""

    def __init__(self, services: dict[str, Service]) -> None:
        self.services = services
        self.log: list[Share] = []
        self._before: dict[str, int] = {}
        """key of a change -> what the share was before it; None of those that were undone."""
        self._undone: set[str] = set()

    def set(self, key: str, share: Share) -> None:
        if key in self._undone:
            raise ApplicationError("this change was undone", type="Undone", non_retryable=True)
        if key not in self._before:
            self._before[key] = self.services[share.service].percent.get(share.version, 0)
            self._write(share)

    def undo(self, key: str, share: Share) -> None:
        """Back to what it was before, once."""
        if key not in self._undone:
            self._undone.add(key)
            if key in self._before:
                self._write(Share(share.service, share.version, self._before[key]))

    def measure(self, share: Share) -> Verdict:
        """A minute goes by."""
        service = self.services[share.service]
        rates = service.error_rates[share.version]
        rate = rates[(share.percent >= 10) + (share.percent >= 50)]
        seen = service.seen.setdefault(share.version, [0, 0])
        requests = service.requests * share.percent // 100
        seen[0] += requests
        seen[1] += round(requests * rate)
        return Verdict(seen[0], seen[1], seen[0] >= ENOUGH)

    def _write(self, share: Share) -> None:
        self.log.append(share)
        self.services[share.service].percent[share.version] = share.percent
        self.services[share.service].seen[share.version] = [0, 0]


class Operations:
    """The activities. `tell` is who is told: a person, who may answer."""

    def __init__(self, router: Router, tell: Callable[[str, str], Awaitable[None]]) -> None:
        self._router = router
        self._tell = tell

    def all(self) -> list[Callable[..., Any]]:
        return [self.set_share, self.restore_share, self.measure, self.tell]

    @activity.defn
    async def set_share(self, share: Share) -> None:
        """The first answer is always lost."""
        self._router.set(idempotency_key(), share)
        if activity.info().attempt == 1:
            raise ConnectionError("no answer from the router")

    @activity.defn
    async def restore_share(self, share: Share) -> None:
        self._router.undo(undone_key(), share)

    @activity.defn
    @polled(is_decided)
    async def measure(self, share: Share) -> Verdict:
        return self._router.measure(share)

    @activity.defn
    async def tell(self, text: str) -> None:
        await self._tell(str(activity.info().workflow_id), text)

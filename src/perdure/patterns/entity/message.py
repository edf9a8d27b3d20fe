"""A message on the workflow's side of an entity."""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass
from typing import Literal

from temporalio.api.common.v1 import Payload

from perdure.patterns.entity.carried import Reply, weight


@dataclass(eq=False)
class Message:
    """One that waits for its turn."""

    name: str
    id: str
    args: list[Payload]
    reply: asyncio.Future[Reply] | None = None
    """Of an update."""
    remembered: bool = True
    """Whether it has an id by which it may come again."""
    taken_along: bool = False
    """An update for whose reply nobody waits."""
    context: contextvars.Context | None = None

    @property
    def kind(self) -> Literal["update", "signal"]:
        return "signal" if self.reply is None and not self.taken_along else "update"

    @property
    def size(self) -> int:
        """Of what is carried of it."""
        return 60 + len(self.name) + len(self.id) + sum(weight(each, quoted=False) for each in self.args)

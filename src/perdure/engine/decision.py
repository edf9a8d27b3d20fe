"""What a transition comes to: what has to be written, and what has to be told once it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.update.v1 import Outcome

from perdure.engine.execution import Core, Execution, Key, Kind
from perdure.errors import PerdureError


@dataclass(slots=True)
class UpdateResult:
    """What a transition means for those who wait for an update: it was accepted, it has an outcome (that of a rejected
    one is its failure), or it is over with an error."""

    accepted: bool = False
    outcome: Outcome | None = None
    error: PerdureError | None = None


@dataclass(slots=True)
class Decision:
    """What a transition came to. `history` holds (first event id, serialized batch)."""

    execution: Execution
    created: bool
    core: Core
    changes: list[tuple[Kind, Key, Any]]
    history: list[tuple[int, bytes]]
    reply: Any = None
    error: Exception | None = None
    visibility: bool = False
    durable: bool = True
    """False only for the start of a workflow task, which may stay unwritten until the next write of its run."""
    volatile: bool = False
    """True when nothing of it is ever written: memory alone has changed."""
    updates: dict[str, UpdateResult] = field(default_factory=dict)
    """By update id."""
    messages: list[ProtocolMessage] = field(default_factory=list)
    """Those that go with the task that was started."""
    also: list[Decision] = field(default_factory=list)
    """Decisions on other runs that have to be written in the same transaction, such as the run that continues this."""

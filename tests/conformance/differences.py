"""The differences from the reference that stand, one by one; a path is one leaf of a scenario's record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Accepted:
    """At `path` of the record of `scenario` the two servers differ, because of `reason`."""

    scenario: str
    path: str
    reference: Any
    perdure: Any
    reason: str


DIFFERENCES: tuple[Accepted, ...] = ()

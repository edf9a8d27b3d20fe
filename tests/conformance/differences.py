"""The differences from the reference that stand, one by one. A path is one leaf of one scenario's record; no wildcards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Accepted:
    """At `path` of `scenario`'s record the reference says `reference` and Perdure says `perdure`, because of `reason`."""

    scenario: str
    path: str
    reference: Any
    perdure: Any
    reason: str


DIFFERENCES: tuple[Accepted, ...] = ()

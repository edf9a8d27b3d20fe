"""The differences that stand between what programs see on the two servers, each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Accepted:
    """In scenarios of `family` that match `scenario`, leaves whose path matches `path` may differ."""

    family: str
    scenario: str
    path: str
    reason: str


ACCEPTED = (
    Accepted(
        "go|typescript",
        "listed_and_counted|schedules_are_listed",
        r"result\.bad query\.error.*(message|details)",
        "Perdure says where a query is wrong.",
    ),
)


def reason(family: str, scenario: str, path: str) -> str:
    """Why a difference stands; empty if nothing explains it."""
    for one in ACCEPTED:
        if re.fullmatch(one.family, family) and re.fullmatch(one.scenario, scenario) and re.fullmatch(one.path, path):
            return one.reason
    return ""

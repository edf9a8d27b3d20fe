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


_POSITION = "Perdure says where a query is wrong."
_VERSIONS = "Versions of workers are not done yet."
_OVERRIDE = "Workers have no versions here: an override that was taken back leaves nothing behind."
_BUILDS = "Workers have no versions here, so an override changes no list of builds."
_BATCHER = "The reference's batches are done by a worker with the identity of its process; Perdure's have a name."
ACCEPTED = (
    Accepted(
        "go|typescript",
        "listed_and_counted|schedules_are_listed",
        r"result\.bad query\.error.*(message|details)",
        _POSITION,
    ),
    Accepted("cli", "listings|schedules", r"\d+ (workflow|schedule) (list|count) -q .*\.err\[0\]", _POSITION),
    Accepted("cli", "batches", r"\d+ workflow terminate --query \"Nope =\".*\.err\[0\]", _POSITION),
    Accepted(
        "cli", "operators", r"\d+ operator cluster system\.json\.out\.capabilities\.nexus", "Nexus is not done yet."
    ),
    Accepted("cli", "operators", r"\d+ operator cluster describe --detail\..*", "Perdure tells its own version, too."),
    Accepted(
        "cli", "operators", r"\d+ operator cluster list\.json\..*\.httpAddress", "The HTTP API is off unless asked for."
    ),
    Accepted(
        "cli", "operators", r"\d+ operator cluster remove .*", "There is one cluster; remote ones are not done yet."
    ),
    Accepted("cli", "queues", r"\d+ task-queue (get-build-id-reachability|versioning|update-build-ids) .*", _VERSIONS),
    Accepted("cli", "queues", r"\d+ worker deployment (describe|set|delete|update|manager).*", _VERSIONS),
    Accepted("cli", "resets|batches", r"\d+ workflow describe .*(first\.out\[\d+\]|BuildIds\.data)", _BUILDS),
    Accepted("cli", "batches", r"\d+ .*workflowExecutionTerminatedEventAttributes\.identity", _BATCHER),
    Accepted("cli", "options", r"7 workflow describe .*", _OVERRIDE),
)


def reason(family: str, scenario: str, path: str) -> str:
    """Why a difference stands; empty if nothing explains it."""
    for one in ACCEPTED:
        if re.fullmatch(one.family, family) and re.fullmatch(one.scenario, scenario) and re.fullmatch(one.path, path):
            return one.reason
    return ""

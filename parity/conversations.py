"""The scenarios of tests/conformance, live on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.differences import DIFFERENCES
from tests.conformance.runner import differences, find, run_all

from parity.results import Difference, Finding

TRIES = 3


def families() -> list[str]:
    """The families of scenarios, by name."""
    return sorted({name.split("/")[0] for name in find()})


async def compare(family: str, perdure: str, reference: str) -> list[Finding]:
    """One family on both servers; what differs again by itself, since deadlines may pass unmeant on a busy machine."""
    names = [name for name in find() if name.split("/")[0] == family]
    findings: dict[str, Finding] = {}
    for attempt in range(TRIES):
        at_once = 1 if attempt else 8
        here, there = await asyncio.gather(
            run_all(perdure, names, at_once=at_once), run_all(reference, names, at_once=at_once)
        )
        findings.update({name: _finding(name, there[name], here[name]) for name in names})
        names = [name for name, found in findings.items() if found.state == "unexplained"]
        if not names:
            break
    return [findings[name] for name in sorted(findings)]


def _finding(name: str, reference: dict[str, Any], perdure: dict[str, Any]) -> Finding:
    family, scenario = name.split("/", 1)
    reasons = {(d.path, repr(d.reference), repr(d.perdure)): d.reason for d in DIFFERENCES if d.scenario == name}
    found = [
        Difference(path, one, other, reasons.get((path, repr(one), repr(other)), ""))
        for path, one, other in differences(reference, perdure)
        if path != "broken"
    ]
    broken = [f"{server}: {record['broken']}" for server, record in _sides(reference, perdure) if "broken" in record]
    return Finding(family, scenario, tuple(found), "\n".join(broken))


def _sides(reference: dict[str, Any], perdure: dict[str, Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
    return ("reference", reference), ("Perdure", perdure)

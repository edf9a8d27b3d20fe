"""What comparisons find: `Finding` for one scenario, `Report` for all, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

SHOWN = 6
CUT = 300


@dataclass(frozen=True)
class Difference:
    """A leaf of a record in which the two servers differ; what is absent is None."""

    path: str
    reference: Any
    perdure: Any
    reason: str = ""
    """Why the difference stands; empty if nothing explains it."""


@dataclass(frozen=True)
class Finding:
    """One scenario on both servers; `broken` says why it could not be compared."""

    family: str
    scenario: str
    differences: tuple[Difference, ...] = ()
    broken: str = ""

    @property
    def unexplained(self) -> list[Difference]:
        """Return the differences that nothing explains."""
        return [difference for difference in self.differences if not difference.reason]

    @property
    def state(self) -> str:
        """Return `same`, `explained` or `unexplained`; what is broken is unexplained."""
        if self.broken or self.unexplained:
            return "unexplained"
        return "explained" if self.differences else "same"


@dataclass(frozen=True)
class Interval:
    """How long something took on each server, from the times of its events, and how long it should have; seconds."""

    name: str
    due_s: float
    perdure_s: float
    reference_s: float
    tolerance_s: float

    @property
    def drifted(self) -> bool:
        """Return whether Perdure was early, or later than the tolerance allows."""
        return not -EARLY_S <= self.perdure_s - self.due_s <= self.tolerance_s


EARLY_S = 0.01
"""Clocks are read more than once: so much too early is not early."""


@dataclass
class Report:
    """All that was found, and what was left out with the reason."""

    findings: list[Finding] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Return whether nothing is unexplained."""
        drifted = any(interval.drifted for interval in self.intervals)
        return not drifted and all(finding.state != "unexplained" for finding in self.findings)

    def rows(self) -> Iterable[tuple[str, int, int, int, int]]:
        """Yield family, scenarios, and how many are the same, explained and unexplained."""
        for family in dict.fromkeys(finding.family for finding in self.findings):
            states = [finding.state for finding in self.findings if finding.family == family]
            yield family, len(states), *(states.count(state) for state in ("same", "explained", "unexplained"))

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "ok": self.ok,
            "families": [
                dict(zip(("family", "scenarios", "same", "explained", "unexplained"), row, strict=True))
                for row in self.rows()
            ],
            "findings": [asdict(finding) for finding in self.findings if finding.state != "same"],
            "intervals": [{**asdict(interval), "drifted": interval.drifted} for interval in self.intervals],
            "skipped": self.skipped,
        }

    def show(self, console: Console) -> None:
        """Print the tables, each unexplained difference, and what to do about them."""
        table = Table("family", "scenarios", "same", "explained", "unexplained")
        for column in table.columns[1:]:
            column.justify = "right"
        rows = list(self.rows())
        for family, *counts in rows:
            table.add_row(family, *map(str, counts))
        if rows:
            totals = [sum(int(row[i]) for row in rows) for i in range(1, 5)]
            table.add_section()
            table.add_row("all", *map(str, totals))
            console.print(table)
        if self.intervals:
            console.print(self._times())
        for finding in self.findings:
            if finding.state == "unexplained":
                console.print(told(finding), highlight=False, markup=False, soft_wrap=True)
        for family, reason in self.skipped.items():
            console.print(f"{family} left out: {reason}", markup=False)
        console.print(self._advice(), markup=False)

    def _times(self) -> Table:
        table = Table("measured between events", "due s", "Perdure s", "reference s", "tolerance s", "")
        for interval in self.intervals:
            numbers = (interval.due_s, interval.perdure_s, interval.reference_s, interval.tolerance_s)
            table.add_row(interval.name, *(f"{n:.3f}" for n in numbers), "DRIFT" if interval.drifted else "")
        for column in table.columns[1:5]:
            column.justify = "right"
        return table

    def _advice(self) -> str:
        if self.ok:
            return "No unexplained difference."
        return (
            "There are unexplained differences. Make each a scenario of tests/conformance and correct Perdure; if the "
            "difference has to stand, enter it with its reason in tests/conformance/differences.py (conversations) or "
            "parity/differences.py (programs). `--only FAMILY` repeats one family."
        )


def told(finding: Finding) -> str:
    """One scenario and where it differs, for the reader."""
    lines = [f"{finding.family}/{finding.scenario}"]
    if finding.broken:
        lines.append(f"  {finding.broken.strip()}")
    for difference in finding.unexplained[:SHOWN]:
        lines.append(f"  {difference.path}")
        lines.append(f"    reference: {_cut(difference.reference)}")
        lines.append(f"    Perdure:   {_cut(difference.perdure)}")
    if (more := len(finding.unexplained) - SHOWN) > 0:
        lines.append(f"  and {more} more")
    return "\n".join(lines)


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= CUT else f"{text[:CUT]}..."

"""What the fault matrices came to, as one table at the end of the test run."""

import json
from collections import Counter

from tests.patterns.matrix import ROWS

TABLE = "matrix"


class Counts:
    """How many cells of each row held, by case; a case may be played by several tests."""

    def __init__(self):
        self.held = {}

    def add(self, report):
        """What a test has told, if it was a matrix's."""
        for name, value in getattr(report, "user_properties", ()):
            if name == TABLE and getattr(report, "when", "") == "call" and report.passed:
                case, counts = json.loads(value)
                self.held.setdefault(case, Counter()).update(counts)


def pytest_terminal_summary(terminalreporter):
    counts = Counts()
    for reports in terminalreporter.stats.values():
        for report in reports:
            counts.add(report)
    if not counts.held:
        return
    terminalreporter.section("faults under which the invariants of perdure.patterns held, and how often")
    for line in table(counts.held):
        terminalreporter.write_line(line)


def table(held):
    """Rows are faults, columns are cases; a dash where a fault makes no sense."""
    cases = sorted(held)
    widths = [max(len(case), 4) for case in cases]
    title = max(map(len, ROWS.values()))
    yield " " * title + "".join(f"  {case:>{width}}" for case, width in zip(cases, widths, strict=True))
    for row, text in ROWS.items():
        cells = [str(held[case].get(row, "-")) for case in cases]
        yield f"{text:{title}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))

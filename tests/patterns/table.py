"""Play all fault matrices and write their table into docs/PATTERNS.md: `python -m tests.patterns.table`."""

import json
import sys
from pathlib import Path

import pytest
from tests.patterns.matrix import ROWS
from tests.patterns.report import TABLE

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs" / "PATTERNS.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"


class Results:
    """What the matrices came to: rows and how many cells of them held, by case."""

    def __init__(self) -> None:
        self.held = {}

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties:
            if name == TABLE and report.when == "call" and report.passed:
                case, counts = json.loads(value)
                self.held[case] = counts


def markdown(held):
    cases = sorted(held)
    yield "| fault | " + " | ".join(cases) + " |"
    yield "|---" * (len(cases) + 1) + "|"
    for row, text in ROWS.items():
        cells = ["holds" if held[case].get(row) else "-" for case in cases]
        yield f"| {text} | " + " | ".join(cells) + " |"


def main() -> int:
    results = Results()
    code = pytest.main(
        ["-q", "-n0", "--timeout=0", *map(str, sorted(HERE.glob("test_*_matrix.py")))], plugins=[results]
    )
    if code:
        return int(code)
    before, _, rest = DOCS.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(before + BEGIN + "\n" + "\n".join(markdown(results.held)) + "\n\n" + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Play all fault matrices and write their table into docs/PATTERNS.md: `python -m tests.patterns.table`.

PERDURE_SWEEP=1 plays them at full size, PERDURE_JOBS=4 four at a time: they wait more than they compute. Nothing is
written unless all hold.
"""

import os
import sys
import time
from pathlib import Path

import pytest
from tests.patterns.matrix import ROWS, SWEEP
from tests.patterns.report import Counts

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs" / "PATTERNS.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"
SIZE = "all moments and pairs (`PERDURE_SWEEP=1`)" if SWEEP else "a few of each row (`make test`)"


class Results:
    """What the matrices came to, told as it comes."""

    def __init__(self):
        self.counts = Counts()
        self.began = time.monotonic()

    def pytest_runtest_logreport(self, report):
        self.counts.add(report)
        if report.when == "call" or report.failed:
            cells = sum(sum(held.values()) for held in self.counts.held.values())
            what = f"{report.nodeid.rpartition('/')[2]} {report.when} {report.outcome} in {report.duration:.0f} s"
            print(f"{time.monotonic() - self.began:6.0f} s  {what}, {cells} plays so far", flush=True)


def markdown(held):
    cases = sorted(held)
    yield "| fault | " + " | ".join(cases) + " |"
    yield "|---" * (len(cases) + 1) + "|"
    for row, text in ROWS.items():
        cells = ["holds" if held[case].get(row) else "-" for case in cases]
        yield f"| {text} | " + " | ".join(cells) + " |"
    plays = sum(sum(counts.values()) for counts in held.values())
    yield ""
    yield f"Written from {plays} plays: {SIZE}."


def main() -> int:
    results = Results()
    files = sorted(map(str, HERE.glob("test_*_matrix.py")))
    jobs = ["-n", os.environ.get("PERDURE_JOBS", "0"), "--dist", "worksteal"]
    code = pytest.main(["-q", "--timeout=0", *jobs, *files], plugins=[results])
    if code:
        print(f"{DOCS.name} is as it was: not all holds.")
        return int(code)
    before, _, rest = DOCS.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    text = "\n".join(markdown(results.counts.held))
    DOCS.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

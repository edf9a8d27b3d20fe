"""Makes `docs/API.md` from the code: `python -m perdure.rpc.api_doc > docs/API.md`."""

from __future__ import annotations

import sys
from collections import Counter

from perdure.rpc import coverage
from perdure.rpc.sdk_suite import sdk_suite_doc
from perdure.rpc.services import SERVICES

INTRODUCTION = """\
# API coverage

Made from the code by `python -m perdure.rpc.api_doc > docs/API.md`; a test compares.

- **done**: as the real server, to the event and the words; differences that stand are in `docs/SEMANTICS.md`.
- **partial**: what is missing is in the note.
- **empty**: answers truthfully that there is nothing, since the feature does not exist yet.
- **unimplemented**: refused with UNIMPLEMENTED and a message that names the feature.

Besides these services, `grpc.health.v1.Health/Check` and server reflection (v1 and v1alpha) answer.
"""


def api_doc() -> str:
    """The document."""
    handled = coverage.implemented()
    sections = [INTRODUCTION]
    for service in SERVICES:
        rows = [(method.name, coverage.state(method.name, method.name in handled)) for method in service.methods]
        counts = Counter(state for _, state in rows)
        summary = ", ".join(f"{counts[state]} {state}" for state in coverage.STATES if counts[state])
        lines = [f"## {service.name}", "", f"{len(rows)} methods: {summary}.", ""]
        lines += ["| method | state | belongs to | note |", "|---|---|---|---|"]
        lines += [_row(name, state) for name, state in sorted(rows)]
        sections.append("\n".join(lines) + "\n")
    return "\n".join([*sections, sdk_suite_doc()])


def _row(name: str, state: coverage.State) -> str:
    entry = coverage.TABLE[name]
    note = entry.note if state != "unimplemented" or entry.refusal else ""
    return f"| {name} | {state} | {entry.feature} | {note} |"


if __name__ == "__main__":
    sys.stdout.write(api_doc())

"""What the goldens have to show: everything in scope, right and wrong, or a reason why not."""

from __future__ import annotations

from tests.conformance.coverage import EXPLAINED, covered


def test_goldens_show_all_that_is_in_scope() -> None:
    missing = {f"{kind.name}: {name}" for kind in covered().kinds for name in kind.missing}
    assert missing == EXPLAINED.keys(), "see `python -m tests.conformance.coverage`"

"""Each scenario on Perdure, and with REFERENCE=host:port on the reference, compared with what was recorded there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.differences import DIFFERENCES
from tests.conformance.runner import differences, find, golden, run_all
from tests.conformance.server import perdure

NAMES = sorted(find())
Records = dict[str, dict[str, Any]]


def _selected(request: pytest.FixtureRequest, test: str) -> list[str]:
    items = [item for item in request.session.items if getattr(item, "originalname", "") == test]
    return [item.callspec.params["name"] for item in items]  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def on_perdure(request: pytest.FixtureRequest) -> Iterator[Records]:
    """The records of all selected scenarios, which run side by side."""
    with perdure() as address:
        yield asyncio.run(run_all(address, _selected(request, "test_perdure_answers_as_the_reference")))


@pytest.fixture(scope="session")
def on_reference(request: pytest.FixtureRequest) -> Records:
    names = _selected(request, "test_golden_is_what_the_reference_answers")
    return asyncio.run(run_all(os.environ["REFERENCE"], names))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_perdure_answers_as_the_reference(name: str, on_perdure: Records) -> None:
    actual = on_perdure[name]
    expected = golden(name)
    accepted = [(d.path, d.reference, d.perdure) for d in DIFFERENCES if d.scenario == name]
    found = differences(expected, actual)
    assert not actual.get("broken"), actual["broken"]
    unexpected = [difference for difference in found if difference not in accepted]
    assert not unexpected, _told(unexpected)
    gone = [difference for difference in accepted if difference not in found]
    assert not gone, f"these accepted differences are no more, take them off the list:\n{_told(gone)}"


@pytest.mark.timeout(600)
@pytest.mark.skipif("REFERENCE" not in os.environ, reason="REFERENCE=host:port names no reference server")
@pytest.mark.parametrize("name", NAMES)
def test_golden_is_what_the_reference_answers(name: str, on_reference: Records) -> None:
    found = differences(golden(name), on_reference[name])
    assert not found, _told(found)


def test_accepted_differences_name_scenarios() -> None:
    assert {difference.scenario for difference in DIFFERENCES} <= set(NAMES)


def _told(found: list[tuple[str, Any, Any]]) -> str:
    lines = [f"{path}\n    reference: {_cut(one)}\n    here:      {_cut(other)}" for path, one, other in found[:40]]
    rest = [f"... and {len(found) - 40} more"] if len(found) > 40 else []
    return "\n".join([f"{len(found)} differences", *lines, *rest])


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}..."

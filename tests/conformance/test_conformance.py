"""Each scenario on Perdure, and with REFERENCE=host:port on the reference, compared with what was recorded there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.differences import DIFFERENCES
from tests.conformance.runner import differences, find, golden, run_until_alike
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
        names = _selected(request, "test_perdure_answers_as_the_reference")
        yield asyncio.run(run_until_alike(address, names, lambda name, record: not _unexpected(name, record)))


@pytest.fixture(scope="session")
def on_reference(request: pytest.FixtureRequest) -> Records:
    names = _selected(request, "test_golden_is_what_the_reference_answers")
    address = os.environ["REFERENCE"]
    return asyncio.run(run_until_alike(address, names, lambda name, record: not differences(golden(name), record)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_perdure_answers_as_the_reference(name: str, on_perdure: Records) -> None:
    actual = on_perdure[name]
    assert not actual.get("broken"), actual["broken"]
    unexpected = _unexpected(name, actual)
    assert not unexpected, _told(unexpected)
    gone = [difference for difference in _accepted(name) if difference not in differences(golden(name), actual)]
    assert not gone, f"these accepted differences are no more, take them off the list:\n{_told(gone)}"


@pytest.mark.timeout(600)
@pytest.mark.skipif("REFERENCE" not in os.environ, reason="REFERENCE=host:port names no reference server")
@pytest.mark.parametrize("name", NAMES)
def test_golden_is_what_the_reference_answers(name: str, on_reference: Records) -> None:
    found = differences(golden(name), on_reference[name])
    assert not found, _told(found)


def test_accepted_differences_name_scenarios() -> None:
    assert {difference.scenario for difference in DIFFERENCES} <= set(NAMES)


def _accepted(name: str) -> list[tuple[str, Any, Any]]:
    return [(d.path, d.reference, d.perdure) for d in DIFFERENCES if d.scenario == name]


def _unexpected(name: str, actual: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    accepted = _accepted(name)
    return [difference for difference in differences(golden(name), actual) if difference not in accepted]


def _told(found: list[tuple[str, Any, Any]]) -> str:
    lines = [f"{path}\n    reference: {_cut(one)}\n    here:      {_cut(other)}" for path, one, other in found[:40]]
    rest = [f"... and {len(found) - 40} more"] if len(found) > 40 else []
    return "\n".join([f"{len(found)} differences", *lines, *rest])


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}..."

"""`docs/API.md` and the coverage table say what the code does."""

from __future__ import annotations

from pathlib import Path

from perdure.rpc import coverage, sdk_suite
from perdure.rpc.api_doc import api_doc
from perdure.rpc.services import methods

DOC = Path(__file__).parents[1] / "docs" / "API.md"


def test_the_doc_is_what_the_code_makes() -> None:
    assert DOC.read_text() == api_doc(), "run: make docs"


def test_every_method_is_declared_and_nothing_else() -> None:
    assert set(coverage.TABLE) == {method.name for method in methods()}
    assert len(coverage.TABLE) == 123 + 12


def test_a_state_that_needs_a_handler_has_one() -> None:
    """`partial` and `empty` describe a handler; a declaration that outlived it would never show in the doc."""
    described = {name for name, entry in coverage.TABLE.items() if entry.state in ("partial", "empty")}
    assert described <= set(coverage.implemented())


def test_a_method_declared_as_refused_has_no_handler() -> None:
    refused = {name for name, entry in coverage.TABLE.items() if entry.refusal}
    assert not refused & set(coverage.implemented())


def test_what_falls_short_says_how() -> None:
    assert all(entry.note for entry in coverage.TABLE.values() if entry.state != "done")


def test_tests_of_the_sdk_wait_only_for_features_that_are_missing() -> None:
    """A feature that has arrived takes its tests off the list."""
    handled = coverage.implemented()
    absent = {entry.feature for name, entry in coverage.TABLE.items() if name not in handled}
    assert set(sdk_suite.WAITING) <= absent


def test_tests_of_the_sdk_are_of_the_files_that_are_told_of() -> None:
    told = {file for files in sdk_suite.WAITING.values() for file in files}
    assert told <= set(sdk_suite.FILES)
    assert all(0 <= sdk_suite.missing(file) <= total for file, total in sdk_suite.FILES.items())

"""What the history of a saga says of how to undo it. It stands in the summaries of activities, which cost no event."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from perdure.patterns import options as presets
from perdure.patterns.options import Options

MEMO = "perdure_saga_{}"
"""The memo of a run that says that saga n has passed its pivot, or is over: nothing of it is to be undone any more."""
_SUMMARY = re.compile(r"saga (\d+), undo by (.+?)(?: with (\{.*\}))?")
_OF_MEMO = re.compile(MEMO.format(r"(\d+)"))


@dataclass(frozen=True)
class Note:
    """How to undo a step."""

    saga: int
    """The number of the saga in its run."""
    undo: str
    """The name of an activity."""
    options: dict[str, Any]
    """In what its options differ from the preset `undo`."""

    def __str__(self) -> str:
        different = f" with {json.dumps(self.options, separators=(',', ':'))}" if self.options else ""
        return f"saga {self.saga}, undo by {self.undo}{different}"

    @classmethod
    def read(cls, summary: str) -> Note | None:
        """None if the activity is no step that can be undone."""
        told = _SUMMARY.fullmatch(summary)
        return cls(int(told[1]), told[2], json.loads(told[3] or "{}")) if told is not None else None


def saga_of_memo(name: str) -> int | None:
    """The number of the saga that is over, if that is what a memo of this name says."""
    told = _OF_MEMO.fullmatch(name)
    return int(told[1]) if told is not None else None


def difference(options: Options) -> dict[str, Any]:
    """What it has other than the preset `undo`, as JSON."""
    found = {}
    for field in fields(Options):
        value = getattr(options, field.name)
        if value == getattr(presets.undo, field.name):
            continue
        if isinstance(value, timedelta):
            value = value.total_seconds()
        elif isinstance(value, tuple):
            value = options.error_types()
        found[field.name] = value
    return found


def with_difference(different: Mapping[str, Any]) -> Options:
    """The options again. What this release does not know is left out."""
    changes: dict[str, Any] = {}
    for field in fields(Options):
        if field.name not in different:
            continue
        value = different[field.name]
        if "timedelta" in str(field.type) and value is not None:
            value = timedelta(seconds=value)
        changes[field.name] = tuple(value) if isinstance(value, list) else value
    return presets.undo.but(**changes)

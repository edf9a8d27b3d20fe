"""What the official CLI prints, as JSON that two servers can be compared by."""

from __future__ import annotations

import json
import re
import socket
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.conformance.normalise import Normaliser

Replacement = str | Callable[[re.Match[str]], str]

RECENT_DAYS = 9
_SETS = r"HistorySize(?:Bytes)?|StateTransitionCount|ProcessI[dD]|RunTime|(?:historySizeBytes|taskId|durationMillis):"
_OWN = re.compile(
    "taskId|version|clusterId|serverVersion|eventTime|clusterName|failoverVersion|activeClusterName|clusters|"
    "persistenceStore|visibilityStore|supportedClients|versionInfo|workerControlTaskQueue|read_level|ack_level|rate_per_second|task_id_block|"
    r"backlog_count_hint|hostInfo|(total|current|last)\w*(Sticky|Tasks|Slots)\w*|elapsedSinceLastHeartbeat"
)
_SIZES = re.compile(
    "historySize(Bytes)?|stateTransitionCount|executionDuration|processId|durationMillis|taskToken|nextPageToken|"
    "conflictToken|approximateBacklogAge|backlogIncreaseRate|tasks(Add|Dispatch)Rate|currentRetryInterval"
)


class Shown(Normaliser):
    """Replaces what differs from run to run: times, ids, addresses, who ran the command and where."""

    def text(self, text: str, kind: str = "id") -> str:
        for pattern, replacement in _REPLACED:
            text = pattern.sub(replacement, text)
        return super().text(text, kind)

    def printed(self, code: int | None, out: str, err: str, in_any_order: bool = False) -> dict[str, Any]:
        """Exit code, output and errors of a command; output that is JSON is taken apart."""
        data = _json(out)
        shown = self.lines(out) if data is None else self.data(data)
        told = {"exit": "took too long" if code is None else code, "out": _sorted(shown) if in_any_order else shown}
        return {**told, "err": self.lines(err)} if err else told

    def lines(self, text: str) -> list[str]:
        """The lines with something on them, without the widths of columns."""
        return [self.text(" ".join(line.split())) for line in text.splitlines() if line.strip()]

    def data(self, value: Any) -> Any:
        """JSON, with its strings normalised at any depth."""
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self._item(key, item) for key, item in value.items() if not _OWN.fullmatch(key)}
        return self.text(value) if isinstance(value, str) else value

    def _item(self, key: str, value: Any) -> Any:
        if _SIZES.fullmatch(key):
            return "set"
        if key == "data" and isinstance(value, str):
            return self.text(_decoded(value))
        return sorted(value) if key.endswith("UsedFlags") else self.data(value)


def _time(match: re.Match[str]) -> str:
    """Times around now are all the same; of others, those with a fraction have jitter and are told by the minute."""
    day = datetime.fromisoformat(match.group()[:10]).replace(tzinfo=UTC)
    if abs((datetime.now(UTC) - day).days) < RECENT_DAYS:
        return "time"
    return match.group()[:16] if "." in match.group() else match.group()


def _stack(match: re.Match[str]) -> str:
    """Which tasks are in a stack trace, that of the Python SDK tells them in any order."""
    names = re.findall("name='([^:' ]*)", match.group())
    return f"stacks of {', '.join(sorted(set(names)))}"


_REPLACED: tuple[tuple[re.Pattern[str], Replacement], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'(?s)"?Stack for.*', _stack),
        (r"temporal-cli:[\w.-]+@[\w.-]+|\b\d+@[\w.-]+@?", "identity"),
        (re.escape(socket.gethostname()), "host"),
        (r"127\.0\.0\.1:\d+", "address"),
        (r'File \\*"[^"\\]*/([^/"\\]+)\\*", line \d+', r"File \1"),
        (r"\b[0-9a-f]{32}\b", "number"),
        (rf"\b({_SETS}) +\S.*", r"\1 set"),
        (r"UsedFlags\[\d+\]: \d+", "UsedFlags[n]: n"),
        (r"^(\S+ (?:workflow|activity|nexus) \d+) \S+( \w)? [\d.e-]+ [\d.e-]+ [\d.e-]+$", r"\1 rates"),
        (r"\((?:\d+[hms] ?)+\)", "(~)"),
        (r"allowed values are: (?:\w+(?:, )?)+", "allowed values"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))*(?: m=\S+)?", _time),
        (r"\b(?:\d+ \w+|an? \w+) (?:ago|from now)\b|\bnow\b|\ba long while (?:ago|from now)\b", "then"),
        (r"\b(?:\d+h)?(?:\d+m)?\d+\.\d+(?:s|ms|µs)|\b\d+(?:ms|µs)\b", "~"),
    )
)


def _decoded(data: str) -> str:
    """The text in a payload; what is none stays as it is."""
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        return data


def _sorted(value: Any) -> Any:
    """Lists in the order of what they hold, at any depth."""
    if isinstance(value, list):
        return sorted((_sorted(item) for item in value), key=json.dumps)
    return {key: _sorted(item) for key, item in value.items()} if isinstance(value, dict) else value


def _json(out: str) -> Any:
    """What `out` holds if it is JSON, or a list of what its lines hold; None if it isn't."""
    if not out.lstrip().startswith(("{", "[")):
        return None
    for reads in (json.loads, lambda text: [json.loads(line) for line in text.splitlines()]):
        try:
            return reads(out)
        except ValueError:
            continue
    return None

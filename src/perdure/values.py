"""Text and JSON to typed values, by the rules of Temporal's dynamic configuration.

Each function takes where the value came from, for the `StartupError` that names it.
"""

from __future__ import annotations

import json
import re

from perdure.errors import StartupError

MAX_PORT = 65535

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h|d)")
_DURATION = re.compile(rf"[-+]?(?:{_TERM.pattern})+")
_UNITLESS = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)")


def scalar(text: str) -> object:
    """JSON, or the text itself when it is none, so that `10s` and `"10s"` are the same."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def go_duration_s(text: str) -> float:
    """A duration as Go writes it (`1m30s`, `1.5h`, `-2ms`), with days (`7d`), in seconds; without a unit, seconds.

    Errors: `ValueError`.
    """
    if _UNITLESS.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise ValueError(f"not a duration: {text!r}")
    total_s = sum(float(number) * _UNIT_S[unit] for number, unit in _TERM.findall(text))
    return -total_s if text.startswith("-") else total_s


def seconds(value: object, where: str) -> float:
    """A duration, or a plain number of seconds; not negative."""
    parsed = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        parsed = float(value)
    elif isinstance(value, str):
        try:
            parsed = go_duration_s(value.strip())
        except ValueError:
            parsed = None
    if parsed is None or not 0 <= parsed < float("inf"):
        raise StartupError(f"{where}: expected a duration such as 10s or 1m30s, got {value!r}.")
    return parsed


def number(value: object, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise StartupError(f"{where}: expected a number, got {value!r}.")


def integer(value: object, where: str) -> int:
    """A whole number, not negative."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise StartupError(f"{where}: expected a whole number, got {value!r}.")
    if value < 0:
        raise StartupError(f"{where}: expected a whole number from 0, got {value!r}.")
    return value


def port(value: object, where: str) -> int:
    """A TCP port."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_PORT:
        return value
    raise StartupError(f"{where}: {value!r} is not a TCP port; give one from 0 (any free one) to {MAX_PORT}.")


def boolean(value: object, where: str) -> bool:
    """true or false, or a text that Go reads as one (`1`, `t`, `TRUE`, ...)."""
    if isinstance(value, bool):
        return value
    if value in (1, "1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in (0, "0", "f", "F", "false", "FALSE", "False"):
        return False
    raise StartupError(f"{where}: expected true or false, got {value!r}.")

"""A history as a page to read: one line a step, times relative to the start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import Payload

from perdure.testing.history import History, Step

MAX_VALUE_CHARS = 60
MAX_STEPS = 200


def timeline(history: History) -> str:
    """The page; of a long history its first and its last steps."""
    args = ", ".join(map(_value, history.args))
    lines = [f"{history.workflow_id} {history.workflow_type}({args}) run {history.run_id}: {_end(history)}"]
    steps = history.steps
    shown = steps if len(steps) <= MAX_STEPS else [*steps[: MAX_STEPS // 2], *steps[-MAX_STEPS // 2 :]]
    for number, step in enumerate(shown):
        if len(shown) < len(steps) and number == MAX_STEPS // 2:
            lines.append(f"  ... {len(steps) - len(shown)} more")
        lines.append(f"  {'+' + span(step.began - history.began):>16}  {_step(step)}")
    return "\n".join(lines)


def _end(history: History) -> str:
    if history.ended is None:
        return "running"
    text = f"{history.status} after {span(history.ended - history.began)}"
    if history.failure:
        return f"{text}: {history.failure}"
    return f"{text} -> {_value(history.result)}" if history.result is not None else text


def _step(step: Step) -> str:
    if step.kind.startswith("workflow task"):
        return f"{step.kind} {step.name}".rstrip()
    if step.kind == "timer":
        what = f"timer {step.id} of {span(step.delay or timedelta())}"
    else:
        args = ", ".join(map(_value, step.args))
        what = f"{step.kind} {step.name}{f'#{step.id}' if step.id else ''}({args})"
    if step.ended is None:
        how = "open"
    elif step.status == "done":
        return what
    else:
        how = f"{step.status} after {span(step.ended - step.began)}"
    if step.attempts > 1:
        how += f", attempt {step.attempts}"
    if step.failure:
        how += f": {step.failure}"
    elif step.result is not None:
        how += f" -> {_value(step.result)}"
    return f"{what} {how}"


def _value(value: Any) -> str:
    if isinstance(value, Payload):
        encoding = value.metadata.get("encoding", b"?").decode("utf-8", "replace")
        return f"<{encoding}, {len(value.data)} bytes>"
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"


def span(duration: timedelta) -> str:
    """Such as `30d 00:00:05`, `1:30:00` or `0.020s`."""
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.3f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02}:{minutes:02}:{rest:02}"
    return f"{days}d {clock}" if days else clock

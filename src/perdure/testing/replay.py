"""Histories against the code of today: whether it would still do what it did."""

from __future__ import annotations

import asyncio
import glob
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

REPLAYER_OPTIONS = (
    "workflow_runner",
    "unsandboxed_workflow_runner",
    "interceptors",
    "plugins",
    "workflow_failure_exception_types",
    "debug_mode",
    "disable_safe_workflow_eviction",
)
"""Options of a worker that a replay needs too."""


async def replay(
    workflows: Sequence[type], histories: Mapping[str, WorkflowHistory], options: Mapping[str, Any]
) -> list[str]:
    """Replay named histories; what fails, a text each."""
    names = list(histories)

    async def given() -> AsyncIterator[WorkflowHistory]:
        for history in histories.values():
            yield history

    failures = []
    async with Replayer(workflows=workflows, **options).workflow_replay_iterator(given()) as results:
        async for result in results:
            name = names.pop(0)
            if result.replay_failure is not None:
                failures.append(f"{name} does not replay: {result.replay_failure}")
    assert not names, f"not replayed: {names}"
    return failures


def assert_replays(
    workflows: type | Sequence[type], files: str | Path | Sequence[str | Path], **replayer_options: Any
) -> None:
    """Replay histories kept as JSON (by `History.save`, the CLI or the Web UI) with the workflows of today.

    `files` are paths or patterns, relative to the working directory. `replayer_options` are those of
    `temporalio.worker.Replayer`. Works with or without a running event loop. Raises `AssertionError` with all that
    fail, and when a pattern matches nothing.
    """
    types = [workflows] if isinstance(workflows, type) else list(workflows)
    histories = {}
    for path in _found([files] if isinstance(files, str | Path) else files):
        text = path.read_text("utf-8")
        history = WorkflowHistory.from_json(path.stem, text)
        started = history.events[0].workflow_execution_started_event_attributes
        histories[str(path)] = WorkflowHistory(started.workflow_id or path.stem, history.events)
    failures: list[str] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            failures.extend(asyncio.run(replay(types, histories, {"build_id": "test", **replayer_options})))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="perdure replay")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    if failures:
        raise AssertionError("\n".join(failures))


def _found(patterns: Sequence[str | Path]) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        matching = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
        if not matching:
            raise AssertionError(f"no history matches {pattern}")
        found += matching
    return found

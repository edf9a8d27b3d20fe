"""The stories of `examples/` on both servers, each execution with a clock of its own that skips its waits.

What is compared is what happened in each execution, not in which order: things that happen at once come as they come,
and one workflow task may have two of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from examples.show import SKIPS, Mismatch, can_skip, examples, story
from google.protobuf.message import Message
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig
from temporalio.testing import TimeSkipper
from tests.conformance.driver import Driver, Execution, connect

from parity.programs import Unavailable, finding
from parity.results import Finding

FAMILY = "examples"
TRIES = 3
LIMIT_S = 600
CHANCE = ("WORKFLOW_TASK_", "ACTIVITY_TASK_CANCEL_REQUESTED", "WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED")
"""Events whose number is a matter of speed, or of jitter."""
BY_SPEED = {
    "accounts": "how many messages a run takes before it continues as new, and which transfers meet a lack of money",
    "campaign": "how much was sent when it is paused, and when the spam filter is met",
    "cart": "how many customers come back before they are reminded",
    "inventory": "who is served before the stock is gone",
}
"""Stories in which speed decides what happens, and what: of these the end is compared, which their ledgers judge."""
_FRESH = re.compile(r"-[0-9a-f]{8}\b")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Where the name stands of what an event is about.
_NAMES = ("activity_type", "workflow_type", "signal_name", "marker_name")


async def compare(perdure: str, reference: str, tell: Callable[[str], None]) -> list[Finding]:
    """Each example as a finding; what differs runs again. Raises `Unavailable` when the reference can't skip time."""
    # What fails on purpose is part of a story.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    findings = []
    for name in examples():
        for _ in range(TRIES):
            here, there = await _played(perdure, name), await _played(reference, name)
            found = finding(FAMILY, name, there, here)
            tell(name)
            if found.state != "unexplained":
                break
        findings.append(found)
    return findings


async def _played(address: str, name: str) -> dict[str, Any]:
    """What happened in each execution of a story."""
    starts = _Starts()
    runtime = Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter="off")))
    client = await Client.connect(address, identity="parity", interceptors=[starts], runtime=runtime)
    if not await can_skip(client):
        raise Unavailable(f"{address} can't skip time: set frontend.WorkflowTimeSkippingEnabled")
    broken = ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            async with asyncio.timeout(LIMIT_S):
                await story(name)(TimeSkipper(client, config=SKIPS).client)
    except (Mismatch, AssertionError) as error:
        broken = str(error) or repr(error)
    except Exception:
        broken = traceback.format_exc(limit=-3)
    executions = await _executions(client, address, starts.runs)
    return {"executions": {} if name in BY_SPEED else executions, "broken": broken}


class _Starts(Interceptor):
    """Keeps which workflows a client has started: (workflow id, run id)."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str]] = []

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Noting(next, self.runs)


class _Noting(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, runs: list[tuple[str, str]]) -> None:
        super().__init__(next)
        self._runs = runs

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        handle = await super().start_workflow(input)
        self._runs.append((handle.id, handle.first_execution_run_id or ""))
        return handle

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        handle = await super().start_update_with_start_workflow(input)
        self._runs.append((handle.workflow_id, handle.workflow_run_id or ""))
        return handle


async def _executions(client: Client, address: str, runs: list[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """How often what happened in each execution, and in those that they have led to; ends what is open."""
    async with connect(address) as channel:
        driver = Driver(channel)
        for workflow_id, run_id in dict.fromkeys(runs):
            driver.touch(workflow_id, run_id)
        await driver.finish()
    told = [(_name(execution), await _happened(client, execution)) for execution in driver.executions.values()]
    numbers: Counter[str] = Counter()
    named = {}
    for name, happened in sorted(told, key=lambda found: (found[0], sorted(found[1].items()))):
        numbers[name] += 1
        named[f"{name} {numbers[name]}"] = happened
    return named


def _name(execution: Execution) -> str:
    return _FRESH.sub("", _UUID.sub("uuid", execution.workflow_id))


async def _happened(client: Client, execution: Execution) -> dict[str, int]:
    """Of all pages: the driver looks at the first."""
    history = await client.get_workflow_handle(execution.workflow_id, run_id=execution.run_id).fetch_history()
    return dict(Counter(filter(None, map(_label, history.events))))


def _label(event: HistoryEvent) -> str:
    """The event's type and what it is about; empty for what comes as often as chance and speed have it."""
    kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
    if kind.startswith(CHANCE):
        return ""
    attributes: Message = getattr(event, event.WhichOneof("attributes") or "")
    words = [kind]
    for field, value in attributes.ListFields():
        if field.name in _NAMES:
            words.append(value if isinstance(value, str) else value.name)
        elif field.name == "failure":
            words.append(value.application_failure_info.type or value.WhichOneof("failure_info") or "")
    return " ".join(words)

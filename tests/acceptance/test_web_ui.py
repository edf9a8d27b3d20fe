"""The official Web UI on our server, in a real browser: every page of a namespace loads without an error.

Needs the Web UI's server (`PERDURE_WEBUI_BIN`), Chromium (`PERDURE_CHROMIUM_BIN`, or on the path) and playwright. With
`PERDURE_WEBUI_SHOTS`, a directory, a picture of each page is left there to look at. `PERDURE_WEBUI_TARGET` shows
another server instead of ours, such as a real one: `host:port`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from examples.processes import free_port
from temporalio import activity, workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    WorkflowUpdateFailedError,
)
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from perdure.server import Server

WEBUI = os.environ.get("PERDURE_WEBUI_BIN", "")
CHROMIUM = os.environ.get("PERDURE_CHROMIUM_BIN") or shutil.which("chromium") or ""
SHOTS = os.environ.get("PERDURE_WEBUI_SHOTS", "")
TARGET = os.environ.get("PERDURE_WEBUI_TARGET", "")

pytestmark = [
    pytest.mark.skipif(not WEBUI, reason="PERDURE_WEBUI_BIN does not name the official Web UI's server"),
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: set PERDURE_CHROMIUM_BIN"),
    pytest.mark.timeout(600),
]

QUEUE = "shown"
READY_S = 30.0
TABS_AT_ONCE = 4
LONG_POLL_S = 1.5
QUIET_S = 0.4
LOADED_S = 20.0
NOT_YET = "is not implemented by this version of Perdure"
SUBJECTS = ("running", "done", "failed", "retrying", "canceled", "terminated", "paused")
"""Ids of the workflows that are shown."""


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@activity.defn
async def always_fails() -> None:
    raise ApplicationError("no luck", {"tried": [1, 2]}, type="NoLuck")


@workflow.defn
class Child:
    @workflow.run
    async def run(self) -> dict[str, int]:
        return {"answer": 42}


@workflow.defn
class Everything:
    """An activity, a timer and a child; then what its argument says."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.over = False

    @workflow.run
    async def run(self, what: str) -> str:
        workflow.set_current_details("**busy**")
        hello = await workflow.execute_activity(greet, what, start_to_close_timeout=timedelta(seconds=10))
        await workflow.sleep(0.01)
        await workflow.execute_child_workflow(Child.run, id=f"child-of-{workflow.info().workflow_id}")
        if what == "failed":
            raise ApplicationError("on purpose", type="Intended")
        if what == "retrying":
            policy = RetryPolicy(initial_interval=timedelta(hours=1))
            await workflow.execute_activity(
                always_fails, start_to_close_timeout=timedelta(seconds=10), retry_policy=policy
            )
        if what != "done":
            await workflow.wait_condition(lambda: self.over)
        return hello

    @workflow.signal
    def note(self, text: str = "") -> None:
        self.notes.append(text)

    @workflow.query
    def state(self) -> dict[str, Any]:
        return {"notes": self.notes}

    @workflow.update
    async def add(self, number: int) -> int:
        if number < 0:
            raise ApplicationError("only more")
        return number + 1


@dataclass
class Shown:
    """What there is to see. `runs` has the run id of each workflow."""

    url: str
    runs: dict[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def web_ui(address: str) -> AsyncIterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [WEBUI, "-port", str(port), "-target", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def fill(client: Client, shown: Shown) -> None:
    """Workflows in every state with all that can be pending, schedules and a batch."""
    for what in SUBJECTS:
        handle = await client.start_workflow(
            Everything.run,
            what,
            id=f"wf-{what}",
            task_queue=QUEUE,
            memo={"note": "a memo"},
            static_summary="A *summary*",
            static_details="Details",
        )
        shown.runs[f"wf-{what}"] = handle.first_execution_run_id or ""
        if what in ("running", "canceled", "terminated"):
            await handle.signal(Everything.note, "hello")
        if what == "canceled":
            await handle.cancel()
        if what == "terminated":
            await handle.terminate("enough", "detail")
    running = client.get_workflow_handle_for(Everything.run, "wf-running")
    await running.query(Everything.state)
    assert await running.execute_update(Everything.add, 1) == 2
    with pytest.raises(WorkflowUpdateFailedError):
        await running.execute_update(Everything.add, -1)
    await pause(client, "wf-paused")
    action = ScheduleActionStartWorkflow(Child.run, id="scheduled", task_queue=QUEUE)
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(hours=1))], cron_expressions=["0 12 * * *"])
    schedule = await client.create_schedule("every-hour", Schedule(action=action, spec=spec))
    await schedule.trigger()
    await schedule.pause(note="for now")
    await client.create_schedule("each-day", Schedule(action=action, spec=ScheduleSpec(cron_expressions=["@daily"])))
    await start_batch(client)
    done = client.get_workflow_handle("wf-done")
    await done.result()


async def pause(client: Client, workflow_id: str) -> None:
    from temporalio.api.workflowservice.v1 import PauseWorkflowExecutionRequest

    request = PauseWorkflowExecutionRequest(
        namespace="default", workflow_id=workflow_id, identity="me", reason="for a while", request_id="pause"
    )
    await client.workflow_service.pause_workflow_execution(request)


async def start_batch(client: Client) -> None:
    from temporalio.api.batch.v1 import BatchOperationSignal
    from temporalio.api.workflowservice.v1 import StartBatchOperationRequest

    request = StartBatchOperationRequest(
        namespace="default", job_id="note-to-all", visibility_query="WorkflowId='wf-running'", reason="to show one"
    )
    request.signal_operation.CopyFrom(BatchOperationSignal(signal="note", identity="me"))
    await client.workflow_service.start_batch_operation(request)


def pages(shown: Shown) -> dict[str, str]:
    """Where to look, by name."""
    base = "/namespaces/default"
    found = {
        "home": "/",
        "namespaces": "/namespaces",
        "namespace": base,
        "workflows": f"{base}/workflows",
        "workflows by query": f"{base}/workflows?query=ExecutionStatus%3D%22Running%22",
        "workflows by a bad query": f"{base}/workflows?query=%3D%3D",
        "start workflow": f"{base}/workflows/start-workflow",
        "schedules": f"{base}/schedules",
        "new schedule": f"{base}/schedules/create",
        "batch operations": f"{base}/batch-operations",
        "deployments": f"{base}/worker-deployments",
        "workers": f"{base}/workers",
        "standalone activities": f"{base}/activities",
        "archival": f"{base}/archival",
        "import": "/import",
        "nexus": "/nexus",
        "new nexus endpoint": "/nexus/create",
        "task queue": f"{base}/task-queues/{QUEUE}",
        "schedule": f"{base}/schedules/every-hour",
        "edit schedule": f"{base}/schedules/every-hour/edit",
        "schedules by query": f"{base}/schedules?query=TemporalSchedulePaused%3Dtrue",
        "batch operation": f"{base}/batch-operations/note-to-all",
    }
    tabs = ("", "/timeline", "/history", "/relationships", "/workers", "/pending-activities", "/call-stack", "/query")
    tabs += ("/metadata", "/user-metadata", "/search-attributes", "/memo", "/nexus-links")
    for workflow_id, run_id in shown.runs.items():
        for tab in tabs if workflow_id in ("wf-running", "wf-retrying") else ("", "/history"):
            found[f"{workflow_id}{tab.replace('/', ' ')}"] = f"{base}/workflows/{workflow_id}/{run_id}{tab}"
    for view in ("compact", "feed", "json"):
        found[f"wf-failed {view}"] = f"{base}/workflows/wf-failed/{shown.runs['wf-failed']}/history?view={view}"
    return found


@dataclass
class Problems:
    """What went wrong in one tab of the browser: sentences by page. `page` is the one that is open.

    `open` has the requests that wait for their answer, with when they were sent."""

    found: dict[str, list[str]]
    page: str = ""
    open: dict[Any, float] = field(default_factory=dict)
    active_s: float = 0.0

    def sent(self, request: Any) -> None:
        self.active_s = self.open[request] = time.monotonic()

    def over(self, request: Any) -> None:
        self.open.pop(request, None)
        self.active_s = time.monotonic()

    async def quiet(self) -> None:
        """Wait until nothing was sent or answered for a moment; what goes unanswered for long is a long poll."""
        async with asyncio.timeout(LOADED_S):
            while True:
                now = time.monotonic()
                waits = any(now - since < LONG_POLL_S for since in self.open.values())
                if not waits and now - self.active_s > QUIET_S:
                    return
                await asyncio.sleep(0.05)

    def add(self, sentence: str) -> None:
        if NOT_YET not in sentence:
            self.found.setdefault(self.page, []).append(sentence)


SHOWS = {
    "workflows": "wf-terminated",
    "workflows by query": "wf-running",
    "schedules": "every-hour",
    "schedules by query": "every-hour",
    "schedule": "5 Upcoming Runs",
    "edit schedule": "Schedule Summary",
    "batch operations": "note-to-all",
    "batch operation": "to show one",
    "namespaces": "default",
    "workers": QUEUE,
    "task queue": "always_online",
    "nexus": "this feature is not available",
    "new nexus endpoint": "this feature is not available",
    "wf-running history": "Workflow Execution Started",
    "wf-running relationships": "child-of-wf-running",
    "wf-running memo": "a memo",
    "wf-retrying pending activities": "always_fails",
    "wf-failed history": "on purpose",
}
"""What a page has to show before it counts as loaded; the others, a heading."""
EXPECTED = {
    "workflows by a bad query": r"400 .*|console: Initial count fetch failed .*400.*",
}
"""What a page is meant to fail with."""


async def visit(page: Any, url: str, problems: Problems) -> None:
    await page.goto(url, wait_until="load")
    shows = SHOWS.get(problems.page)
    awaited = page.get_by_text(shows) if shows else page.locator("h1, h2, h3")
    try:
        await awaited.filter(visible=True).first.wait_for(timeout=LOADED_S * 1000)
    except Exception:
        problems.add(f"the page does not show {shows or 'a heading'}")
    await problems.quiet()
    text = await page.inner_text("body")
    for sentence in ("Something went wrong", "Uh oh", "404", "Internal Error", "Page not found"):
        if sentence in text:
            problems.add(f"the page says {sentence!r}: {' '.join(text.split())[-300:]}")
    if SHOTS:
        name = re.sub(r"\W+", "-", problems.page)
        await page.screenshot(path=Path(SHOTS) / f"{name}.png")


async def watch(page: Any, problems: Problems) -> None:
    """Write down console errors, exceptions and answers of 400 and above."""

    async def on_response(response: Any) -> None:
        if response.status >= 400:
            body = ""
            with contextlib.suppress(Exception):
                body = (await response.body()).decode("utf-8", "replace")[:300]
            problems.add(f"{response.status} {response.request.method} {response.url} {body}")

    page.on("request", problems.sent)
    page.on("requestfinished", problems.over)
    page.on("requestfailed", problems.over)
    page.on("response", on_response)
    page.on("pageerror", lambda error: problems.add(f"exception: {error}"))

    def on_console(message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:  # told by the response
            problems.add(f"console: {message.text}")

    page.on("console", on_console)


@contextlib.asynccontextmanager
async def target() -> AsyncIterator[str]:
    if TARGET:
        yield TARGET
    else:
        async with Server() as server:
            yield server.address


async def look(browser: Any, url: str, pages: dict[str, str], found: dict[str, list[str]]) -> None:
    """Visit all pages, in several tabs."""
    left = list(pages.items())

    async def tab() -> None:
        page, problems = await browser.new_page(viewport={"width": 1400, "height": 1100}), Problems(found)
        await watch(page, problems)
        while left:
            problems.page, path = left.pop(0)
            await visit(page, url + path, problems)

    await asyncio.gather(*(tab() for _ in range(TABS_AT_ONCE)))


async def test_every_page_of_a_namespace_loads_without_an_error() -> None:
    playwright = pytest.importorskip("playwright.async_api")
    problems: dict[str, list[str]] = {}
    async with target() as address, web_ui(address) as url:
        # Workers tell of themselves once a minute unless asked to do it more often.
        runtime = Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=timedelta(seconds=1))
        client = await Client.connect(address, identity="always_online", runtime=runtime)
        shown = Shown(url)
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=[Everything, Child],
            activities=[greet, always_fails],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with worker, playwright.async_playwright() as driver:
            await fill(client, shown)
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            await look(browser, url, pages(shown), problems)
            await browser.close()
    unexpected = {
        name: left
        for name, sentences in problems.items()
        if (left := [each for each in sentences if not re.match(EXPECTED.get(name, "$^"), each, re.DOTALL)])
    }
    assert not unexpected, "\n".join(f"{name}: {each}" for name, found in unexpected.items() for each in found)

"""A server that skips time, as programs see it: of the older form (V1, a test server) or the newer one (V2)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper, TimeSkippingConfig, WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from tests.skipping.workflows import ACTIVITIES, WORKFLOWS

V1 = "v1"
V2 = "v2"
START = timedelta(seconds=30)
_UNTOLD = ("WorkflowTask", "WorkflowExecutionTimeSkipping", "WorkflowExecutionOptionsUpdated")
"""Events that say nothing of what happened in a workflow."""


@dataclass(frozen=True)
class Story:
    """What the histories of a workflow and of the runs that continue it tell."""

    took: timedelta
    """From the start of the first run to the end of the last, by the workflow's clock."""
    events: str


class World:
    """`client` skips time; `plain` does not on V2, and waits for results without unlocking time on V1."""

    def __init__(self, form: str, client: Client, plain: Client, environment: WorkflowEnvironment | None) -> None:
        self.form = form
        self.client = client
        self.plain = plain
        self.queue = f"skipped-{uuid.uuid4()}"
        self._environment = environment
        self._skipper = TimeSkipper(plain) if form == V2 else None

    def worker(self, client: Client | None = None) -> Worker:
        return Worker(
            client or self.client,
            task_queue=self.queue,
            workflows=WORKFLOWS,
            activities=ACTIVITIES,
            workflow_runner=UnsandboxedWorkflowRunner(),
            graceful_shutdown_timeout=timedelta(),
        )

    async def start(self, run: Any, *args: Any, **options: Any) -> WorkflowHandle[Any, Any]:
        options.setdefault("id", str(uuid.uuid4()))
        start: Any = self.client.start_workflow
        handle: WorkflowHandle[Any, Any] = await start(run, args=list(args), task_queue=self.queue, **options)
        return handle

    def held(self, duration: timedelta) -> float:
        """So many seconds for what holds time: V1 can be moved on all the same, on V2 a second has to pass."""
        return duration.total_seconds() if self.form == V1 else 1.0

    async def sleep(self, duration: timedelta) -> None:
        """V1 skips so far at once, whatever is in flight. On V2 that takes a moment of real time, enough for `held`."""
        if self._environment is not None and self.form == V1:
            await self._environment.sleep(duration)
        else:
            await asyncio.sleep(3)

    async def forward(self, handle: WorkflowHandle[Any, Any], duration: timedelta) -> None:
        """Move the workflow's clock, or on V1 that of all."""
        if self._skipper is not None:
            assert await self._skipper.fast_forward(handle, duration)
        else:
            await self.sleep(duration)

    async def story(self, handle: WorkflowHandle[Any, Any]) -> Story:
        run_id: str | None = handle.first_execution_run_id or handle.result_run_id
        events: list[HistoryEvent] = []
        while run_id:
            found = self.plain.get_workflow_handle(handle.id, run_id=run_id)
            events += (await found.fetch_history()).events
            run_id = getattr(_attributes(events[-1]), "new_execution_run_id", "")
        took = events[-1].event_time.ToDatetime() - events[0].event_time.ToDatetime()
        return Story(took, " ".join(name for event in events if (name := _name(event))))


def _attributes(event: HistoryEvent) -> Any:
    return getattr(event, event.WhichOneof("attributes"))  # type: ignore[arg-type]


def _name(event: HistoryEvent) -> str:
    words = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").split("_")
    name = "".join(map(str.capitalize, words))
    return "" if name.startswith(_UNTOLD) else name.removeprefix("WorkflowExecution")


def _plain(client: Client) -> Client:
    """Without what the environment intercepts."""
    config = client.config()
    return Client(config["service_client"], namespace=config["namespace"])


@asynccontextmanager
async def of_test_server(path: str) -> AsyncIterator[World]:
    """V1: the program at this path, which takes a port."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=path, test_server_startup_timeout=START
    )
    async with environment:
        yield World(V1, environment.client, _plain(environment.client), environment)


@asynccontextmanager
async def of_dev_server(path: str) -> AsyncIterator[World]:
    """V2: the program at this path, called like the official CLI."""
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=path, dev_server_startup_timeout=START
    )
    async with environment:
        yield World(V2, environment.client, _plain(environment.client), environment)


@asynccontextmanager
async def of_running(address: str) -> AsyncIterator[World]:
    """V2: a server that runs."""
    plain = await Client.connect(address)
    yield World(V2, TimeSkipper(plain, config=TimeSkippingConfig()).client, plain, None)

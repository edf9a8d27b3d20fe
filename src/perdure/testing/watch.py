"""What goes wrong in a test's namespace is told to the test while it waits, instead of letting it wait for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.message import Message
from temporalio import activity
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.enums.v1 import failed_cause_pb2 as causes
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.service import RPCError, RPCStatusCode, ServiceClient

from perdure.engine.decision import Decision
from perdure.runtime.namespace_time import Mode
from perdure.runtime.run import Run
from perdure.testing.host import Host

T = TypeVar("T")
M = TypeVar("M", bound=Message)

LOOK_EVERY_S = 0.25
BUSY_TRIES = 50
BUSY_PAUSE_S = 0.01
MAY_BE_BUSY = {
    "execute_multi_operation",
    "request_cancel_workflow_execution",
    "signal_with_start_workflow_execution",
    "signal_workflow_execution",
    "start_workflow_execution",
    "update_workflow_execution",
}
"""Calls that a workflow between two of its runs has no time for."""
_FINAL = {
    RPCStatusCode.ALREADY_EXISTS,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNIMPLEMENTED,
}
"""Nobody asks again after these."""
_HARMLESS = {
    causes.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    causes.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_UPDATE,
    causes.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
    causes.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
    causes.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
    causes.WORKFLOW_TASK_FAILED_CAUSE_FAILOVER_CLOSE_COMMAND,
    causes.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED,
}
"""Failures of workflow tasks that are part of an ordinary life: nothing is wrong with the workflow."""


class WorkflowTaskFailed(AssertionError):
    """A workflow task failed: the code of a workflow raised what does not fail the workflow, or did not match its
    history. The server would try again for ever."""


class Stalled(AssertionError):
    """Nothing has happened for long, and time can't move; the text says why."""


@dataclass(frozen=True)
class TaskFailure:
    """A workflow task that failed."""

    workflow_id: str
    run_id: str
    cause: str
    message: str

    def __str__(self) -> str:
        return f"a workflow task of {self.workflow_id} failed ({self.cause}): {self.message}"


class Watch:
    """Listens to one namespace, on the server's loop; `race` is for the test's."""

    def __init__(self, host: Host, namespace_id: str, stall_s: float) -> None:
        self._host = host
        self._namespace_id = namespace_id
        self._stall_s = stall_s
        self._alarms: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()
        self._lock = threading.Lock()
        self.failures: list[TaskFailure] = []
        self.problems: list[str] = []
        """What else is wrong with the test, such as a mock that was called with wrong arguments."""
        self.tolerant = False
        """Whether workflow tasks may fail."""

    def published(self, run: Run, decision: Decision) -> None:
        """The server's observer."""
        core = decision.core
        if core.namespace_id != self._namespace_id:
            return
        for _, data in decision.history:
            for event in History.FromString(data).events:
                if event.HasField("workflow_task_failed_event_attributes"):
                    self._failed(core.workflow_id, core.run_id, event)

    def _failed(self, workflow_id: str, run_id: str, event: HistoryEvent) -> None:
        attributes = event.workflow_task_failed_event_attributes
        if attributes.cause in _HARMLESS:
            return
        cause = WorkflowTaskFailedCause.Name(attributes.cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_")
        failure = TaskFailure(workflow_id, run_id, cause.lower().replace("_", " "), _text(attributes.failure))
        with self._lock:
            self.failures.append(failure)
        if not self.tolerant:
            self._ring()

    def problem(self, text: str) -> None:
        """The test is to fail, at once."""
        self.problems.append(text)
        self._ring()

    def _ring(self) -> None:
        with self._lock:
            alarms = list(self._alarms)
        for loop, alarm in alarms:
            loop.call_soon_threadsafe(_resolve, alarm)

    def check(self) -> None:
        """Raises if something has gone wrong."""
        if self.problems:
            raise AssertionError("; ".join(self.problems))
        if self.failures and not self.tolerant:
            raise WorkflowTaskFailed("\n".join(map(str, self.failures)))

    async def race(self, awaitable: Awaitable[T]) -> T:
        """The result, unless something goes wrong first, or nothing happens for long."""
        if activity.in_activity():
            return await awaitable
        loop = asyncio.get_running_loop()
        alarm: asyncio.Future[None] = loop.create_future()
        entry = (loop, alarm)
        task: asyncio.Future[T] = asyncio.ensure_future(awaitable)
        either: set[asyncio.Future[Any]] = {task, alarm}
        with self._lock:
            self._alarms.add(entry)
        try:
            self.check()
            while not task.done():
                await asyncio.wait(either, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if not task.done():
                    self.check()
                    await self._check_stall()
            return task.result()
        finally:
            with self._lock:
                self._alarms.discard(entry)
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _check_stall(self) -> None:
        if self._stall_s and (why := await self._host.call(self._stall())):
            raise Stalled(why)

    async def check_polling(self) -> None:
        """Raises if this test polls by query, and nothing has happened since long ago."""
        self.check()
        if self._stall_s and not activity.in_activity() and await self._host.call(self._polls_in_vain()):
            await self._check_stall()

    async def _polls_in_vain(self) -> bool:
        time = self._host.time
        return time.polled_ns(time.of(self._namespace_id)) >= self._stall_s * 1e9

    async def _stall(self) -> str:
        """Why nothing happens, if nothing has for long. On the server's loop."""
        time = self._host.time.of(self._namespace_id)
        if time.mode is Mode.REAL:
            return ""
        idle_s = (self._host.time.now_ns() - time.progress_ns) / 1e9
        spent = time.mode is Mode.SKIP and time.skips_left <= 0
        if idle_s < self._stall_s and not spent:
            return ""
        return f"nothing has happened for {idle_s:.1f} s. {self.why()}"

    def why(self) -> str:
        """What holds time, and what no worker takes. On the server's loop."""
        time = self._host.time
        reasons = [f"time stands: {what}" for what in time.holding(self._namespace_id)]
        return "\n".join([*reasons, *time.idle_tasks(self._namespace_id)])


class WatchedService(ServiceClient):
    """A connection whose calls end with an error when the test has gone wrong."""

    def __init__(self, service: ServiceClient, watch: Watch) -> None:
        super().__init__(service.config)
        self._service = service
        self._watch = watch

    @property
    def worker_service_client(self) -> Any:
        return self._service.worker_service_client

    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None:
        self._service.update_rpc_metadata(metadata)

    def update_api_key(self, api_key: str | None) -> None:
        self._service.update_api_key(api_key)

    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: type[M],
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,
    ) -> M:
        def ask(retry: bool) -> Coroutine[Any, Any, M]:
            return self._service._rpc_call(
                rpc, req, resp_type, service=service, retry=retry, metadata=metadata, timeout=timeout
            )

        if rpc == "query_workflow":
            await self._watch.check_polling()
        return await self._watch.race(_soon(ask) if retry and rpc in MAY_BE_BUSY else ask(retry))


async def _soon(ask: Callable[[bool], Awaitable[M]]) -> M:
    """Ask again at once while the workflow is busy: the SDK would wait for a second of real time, and longer. All other
    trouble is left to it."""
    for _ in range(BUSY_TRIES):
        try:
            return await ask(False)
        except RPCError as error:
            if error.status in _FINAL:
                raise
            if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
                break
        await asyncio.sleep(BUSY_PAUSE_S)
    return await ask(True)


def _text(failure: Failure) -> str:
    parts = [failure.message, failure.stack_trace.rstrip()]
    if failure.HasField("cause"):
        parts.append("caused by " + _text(failure.cause))
    return "\n".join(part for part in parts if part)


def _resolve(alarm: asyncio.Future[None]) -> None:
    if not alarm.done():
        alarm.set_result(None)

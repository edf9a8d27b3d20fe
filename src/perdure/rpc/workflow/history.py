"""Histories: in pages, from either end, or waiting for what comes next.

A token says from which event to go on. Whether there is something, whether the run is still open and what follows is
looked up when it comes back, so a page always goes up to what is durable at that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from temporalio.api.common.v1 import DataBlob
from temporalio.api.enums.v1 import EncodingType, HistoryEventFilterType
from temporalio.api.history.v1 import History
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
)

from perdure.engine.machines.workflow_task import materialise
from perdure.errors import InvalidArgument, NotFound, PerdureError, Unavailable
from perdure.rpc import tokens, validate
from perdure.rpc.serialized import with_history
from perdure.rpc.transport import Call
from perdure.rpc.workflow.long_polls import LongPolls
from perdure.runtime import history
from perdure.runtime.executor import LOST, RUN_NOT_FOUND
from perdure.runtime.namespaces import Namespace
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

CLOSE_EVENT = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
CLIENTS_WITHOUT_SUFFIX = ("temporal-cli", "temporal-ui")
"""Clients that are not shown the events of an unwritten workflow task."""


class Histories:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._polls = LongPolls(runtime.config)

    def release_all(self) -> None:
        """Answer those who wait for new events, and let nobody wait any more: the server stops."""
        self._polls.release_all()

    async def get_workflow_execution_history(
        self, request: GetWorkflowExecutionHistoryRequest, call: Call
    ) -> GetWorkflowExecutionHistoryResponse | bytes:
        namespace = self._namespace(request)
        validate.history(request, self._runtime.config)
        run, token = await self._find(namespace, request)
        if request.history_event_filter_type == CLOSE_EVENT:
            return await self._close_event(run, call, wait=request.wait_new_event)
        first = token.next_event_id if token is not None else 1
        if request.wait_new_event and token is not None:
            await self._wait(run, call, lambda: run.core.next_event_id > first)
        return await self._events(run, first, request, call)

    async def _events(
        self, run: Run, first: int, request: GetWorkflowExecutionHistoryRequest, call: Call
    ) -> GetWorkflowExecutionHistoryResponse | bytes:
        """The events from `first` on."""
        before, running = run.core.next_event_id, run.execution.running
        suffix = History(events=materialise(run.core, run.execution.pending_workflow_task))
        await self._executor.settled(run)
        page = await history.read(self._executor, run, first, before, request.maximum_page_size)
        batches = [data for _, data in page.batches]
        response = GetWorkflowExecutionHistoryResponse()
        if page.next_event_id or (running and request.wait_new_event):
            token = tokens.HistoryToken(run.core.run_id, page.next_event_id or before)
            response.next_page_token = tokens.encode(token)
        shown = call.metadata.get("client-name") not in CLIENTS_WITHOUT_SUFFIX
        if shown and batches and not page.next_event_id and suffix.events and suffix.events[0].event_id == before:
            batches.append(suffix.SerializeToString())
        return self._with_batches(response, batches)

    async def _close_event(self, run: Run, call: Call, *, wait: bool) -> GetWorkflowExecutionHistoryResponse | bytes:
        """The last event of a closed run; nothing of an open one."""
        if wait:
            await self._wait(run, call, lambda: False)
        core, running = run.core, run.execution.running
        await self._executor.settled(run)
        response = GetWorkflowExecutionHistoryResponse()
        if not running:
            end = core.next_event_id
            page = await history.read(self._executor, run, end - 1, end, 1)
            if not page.batches:
                raise _gone(run)
            return self._with_batches(response, [page.data])
        if wait:
            response.next_page_token = tokens.encode(tokens.HistoryToken(core.run_id, core.next_event_id))
        return self._with_batches(response, [])

    def _with_batches(self, response: GetWorkflowExecutionHistoryResponse, batches: list[bytes]) -> bytes:
        if not self._runtime.config.send_raw_workflow_history:
            return with_history(response, b"".join(batches))
        response.raw_history.extend(
            DataBlob(encoding_type=EncodingType.ENCODING_TYPE_PROTO3, data=data) for data in batches
        )
        return with_history(response, b"")

    async def get_workflow_execution_history_reverse(
        self, request: GetWorkflowExecutionHistoryReverseRequest, call: Call
    ) -> GetWorkflowExecutionHistoryReverseResponse:
        """Newest event first."""
        namespace = self._namespace(request)
        validate.history_reverse(request, self._runtime.config)
        run, token = await self._find(namespace, request)
        before = token.next_event_id if token is not None else run.core.next_event_id
        await self._executor.settled(run)
        page = await history.read_reverse(self._executor, run, before, request.maximum_page_size)
        response = GetWorkflowExecutionHistoryReverseResponse()
        events = response.history.events
        for _, data in page.batches:
            events.extend(reversed(History.FromString(data).events))
        response.history.SetInParent()
        if page.next_event_id:
            response.next_page_token = tokens.encode(tokens.HistoryToken(run.core.run_id, page.next_event_id))
        return response

    # Finding and waiting.

    def _namespace(
        self, request: GetWorkflowExecutionHistoryRequest | GetWorkflowExecutionHistoryReverseRequest
    ) -> Namespace:
        validate.namespace(request, self._runtime.config)
        return self._runtime.namespaces.get(request.namespace)

    async def _find(
        self,
        namespace: Namespace,
        request: GetWorkflowExecutionHistoryRequest | GetWorkflowExecutionHistoryReverseRequest,
    ) -> tuple[Run, tokens.HistoryToken | None]:
        """The run that is meant, and the request's token if it has one."""
        execution = request.execution
        token = None
        run_id = execution.run_id
        if request.next_page_token:
            token = tokens.decode(tokens.HistoryToken, request.next_page_token, validate.INVALID_NEXT_PAGE_TOKEN)
            if run_id and run_id != token.run_id:
                raise InvalidArgument(validate.RUN_ID_MISMATCH)
            run_id = token.run_id
        return await self._executor.find(namespace.id, execution.workflow_id, run_id), token

    async def _wait(self, run: Run, call: Call, enough: Callable[[], bool]) -> None:
        """Until `enough`, or the run has closed, or it is time to answer."""
        polls = self._polls
        expiry = polls.expiry(call)

        def is_over() -> bool:
            return not run.execution.running or run.lost or enough()

        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def refuse(error: PerdureError) -> None:
            if not refused.done():
                refused.set_exception(error)

        core = run.core
        release = self._runtime.time.wait(core.namespace_id, is_over, (core.workflow_id, core.first_run_id), refuse)
        try:
            if not (is_over() or polls.stopping or asyncio.get_running_loop().time() >= expiry):
                await polls.change(run, expiry, is_over, refused)
        finally:
            release()
        if run.deleted:
            raise _gone(run)
        if run.lost:
            raise Unavailable(LOST)


def _gone(run: Run) -> NotFound:
    return NotFound(RUN_NOT_FOUND.format(run.core.workflow_id, run.core.run_id))

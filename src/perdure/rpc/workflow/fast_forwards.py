"""PollWorkflowExecutionTimeSkipping: waits until a workflow has been fast-forwarded.

A fast-forward goes on in the runs that continue its run, and so does the wait for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from temporalio.api.common.v1 import TimeSkippingFastForwardInfo
from temporalio.api.enums.v1 import FastForwardPollingResult
from temporalio.api.workflowservice.v1 import (
    PollWorkflowExecutionTimeSkippingRequest,
    PollWorkflowExecutionTimeSkippingResponse,
)

from perdure.engine.execution import Core
from perdure.engine.own_time import config_of
from perdure.engine.times import set_time
from perdure.errors import CONCURRENT_LIMIT, NotFound, ResourceExhausted, Unavailable
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.workflow.long_polls import LongPolls
from perdure.runtime.executor import LOST
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

TIMED_OUT = FastForwardPollingResult.FAST_FORWARD_POLLING_RESULT_POLL_TIMEOUT
COMPLETED = FastForwardPollingResult.FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_COMPLETED
FAILED = FastForwardPollingResult.FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_FAILED
OTHER_ID = "the requested fast_forward_id does not match the execution's current fast-forward"
BEGUN_AGAIN = "the fast-forward was reset"
ENDED = "the execution ended before the fast-forward completed"
DISABLED = "time skipping was disabled before the fast-forward completed"
MAX_WAITERS = 5
"""Polls that may wait for one workflow."""


class FastForwards:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._polls = LongPolls(runtime.config)
        self._counts: Counter[tuple[str, str]] = Counter()

    def release_all(self) -> None:
        """Answer those who wait, and let nobody wait any more: the server stops."""
        self._polls.release_all()

    async def poll_workflow_execution_time_skipping(
        self, request: PollWorkflowExecutionTimeSkippingRequest, call: Call
    ) -> PollWorkflowExecutionTimeSkippingResponse:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        target = request.workflow_execution
        validate.execution(target if request.HasField("workflow_execution") else None)
        validate.require_time_skipping(self._runtime.config)
        validate.fast_forward_id(request.fast_forward_id)
        key = (namespace.id, target.workflow_id)
        if self._counts[key] >= MAX_WAITERS:
            message = f"too many concurrent waiters (limit {MAX_WAITERS}) for this execution"
            raise ResourceExhausted(message, CONCURRENT_LIMIT)
        self._counts[key] += 1
        release = self._runtime.time.wait(namespace.id)
        try:
            run = await self._executor.find(namespace.id, target.workflow_id, target.run_id)
            return await self._poll(run, request.fast_forward_id, call)
        finally:
            release()
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    async def _poll(self, run: Run, fast_forward_id: str, call: Call) -> PollWorkflowExecutionTimeSkippingResponse:
        loop = asyncio.get_running_loop()
        expiry = self._polls.expiry(call)
        target_ns = run.core.clock.fast_forward_ns if run.core.clock is not None else 0
        while True:
            await self._executor.settled(run)
            response = _response(run.core, fast_forward_id, target_ns)
            if response.fast_forward_polling_result != TIMED_OUT:
                return response
            if run.core.new_run_id:
                run = await self._executor.find(run.core.namespace_id, run.core.workflow_id, run.core.new_run_id)
                continue
            if self._polls.stopping or loop.time() >= expiry:
                return response
            await self._polls.change(run, expiry)
            if run.deleted:
                raise NotFound(f"workflow not found for ID: {run.core.workflow_id}")
            if run.lost:
                raise Unavailable(LOST)


def _response(core: Core, fast_forward_id: str, target_ns: int) -> PollWorkflowExecutionTimeSkippingResponse:
    """What can be said of the fast-forward; that the poll timed out, if it is under way."""
    response = PollWorkflowExecutionTimeSkippingResponse(fast_forward_polling_result=TIMED_OUT)
    info = fast_forward_info(core)
    if info is not None:
        response.fast_forward_info.CopyFrom(info)
    clock, config = core.clock, config_of(core.clock)
    if info is None or clock is None or info.fast_forward_id != fast_forward_id:
        response.failed_reason = OTHER_ID
    elif clock.fast_forward_ns != target_ns:
        response.failed_reason = BEGUN_AGAIN
    elif clock.fast_forwarded:
        response.fast_forward_polling_result = COMPLETED
    elif core.close_ns and not core.new_run_id:
        response.failed_reason = ENDED
    elif config is None or not config.enabled:
        response.failed_reason = DISABLED
    if response.failed_reason:
        response.fast_forward_polling_result = FAILED
    return response


def fast_forward_info(core: Core) -> TimeSkippingFastForwardInfo | None:
    """The run's last fast-forward."""
    clock = core.clock
    if clock is None or not clock.fast_forward_ns:
        return None
    info = TimeSkippingFastForwardInfo(has_completed=clock.fast_forwarded)
    set_time(info.target_time, clock.fast_forward_ns)
    if (config := config_of(clock)) is not None:
        info.fast_forward_id = config.fast_forward_config.id
        info.fast_forward_duration.CopyFrom(config.fast_forward_config.duration)
    return info

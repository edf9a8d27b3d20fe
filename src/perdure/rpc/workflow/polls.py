"""Long polls: each is parked until it is served, its time is up, its worker shuts down, or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkerVersionStamp
from temporalio.api.enums.v1 import deployment_pb2
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueRequest

from perdure.rpc.transport import Call
from perdure.runtime.queue import Poll
from perdure.runtime.runtime import Runtime

MARGIN_S = 1.0
"""How long before the client's deadline a poll is answered empty."""

MAX_GONE = 10_000
"""Workers that have shut down and are remembered, since a poll may come in behind the message that they leave."""


def worker_version(request: PollWorkflowTaskQueueRequest) -> WorkerVersionStamp | None:
    """The build that polls, as the start of the task that it takes tells it; None if it does not say, or if it is a
    version of a deployment."""
    capabilities, deployment = request.worker_version_capabilities, request.deployment_options
    versioned = deployment.worker_versioning_mode == deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED
    if (versioned and deployment.deployment_name) or (
        capabilities.use_versioning and capabilities.deployment_series_name
    ):
        return None
    if not capabilities.build_id:
        return None
    return WorkerVersionStamp(build_id=capabilities.build_id, use_versioning=capabilities.use_versioning)


class Polls:
    """The polls that wait. One timer each, nothing else."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: dict[Poll, tuple[Call, bytes, str, str]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._gone: dict[str, None] = {}
        self._stopping = False

    def park(self, queue: str, poll: Poll, call: Call, empty: Message, worker_key: str) -> None:
        """Wait for a task of `queue`. `empty` is the answer when there is none."""
        config = self._runtime.config
        timeout_s = config.matching_long_poll_expiration_interval_s
        if call.timeout_s is not None:
            timeout_s = min(timeout_s, max(0.0, call.timeout_s - MARGIN_S))
        answer = empty.SerializeToString()
        if self._stopping or worker_key in self._gone:
            call.reply(answer)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_s, self._expire, queue, poll)
        self._waiting[poll] = (call, answer, queue, worker_key)
        taken = poll.take

        async def take(task: Any) -> Any:
            try:
                return await taken(task)
            finally:
                if poll not in self._waiting:  # its time came meanwhile
                    call.reply(answer)
                if call.done:
                    self._end(poll, timer)
                    poll.canceled = True

        poll.take = take
        call.on_cancel(lambda: self._cancel(queue, poll, timer))
        self._runtime.matching.poll(queue, poll)

    def _end(self, poll: Poll, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._waiting.pop(poll, None)

    def _cancel(self, queue: str, poll: Poll, timer: asyncio.TimerHandle) -> None:
        self._end(poll, timer)
        self._runtime.matching.withdraw(queue, poll)

    def _expire(self, queue: str, poll: Poll) -> None:
        waiting = self._waiting.pop(poll, None)
        if waiting is None:
            return
        if self._runtime.matching.withdraw(queue, poll):
            waiting[0].reply(waiting[1])

    def release(self, worker_key: str) -> None:
        """Answer the polls of a worker that shuts down, now and those that are still on their way."""
        self._gone[worker_key] = None
        while len(self._gone) > MAX_GONE:
            self._gone.pop(next(iter(self._gone)))
        for poll, (_, _, queue, key) in list(self._waiting.items()):
            if key == worker_key:
                self._expire(queue, poll)

    def release_all(self) -> None:
        """Answer every poll, and let none wait any more: the server stops."""
        self._stopping = True
        for poll, (_, _, queue, _) in list(self._waiting.items()):
            self._expire(queue, poll)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

"""Nexus tasks: polled for, though there are none yet.

A worker that serves Nexus operations polls for them beside its workflows and activities, and could neither run nor shut
down properly if that poll were refused.
"""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import PollNexusTaskQueueRequest, PollNexusTaskQueueResponse

from perdure.engine.queues import nexus_queue
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.workflow.polls import Polls
from perdure.runtime.backlog import Task
from perdure.runtime.queue import Poll, Taken
from perdure.runtime.runtime import Runtime


class NexusTasks:
    def __init__(self, runtime: Runtime, polls: Polls) -> None:
        self._runtime = runtime
        self._polls = polls

    def poll_nexus_task_queue(self, request: PollNexusTaskQueueRequest, call: Call) -> None:
        validate.namespace(request, self._runtime.config)
        namespace = self._runtime.namespaces.get(request.namespace)
        validate.poll_nexus(request, call.timeout_s, self._runtime.config)
        if self._runtime.config.worker_heartbeats_enabled:
            self._runtime.workers.record(namespace.id, request.worker_heartbeat)
        poll = Poll(request.identity, _take, details=request)
        queue = nexus_queue(namespace.id, request.task_queue.name)
        self._polls.park(queue, poll, call, PollNexusTaskQueueResponse(), request.worker_instance_key)


async def _take(task: Task) -> Taken:
    return Taken.STALE

"""A client of a few lines that speaks raw gRPC to a Temporal server and writes down all that is answered.

A scenario calls `Driver`; each call is recorded in the order in which it began, with its reply or its error. Nothing
raises for a refusal: the refused call returns a `Refused`, which is falsy. Names are unique to a run (they end in the
run's token, which normalising takes off again), so scenarios may run at the same time on one server.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import temporalio.api.command.v1 as command_pb
import temporalio.api.enums.v1 as enums_pb
import temporalio.api.errordetails.v1  # noqa: F401 (registers the typed details of errors)
import temporalio.api.history.v1 as history_pb
import temporalio.api.operatorservice.v1 as operator_pb
import temporalio.api.workflowservice.v1 as service_pb
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BytesValue
from google.rpc import status_pb2
from tests.conformance.messages import OWN_TASK_QUEUE, build, failure

WORKFLOW_SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
OPERATOR_SERVICE = "/temporal.api.operatorservice.v1.OperatorService/"
METADATA = (("client-name", "temporal-python"), ("client-version", "1.35.0"))
NAMESPACE = "default"
OTHER_NAMESPACE = "conformance-other"
SEARCH_ATTRIBUTES = {
    "ConfBool": "BOOL",
    "ConfDatetime": "DATETIME",
    "ConfDouble": "DOUBLE",
    "ConfInt": "INT",
    "ConfKeyword": "KEYWORD",
    "ConfKeywordList": "KEYWORD_LIST",
    "ConfText": "TEXT",
}
RUNNING = enums_pb.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
POLL_TIMEOUT_S = 12.0
EMPTY_POLL_TIMEOUT_S = 2.2
CALL_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Refused:
    """A call that was answered with an error: gRPC code by name, message, typed details."""

    code: str
    message: str
    details: tuple[Message, ...] = ()

    def __bool__(self) -> bool:
        return False


@dataclass
class Entry:
    """One call of the conversation. `outcome` is None while the call is in flight."""

    call: str
    request: Message
    outcome: Message | Refused | None = None


@dataclass
class Execution:
    """What a run looked like when its scenario was over."""

    namespace: str
    workflow_id: str
    run_id: str
    history: Message | Refused | None = None
    description: Message | Refused | None = None


@dataclass
class Driver:
    """The one end of a conversation. `workflow_id` and `task_queue` are what calls use unless told otherwise."""

    channel: grpc.aio.Channel
    token: str = field(default_factory=lambda: secrets.token_hex(6))
    entries: list[Entry] = field(default_factory=list)
    executions: dict[tuple[str, str], Execution] = field(default_factory=dict)
    namespace: str = NAMESPACE
    """Where calls go that name no namespace."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.workflow_id = self.name("wf")
        self.task_queue = self.name("tq")

    def name(self, word: str) -> str:
        """A name of this run alone; it is shown as `word`."""
        return f"{word}-{self.token}"

    # ---- calls -------------------------------------------------------------------------------------------------

    def begin(
        self,
        method: str,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        metadata: Sequence[tuple[str, str]] = METADATA,
        compression: grpc.Compression | None = None,
        **fields: Any,
    ) -> asyncio.Task[Any]:
        """Starts a call whose reply is awaited later; its place in the record is that of this moment."""
        request = self._request(method, fields)
        entry = Entry(method, request)
        self.entries.append(entry)

        async def run() -> Any:
            entry.outcome = await self._send(method, request, timeout_s, metadata, compression)
            self._notice(request, entry.outcome)
            return entry.outcome

        return asyncio.create_task(run())

    async def call(self, method: str, **fields: Any) -> Any:
        """Calls a method of WorkflowService or OperatorService by name; `namespace` is the default one unless given."""
        return await self.begin(method, **fields)

    async def quietly(self, method: str, *, timeout_s: float = CALL_TIMEOUT_S, **fields: Any) -> Any:
        """A call that is not recorded: for waiting until something is so."""
        return await self._send(method, self._request(method, fields), timeout_s, METADATA)

    async def raw(self, path: str, request: bytes) -> None:
        """Sends bytes as they are; the reply is recorded as bytes."""
        entry = Entry(path, BytesValue(value=request))
        self.entries.append(entry)
        try:
            reply = await self.channel.unary_unary(path)(request, timeout=CALL_TIMEOUT_S, metadata=METADATA)
            entry.outcome = BytesValue(value=reply)
        except grpc.aio.AioRpcError as error:
            entry.outcome = refused(error)

    def _request(self, method: str, fields: dict[str, Any]) -> Message:
        module = service_pb if hasattr(service_pb, f"{method}Request") else operator_pb
        cls: type[Message] = getattr(module, f"{method}Request")
        if "namespace" in cls.DESCRIPTOR.fields_by_name and module is service_pb:
            fields = {"namespace": self.namespace, **fields}
        return build(cls, fields)

    async def _send(
        self,
        method: str,
        request: Message,
        timeout_s: float,
        metadata: Sequence[tuple[str, str]],
        compression: grpc.Compression | None = None,
    ) -> Message | Refused:
        operator = not hasattr(service_pb, f"{method}Request")
        module, service = (operator_pb, OPERATOR_SERVICE) if operator else (service_pb, WORKFLOW_SERVICE)
        reply: type[Message] = getattr(module, f"{method}Response")
        stub = self.channel.unary_unary(
            service + method, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )
        try:
            result: Message = await stub(request, timeout=timeout_s, metadata=tuple(metadata), compression=compression)
            return result
        except grpc.aio.AioRpcError as error:
            return refused(error)

    def _notice(self, request: Any, reply: Any) -> None:
        """Remembers the runs that a reply speaks of, to look at them at the end."""
        namespace = getattr(request, "namespace", "")
        if isinstance(reply, service_pb.PollWorkflowTaskQueueResponse) and reply.workflow_execution.run_id:
            self.touch(reply.workflow_execution.workflow_id, reply.workflow_execution.run_id, namespace)
        elif getattr(reply, "run_id", "") and hasattr(request, "workflow_id"):
            self.touch(request.workflow_id, reply.run_id, namespace)

    def touch(self, workflow_id: str, run_id: str, namespace: str = "") -> None:
        """Marks a run as part of the conversation: its history and description are recorded at the end."""
        namespace = namespace or self.namespace
        self.executions.setdefault((namespace, run_id), Execution(namespace, workflow_id, run_id))

    # ---- clients -----------------------------------------------------------------------------------------------

    async def start(self, workflow_id: str | None = None, **fields: Any) -> Any:
        return await self.call("StartWorkflowExecution", **self.start_fields(workflow_id, fields))

    async def signal_with_start(self, workflow_id: str | None = None, name: str = "knock", **fields: Any) -> Any:
        fields = {"signal_name": name, **self.start_fields(workflow_id, fields)}
        return await self.call("SignalWithStartWorkflowExecution", **fields)

    def start_fields(self, workflow_id: str | None = None, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a start has unless told otherwise."""
        return {
            "workflow_id": self.workflow_id if workflow_id is None else workflow_id,
            "workflow_type": "order",
            "task_queue": self.task_queue,
            "identity": "client",
            "request_id": f"start-{next(self._numbers)}",
            **(fields or {}),
        }

    async def signal(self, name: str = "knock", execution: Any = None, **fields: Any) -> Any:
        fields = {"workflow_execution": execution or self.workflow_id, "signal_name": name, **fields}
        return await self.call("SignalWorkflowExecution", **{"identity": "client", **fields})

    async def cancel(self, execution: Any = None, **fields: Any) -> Any:
        fields = {"workflow_execution": execution or self.workflow_id, "identity": "client", **fields}
        return await self.call("RequestCancelWorkflowExecution", **fields)

    async def terminate(self, execution: Any = None, **fields: Any) -> Any:
        fields = {"workflow_execution": execution or self.workflow_id, "identity": "client", **fields}
        return await self.call("TerminateWorkflowExecution", **fields)

    async def reset(self, event_id: int = 4, run_id: str = "", **fields: Any) -> Any:
        """Resets the driver's workflow, by default to its first task."""
        fields = {
            "workflow_execution": (self.workflow_id, run_id),
            "workflow_task_finish_event_id": event_id,
            "reason": "because",
            "request_id": f"reset-{next(self._numbers)}",
            **fields,
        }
        reply = await self.call("ResetWorkflowExecution", **fields)
        if reply:
            self.touch(self.workflow_id, reply.run_id)
        return reply

    async def describe(self, execution: Any = None, **fields: Any) -> Any:
        return await self.call("DescribeWorkflowExecution", execution=execution or self.workflow_id, **fields)

    async def history(self, execution: Any = None, **fields: Any) -> Any:
        return await self.call("GetWorkflowExecutionHistory", execution=execution or self.workflow_id, **fields)

    def query(self, query_type: str = "state", execution: Any = None, **fields: Any) -> asyncio.Task[Any]:
        """Begins a query; await the task for its answer."""
        query = {"query_type": query_type, "query_args": fields.pop("args", None)}
        return self.begin("QueryWorkflow", execution=execution or self.workflow_id, query=query, **fields)

    # ---- workers -----------------------------------------------------------------------------------------------

    async def poll_wft(self, task_queue: Any = None, timeout_s: float = POLL_TIMEOUT_S, **fields: Any) -> Any:
        """A workflow task; a poll that comes back empty breaks the scenario."""
        fields = {"task_queue": task_queue or self.task_queue, "identity": "worker", **fields}
        return _task(await self.call("PollWorkflowTaskQueue", timeout_s=timeout_s, **fields))

    async def poll_wft_in_vain(self, task_queue: Any = None, **fields: Any) -> None:
        """A poll that is expected to come back empty."""
        fields = {"task_queue": task_queue or self.task_queue, "identity": "worker", **fields}
        await self.call("PollWorkflowTaskQueue", timeout_s=EMPTY_POLL_TIMEOUT_S, **fields)

    async def listen(self, task_queue: Any = None, **fields: Any) -> asyncio.Task[Any]:
        """Begins a poll (by default of the sticky queue) and lets it arrive; await the task for what it gets."""
        fields = {"task_queue": task_queue or self.sticky_queue(), "identity": "worker", **fields}
        poll = self.begin("PollWorkflowTaskQueue", timeout_s=POLL_TIMEOUT_S, **fields)
        await asyncio.sleep(0.3)
        return poll

    async def poll_activity(self, task_queue: Any = None, timeout_s: float = POLL_TIMEOUT_S, **fields: Any) -> Any:
        """An activity task; a poll that comes back empty breaks the scenario."""
        fields = {"task_queue": task_queue or self.task_queue, "identity": "worker", **fields}
        return _task(await self.call("PollActivityTaskQueue", timeout_s=timeout_s, **fields))

    async def poll_activity_in_vain(self, task_queue: Any = None, **fields: Any) -> None:
        fields = {"task_queue": task_queue or self.task_queue, "identity": "worker", **fields}
        await self.call("PollActivityTaskQueue", timeout_s=EMPTY_POLL_TIMEOUT_S, **fields)

    async def complete(self, task: Any, *commands: command_pb.Command, **fields: Any) -> Any:
        """Completes a workflow task; `task` is a poll's reply or its token."""
        token = task if isinstance(task, bytes) else task.task_token
        fields = {
            "task_token": token,
            "commands": [self._on_own_queue(command) for command in commands],
            "identity": "worker",
            **fields,
        }
        return await self.call("RespondWorkflowTaskCompleted", **fields)

    def _on_own_queue(self, command: command_pb.Command) -> command_pb.Command:
        if command.schedule_activity_task_command_attributes.task_queue.name != OWN_TASK_QUEUE:
            return command
        result = command_pb.Command()
        result.CopyFrom(command)
        result.schedule_activity_task_command_attributes.task_queue.name = self.task_queue
        return result

    async def step(self, *commands: command_pb.Command, **fields: Any) -> Any:
        """Polls a workflow task and completes it with `commands`; returns the task."""
        task = await self.poll_wft()
        await self.complete(task, *commands, **fields)
        return task

    async def fail(self, task: Any, cause: str = "WORKFLOW_WORKER_UNHANDLED_FAILURE", **fields: Any) -> Any:
        fields = {"task_token": task.task_token, "cause": cause, "failure": failure(), "identity": "worker", **fields}
        return await self.call("RespondWorkflowTaskFailed", **fields)

    async def answer(self, task: Any, result: Any = "fine", **fields: Any) -> Any:
        """Answers a query task that came without workflow task."""
        fields = {"task_token": task.task_token, "completed_type": "ANSWERED", "query_result": result, **fields}
        return await self.call("RespondQueryTaskCompleted", **fields)

    async def complete_activity(self, task: Any, result: Any = "done", **fields: Any) -> Any:
        fields = {"task_token": task.task_token, "result": result, "identity": "worker", **fields}
        return await self.call("RespondActivityTaskCompleted", **fields)

    async def fail_activity(self, task: Any, fails: Any = None, **fields: Any) -> Any:
        fields = {"task_token": task.task_token, "failure": fails or failure(), "identity": "worker", **fields}
        return await self.call("RespondActivityTaskFailed", **fields)

    async def cancel_activity(self, task: Any, **fields: Any) -> Any:
        return await self.call("RespondActivityTaskCanceled", task_token=task.task_token, identity="worker", **fields)

    async def heartbeat(self, task: Any, details: Any = None, **fields: Any) -> Any:
        fields = {"task_token": task.task_token, "details": details, "identity": "worker", **fields}
        return await self.call("RecordActivityTaskHeartbeat", **fields)

    def sticky(self, seconds: float = 5, queue: str = "sticky") -> dict[str, Any]:
        """Sticky attributes for `complete`: a queue of this run that belongs to the worker."""
        queues = {"name": self.name(queue), "kind": "STICKY", "normal_name": self.task_queue}
        return {"worker_task_queue": queues, "schedule_to_start_timeout": seconds}

    def sticky_queue(self, queue: str = "sticky") -> dict[str, Any]:
        return {"name": self.name(queue), "kind": "STICKY", "normal_name": self.task_queue}

    # ---- waiting -----------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Any], attempts: int = 200) -> None:
        """Repeats an unrecorded look until it is true, for what a server does in the background."""
        for _ in range(attempts):
            if await condition():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("what the scenario waits for did not happen")

    async def until_event(self, event_type: str, execution: Any = None, count: int = 1) -> None:
        """Waits until the history holds `count` events of the type."""
        number = enums_pb.EventType.Value(f"EVENT_TYPE_{event_type}")

        async def seen() -> bool:
            events = await self.events(execution or self.workflow_id)
            return sum(event.event_type == number for event in events) >= count

        await self.until(seen)

    async def until_closed(self, execution: Any = None) -> None:
        """Waits until the run (the current one unless `execution` names another) is no longer running."""

        async def closed() -> bool:
            reply = await self.quietly("DescribeWorkflowExecution", execution=execution or self.workflow_id)
            return bool(reply) and reply.workflow_execution_info.status != RUNNING

        await self.until(closed)

    async def until_listed(self, query: str, count: int) -> None:
        """Waits until visibility shows `count` executions."""

        async def listed() -> bool:
            reply = await self.quietly("CountWorkflowExecutions", query=query)
            return bool(reply) and reply.count == count

        await self.until(listed)

    async def events(self, execution: Any, namespace: str = "") -> list[history_pb.HistoryEvent]:
        """All events of a run, unrecorded."""
        events: list[history_pb.HistoryEvent] = []
        page = b""
        while True:
            fields = {"execution": execution, "next_page_token": page, "namespace": namespace or self.namespace}
            reply = await self.quietly("GetWorkflowExecutionHistory", **fields)
            if not reply:
                return events
            events.extend(reply.history.events)
            page = reply.next_page_token
            if not page:
                return events

    # ---- the end -----------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Looks at every run the conversation touched and at those their histories lead to, then ends what is open."""
        looked: set[tuple[str, str]] = set()
        while todo := [execution for key, execution in self.executions.items() if key not in looked]:
            for execution in todo:
                looked.add((execution.namespace, execution.run_id))
                await self._look(execution)
        for execution in self.executions.values():
            where = (execution.workflow_id, execution.run_id)
            fields = {"namespace": execution.namespace, "workflow_execution": where}
            await self.quietly("TerminateWorkflowExecution", **fields)

    async def _look(self, execution: Execution) -> None:
        where: Any = (execution.workflow_id, execution.run_id)
        fields = {"namespace": execution.namespace, "execution": where}
        await self._settle(fields)
        execution.description = await self.quietly("DescribeWorkflowExecution", **fields)
        reply = await self.quietly("GetWorkflowExecutionHistory", maximum_page_size=1000, **fields)
        execution.history = reply.history if reply else reply
        for event in reply.history.events if reply else []:
            self._follow(execution, event)

    async def _settle(self, where: dict[str, Any]) -> None:
        """Waits for the first task of a run whose backoff is nearly over, so that it is always there to be seen."""

        async def first_task_came() -> bool:
            reply = await self.quietly("GetWorkflowExecutionHistory", maximum_page_size=2, **where)
            events = reply.history.events if reply else []
            if len(events) != 1:
                return True
            backoff = events[0].workflow_execution_started_event_attributes.first_workflow_task_backoff
            return not timedelta(0) < backoff.ToTimedelta() <= timedelta(seconds=2)

        await self.until(first_task_came)

    def _follow(self, execution: Execution, event: history_pb.HistoryEvent) -> None:
        """Runs that a history leads to: the next of its chain, and its children."""
        attributes = getattr(event, event.WhichOneof("attributes") or "", None)
        if run_id := getattr(attributes, "new_execution_run_id", ""):
            self.touch(execution.workflow_id, run_id, execution.namespace)
        if event.event_type == enums_pb.EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
            started = event.child_workflow_execution_started_event_attributes
            child = started.workflow_execution
            self.touch(child.workflow_id, child.run_id, started.namespace or execution.namespace)


def _task(reply: Any) -> Any:
    if reply and not reply.task_token:
        raise AssertionError("no task came")
    return reply


def refused(error: grpc.aio.AioRpcError) -> Refused:
    details: list[Message] = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
            details.extend(_unpack(detail) for detail in status.details)
    return Refused(error.code().name, error.details() or "", tuple(details))


def _unpack(detail: Any) -> Message:
    kind = descriptor_pool.Default().FindMessageTypeByName(detail.TypeName())
    message = message_factory.GetMessageClass(kind)()
    detail.Unpack(message)
    return message


def connect(address: str) -> grpc.aio.Channel:
    """A channel to `host:port`; a running event loop is needed."""
    return grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", 64 << 20)])


async def prepare(address: str) -> None:
    """What scenarios expect of a server: custom search attributes of each type, and a second namespace."""
    async with connect(address) as channel:
        d = Driver(channel)

        async def answers() -> bool:
            return bool(await d.quietly("GetSystemInfo", timeout_s=1))

        await d.until(answers)
        await d.quietly("AddSearchAttributes", namespace=NAMESPACE, search_attributes=_attribute_types())
        await d.quietly("RegisterNamespace", namespace=OTHER_NAMESPACE, workflow_execution_retention_period=24 * 3600)

        async def ready() -> bool:
            other = await d.quietly("CountWorkflowExecutions", namespace=OTHER_NAMESPACE)
            attributes = await d.quietly("CountWorkflowExecutions", query="ConfKeyword = 'x'")
            return bool(other) and bool(attributes)

        await d.until(ready, attempts=600)


def _attribute_types() -> dict[str, int]:
    return {name: enums_pb.IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{t}") for name, t in SEARCH_ATTRIBUTES.items()}

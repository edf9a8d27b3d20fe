"""Conversations with the engine: a clock that is moved by hand, ids in a row, one run at a time, history kept.

A test says what clients, workers and time do, and then what the history must be:

    talk = Conversation()
    talk.poll()
    talk.signal("hello")
    talk.complete(start_timer("t", 5))
    talk.expect('''
        1 WorkflowExecutionStarted
        ...
    ''')

After every step the invariants of `tests.engine.invariants` are checked, so each conversation tests them, too.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import (
    Memo,
    Payload,
    Payloads,
    RetryPolicy,
    SearchAttributes,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType, EventType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.update.v1 import Acceptance, Input, Meta, Outcome, Rejection, Request, Response
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest, StartWorkflowExecutionRequest
from tests.engine.invariants import check, fingerprint

from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.decide import begin, decide
from perdure.engine.execution import Execution, Kind, WorkflowTask
from perdure.engine.machines.workflow import Cancel, Parent, Signal, StartOptions
from perdure.engine.transition import Decision, Environment
from perdure.errors import NamespaceNotFound, NotFound, PerdureError

S = 1_000_000_000
START_NS = 1_700_000_000 * S
WORKER = "worker"
EXACT = Dynamic(least_activity_start_to_close_s=0)  # as where time skips
BUG = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE


@dataclass(frozen=True)
class Namespace:
    """What the engine has to know of a namespace."""

    id: str = "namespace-id"
    name: str = "default"
    retention_ns: int = 86_400 * S
    custom_search_attributes: dict[str, int] = field(default_factory=dict)


class AnySearchAttribute:
    """Rules under which every search attribute is right."""

    def check_names(self, fields: Any, namespace: str) -> None: ...

    def check_values(self, fields: Any, namespace: str) -> None: ...


class Ids:
    """Identifiers in a row; chance is always the middle."""

    def __init__(self) -> None:
        self.last = 0

    def uuid(self) -> str:
        self.last += 1
        return str(uuid.UUID(int=self.last))

    def random(self) -> float:
        return 0.5


@dataclass
class World:
    """What all runs of a conversation share."""

    now_ns: int = START_NS
    config: Dynamic = EXACT
    namespace: Namespace = field(default_factory=Namespace)
    ids: Ids = field(default_factory=Ids)
    last_run_key: int = 0

    def environment(self) -> Environment:
        return Environment(
            now_ns=self.now_ns,
            config=self.config,
            ids=self.ids,
            namespace=self.namespace,
            find_namespace=self.find_namespace,
            search_attribute_rules=AnySearchAttribute(),
            new_run_key=self.new_run_key,
        )

    def find_namespace(self, name: str) -> Namespace:
        if name != self.namespace.name:
            raise NamespaceNotFound(name)
        return self.namespace

    def new_run_key(self) -> int:
        self.last_run_key += 1
        return self.last_run_key


def duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * S))


def payloads(value: str) -> Payloads:
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=f'"{value}"'.encode())])


def start_request(**fields: Any) -> StartWorkflowExecutionRequest:
    """A start of workflow "w" of type "Flow" on queue "q", its task timeout 10 s; `fields` override."""
    request = StartWorkflowExecutionRequest(
        namespace="default",
        workflow_id="w",
        workflow_type=WorkflowType(name="Flow"),
        task_queue=TaskQueue(name="q", kind=1),
        workflow_task_timeout=duration(10),
        request_id="start",
        identity="client",
    )
    request.MergeFrom(StartWorkflowExecutionRequest(**fields))
    return request


class Conversation:
    """One run, driven by hand."""

    def __init__(
        self,
        *,
        config: Dynamic | None = None,
        options: StartOptions | None = None,
        parent: bool = False,
        backoff_s: float = 0,
        **fields: Any,
    ) -> None:
        self.world = World(config=config or EXACT)
        self.answers: list[Any] = []
        options = options or StartOptions(run_id=self.world.ids.uuid(), first_task_backoff_ns=int(backoff_s * S))
        if parent:
            options.parent = Parent("default", "namespace-id", "parent", "parent-run", 5)
        request = start_request(**fields)
        if request.HasField("workflow_execution_timeout"):
            options.execution_expiration_ns = (
                START_NS + options.first_task_backoff_ns + request.workflow_execution_timeout.ToNanoseconds()
            )
        t, decision = begin(self.world.new_run_key(), self.world.environment(), request, options)
        t.commit()
        self._take_over(decision)

    def _take_over(self, decision: Decision) -> None:
        self.execution: Execution = decision.execution
        self.batches: list[tuple[int, bytes]] = []
        self.next: Conversation | None = None
        self.decision = decision
        self._remember(decision)

    def _remember(self, decision: Decision) -> None:
        self.decision = decision
        self.batches += decision.history
        for other in decision.also:
            self.next = object.__new__(Conversation)
            self.next.world = self.world
            self.next.answers = []
            self.next._take_over(other)
        check(self)

    # Saying something.

    def tell(self, input: inputs.Input) -> Any:
        """Let an input act. Raises the refusal, or the error that goes with a committed decision."""
        before = fingerprint(self.execution)
        try:
            t, decision = decide(self.execution, input, self.world.environment())
        except PerdureError:
            assert fingerprint(self.execution) == before, "a refused input left a trace"
            raise
        assert fingerprint(self.execution) == before, "the execution changed before the commit"
        t.commit()
        self._remember(decision)
        if decision.error is not None:
            raise decision.error
        return decision.reply

    def advance(self, seconds: float) -> None:
        """Let time pass; deadlines that come meanwhile fire in order, as far as they belong to this run."""
        until_ns = self.world.now_ns + int(seconds * S)
        while (due := self._next_due(until_ns)) is not None:
            due_ns, kind = due
            self.world.now_ns = max(self.world.now_ns, due_ns)
            items = self.execution.pending[kind].items()
            now_ns = self.world.now_ns + self.execution.core.offset_ns
            keys = [key for key, item in items if item.due_ns is not None and item.due_ns <= now_ns]
            self.tell(inputs.Deadline(kind, keys))
        self.world.now_ns = until_ns

    def _next_due(self, until_ns: int) -> tuple[int, Kind] | None:
        """The next deadline: when, and of what. Those of one moment and kind come together."""
        if not self.execution.running:
            return None
        owed = (Kind.CHILD, Kind.EXTERNAL_SIGNAL, Kind.EXTERNAL_CANCEL)
        offset_ns = self.execution.core.offset_ns
        dues = [
            (item.due_ns - offset_ns, kind)
            for kind, _, item in self.execution.items()
            if item.due_ns is not None and item.due_ns - offset_ns <= until_ns and kind not in owed
        ]
        return min(dues, default=None)

    def signal(self, name: str, request_id: str = "") -> None:
        self.tell(inputs.SignalWorkflow(Signal(name=name, identity="client", request_id=request_id)))

    def cancel(self) -> None:
        self.tell(inputs.CancelWorkflow(Cancel(reason="enough", identity="client")))

    def terminate(self) -> None:
        self.tell(inputs.TerminateWorkflow(reason="stop", identity="client"))

    def update(self, update_id: str = "u", first_execution_run_id: str = "") -> Any:
        return self.tell(inputs.AdmitUpdate(update_request(update_id), first_execution_run_id))

    # Being the workflow's worker.

    @property
    def task(self) -> WorkflowTask:
        task = self.execution.pending_workflow_task
        assert task is not None, "no workflow task"
        return task

    def poll(self, *, sticky: bool = False) -> WorkflowTask:
        task: WorkflowTask = self.tell(
            inputs.StartWorkflowTask(self.task.scheduled_event_id, self.world.ids.uuid(), WORKER, sticky)
        )
        return task

    def complete(self, *commands: Command, sticky: str = "", task: WorkflowTask | None = None, **fields: Any) -> Any:
        """Answer the started task (or `task`, with what was its token)."""
        request = RespondWorkflowTaskCompletedRequest(identity=WORKER, commands=commands, **fields)
        if sticky:
            request.sticky_attributes.worker_task_queue.name = sticky
            request.sticky_attributes.schedule_to_start_timeout.FromSeconds(5)
        return self.tell(inputs.CompleteWorkflowTask(*token(task or self.task), request=request))

    def work(self, *commands: Command, **fields: Any) -> Any:
        """Poll and answer."""
        self.poll(sticky=bool(self.execution.core.sticky_queue))
        return self.complete(*commands, **fields)

    def fail(self, cause: int = BUG) -> None:
        failure = Failure(message="bug")
        self.tell(inputs.FailWorkflowTask(*token(self.task), cause=cause, failure=failure, identity=WORKER))

    # Being the worker of an activity, by the id that the workflow gave it.

    def activity(self, activity_id: str) -> Any:
        found = [a for a in self.execution.pending[Kind.ACTIVITY].values() if a.activity_id == activity_id]
        assert found, f"no activity {activity_id}"
        return found[0]

    def start_activity(self, activity_id: str) -> Any:
        event_id = self.activity(activity_id).scheduled_event_id
        return self.tell(inputs.StartActivity(event_id, self.world.ids.uuid(), WORKER))

    def _activity_token(self, activity_id: str) -> tuple[int, int, str, str]:
        activity = self.activity(activity_id)
        return activity.scheduled_event_id, activity.attempt, activity_id, WORKER

    def complete_activity(self, activity_id: str, result: str = "done") -> None:
        self.tell(inputs.CompleteActivity(*self._activity_token(activity_id), result=payloads(result)))

    def fail_activity(self, activity_id: str, failure: Failure | None = None) -> None:
        self.tell(inputs.FailActivity(*self._activity_token(activity_id), failure=failure or application("oops")))

    def cancel_activity(self, activity_id: str) -> None:
        self.tell(inputs.CancelActivity(*self._activity_token(activity_id), details=None))

    def heartbeat(self, activity_id: str, details: str) -> Any:
        return self.tell(inputs.HeartbeatActivity(*self._activity_token(activity_id), details=payloads(details)))

    # Looking at what came of it.

    @property
    def written(self) -> list[HistoryEvent]:
        return list(History.FromString(b"".join(data for _, data in self.batches)).events)

    @property
    def buffered(self) -> list[HistoryEvent]:
        items = self.execution.pending[Kind.BUFFERED_EVENT]
        return [HistoryEvent.FromString(items[key].event) for key in sorted(items)]

    @property
    def batch_ids(self) -> list[list[int]]:
        return [[event.event_id for event in History.FromString(data).events] for _, data in self.batches]

    def last(self, name: str) -> Any:
        """The attributes of the last event of a type."""
        event = next(e for e in reversed(self.written) if short(e.event_type) == name)
        return attributes(event)

    def expect(self, text: str, *, since: int = 1) -> None:
        """The history from event `since` on: an id (`-` while buffered), a type and, as `path=value`, what matters."""
        lines = [shlex.split(line) for line in text.strip().splitlines()]
        events = [event for event in self.written if event.event_id >= since] + self.buffered
        shown = [
            self._show(event, [part.partition("=")[0] for part in line[2:]])
            for event, line in zip(events, lines + [[]] * (len(events) - len(lines)), strict=False)
        ]
        expected = [[line[0].replace("-", "0"), *line[1:]] for line in lines]
        assert shown == expected, "history:\n" + "\n".join(" ".join(line) for line in shown)

    def _show(self, event: HistoryEvent, paths: Iterable[str]) -> list[str]:
        shown = [str(event.event_id), short(event.event_type)]
        for path in paths:
            value: Any = event if path.split(".")[0] in ("event_time", "user_metadata") else attributes(event)
            for name in path.split("."):
                value, owner = getattr(value, name), value
            shown.append(f"{path}={_value(value, owner, name)}")
        return shown


def token(task: WorkflowTask) -> tuple[int, int, int, int]:
    return task.scheduled_event_id, task.started_event_id, task.started_ns, task.attempt


def short(event_type: int) -> str:
    name = EventType.Name(event_type)  # type: ignore[arg-type]
    return "".join(part.capitalize() for part in name.removeprefix("EVENT_TYPE_").split("_"))


def attributes(event: HistoryEvent) -> Any:
    return getattr(event, event.WhichOneof("attributes"))  # type: ignore[arg-type]


def _value(value: Any, owner: Message, name: str) -> str:
    if isinstance(value, Timestamp):
        return f"+{(value.ToNanoseconds() - START_NS) / S:g}s"
    if isinstance(value, Duration):
        return f"{value.ToNanoseconds() / S:g}s"
    if isinstance(value, Payloads):
        return ",".join(p.data.decode().strip('"') for p in value.payloads)
    enum = owner.DESCRIPTOR.fields_by_name[name].enum_type
    return enum.values_by_number[value].name if enum is not None else str(value)


# Updates.


def update_request(update_id: str = "u") -> Request:
    return Request(meta=Meta(update_id=update_id), input=Input(name="change", args=payloads("more")))


def message(update_id: str, body: Message) -> ProtocolMessage:
    made = ProtocolMessage(id=f"{update_id}/{body.DESCRIPTOR.name}", protocol_instance_id=update_id)
    made.body.Pack(body)
    return made


def accept(update_id: str = "u", **fields: Any) -> ProtocolMessage:
    fields = {"accepted_request_message_id": "m", "accepted_request_sequencing_event_id": 1, **fields}
    return message(update_id, Acceptance(**fields))


def reject(update_id: str = "u", **fields: Any) -> ProtocolMessage:
    return message(update_id, Rejection(failure=application("no"), **fields))


def respond(update_id: str = "u", result: str = "done") -> ProtocolMessage:
    return message(update_id, Response(meta=Meta(update_id=update_id), outcome=Outcome(success=payloads(result))))


def spoken(sent: ProtocolMessage) -> Command:
    """The command that says when in an answer a message counts."""
    return command("PROTOCOL_MESSAGE", message_id=sent.id)


# Commands and failures.


def application(kind: str, *, non_retryable: bool = False, delay_s: float | None = None) -> Failure:
    info = ApplicationFailureInfo(type=kind, non_retryable=non_retryable)
    if delay_s is not None:
        info.next_retry_delay.CopyFrom(duration(delay_s))
    return Failure(message=kind, source="test", application_failure_info=info)


def command(name: str, **fields: Any) -> Command:
    made = Command(command_type=CommandType.Value(f"COMMAND_TYPE_{name}"))  # type: ignore[arg-type]
    target = getattr(made, f"{name.lower()}_command_attributes")
    target.SetInParent()
    target.MergeFrom(type(target)(**fields))
    return made


NO_RETRY = RetryPolicy(maximum_attempts=1)


def schedule_activity(activity_id: str, retry: RetryPolicy | None = NO_RETRY, **timeouts_s: Any) -> Command:
    """`timeouts_s`: `start_to_close`, `schedule_to_close`, `schedule_to_start`, `heartbeat`; others as they are."""
    names = ("start_to_close", "schedule_to_close", "schedule_to_start", "heartbeat")
    if not any(name in timeouts_s for name in names[:2]):
        timeouts_s["start_to_close"] = 60
    fields = {f"{n}_timeout" if n in names else n: duration(v) if n in names else v for n, v in timeouts_s.items()}
    made = command("SCHEDULE_ACTIVITY_TASK", activity_id=activity_id, **fields)
    a = made.schedule_activity_task_command_attributes
    a.activity_type.name, a.task_queue.name = "Act", "q"
    if retry is not None:
        a.retry_policy.CopyFrom(retry)
    return made


def start_timer(timer_id: str, seconds: float) -> Command:
    return command("START_TIMER", timer_id=timer_id, start_to_fire_timeout=duration(seconds))


def cancel_timer(timer_id: str) -> Command:
    return command("CANCEL_TIMER", timer_id=timer_id)


def cancel_activity(scheduled_event_id: int) -> Command:
    return command("REQUEST_CANCEL_ACTIVITY_TASK", scheduled_event_id=scheduled_event_id)


def start_child(workflow_id: str, **fields: Any) -> Command:
    return command(
        "START_CHILD_WORKFLOW_EXECUTION",
        workflow_id=workflow_id,
        workflow_type=WorkflowType(name="Child"),
        task_queue=TaskQueue(name="q"),
        **fields,
    )


def signal_other(workflow_id: str) -> Command:
    execution = WorkflowExecution(workflow_id=workflow_id)
    return command("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION", signal_name="hello", execution=execution)


def cancel_other(workflow_id: str) -> Command:
    return command("REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION", workflow_id=workflow_id)


def upsert(fields: dict[str, Payload]) -> Command:
    return command("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", search_attributes=SearchAttributes(indexed_fields=fields))


def modify(fields: dict[str, Payload]) -> Command:
    return command("MODIFY_WORKFLOW_PROPERTIES", upserted_memo=Memo(fields=fields))


def complete_workflow(result: str = "ok") -> Command:
    return command("COMPLETE_WORKFLOW_EXECUTION", result=payloads(result))


def fail_workflow(failure: Failure | None = None) -> Command:
    return command("FAIL_WORKFLOW_EXECUTION", failure=failure or application("broken"))


def cancel_workflow() -> Command:
    return command("CANCEL_WORKFLOW_EXECUTION")


def continue_as_new(**fields: Any) -> Command:
    fields = {"workflow_type": WorkflowType(name="Flow"), "task_queue": TaskQueue(name="q"), **fields}
    return command("CONTINUE_AS_NEW_WORKFLOW_EXECUTION", **fields)


def refusal(action: Callable[[], Any]) -> str:
    """The message that an action is refused with."""
    try:
        action()
    except PerdureError as error:
        return f"{type(error).__name__}: {error.message}"
    raise AssertionError("not refused")


__all__ = [name for name in dir() if not name.startswith("_")] + ["NotFound", "replace"]

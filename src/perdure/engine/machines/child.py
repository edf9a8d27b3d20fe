"""Children, as their parent sees them: initiated by command, started or not, and their end."""

from __future__ import annotations

from typing import Any

from temporalio.api.command.v1 import StartChildWorkflowExecutionCommandAttributes
from temporalio.api.enums.v1 import EventType, StartChildWorkflowExecutionFailedCause
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.history.v1 import HistoryEvent

from perdure.engine.checks.versioning import present_form
from perdure.engine.execution import Child, Kind
from perdure.engine.machines import own_time, workflow_task
from perdure.engine.machines.workflow import require_running
from perdure.engine.messages import copy_present
from perdure.engine.payloads import drop_nulls
from perdure.engine.transition import Namespace, Transition
from perdure.errors import NotFound

CHILD_NOT_FOUND = "Pending child execution not found."


def initiate(
    t: Transition, completed_event_id: int, command: StartChildWorkflowExecutionCommandAttributes, target: Namespace
) -> None:
    event = t.event(E.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
    a = event.start_child_workflow_execution_initiated_event_attributes
    a.namespace, a.namespace_id = target.name, target.id
    a.workflow_task_completed_event_id = completed_event_id
    for name in ("workflow_id", "control", "cron_schedule"):
        setattr(a, name, getattr(command, name))
    a.parent_close_policy = command.parent_close_policy
    a.workflow_id_reuse_policy = command.workflow_id_reuse_policy
    a.inherit_build_id = command.inherit_build_id
    copy_present(command, a, _SHARED_MESSAGES)
    drop_nulls(a)
    if command.HasField("versioning_override"):
        a.versioning_override.CopyFrom(present_form(command.versioning_override))
    config, state = own_time.child(t.core)
    if config is not None:
        a.time_skipping_config.CopyFrom(config)
    if state is not None:
        a.time_skipping_state_propagation.CopyFrom(state)
    t.record(event)


_SHARED_MESSAGES = (
    "workflow_type",
    "task_queue",
    "input",
    "retry_policy",
    "header",
    "memo",
    "search_attributes",
    "priority",
    "workflow_execution_timeout",
    "workflow_run_timeout",
    "workflow_task_timeout",
)


def started(t: Transition, initiated_event_id: int, run_id: str) -> None:
    """The child runs."""
    child = _pending(t, initiated_event_id)
    initiated = HistoryEvent.FromString(child.initiated).start_child_workflow_execution_initiated_event_attributes
    event = t.event(E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
    a = event.child_workflow_execution_started_event_attributes
    _identify(a, child)
    a.workflow_execution.run_id = run_id
    if initiated.HasField("header"):
        a.header.CopyFrom(initiated.header)
    t.record(event)
    workflow_task.ensure(t)


def start_failed(
    t: Transition, initiated_event_id: int, cause: StartChildWorkflowExecutionFailedCause.ValueType
) -> None:
    """The child could not be started."""
    child = _pending(t, initiated_event_id)
    initiated = HistoryEvent.FromString(child.initiated).start_child_workflow_execution_initiated_event_attributes
    event = t.event(E.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED)
    a = event.start_child_workflow_execution_failed_event_attributes
    a.namespace, a.namespace_id = child.namespace, child.namespace_id
    a.workflow_id = child.workflow_id
    a.workflow_type.name = child.workflow_type
    a.cause = cause
    a.control = initiated.control
    a.initiated_event_id = initiated_event_id
    t.record(event)
    workflow_task.ensure(t)


def _pending(t: Transition, initiated_event_id: int) -> Child:
    require_running(t)
    child: Child | None = t.items(Kind.CHILD).get(initiated_event_id)
    if child is None or child.started:
        raise NotFound(CHILD_NOT_FOUND)
    return child


def _identify(a: Any, child: Child) -> None:
    a.namespace, a.namespace_id = child.namespace, child.namespace_id
    a.workflow_execution.workflow_id = child.workflow_id
    a.workflow_type.name = child.workflow_type
    a.initiated_event_id = child.initiated_event_id


def closed(
    t: Transition, initiated_event_id: int, workflow_id: str, run_id: str, close_event: HistoryEvent, first_run_id: str
) -> None:
    """A child reports its end. `run_id` is the run that closed, maybe not the one that was started first.

    A parent that was made by a reset may hear of the end before it has found its child again."""
    require_running(t)
    child: Child | None = t.items(Kind.CHILD).get(initiated_event_id)
    if child is not None and not child.started and first_run_id and child.workflow_id == workflow_id:
        started(t, initiated_event_id, first_run_id)
        child = t.items(Kind.CHILD).get(initiated_event_id)
    if child is None or not child.started or child.workflow_id != workflow_id:
        raise NotFound(CHILD_NOT_FOUND)
    if first_run_id and child.run_id != first_run_id:
        raise NotFound(CHILD_NOT_FOUND)
    event_type, name, fields = _CLOSED[close_event.event_type]
    event = t.event(event_type)
    a = getattr(event, name)
    _identify(a, child)
    a.workflow_execution.run_id = run_id
    a.started_event_id = child.started_event_id
    source = getattr(close_event, close_event.WhichOneof("attributes"))  # type: ignore[arg-type]
    for field in fields:
        value = getattr(source, field)
        if field == "retry_state":
            a.retry_state = value
        elif source.HasField(field):
            getattr(a, field).CopyFrom(value)
    t.record(event)
    workflow_task.ensure(t)


_CLOSED: dict[int, tuple[EventType.ValueType, str, tuple[str, ...]]] = {
    E.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: (
        E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
        "child_workflow_execution_completed_event_attributes",
        ("result",),
    ),
    E.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: (
        E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
        "child_workflow_execution_failed_event_attributes",
        ("failure", "retry_state"),
    ),
    E.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: (
        E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
        "child_workflow_execution_canceled_event_attributes",
        ("details",),
    ),
    E.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: (
        E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
        "child_workflow_execution_timed_out_event_attributes",
        ("retry_state",),
    ),
    E.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: (
        E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
        "child_workflow_execution_terminated_event_attributes",
        (),
    ),
}


TERMINATED_BY_PARENT = "by parent close policy"

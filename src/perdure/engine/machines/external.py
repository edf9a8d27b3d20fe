"""Signals and cancel requests that a workflow sends to another one."""

from __future__ import annotations

from typing import Any

from temporalio.api.command.v1 import (
    RequestCancelExternalWorkflowExecutionCommandAttributes,
    SignalExternalWorkflowExecutionCommandAttributes,
)
from temporalio.api.enums.v1 import (
    CancelExternalWorkflowExecutionFailedCause,
    EventType,
    SignalExternalWorkflowExecutionFailedCause,
)
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.history.v1 import HistoryEvent

from perdure.engine.execution import Kind
from perdure.engine.machines import workflow_task
from perdure.engine.messages import copy_present
from perdure.engine.transition import Namespace, Transition


def initiate_signal(
    t: Transition,
    completed_event_id: int,
    command: SignalExternalWorkflowExecutionCommandAttributes,
    target: Namespace,
) -> None:
    event = t.event(E.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
    a = event.signal_external_workflow_execution_initiated_event_attributes
    a.namespace, a.namespace_id = command.namespace, target.id
    a.workflow_task_completed_event_id = completed_event_id
    a.workflow_execution.CopyFrom(command.execution)
    a.signal_name, a.control = command.signal_name, command.control
    a.child_workflow_only = command.child_workflow_only
    copy_present(command, a, ("input", "header"))
    t.record(event)


def signaled(t: Transition, initiated_event_id: int) -> None:
    _end(t, Kind.EXTERNAL_SIGNAL, initiated_event_id, E.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)


def signal_failed(
    t: Transition, initiated_event_id: int, cause: SignalExternalWorkflowExecutionFailedCause.ValueType
) -> None:
    event_type = E.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
    _end(t, Kind.EXTERNAL_SIGNAL, initiated_event_id, event_type, cause)


def initiate_cancel(
    t: Transition,
    completed_event_id: int,
    command: RequestCancelExternalWorkflowExecutionCommandAttributes,
    target: Namespace,
) -> None:
    event = t.event(E.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
    a = event.request_cancel_external_workflow_execution_initiated_event_attributes
    a.namespace, a.namespace_id = command.namespace, target.id
    a.workflow_task_completed_event_id = completed_event_id
    a.workflow_execution.workflow_id = command.workflow_id
    a.workflow_execution.run_id = command.run_id
    a.control, a.reason = command.control, command.reason
    a.child_workflow_only = command.child_workflow_only
    t.record(event)


def cancel_requested(t: Transition, initiated_event_id: int) -> None:
    _end(t, Kind.EXTERNAL_CANCEL, initiated_event_id, E.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED)


def cancel_failed(
    t: Transition, initiated_event_id: int, cause: CancelExternalWorkflowExecutionFailedCause.ValueType
) -> None:
    event_type = E.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
    _end(t, Kind.EXTERNAL_CANCEL, initiated_event_id, event_type, cause)


def _end(
    t: Transition, kind: Kind, initiated_event_id: int, event_type: EventType.ValueType, cause: int | None = None
) -> None:
    """Record how it went, unless the workflow has closed meanwhile."""
    item = t.items(kind).get(initiated_event_id)
    if item is None or not t.running:
        return
    initiated: Any = HistoryEvent.FromString(item.initiated)
    source = getattr(initiated, initiated.WhichOneof("attributes"))
    event = t.event(event_type)
    a = getattr(event, EventType.Name(event_type).removeprefix("EVENT_TYPE_").lower() + "_event_attributes")
    a.namespace, a.namespace_id = item.namespace or t.env.namespace.name, item.namespace_id
    a.workflow_execution.CopyFrom(source.workflow_execution)
    a.initiated_event_id = initiated_event_id
    if kind == Kind.EXTERNAL_SIGNAL:
        a.control = source.control
    if cause is not None:
        a.cause = cause
    t.record(event)
    workflow_task.ensure(t)

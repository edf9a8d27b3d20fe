"""Resets: a run made from the first events of another one, whose later events are applied again as far as they can be.

The new run's history begins with those of the old one. Its own first event is the failure of the workflow task that it
was reset to, which names it; `apply` lets its life begin there. What came from outside behind that point (signals, the
news of children that had been initiated before) follows, and a workflow task.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio.api.enums.v1 import (
    EventType,
    ResetReapplyExcludeType,
    ResetReapplyType,
    UpdateAdmittedEventOrigin,
    WorkflowTaskFailedCause,
)
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionOptions

from perdure.engine.apply import RESETTER
from perdure.engine.execution import Core, Execution, Kind, Request, Scheduled
from perdure.engine.machines import update, workflow, workflow_task
from perdure.engine.machines.workflow import Signal
from perdure.engine.transition import Environment, State, Transition
from perdure.errors import InvalidArgument


@dataclass(slots=True)
class Plan:
    """What a reset needs beside the events that are taken over.

    `events` are those to be applied again, in their order. `batches` are the serialized events taken over,
    (first event id, history). `start_request_id` is that of the start of the old run. `options`: changes of the new
    run's options, with the fields that count, in camel case. `scheduled`: the schedule that is to know of its end."""

    run_id: str
    base_run_id: str
    reason: str
    request_id: str
    start_request_id: str
    batches: list[tuple[int, bytes]]
    events: list[HistoryEvent] = field(default_factory=list)
    options: Sequence[tuple[WorkflowExecutionOptions, Collection[str]]] = ()
    scheduled: Scheduled | None = None


def begin(run_key: int, env: Environment, prefix: State, plan: Plan) -> Transition:
    """The new run. `prefix`: the state that the events taken over have led to."""
    t = Transition(Execution(run_key, Core()), env, created=True)
    _take_over(t, prefix, plan)
    task = t.workflow_task
    if task is None:
        raise InvalidArgument(
            "Can only reset workflow to event ID in range [WorkflowTaskScheduled +1, WorkflowTaskStarted + 1]: "
            f"{t.core.next_event_id}"
        )
    if not task.started_ns:
        identity = workflow_task.HISTORY_SERVICE
        workflow_task.start(t, request_id=workflow_task.NOBODYS_REQUEST, identity=identity, sticky=False)
    _fail_task(t, plan)
    for event in plan.events:
        _AGAIN[event.event_type](t, event)
    for options, fields in plan.options:
        workflow.update_options(t, options, fields, identity="")
    workflow_task.schedule(t)
    return t


def _take_over(t: Transition, prefix: State, plan: Plan) -> None:
    t.core = core = copy.copy(prefix.core)
    t.now_ns += core.offset_ns
    for kind in t.execution.pending:
        items = prefix.items(kind)
        for key in items:
            t.items(kind).put(key, items.get(key))
    t.batches = list(plan.batches)
    core.history_size_bytes = sum(len(data) for _, data in plan.batches)
    core.last_first_event_id = plan.batches[-1][0]
    core.reset_request_id, core.start_request_id = plan.request_id, plan.start_request_id
    if plan.start_request_id:
        started = Request(
            request_id=plan.start_request_id, event_type=E.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, event_id=1
        )
        t.items(Kind.REQUEST).put(plan.start_request_id, started)
    if plan.scheduled is not None:
        t.items(Kind.SCHEDULED).put("", Scheduled(schedule_id=plan.scheduled.schedule_id))


def _fail_task(t: Transition, plan: Plan) -> None:
    """Whatever its attempt, the task's failure is written: it is what tells SDKs of the reset."""
    task = t.workflow_task
    assert task is not None
    event = t.event(E.EVENT_TYPE_WORKFLOW_TASK_FAILED)
    a = event.workflow_task_failed_event_attributes
    a.scheduled_event_id, a.started_event_id = task.scheduled_event_id, task.started_event_id
    a.cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    a.failure.message = plan.reason
    a.failure.reset_workflow_failure_info.SetInParent()
    a.identity = workflow_task.HISTORY_SERVICE
    a.base_run_id, a.new_run_id = plan.base_run_id, plan.run_id
    t.record(event)


def give_way(t: Transition, *, reason: str, terminate: bool, new_run_id: str, chain_goes_on: bool) -> None:
    """What happens to the run from which another is made (`new_run_id`), and to the one that is current.

    The children of a run that goes on as another one are kept: they will report to that. To a schedule the workflow
    goes on where its chain of runs does (`chain_goes_on`)."""
    if new_run_id:
        t.core.reset_run_id = new_run_id
    if not (terminate and t.running):
        return
    if chain_goes_on and "" in t.items(Kind.SCHEDULED):
        t.items(Kind.SCHEDULED).remove("")
    workflow.terminate(t, reason=reason, identity=RESETTER)
    if new_run_id:
        children = t.items(Kind.CHILD)
        for key in list(children):
            children.edit(key).due_ns = None


# What is applied again.


def excluded_types(reapply_type: int, exclude: Iterable[int]) -> frozenset[int]:
    """The numbers of `ResetReapplyExcludeType` that a request means, by its old field (`reapply_type`) and its new."""
    excluded = set(exclude)
    if reapply_type in (ResetReapplyType.RESET_REAPPLY_TYPE_NONE, ResetReapplyType.RESET_REAPPLY_TYPE_SIGNAL):
        excluded.add(ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE)
    if reapply_type == ResetReapplyType.RESET_REAPPLY_TYPE_NONE:
        excluded.add(ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL)
    return frozenset(excluded)


def excludes_all(excluded: frozenset[int]) -> bool:
    """Whether nothing behind the point is to be looked at: then the news of children are lost, too."""
    return set(ResetReapplyExcludeType.values()) - {0} <= excluded


def applies_again(event: HistoryEvent, excluded: frozenset[int], *, own: bool) -> bool:
    """Whether an event is applied again. `own`: it is of the run that is reset, not of one that continued it.

    Requests to cancel are not, so that a workflow that was cancelled by mistake can be brought back."""
    kind = event.event_type
    if kind == E.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        return ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL not in excluded
    if kind in _OF_UPDATES:
        return ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE not in excluded
    if kind in _OF_CHILDREN:
        return own  # the event ids of children mean nothing in another history
    return kind in _AGAIN


def _signal(t: Transition, event: HistoryEvent) -> None:
    a = event.workflow_execution_signaled_event_attributes
    signal = Signal(
        name=a.signal_name,
        input=a.input if a.HasField("input") else None,
        header=a.header if a.HasField("header") else None,
        identity=a.identity,
        request_id=a.request_id,
        links=list(event.links),
    )
    workflow.record_signal(t, signal)


def _update_admitted(t: Transition, event: HistoryEvent) -> None:
    a = event.workflow_execution_update_admitted_event_attributes
    update.admit_durably(t, a.request, a.origin)


def _update_accepted(t: Transition, event: HistoryEvent) -> None:
    """It has to be accepted again. One without its request was admitted by an event, which tells the request."""
    a = event.workflow_execution_update_accepted_event_attributes
    if a.HasField("accepted_request"):
        update.admit_durably(t, a.accepted_request, UpdateAdmittedEventOrigin.UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY)


def _options_updated(t: Transition, event: HistoryEvent) -> None:
    a = event.workflow_execution_options_updated_event_attributes
    if a.attached_request_id and a.attached_request_id in t.items(Kind.REQUEST):
        return
    _record_copy(t, event)


def _record_copy(t: Transition, event: HistoryEvent) -> HistoryEvent:
    made = t.event(event.event_type)
    name: Any = event.WhichOneof("attributes")
    getattr(made, name).CopyFrom(getattr(event, name))
    made.links.extend(event.links)
    made.worker_may_ignore = event.worker_may_ignore
    return t.record(made)


def _child_started(t: Transition, event: HistoryEvent) -> None:
    child = t.items(Kind.CHILD).get(event.child_workflow_execution_started_event_attributes.initiated_event_id)
    if child is not None and not child.started:
        _record_copy(t, event)


def _child_not_started(t: Transition, event: HistoryEvent) -> None:
    a = event.start_child_workflow_execution_failed_event_attributes
    if a.initiated_event_id in t.items(Kind.CHILD):
        _record_copy(t, event)


def _child_closed(t: Transition, event: HistoryEvent) -> None:
    a: Any = getattr(event, event.WhichOneof("attributes"))  # type: ignore[arg-type]
    child = t.items(Kind.CHILD).get(a.initiated_event_id)
    if child is not None and child.started:
        a.started_event_id = child.started_event_id
        _record_copy(t, event)


_Again = Callable[[Transition, HistoryEvent], None]
_OF_CHILDREN: dict[EventType.ValueType, _Again] = {
    E.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED: _child_not_started,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: _child_started,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: _child_closed,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: _child_closed,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: _child_closed,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: _child_closed,
    E.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: _child_closed,
}
_OF_UPDATES: dict[EventType.ValueType, _Again] = {
    E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED: _update_admitted,
    E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: _update_accepted,
}
_AGAIN: dict[EventType.ValueType, _Again] = {
    E.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: _signal,
    **_OF_UPDATES,
    E.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED: _options_updated,
    **_OF_CHILDREN,
}
"""What comes from outside, by type."""

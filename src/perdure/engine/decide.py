"""`decide(execution, input, env) -> Decision`: one input acting on one run.

Nothing changes but by a decision. An input is refused (an exception; no trace is left), or the decision is committed by
the caller, with `commit`, and then written; a decision may carry an error for the caller and be committed all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio.api.enums.v1 import WorkflowTaskFailedCause

from perdure.engine import commands, entity, inputs, limits
from perdure.engine.checks import cause_name
from perdure.engine.execution import Deletion, Execution, Key, Kind
from perdure.engine.machines import (
    activity,
    child,
    close,
    external,
    own_time,
    pause,
    reset,
    timer,
    update,
    workflow,
    workflow_task,
)
from perdure.engine.own_time import FAST_FORWARD
from perdure.engine.transition import Decision, Environment, State, Transition
from perdure.errors import InvalidArgument, NotFound


def decide(execution: Execution, input: inputs.Input, env: Environment) -> tuple[State, Decision]:
    """The transition (to be committed) and the decision (to be written). Raises `PerdureError` to refuse."""
    if entity.is_entity(execution):
        return entity.act(execution, input, env)
    handler = _HANDLERS[type(input)]
    if isinstance(input, inputs.CompleteWorkflowTask):
        t, reply = _complete_workflow_task(execution, input, env)
    else:
        t = Transition(execution, env)
        reply = handler(t, input)
    reason = limits.exceeded(t)
    if reason:
        t = _end(t, input, env, reason)
        reply = commands.Completed() if isinstance(input, inputs.CompleteWorkflowTask) else None
    limits.hold_buffer(t)
    update.settle(t)
    workflow_task.settle_speculative(t)
    own_time.settle(t)
    return t, t.finish(reply)


def begin_by_reset(run_key: int, env: Environment, prefix: State, plan: reset.Plan) -> tuple[Transition, Decision]:
    """A run with the history `prefix` of another one. Raises `InvalidArgument` where no run can begin."""
    t = reset.begin(run_key, env, prefix, plan)
    return t, t.finish()


def begin(run_key: int, env: Environment, request: Any, options: workflow.StartOptions) -> tuple[Transition, Decision]:
    """A new run, as a transition and a decision."""
    t = workflow.begin(run_key, env, request, options)
    if options.update is not None:
        update.admit_with_start(t, options.update)
    return t, t.finish()


def _complete_workflow_task(
    execution: Execution, i: inputs.CompleteWorkflowTask, env: Environment
) -> tuple[Transition, Any]:
    def make() -> Transition:
        t = Transition(execution, env)
        _require_task(t, i)
        return t

    return commands.complete(make, i.request)


def _require_task(t: Transition, token: inputs.CompleteWorkflowTask | inputs.FailWorkflowTask) -> None:
    if not workflow_task.matches(
        t,
        scheduled_event_id=token.scheduled_event_id,
        started_event_id=token.started_event_id,
        started_ns=token.started_ns,
        attempt=token.attempt,
    ):
        raise NotFound(workflow_task.NOT_FOUND)


def _fail_workflow_task(t: Transition, i: inputs.FailWorkflowTask) -> None:
    workflow.require_running(t)
    _require_task(t, i)
    if i.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE:
        workflow.terminate(t, reason=cause_name(i.cause), identity=workflow_task.HISTORY_SERVICE)
        return
    workflow_task.fail(t, cause=i.cause, failure=i.failure, identity=i.identity, binary_checksum=i.binary_checksum)
    workflow_task.ensure(t)


def _start_workflow_task(t: Transition, i: inputs.StartWorkflowTask) -> Any:
    task = t.workflow_task
    if not t.running or task is None or task.started_ns or task.scheduled_event_id != i.scheduled_event_id:
        raise NotFound(workflow_task.NOT_FOUND)
    if i.sticky and not t.core.sticky_queue:
        raise NotFound(workflow_task.NOT_FOUND)
    t.durable, t.volatile = False, task.speculative
    started = workflow_task.start(
        t, request_id=i.request_id, identity=i.identity, sticky=i.sticky, worker_version=i.worker_version
    )
    update.send(t)
    return started


def _admit_update(t: Transition, i: inputs.AdmitUpdate) -> Any:
    t.volatile = True
    return update.admit(t, i.request, i.first_execution_run_id)


def _release_workflow_task(t: Transition, i: inputs.ReleaseWorkflowTask) -> None:
    task = t.workflow_task
    same = task is not None and task.scheduled_event_id == i.scheduled_event_id and task.started_ns == i.started_ns
    if not t.running or not same:
        raise NotFound(workflow_task.NOT_FOUND)
    workflow_task.time_out_started(t)


def _leave_sticky_queue(t: Transition, i: inputs.LeaveStickyQueue) -> None:
    if not t.running or not workflow_task.leave_sticky_queue(t):
        raise NotFound(workflow_task.NOT_FOUND)


def _start_activity(t: Transition, i: inputs.StartActivity) -> Any:
    if not activity.startable(t, i.scheduled_event_id, i.queue):
        raise NotFound(activity.NOT_FOUND)
    return activity.start(t, i.scheduled_event_id, request_id=i.request_id, identity=i.identity)


def _release_activity(t: Transition, i: inputs.ReleaseActivity) -> None:
    found = activity.find(t, i.scheduled_event_id, i.attempt)
    if found.request_id != i.request_id:
        raise NotFound(activity.NOT_FOUND)
    activity.release(t, found)


def _complete_activity(t: Transition, i: inputs.CompleteActivity) -> None:
    by_id = not i.scheduled_event_id
    found = activity.find(t, i.scheduled_event_id, i.attempt, i.activity_id, started=not by_id)
    activity.complete(t, found, i.result, i.identity, i.worker_version)


def _fail_activity(t: Transition, i: inputs.FailActivity) -> None:
    found = activity.find(t, i.scheduled_event_id, i.attempt, i.activity_id)
    activity.fail(t, found, i.failure, i.identity, i.last_heartbeat_details, i.worker_version)


def _cancel_activity(t: Transition, i: inputs.CancelActivity) -> None:
    found = activity.find(t, i.scheduled_event_id, i.attempt, i.activity_id)
    activity.cancel(t, found, i.details, i.identity)


def _heartbeat(t: Transition, i: inputs.HeartbeatActivity) -> Any:
    found = activity.find(t, i.scheduled_event_id, i.attempt, i.activity_id)
    return activity.heartbeat(t, found, i.details)


def _pause_activities(t: Transition, i: inputs.PauseActivities) -> None:
    pause.pause_activities(t, i.which, identity=i.identity, reason=i.reason, request_id=i.request_id)


def _unpause_activities(t: Transition, i: inputs.UnpauseActivities) -> None:
    pause.unpause_activities(
        t, i.which, reset_attempts=i.reset_attempts, reset_heartbeat=i.reset_heartbeat, jitter_ns=i.jitter_ns
    )


def _reset_activities(t: Transition, i: inputs.ResetActivities) -> None:
    pause.reset_activities(
        t,
        i.which,
        reset_heartbeat=i.reset_heartbeat,
        keep_paused=i.keep_paused,
        restore_options=i.restore_options,
        jitter_ns=i.jitter_ns,
    )


def _update_activity_options(t: Transition, i: inputs.UpdateActivityOptions) -> Any:
    if i.options is None:
        return pause.restore_options(t, i.which)
    return pause.update_options(t, i.which, i.options, i.fields)


def _pause_workflow(t: Transition, i: inputs.PauseWorkflow) -> None:
    pause.pause_workflow(t, identity=i.identity, reason=i.reason, request_id=i.request_id)


def _unpause_workflow(t: Transition, i: inputs.UnpauseWorkflow) -> None:
    pause.unpause_workflow(t, identity=i.identity, reason=i.reason, request_id=i.request_id)


def _update_workflow_options(t: Transition, i: inputs.UpdateWorkflowOptions) -> Any:
    return workflow.update_options(t, i.options, i.fields, i.identity)


def _deadline(t: Transition, i: inputs.Deadline) -> None:
    """Refused if all of the deadlines have moved or gone meanwhile. Events of one moment are told with one task."""
    if not [key for key in i.keys if t.running and _fire(t, i.kind, key)]:
        raise NotFound("stale deadline")
    if t.has_buffered_events and i.kind != Kind.LIFETIME:  # whose ends see to a task of their own, or need none
        workflow_task.ensure(t)


def _fire(t: Transition, kind: Kind, key: Key) -> bool:
    if kind == Kind.TIMER:
        return timer.fire(t, str(key))
    if kind == Kind.ACTIVITY:
        return activity.deadline(t, int(key))
    if kind == Kind.WORKFLOW_TASK:
        return workflow_task.time_out(t)
    if kind == Kind.LIFETIME:
        return _lifetime(t, str(key))
    return False


def _lifetime(t: Transition, what: str) -> bool:
    item = t.items(Kind.LIFETIME).get(what)
    if item is None or item.due_ns is None or item.due_ns > t.now_ns:
        return False
    if what == "first-task":
        workflow.first_task(t)
    elif what == FAST_FORWARD:
        own_time.end_fast_forward(t)
    else:
        close.time_out(t)
    return True


def _signal(t: Transition, i: inputs.SignalWorkflow) -> None:
    workflow.signal(t, i.signal, wake=i.with_start)


def _cancel(t: Transition, i: inputs.CancelWorkflow) -> None:
    workflow.request_cancel(t, i.cancel)


def _terminate(t: Transition, i: inputs.TerminateWorkflow) -> None:
    workflow.terminate(t, reason=i.reason, details=i.details, identity=i.identity, links=i.links)


def _delete(t: Transition, i: inputs.DeleteWorkflow) -> None:
    if t.running:
        workflow.terminate(t, reason="Delete workflow execution", identity=workflow_task.HISTORY_SERVICE)
    t.items(Kind.DELETION).put("", Deletion(due_ns=t.now_ns))


def _give_way(t: Transition, i: inputs.GiveWayToReset) -> None:
    reset.give_way(t, reason=i.reason, terminate=i.terminate, new_run_id=i.new_run_id, chain_goes_on=i.chain_goes_on)


def _reset_stickiness(t: Transition, i: inputs.ResetStickiness) -> None:
    workflow.require_running(t)
    workflow_task.reset_stickiness(t)


def _ensure_task(t: Transition, i: inputs.EnsureWorkflowTask) -> None:
    workflow.require_running(t)
    workflow_task.ensure(t)


def _child_started(t: Transition, i: inputs.ChildStarted) -> None:
    child.started(t, i.initiated_event_id, i.run_id)


def _child_start_failed(t: Transition, i: inputs.ChildStartFailed) -> None:
    child.start_failed(t, i.initiated_event_id, i.cause)  # type: ignore[arg-type]


def _child_closed(t: Transition, i: inputs.ChildClosed) -> None:
    child.closed(t, i.initiated_event_id, i.workflow_id, i.run_id, i.close_event, i.first_run_id)


def _external_signaled(t: Transition, i: inputs.ExternalSignaled) -> None:
    if i.failed_cause:
        external.signal_failed(t, i.initiated_event_id, i.failed_cause)  # type: ignore[arg-type]
    else:
        external.signaled(t, i.initiated_event_id)


def _external_canceled(t: Transition, i: inputs.ExternalCanceled) -> None:
    if i.failed_cause:
        external.cancel_failed(t, i.initiated_event_id, i.failed_cause)  # type: ignore[arg-type]
    else:
        external.cancel_requested(t, i.initiated_event_id)


def _settled(t: Transition, i: inputs.Settled) -> None:
    items = t.items(i.kind)
    if i.kind == Kind.CHILD and i.key in items:
        items.edit(i.key).due_ns = None
    else:
        items.remove(i.key)


def _attach(t: Transition, i: inputs.AttachRequest) -> None:
    workflow.attach_request(t, i.request)


def _end(t: Transition, input: inputs.Input, env: Environment, reason: str) -> Transition:
    """The run is over a limit: it is terminated, what the input brought is dropped, and its caller is told so."""
    if not isinstance(input, _KEPT):
        t = Transition(t.execution, env)
    workflow.terminate(t, reason=reason, identity=workflow_task.HISTORY_SERVICE)
    t.error = InvalidArgument(reason)
    return t


_KEPT = (inputs.ChildStarted,)
"""What stays even then: a child that runs has to be known, or its parent's close would not reach it."""

_HANDLERS: dict[type, Callable[[Transition, Any], Any]] = {
    inputs.CompleteWorkflowTask: lambda t, i: None,
    inputs.FailWorkflowTask: _fail_workflow_task,
    inputs.StartWorkflowTask: _start_workflow_task,
    inputs.ReleaseWorkflowTask: _release_workflow_task,
    inputs.LeaveStickyQueue: _leave_sticky_queue,
    inputs.StartActivity: _start_activity,
    inputs.ReleaseActivity: _release_activity,
    inputs.CompleteActivity: _complete_activity,
    inputs.FailActivity: _fail_activity,
    inputs.CancelActivity: _cancel_activity,
    inputs.HeartbeatActivity: _heartbeat,
    inputs.PauseActivities: _pause_activities,
    inputs.UnpauseActivities: _unpause_activities,
    inputs.ResetActivities: _reset_activities,
    inputs.UpdateActivityOptions: _update_activity_options,
    inputs.PauseWorkflow: _pause_workflow,
    inputs.UnpauseWorkflow: _unpause_workflow,
    inputs.UpdateWorkflowOptions: _update_workflow_options,
    inputs.Deadline: _deadline,
    inputs.SignalWorkflow: _signal,
    inputs.CancelWorkflow: _cancel,
    inputs.TerminateWorkflow: _terminate,
    inputs.DeleteWorkflow: _delete,
    inputs.GiveWayToReset: _give_way,
    inputs.ResetStickiness: _reset_stickiness,
    inputs.EnsureWorkflowTask: _ensure_task,
    inputs.ChildStarted: _child_started,
    inputs.ChildStartFailed: _child_start_failed,
    inputs.ChildClosed: _child_closed,
    inputs.ExternalSignaled: _external_signaled,
    inputs.ExternalCanceled: _external_canceled,
    inputs.Settled: _settled,
    inputs.AttachRequest: _attach,
    inputs.AdmitUpdate: _admit_update,
}

"""Follow-ups: what one run owes to another.

A follow-up is a pending item of its source that is due at once: a child to be started, a signal or a cancel request to
be delivered, the close policy for a child, the report of a child's end. It is applied to its target and taken off its
source in one batch: exactly once, whatever is in memory, and again after a crash that came before.
"""

from __future__ import annotations

import contextlib
from contextlib import ExitStack

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import (
    CancelExternalWorkflowExecutionFailedCause,
    ParentClosePolicy,
    SignalExternalWorkflowExecutionFailedCause,
    StartChildWorkflowExecutionFailedCause,
    WorkflowIdConflictPolicy,
)
from temporalio.api.history.v1 import HistoryEvent, StartChildWorkflowExecutionInitiatedEventAttributes
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.engine import inputs
from perdure.engine.checks.versioning import version_of
from perdure.engine.cron import next_backoff
from perdure.engine.execution import Child, Key, Kind
from perdure.engine.machines.child import TERMINATED_BY_PARENT
from perdure.engine.machines.workflow import Cancel, Parent, Signal, StartOptions
from perdure.engine.machines.workflow_task import HISTORY_SERVICE
from perdure.engine.payloads import json_payloads
from perdure.engine.start import Start, resolve
from perdure.engine.times import get_duration
from perdure.errors import InvalidArgument, NamespaceNotFound, NotFound, Unavailable, WorkflowExecutionAlreadyStarted
from perdure.runtime.executor import Executor
from perdure.runtime.namespaces import Namespace
from perdure.runtime.run import Run

_CHILD_EXISTS = (
    StartChildWorkflowExecutionFailedCause.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS
)
_CHILD_NAMESPACE = (
    StartChildWorkflowExecutionFailedCause.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND
)
_CHILD_OVERRIDE = (
    StartChildWorkflowExecutionFailedCause.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_INVALID_VERSIONING_OVERRIDE
)
_S = SignalExternalWorkflowExecutionFailedCause
_C = CancelExternalWorkflowExecutionFailedCause

KINDS = frozenset({Kind.CHILD, Kind.EXTERNAL_SIGNAL, Kind.EXTERNAL_CANCEL, Kind.FOLLOW_UP, Kind.DELETION})
OWED = (Kind.CHILD, Kind.FOLLOW_UP, Kind.SCHEDULED)
"""What a closed run may still owe to others."""


class FollowUps:
    """Acts on the follow-ups of runs. Errors that pass are raised, and the follow-up is tried again later."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def act(self, run: Run, kind: int, key: Key) -> None:
        """Do what the pending item asks for, if it still does."""
        release = run.hold()  # what reaches the target must be taken off the source in the same batch
        try:
            await self._act(run, kind, key)
        finally:
            release()

    async def _act(self, run: Run, kind: int, key: Key) -> None:
        item = run.execution.pending[Kind(kind)].get(key)
        if item is None or item.due_ns is None:
            return
        if kind == Kind.FOLLOW_UP:
            await self._report_to_parent(run, key)
        elif kind == Kind.CHILD and run.execution.running:
            await self._start_child(run, int(key), item)
        elif kind == Kind.CHILD:
            await self._apply_close_policy(run, int(key), item)
        elif kind == Kind.EXTERNAL_SIGNAL:
            await self._signal(run, int(key))
        elif kind == Kind.EXTERNAL_CANCEL:
            await self._cancel(run, int(key))
        elif kind == Kind.DELETION:
            if owes(run):
                raise Unavailable("a run to be deleted owes something to others")
            await self._executor.delete(run)

    def _still(self, run: Run, kind: Kind, key: Key) -> bool:
        """After a wait: whether the item is there, and the run is the one that storage knows."""
        return not run.lost and key in run.execution.pending[kind]

    def _target_namespace(self, namespace_id: str) -> Namespace | None:
        try:
            return self._executor.namespaces.living(namespace_id)
        except NamespaceNotFound:
            return None

    # Children.

    async def _start_child(self, run: Run, key: int, child: Child) -> None:
        executor = self._executor
        namespace = self._target_namespace(child.namespace_id)
        if namespace is None:
            executor.apply(run, inputs.ChildStartFailed(key, _CHILD_NAMESPACE))
            return
        current = await executor.find_current(namespace.id, child.workflow_id)
        known = current is not None and key < run.core.reset_event_id and await self._is_own_child(run, current)
        if not self._still(run, Kind.CHILD, key) or not run.execution.running:
            return
        if known and current is not None:
            executor.apply(run, inputs.ChildStarted(key, current.core.first_run_id))
            return
        event = HistoryEvent.FromString(child.initiated)
        a = event.start_child_workflow_execution_initiated_event_attributes
        if a.HasField("versioning_override") and version_of(a.versioning_override) is not None:
            executor.apply(run, inputs.ChildStartFailed(key, _CHILD_OVERRIDE))
            return
        try:
            outcome = resolve(
                current.core if current is not None else None,
                a.workflow_id_reuse_policy,
                WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
                executor.now_ns(namespace.id),
                executor.config,
            )
        except WorkflowExecutionAlreadyStarted:
            executor.apply(run, inputs.ChildStartFailed(key, _CHILD_EXISTS))
            return
        options = self._child_options(run, key, a)
        request = _child_request(event, child, namespace, run.core.priority)
        before = []
        if outcome is Start.TERMINATE_CURRENT and current is not None:
            before.append((current, termination_by_reuse(options.run_id)))
        with executor.together():
            executor.start(namespace, request, options, before=before)
            executor.apply(run, inputs.ChildStarted(key, options.run_id))

    async def _is_own_child(self, run: Run, child: Run) -> bool:
        """Whether a workflow was started as a child by a run that this one was made from by resets."""
        core = child.core
        if core.parent_namespace_id != run.core.namespace_id or core.parent_workflow_id != run.core.workflow_id:
            return False
        if core.parent_run_id == run.core.original_run_id:
            return True
        try:
            parent = await self._executor.find(core.parent_namespace_id, core.parent_workflow_id, core.parent_run_id)
        except NotFound:
            return False
        return parent.core.original_run_id == run.core.original_run_id

    def _child_options(
        self, run: Run, key: int, a: StartChildWorkflowExecutionInitiatedEventAttributes
    ) -> StartOptions:
        executor, core = self._executor, run.core
        inherited = a.time_skipping_state_propagation
        now_ns = executor.now_ns(core.namespace_id) + get_duration(inherited.initial_skipped_duration)
        backoff_ns = next_backoff(a.cron_schedule, now_ns, now_ns) or 0
        return StartOptions(
            run_id=executor.ids.uuid(),
            parent=Parent(
                namespace=executor.namespaces.by_id(core.namespace_id).name,
                namespace_id=core.namespace_id,
                workflow_id=core.workflow_id,
                run_id=core.run_id,
                initiated_event_id=key,
            ),
            root=WorkflowExecution(workflow_id=core.root_workflow_id, run_id=core.root_run_id),
            first_task_backoff_ns=backoff_ns,
            time_skipping=inherited if a.HasField("time_skipping_state_propagation") else None,
        )

    async def _apply_close_policy(self, run: Run, key: int, child: Child) -> None:
        executor = self._executor
        target = await executor.find_current(child.namespace_id, child.workflow_id)
        if not self._still(run, Kind.CHILD, key):
            return
        with executor.together():
            if target is not None and target.core.first_run_id == child.run_id and target.execution.running:
                executor.apply(target, _closing(run, child))
            executor.apply(run, inputs.Settled(Kind.CHILD, key))

    async def _report_to_parent(self, run: Run, key: Key) -> None:
        executor, core = self._executor, run.core
        item = run.execution.pending[Kind.FOLLOW_UP][key]
        parent = await self._find_parent(run)
        if not self._still(run, Kind.FOLLOW_UP, key):
            return
        with executor.together():
            if parent is not None:
                report = inputs.ChildClosed(
                    core.parent_initiated_event_id,
                    core.workflow_id,
                    core.run_id,
                    HistoryEvent.FromString(item.close_event),
                    core.first_run_id,
                )
                # A parent that has closed, or does not know this child any more, needs no report.
                with contextlib.suppress(NotFound):
                    executor.apply(parent, report)
            executor.apply(run, inputs.Settled(Kind.FOLLOW_UP, key))

    async def _find_parent(self, run: Run) -> Run | None:
        """The run to report to: the one that started the child, or what was made of that by resets."""
        core, run_id = run.core, run.core.parent_run_id
        while True:
            try:
                parent = await self._executor.find(core.parent_namespace_id, core.parent_workflow_id, run_id)
            except NotFound:
                return None
            if parent.execution.running or not parent.core.reset_run_id:
                return parent
            run_id = parent.core.reset_run_id

    # Signals and cancels to other workflows.

    async def _signal(self, run: Run, key: int) -> None:
        executor, core = self._executor, run.core
        item = run.execution.pending[Kind.EXTERNAL_SIGNAL][key]
        a = HistoryEvent.FromString(item.initiated).signal_external_workflow_execution_initiated_event_attributes
        signal = Signal(
            name=a.signal_name,
            input=a.input if a.HasField("input") else None,
            header=a.header if a.HasField("header") else None,
            identity=HISTORY_SERVICE,
            request_id=item.request_id,
            external=WorkflowExecution(workflow_id=core.workflow_id, run_id=core.run_id),
        )
        cause = 0
        with ExitStack() as both:
            try:
                target = await self._find_target(run, item.namespace_id, a.workflow_execution, a.child_workflow_only)
                if not self._still(run, Kind.EXTERNAL_SIGNAL, key):
                    return
                both.enter_context(executor.together())
                decision = executor.apply(target, inputs.SignalWorkflow(signal))
                if decision.error is not None:
                    raise decision.error
            except NamespaceNotFound:
                cause = _S.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND
            except NotFound:
                cause = _S.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND
            except InvalidArgument:
                cause = _S.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED
            if self._still(run, Kind.EXTERNAL_SIGNAL, key):
                executor.apply(run, inputs.ExternalSignaled(key, cause))

    async def _cancel(self, run: Run, key: int) -> None:
        executor, core = self._executor, run.core
        item = run.execution.pending[Kind.EXTERNAL_CANCEL][key]
        event = HistoryEvent.FromString(item.initiated)
        a = event.request_cancel_external_workflow_execution_initiated_event_attributes
        cancel = Cancel(
            reason=a.reason,
            identity=HISTORY_SERVICE,
            request_id=item.request_id,
            external=WorkflowExecution(workflow_id=core.workflow_id, run_id=core.run_id),
            initiated_event_id=key,
        )
        cause = 0
        with ExitStack() as both:
            try:
                target = await self._find_target(run, item.namespace_id, a.workflow_execution, a.child_workflow_only)
                if not self._still(run, Kind.EXTERNAL_CANCEL, key):
                    return
                both.enter_context(executor.together())
                executor.apply(target, inputs.CancelWorkflow(cancel))
            except NamespaceNotFound:
                cause = _C.CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND
            except NotFound:
                cause = _C.CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND
            if self._still(run, Kind.EXTERNAL_CANCEL, key):
                executor.apply(run, inputs.ExternalCanceled(key, cause))

    async def _find_target(self, run: Run, namespace_id: str, execution: WorkflowExecution, child_only: bool) -> Run:
        """The run that is meant; a workflow can't reach itself, nor, if it says so, one that is not its child."""
        core = run.core
        self._executor.namespaces.by_id(namespace_id)
        if namespace_id == core.namespace_id and execution.workflow_id == core.workflow_id:
            raise NotFound("a workflow can't signal or cancel itself")
        target = await self._executor.find(namespace_id, execution.workflow_id, execution.run_id)
        parent = (target.core.parent_workflow_id, target.core.parent_run_id)
        if child_only and target.execution.running and parent != (core.workflow_id, core.run_id):
            raise NotFound("workflow parent does not match")
        return target


def owes(run: Run) -> bool:
    """Whether a closed run has not yet done to its parent and its children what its end means for them."""
    return any(item.due_ns is not None for kind in OWED for item in run.execution.pending.get(kind, {}).values())


def termination_by_reuse(new_run_id: str) -> inputs.TerminateWorkflow:
    """How the current run ends when a start takes its workflow id over."""
    termination = inputs.TerminateWorkflow(reason="TerminateIfRunning WorkflowIdReusePolicy", identity=HISTORY_SERVICE)
    termination.details = json_payloads(f"terminated by new runID: {new_run_id}")
    return termination


def _closing(parent: Run, child: Child) -> inputs.Input:
    """What the close policy of a child does to it."""
    if child.parent_close_policy == ParentClosePolicy.PARENT_CLOSE_POLICY_REQUEST_CANCEL:
        source = WorkflowExecution(workflow_id=parent.core.workflow_id, run_id=parent.core.run_id)
        return inputs.CancelWorkflow(Cancel(identity=HISTORY_SERVICE, external=source))
    return inputs.TerminateWorkflow(reason=TERMINATED_BY_PARENT, identity=HISTORY_SERVICE)


def _child_request(
    event: HistoryEvent, child: Child, namespace: Namespace, priority: bytes
) -> StartWorkflowExecutionRequest:
    """The start of a child. What its own priority leaves open is as in that of its parent."""
    a = event.start_child_workflow_execution_initiated_event_attributes
    request = StartWorkflowExecutionRequest(
        namespace=namespace.name,
        workflow_id=a.workflow_id,
        request_id=child.create_request_id,
        cron_schedule=a.cron_schedule,
        workflow_id_reuse_policy=a.workflow_id_reuse_policy,
    )
    for name in _CHILD_FIELDS:
        if a.HasField(name):  # type: ignore[arg-type]
            getattr(request, name).CopyFrom(getattr(a, name))
    if priority or a.HasField("priority"):
        request.priority.MergeFromString(priority)
        request.priority.MergeFrom(a.priority)
    if event.HasField("user_metadata"):
        request.user_metadata.CopyFrom(event.user_metadata)
    return request


_CHILD_FIELDS = (
    "workflow_type",
    "task_queue",
    "input",
    "header",
    "versioning_override",
    "workflow_execution_timeout",
    "workflow_run_timeout",
    "workflow_task_timeout",
    "retry_policy",
    "memo",
    "search_attributes",
    "time_skipping_config",
)

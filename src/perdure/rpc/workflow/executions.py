"""Workflow executions: started, signalled, cancelled, terminated."""

from __future__ import annotations

from temporalio.api.common.v1 import Link
from temporalio.api.enums.v1 import EventType, WorkflowExecutionStatus, WorkflowIdConflictPolicy
from temporalio.api.update.v1 import Request
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionResponse,
    SignalWithStartWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
    TerminateWorkflowExecutionResponse,
)

from perdure.engine import inputs
from perdure.engine.cron import next_backoff
from perdure.engine.execution import Core, Kind
from perdure.engine.machines.workflow import Signal, StartOptions
from perdure.engine.start import Start, resolve
from perdure.engine.times import get_duration
from perdure.errors import NotFound
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.validate.common import HasNamespace
from perdure.rpc.workflow.returned import give
from perdure.rpc.workflow.workflow_tasks import WorkflowTasks
from perdure.runtime.follow_ups import termination_by_reuse
from perdure.runtime.namespaces import REGISTERED, Namespace, require_state
from perdure.runtime.requests import input_of, signal_of
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime

RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
STARTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
EXECUTION_NOT_FOUND = "workflow execution not found"


class Executions:
    def __init__(self, runtime: Runtime, workflow_tasks: WorkflowTasks) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._workflow_tasks = workflow_tasks

    def _namespace(self, request: HasNamespace) -> Namespace:
        return self._runtime.namespaces.get(validate.namespace(request, self._runtime.config))

    def _namespace_to_start_in(self, request: HasNamespace) -> Namespace:
        namespace = self._runtime.namespaces.named(validate.namespace(request, self._runtime.config))
        require_state(namespace, REGISTERED)
        return namespace

    # Starting.

    async def start_workflow_execution(
        self, request: StartWorkflowExecutionRequest, call: Call
    ) -> StartWorkflowExecutionResponse | None:
        executor = self._executor
        namespace = self._namespace_to_start_in(request)
        validate.start(request, self._runtime.config, self._runtime.namespaces.rules)
        current = await executor.find_current(namespace.id, request.workflow_id)
        if current is not None and request.request_id in current.execution.pending[Kind.REQUEST]:
            await executor.settled(current)
            return await self._repeated(namespace, current, request)
        outcome = self.resolve(namespace, current, request)
        if outcome is Start.USE_CURRENT:
            assert current is not None
            return await self._use_current(namespace, current, request)
        run = self.begin(namespace, request, current, outcome, eager=self._is_eager(request))
        core, task = run.core, run.execution.pending_workflow_task
        await executor.settled(run)
        response = begun(namespace.name, core)
        if self._is_eager(request) and task is not None and task.request_id == request.request_id:
            data = await self._workflow_tasks.response(run, core, task, sticky=False)
            response.eager_workflow_task.MergeFromString(data)
            await give(executor, call, response.SerializeToString(), run.run_key, task)
            return None
        return response

    def _is_eager(self, request: StartWorkflowExecutionRequest) -> bool:
        delayed = request.cron_schedule or get_duration(request.workflow_start_delay)
        return request.request_eager_execution and self._runtime.config.enable_eager_workflow_start and not delayed

    def resolve(self, namespace: Namespace, current: Run | None, request: StartWorkflowExecutionRequest) -> Start:
        """What a start means, `current` being the newest run of its workflow id. Raises what it is refused with."""
        return resolve(
            current.core if current is not None else None,
            request.workflow_id_reuse_policy,
            request.workflow_id_conflict_policy,
            self._executor.now_ns(namespace.id),
            self._runtime.config,
        )

    def begin(
        self,
        namespace: Namespace,
        request: StartWorkflowExecutionRequest,
        current: Run | None,
        outcome: Start,
        *,
        eager: bool = False,
        signal: Signal | None = None,
        update: Request | None = None,
    ) -> Run:
        """Begin a run, as `outcome` of `resolve` says. It is not durable yet."""
        executor = self._executor
        now_ns = executor.now_ns(namespace.id)
        backoff_ns = get_duration(request.workflow_start_delay)
        if request.cron_schedule:
            backoff_ns = next_backoff(request.cron_schedule, now_ns, now_ns) or 0
        options = StartOptions(
            run_id=executor.ids.uuid(),
            first_task_backoff_ns=backoff_ns,
            eager=eager,
            signal=signal,
            update=update,
        )
        if request.HasField("continued_failure"):
            options.continued_failure = request.continued_failure
        if request.HasField("last_completion_result"):
            options.last_completion_result = request.last_completion_result
        before: list[tuple[Run, inputs.Input]] = []
        if outcome is Start.TERMINATE_CURRENT:
            assert current is not None
            before.append((current, termination_by_reuse(options.run_id)))
        return executor.start(namespace, request, options, before=before)

    async def _repeated(
        self, namespace: Namespace, run: Run, start: StartWorkflowExecutionRequest
    ) -> StartWorkflowExecutionResponse:
        """The same request came again: the same answer, with the eager task if that is still the first one."""
        core, request_id = run.core, start.request_id
        request = run.execution.pending[Kind.REQUEST][request_id]
        started = request.event_type == STARTED or request_id == core.start_request_id
        response = StartWorkflowExecutionResponse(
            run_id=core.run_id,
            started=started,
            status=core.status,  # type: ignore[arg-type]
            first_execution_run_id=core.first_run_id,
        )
        if started:
            response.link.CopyFrom(started_link(namespace.name, core))
        else:
            response.link.CopyFrom(_request_link(namespace, core, request_id, request.event_type))
        task = run.execution.pending_workflow_task
        if self._is_eager(start) and task is not None and task.started_event_id == 3 and task.attempt == 1:
            response.eager_workflow_task.MergeFromString(
                await self._workflow_tasks.response(run, core, task, sticky=False)
            )
        return response

    async def _use_current(
        self, namespace: Namespace, run: Run, request: StartWorkflowExecutionRequest
    ) -> StartWorkflowExecutionResponse:
        core = run.core
        response = StartWorkflowExecutionResponse(
            run_id=core.run_id, started=False, status=RUNNING, first_execution_run_id=core.first_run_id
        )
        response.link.CopyFrom(started_link(namespace.name, core))
        if request.HasField("on_conflict_options"):
            await self._executor.perform(run, inputs.AttachRequest(request))
            if request.on_conflict_options.attach_request_id:
                updated = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED
                response.link.CopyFrom(_request_link(namespace, core, request.request_id, updated))
        await self._executor.settled(run)
        return response

    # Signals.

    async def signal_workflow_execution(
        self, request: SignalWorkflowExecutionRequest, call: Call
    ) -> SignalWorkflowExecutionResponse:
        namespace = self._namespace(request)
        validate.signal(request, self._runtime.config)
        target = request.workflow_execution
        run = await self._executor.find(namespace.id, target.workflow_id, target.run_id)
        await self._executor.perform(run, input_of(request, run))
        response = SignalWorkflowExecutionResponse()
        response.link.CopyFrom(_request_link(namespace, run.core, request.request_id, _SIGNALED))
        return response

    async def signal_with_start_workflow_execution(
        self, request: SignalWithStartWorkflowExecutionRequest, call: Call
    ) -> SignalWithStartWorkflowExecutionResponse:
        namespace = self._namespace_to_start_in(request)
        validate.signal_with_start(request, self._runtime.config, self._runtime.namespaces.rules)
        start = _start_request(request)
        signal = signal_of(request)
        current = await self._executor.find_current(namespace.id, request.workflow_id)
        terminates = (
            request.workflow_id_conflict_policy
            == WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
        )
        if current is not None and current.execution.running and not terminates:
            await self._executor.perform(current, inputs.SignalWorkflow(signal, with_start=True))
            return self._signaled(namespace, current, request.request_id, started=False)
        if current is not None and request.request_id in current.execution.pending[Kind.REQUEST]:
            await self._executor.settled(current)
            return self._signaled(namespace, current, request.request_id, started=False)
        outcome = self.resolve(namespace, current, start)
        run = self.begin(namespace, start, current, outcome, signal=signal)
        await self._executor.settled(run)
        return self._signaled(namespace, run, request.request_id, started=True)

    @staticmethod
    def _signaled(
        namespace: Namespace, run: Run, request_id: str, *, started: bool
    ) -> SignalWithStartWorkflowExecutionResponse:
        core = run.core
        response = SignalWithStartWorkflowExecutionResponse(
            run_id=core.run_id, started=started, first_execution_run_id=core.first_run_id
        )
        response.signal_link.CopyFrom(_request_link(namespace, run.core, request_id, _SIGNALED))
        return response

    # Cancel and terminate.

    async def request_cancel_workflow_execution(
        self, request: RequestCancelWorkflowExecutionRequest, call: Call
    ) -> RequestCancelWorkflowExecutionResponse:
        namespace = self._namespace(request)
        validate.cancel(request, self._runtime.config)
        run = await self._find(
            namespace,
            request.workflow_execution.workflow_id,
            request.workflow_execution.run_id,
            request.first_execution_run_id,
        )
        await self._executor.perform(run, input_of(request, run))
        return RequestCancelWorkflowExecutionResponse()

    async def terminate_workflow_execution(
        self, request: TerminateWorkflowExecutionRequest, call: Call
    ) -> TerminateWorkflowExecutionResponse:
        namespace = self._namespace(request)
        validate.terminate(request, self._runtime.config)
        run = await self._find(
            namespace,
            request.workflow_execution.workflow_id,
            request.workflow_execution.run_id,
            request.first_execution_run_id,
        )
        await self._executor.perform(run, input_of(request, run))
        return TerminateWorkflowExecutionResponse()

    async def _find(self, namespace: Namespace, workflow_id: str, run_id: str, first_run_id: str) -> Run:
        """The run that is meant; with the id of the first run of a chain, the current run if it is of that chain."""
        run = await self._executor.find(namespace.id, workflow_id, "" if first_run_id else run_id)
        if first_run_id and run.execution.running and run.core.first_run_id != first_run_id:
            raise NotFound(EXECUTION_NOT_FOUND)
        return run


_SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED

_START_FIELDS = frozenset(StartWorkflowExecutionRequest.DESCRIPTOR.fields_by_name) & frozenset(
    SignalWithStartWorkflowExecutionRequest.DESCRIPTOR.fields_by_name
)


def _start_request(request: SignalWithStartWorkflowExecutionRequest) -> StartWorkflowExecutionRequest:
    """The start within a signal-with-start."""
    start = StartWorkflowExecutionRequest()
    for field, value in request.ListFields():
        if field.name not in _START_FIELDS:
            continue
        if field.message_type is not None and not field.is_repeated:
            getattr(start, field.name).CopyFrom(value)
        elif field.is_repeated:
            getattr(start, field.name).extend(value)
        else:
            setattr(start, field.name, value)
    return start


def begun(namespace: str, core: Core) -> StartWorkflowExecutionResponse:
    """The answer to a start that began a run."""
    response = StartWorkflowExecutionResponse(
        run_id=core.run_id, started=True, status=RUNNING, first_execution_run_id=core.first_run_id
    )
    response.link.CopyFrom(started_link(namespace, core))
    return response


def started_link(namespace: str, core: Core) -> Link:
    """A link to the first event of a run."""
    link = Link()
    event = link.workflow_event
    event.namespace, event.workflow_id, event.run_id = namespace, core.workflow_id, core.run_id
    event.event_ref.event_id, event.event_ref.event_type = 1, STARTED
    return link


def _request_link(namespace: Namespace, core: Core, request_id: str, event_type: int) -> Link:
    link = Link()
    event = link.workflow_event
    event.namespace, event.workflow_id, event.run_id = namespace.name, core.workflow_id, core.run_id
    event.request_id_ref.request_id = request_id
    event.request_id_ref.event_type = EventType.ValueType(event_type)
    return link

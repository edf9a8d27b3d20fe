"""Batch operations: started, stopped, shown, listed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.batch.v1 import BatchOperationInfo
from temporalio.api.common.v1 import Execution, Memo
from temporalio.api.enums.v1 import (
    BatchOperationState,
    BatchOperationType,
    ExecutionType,
    ResourceExhaustedCause,
    ResourceExhaustedScope,
    WorkflowExecutionStatus,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeBatchOperationRequest,
    DescribeBatchOperationResponse,
    ListBatchOperationsRequest,
    ListBatchOperationsResponse,
    RequestCancelWorkflowExecutionRequest,
    ResetActivityRequest,
    ResetWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    StartBatchOperationRequest,
    StartBatchOperationResponse,
    StopBatchOperationRequest,
    StopBatchOperationResponse,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
    UpdateWorkflowExecutionOptionsRequest,
)

from perdure.config import Dynamic
from perdure.engine.batch import EndJob, JobCore, StartJob
from perdure.engine.entity import space
from perdure.engine.payloads import json_payload
from perdure.engine.start import resolve
from perdure.engine.times import set_time
from perdure.errors import NotFound, ResourceExhausted
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.runtime.batch import definition_of, job_of
from perdure.runtime.executor import WORKFLOW_NOT_FOUND
from perdure.runtime.namespaces import Namespace
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime
from perdure.storage.base import VisibilityRow
from perdure.visibility.query import check_syntax, compile_count, compile_list

TYPE_MEMO = "batch_operation_type"
_T = BatchOperationType
_TYPES = {
    "termination_operation": _T.BATCH_OPERATION_TYPE_TERMINATE_WORKFLOW,
    "signal_operation": _T.BATCH_OPERATION_TYPE_SIGNAL_WORKFLOW,
    "cancellation_operation": _T.BATCH_OPERATION_TYPE_CANCEL_WORKFLOW,
    "deletion_operation": _T.BATCH_OPERATION_TYPE_DELETE_WORKFLOW,
    "reset_operation": _T.BATCH_OPERATION_TYPE_RESET_WORKFLOW,
    "update_workflow_options_operation": _T.BATCH_OPERATION_TYPE_UPDATE_WORKFLOW_EXECUTION_OPTIONS,
    "unpause_activities_operation": _T.BATCH_OPERATION_TYPE_UNPAUSE_ACTIVITY,
    "reset_activities_operation": _T.BATCH_OPERATION_TYPE_RESET_ACTIVITY,
    "update_activity_options_operation": _T.BATCH_OPERATION_TYPE_UPDATE_ACTIVITY_OPTIONS,
}
_STATES = {
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING: BatchOperationState.BATCH_OPERATION_STATE_RUNNING,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: BatchOperationState.BATCH_OPERATION_STATE_COMPLETED,
}
_RUNNING = "ExecutionStatus = 'Running'"


class BatchHandlers:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._batches = runtime.batches
        self._batches.check = _checker(runtime.config)
        self._starting = asyncio.Lock()

    def _namespace(self, request: Any) -> Namespace:
        validate.namespace(request, self._runtime.config)
        return self._runtime.namespaces.get(request.namespace)

    async def start_batch_operation(
        self, request: StartBatchOperationRequest, call: Call
    ) -> StartBatchOperationResponse:
        namespace, config = self._namespace(request), self._runtime.config
        validate.batches_enabled(config)
        validate.start_batch(request, config)
        if request.visibility_query:
            check_syntax(request.visibility_query)
        async with self._starting:  # so that no two see room for the last one
            await self._require_room(namespace)
            validate.batch_options(request, self._runtime.config)
            validate.batch_job_id(request.job_id, config)
            run = await self._start(namespace, request)
            await self._executor.settled(run)
        return StartBatchOperationResponse()

    async def _require_room(self, namespace: Namespace) -> None:
        compiled = compile_count(_RUNNING, {})
        counted = await self._runtime.storage.count_visibility(
            space(namespace.id, JobCore.division), compiled.where, compiled.params
        )
        if sum(number for _, number in counted) >= self._runtime.config.max_concurrent_batch_operations:
            raise ResourceExhausted(
                "Max concurrent batch operations is reached",
                ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
                ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE,
            )

    async def _start(self, namespace: Namespace, request: StartBatchOperationRequest) -> Run:
        executor = self._executor
        existing: Any = await self._batches.find(namespace.id, request.job_id)
        resolve(
            existing.core if existing is not None else None,
            WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
            WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
            executor.now_ns(namespace.id),
            executor.config,
        )
        operation, run_id = str(request.WhichOneof("operation")), executor.ids.uuid()
        memo = Memo(fields={TYPE_MEMO: json_payload(int(_TYPES[operation]))})
        core = JobCore(
            namespace_id=namespace.id,
            workflow_id=request.job_id,
            run_id=run_id,
            memo=memo.SerializeToString(deterministic=True),
            operation=_TYPES[operation],
            identity=getattr(request, operation).identity,
            reason=request.reason,
            max_rate=request.max_operations_per_second,
            start_request_id=executor.ids.uuid(),
            first_run_id=run_id,
        )
        return executor.create(core, StartJob(request))

    async def stop_batch_operation(self, request: StopBatchOperationRequest, call: Call) -> StopBatchOperationResponse:
        namespace = self._namespace(request)
        validate.stop_batch(request)
        validate.batches_enabled(self._runtime.config)
        run = await self._find(namespace, request.job_id)
        self._executor.apply(run, EndJob())
        await self._executor.settled(run)
        return StopBatchOperationResponse()

    async def describe_batch_operation(
        self, request: DescribeBatchOperationRequest, call: Call
    ) -> DescribeBatchOperationResponse:
        namespace = self._namespace(request)
        validate.describe_batch(request)
        validate.batches_enabled(self._runtime.config)
        run = await self._find(namespace, request.job_id)
        core, job = job_of(run), definition_of(run)
        response = DescribeBatchOperationResponse(
            operation_type=_T.ValueType(core.operation),
            job_id=core.workflow_id,
            state=_state(core.status),
            identity=core.identity,
            reason=core.reason,
            query=job.visibility_query,
            executions=_executions(job),
        )
        set_time(response.start_time, core.start_ns)
        if core.close_ns:
            set_time(response.close_time, core.close_ns)
        done = response.state == BatchOperationState.BATCH_OPERATION_STATE_COMPLETED
        response.total_operation_count = core.succeeded + core.failed if done else core.total
        response.complete_operation_count = core.succeeded
        response.failure_operation_count = core.failed
        await self._executor.settled(run)
        return response

    async def _find(self, namespace: Namespace, job_id: str) -> Run:
        run = await self._batches.find(namespace.id, job_id)
        if run is None:
            raise NotFound(WORKFLOW_NOT_FOUND.format(job_id))
        return run

    async def list_batch_operations(
        self, request: ListBatchOperationsRequest, call: Call
    ) -> ListBatchOperationsResponse:
        namespace = self._namespace(request)
        validate.batches_enabled(self._runtime.config)
        validate.list_batches(request, self._runtime.config)
        compiled, size = compile_list("", {}), request.page_size
        page = compiled.after(request.next_page_token) if request.next_page_token else compiled
        rows = await self._runtime.storage.list_visibility(
            space(namespace.id, JobCore.division), page.where, page.params, page.order_by, size + 1
        )
        return ListBatchOperationsResponse(
            operation_info=[_info(row) for _, row in rows[:size]],
            next_page_token=compiled.token(*rows[size - 1]) if len(rows) > size else b"",
        )


def _checker(config: Dynamic) -> Callable[[Message], None]:
    """What is wrong with a request about one execution, as if a client had sent it."""
    checks: dict[type, Callable[[Any], None]] = {
        SignalWorkflowExecutionRequest: lambda request: validate.signal(request, config),
        RequestCancelWorkflowExecutionRequest: lambda request: validate.cancel(request, config),
        TerminateWorkflowExecutionRequest: lambda request: validate.terminate(request, config),
        DeleteWorkflowExecutionRequest: validate.delete,
        ResetWorkflowExecutionRequest: lambda request: validate.reset(request, config),
        UpdateWorkflowExecutionOptionsRequest: lambda request: validate.workflow_options(request, config),
        UnpauseActivityRequest: validate.activity_operation,
        ResetActivityRequest: validate.activity_operation,
        UpdateActivityOptionsRequest: validate.activity_operation,
    }
    return lambda request: checks[type(request)](request)


def _state(status: int) -> BatchOperationState.ValueType:
    return _STATES.get(
        WorkflowExecutionStatus.ValueType(status),
        BatchOperationState.BATCH_OPERATION_STATE_FAILED,
    )


def _executions(job: StartBatchOperationRequest) -> list[Execution]:
    """The list of targets in its present form."""
    if job.target_executions:
        return list(job.target_executions)
    workflow = ExecutionType.EXECUTION_TYPE_WORKFLOW
    return [Execution(type=workflow, business_id=each.workflow_id, run_id=each.run_id) for each in job.executions]


def _info(row: VisibilityRow) -> BatchOperationInfo:
    memo = Memo.FromString(row.memo or b"")
    info = BatchOperationInfo(
        job_id=row.workflow_id,
        state=_state(row.status),
        operation_type=_T.ValueType(int(memo.fields[TYPE_MEMO].data)),
    )
    set_time(info.start_time, row.start_time)
    if row.close_time is not None:
        set_time(info.close_time, row.close_time)
    return info

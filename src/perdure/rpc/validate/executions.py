"""Requests about one execution."""

from __future__ import annotations

from temporalio.api.enums.v1 import HistoryEventFilterType, QueryRejectCondition, ResetReapplyType
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    QueryWorkflowRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetStickyTaskQueueRequest,
    ResetWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)

from perdure.config import Dynamic
from perdure.engine.checks import values
from perdure.engine.checks.values import byte_length
from perdure.errors import Internal, InvalidArgument
from perdure.rpc.validate import common

DEFAULT_TERMINATE_REASON = "terminated by user via frontend"
DEFAULT_TERMINATE_IDENTITY = "frontend-service"


def signal(request: SignalWorkflowExecutionRequest, config: Dynamic) -> None:
    _execution(request)
    if not request.signal_name:
        raise InvalidArgument("SignalName is not set on request.")
    if byte_length(request.signal_name) > config.max_id_length:
        raise InvalidArgument("SignalName length exceeds limit.")
    if byte_length(request.request_id) > config.max_id_length:
        raise InvalidArgument("RequestId length exceeds limit.")
    common.links(request.links, config)
    values.check_blob_size(request.input.ByteSize(), config)


def cancel(request: RequestCancelWorkflowExecutionRequest, config: Dynamic) -> None:
    _execution(request)
    common.links(request.links, config)


def terminate(request: TerminateWorkflowExecutionRequest, config: Dynamic) -> None:
    """Fills in reason and identity."""
    _execution(request)
    common.links(request.links, config)
    request.reason = request.reason or DEFAULT_TERMINATE_REASON
    request.identity = request.identity or DEFAULT_TERMINATE_IDENTITY


def reset(request: ResetWorkflowExecutionRequest, config: Dynamic) -> None:
    """Fills in the type of what is applied again."""
    if not request.request_id:
        raise InvalidArgument("RequestId is not set on request.")
    if byte_length(request.request_id) > config.max_id_length:
        raise InvalidArgument("RequestId length exceeds limit.")
    _execution(request)
    if request.reset_reapply_type not in ResetReapplyType.values():
        raise Internal(f"unknown reset reapply type: {request.reset_reapply_type}")
    if not request.reset_reapply_type:
        request.reset_reapply_type = ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE


def query(request: QueryWorkflowRequest, config: Dynamic) -> None:
    """Fills in the condition on which queries are rejected."""
    if config.disallow_query:
        raise InvalidArgument("Namespace is not allowed to query, please contact temporal team to re-enable queries.")
    common.execution(request.execution if request.HasField("execution") else None)
    if not request.HasField("query"):
        raise InvalidArgument("WorkflowQuery is not set on request.")
    if not request.query.query_type:
        raise InvalidArgument("QueryType is not set on request.")
    if not request.query_reject_condition:
        request.query_reject_condition = QueryRejectCondition.QUERY_REJECT_CONDITION_NONE
    values.check_blob_size(request.query.query_args.ByteSize(), config)


def describe(request: DescribeWorkflowExecutionRequest | ResetStickyTaskQueueRequest) -> None:
    """DescribeWorkflowExecution and ResetStickyTaskQueue."""
    common.execution(request.execution if request.HasField("execution") else None)


def history(request: GetWorkflowExecutionHistoryRequest, config: Dynamic) -> None:
    """Fills in the filter and the page size, which is cut to the largest."""
    common.execution(request.execution if request.HasField("execution") else None)
    if not request.history_event_filter_type:
        request.history_event_filter_type = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT
    _page_size(request, config)


def history_reverse(request: GetWorkflowExecutionHistoryReverseRequest, config: Dynamic) -> None:
    common.execution(request.execution if request.HasField("execution") else None)
    _page_size(request, config)


def _page_size(
    request: GetWorkflowExecutionHistoryRequest | GetWorkflowExecutionHistoryReverseRequest, config: Dynamic
) -> None:
    wanted = request.maximum_page_size if request.maximum_page_size > 0 else config.frontend_history_max_page_size
    request.maximum_page_size = min(wanted, config.history_max_page_size)


def _execution(
    request: SignalWorkflowExecutionRequest
    | RequestCancelWorkflowExecutionRequest
    | TerminateWorkflowExecutionRequest
    | ResetWorkflowExecutionRequest
    | DeleteWorkflowExecutionRequest,
) -> None:
    common.execution(request.workflow_execution if request.HasField("workflow_execution") else None)


def delete(request: DeleteWorkflowExecutionRequest) -> None:
    _execution(request)

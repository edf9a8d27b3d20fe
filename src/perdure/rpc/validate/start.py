"""Requests that start workflows."""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkflowIdConflictPolicy as Conflict
from temporalio.api.enums.v1 import WorkflowIdReusePolicy as Reuse
from temporalio.api.workflowservice.v1 import SignalWithStartWorkflowExecutionRequest as SignalWithStartRequest
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest as StartRequest

from perdure.config import Dynamic
from perdure.engine.checks import values
from perdure.engine.checks.commands import SearchAttributeRules
from perdure.engine.checks.values import byte_length, duration_ns, set_duration_ns
from perdure.engine.checks.versioning import check_new_override, present_form
from perdure.engine.cron import check_cron
from perdure.errors import InvalidArgument, Unimplemented
from perdure.rpc.validate import common

_TERMINATE_IF_RUNNING = Reuse.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING


def start(request: StartRequest, config: Dynamic, rules: SearchAttributeRules) -> None:
    """StartWorkflowExecution. Fills in id policies, request id, task queue kind, timeouts and the retry policy."""
    _fill_id_policies(request, Conflict.WORKFLOW_ID_CONFLICT_POLICY_FAIL)
    _workflow_id(request.workflow_id, config)
    _retry_policy(request, config)
    _start_delay(request)
    check_cron(request.cron_schedule)
    if not request.workflow_type.name:
        raise InvalidArgument("WorkflowType is not set on request.")
    if byte_length(request.workflow_type.name) > config.max_id_length:
        raise InvalidArgument("WorkflowType length exceeds limit.")
    values.check_user_task_queue(request.task_queue if request.HasField("task_queue") else None, config)
    _timeouts(request)
    request.request_id = common.request_id(request.request_id, config)
    _id_policies(request)
    options = request.on_conflict_options
    if options.attach_completion_callbacks and not options.attach_request_id:
        raise InvalidArgument("attaching request ID is required for attaching completion callbacks")
    _search_attributes(request, config, rules)
    values.check_priority(request.priority)
    common.completion_callbacks(request.completion_callbacks, config)
    kept = common.links_beside(request.links, request.completion_callbacks)
    del request.links[:]
    request.links.extend(kept)
    common.links([*request.links, *(link for each in request.completion_callbacks for link in each.links)], config)
    common.time_skipping(request, config)
    _unsupported(request)
    _sizes(request, config)
    _fill_timeouts(request, config)
    _versioning_override(request)


def signal_with_start(request: SignalWithStartRequest, config: Dynamic, rules: SearchAttributeRules) -> None:
    """SignalWithStartWorkflowExecution. Fills in what `start` does; an existing workflow is used unless it says else.

    The signal's input is not measured: that is done where the signal is applied, as with any signal.
    """
    check_cron(request.cron_schedule)
    _workflow_id(request.workflow_id, config)
    limit = config.max_id_length
    if not request.signal_name:
        raise InvalidArgument("signal not set")
    if (size := byte_length(request.signal_name)) > limit:
        raise InvalidArgument(f"signal name exceeds maximum allowed length ({size}/{limit})")
    if not request.workflow_type.name:
        raise InvalidArgument("workflow type not set")
    if (size := byte_length(request.workflow_type.name)) > limit:
        raise InvalidArgument(f"workflow type name exceeds maximum allowed length ({size}/{limit})")
    values.check_user_task_queue(request.task_queue if request.HasField("task_queue") else None, config)
    if (size := byte_length(request.request_id)) > limit:
        raise InvalidArgument(f"Request ID exceeds maximum allowed length ({size}/{limit})")
    request.request_id = common.request_id(request.request_id, config)
    _timeouts(request)
    _retry_policy(request, config)
    _start_delay(request)
    _id_policies(request)
    if request.workflow_id_conflict_policy == Conflict.WORKFLOW_ID_CONFLICT_POLICY_FAIL:
        policy = "WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation."
        raise InvalidArgument(f"Invalid WorkflowIDConflictPolicy: {policy}")
    _fill_id_policies(request, Conflict.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
    _search_attributes(request, config, rules)
    values.check_priority(request.priority)
    common.links(request.links, config)
    common.time_skipping(request, config)
    _unsupported(request)
    _fill_timeouts(request, config)
    _sizes(request, config)
    values.check_blob_size(request.signal_input.ByteSize(), config)
    _versioning_override(request)


Request = StartRequest | SignalWithStartRequest


def _workflow_id(value: str, config: Dynamic) -> None:
    if not value:
        raise InvalidArgument(common.WORKFLOW_ID_NOT_SET)
    if (size := byte_length(value)) > config.max_id_length:
        raise InvalidArgument(f"WorkflowId exceeds maximum allowed length ({size}/{config.max_id_length})")


def _retry_policy(request: Request, config: Dynamic) -> None:
    if request.HasField("retry_policy"):
        values.fill_retry_policy(request.retry_policy, config.default_workflow_retry_policy)
        values.check_retry_policy(request.retry_policy)


def _start_delay(request: Request) -> None:
    if request.cron_schedule and request.HasField("workflow_start_delay"):
        raise InvalidArgument("CronSchedule and WorkflowStartDelay may not be used together.")
    if problem := values.cap_duration(request.workflow_start_delay):
        raise InvalidArgument(f"An invalid WorkflowStartDelaySeconds is set on request. cause: {problem}")


def _timeouts(request: Request) -> None:
    for name, duration in (
        ("WorkflowExecutionTimeoutSeconds", request.workflow_execution_timeout),
        ("WorkflowRunTimeoutSeconds", request.workflow_run_timeout),
        ("WorkflowTaskTimeoutSeconds", request.workflow_task_timeout),
    ):
        if problem := values.cap_duration(duration):
            raise InvalidArgument(f"An invalid {name} is set on request. cause: {problem}")


def _id_policies(request: Request) -> None:
    reuse, conflict = request.workflow_id_reuse_policy, request.workflow_id_conflict_policy
    if conflict and reuse == _TERMINATE_IF_RUNNING:
        raise InvalidArgument(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING "
            "cannot be used together with a WorkflowIDConflictPolicy"
        )
    terminate = Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    if conflict == terminate and reuse == Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
        raise InvalidArgument(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together "
            "with WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"
        )


def _fill_id_policies(request: Request, default: Conflict.ValueType) -> None:
    """The old policy TERMINATE_IF_RUNNING, on its own, becomes the conflict policy that it means."""
    if not request.workflow_id_conflict_policy:
        if request.workflow_id_reuse_policy == _TERMINATE_IF_RUNNING:
            request.workflow_id_conflict_policy = Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
            request.workflow_id_reuse_policy = Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
        else:
            request.workflow_id_conflict_policy = default
    if not request.workflow_id_reuse_policy:
        request.workflow_id_reuse_policy = Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE


def _search_attributes(request: Request, config: Dynamic, rules: SearchAttributeRules) -> None:
    fields = request.search_attributes.indexed_fields
    rules.check_names(fields, request.namespace)
    rules.check_values(fields, request.namespace)
    values.check_search_attributes_size(fields, config)


def _unsupported(request: Request) -> None:
    if isinstance(request, StartRequest) and request.completion_callbacks:
        if any(each.HasField("internal") for each in request.completion_callbacks):
            raise InvalidArgument("unsupported callback variant: *common.Callback_Internal_")
        raise Unimplemented("Completion callbacks are not supported by this server.")


def _versioning_override(request: Request) -> None:
    if request.HasField("versioning_override"):
        check_new_override(request.versioning_override, request.task_queue.name)
        request.versioning_override.CopyFrom(present_form(request.versioning_override))


def _sizes(request: Request, config: Dynamic) -> None:
    values.check_blob_size(request.input.ByteSize(), config)
    values.check_memo_size(request.memo.ByteSize(), config)


def _fill_timeouts(request: Request, config: Dynamic) -> None:
    """The execution's timeout stays as it is; the run's follows from it, the task's from the run's. Absent stays so."""
    run_ns = values.run_timeout_ns(
        duration_ns(request.workflow_run_timeout), duration_ns(request.workflow_execution_timeout)
    )
    if run_ns != duration_ns(request.workflow_run_timeout):
        set_duration_ns(request.workflow_run_timeout, run_ns)
    task_ns = values.task_timeout_ns(duration_ns(request.workflow_task_timeout), run_ns, config)
    if task_ns != duration_ns(request.workflow_task_timeout):
        set_duration_ns(request.workflow_task_timeout, task_ns)

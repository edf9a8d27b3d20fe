"""The checks of commands that reach other executions, or the next run of their own."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    ContinueAsNewWorkflowExecutionCommandAttributes,
    RequestCancelExternalWorkflowExecutionCommandAttributes,
    SignalExternalWorkflowExecutionCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import RetryPolicy, SearchAttributes
from temporalio.api.enums.v1 import CommandType, ParentClosePolicy, WorkflowIdReusePolicy

from perdure.engine.checks import values
from perdure.engine.checks.commands import (
    BadCommand,
    Cause,
    CommandContext,
    check_memo,
    check_of,
    check_pending,
    check_search_attributes_size,
    check_size,
    too_long,
)
from perdure.engine.checks.values import duration_ns, set_duration_ns
from perdure.engine.checks.versioning import check_form
from perdure.engine.cron import check_cron
from perdure.errors import InvalidArgument

_BAD_SEARCH_ATTRIBUTES = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
_BAD_CONTINUE = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES
_BAD_CHILD = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES
_BAD_SIGNAL = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES


# Helpers.


def _check_same_namespace(target_id: str, ctx: CommandContext) -> None:
    if target_id != ctx.namespace_id and not ctx.config.enable_cross_namespace_commands:
        raise InvalidArgument("cross namespace commands are not allowed")


def _target_id(namespace: str, ctx: CommandContext) -> str:
    return ctx.find_namespace_id(namespace) if namespace else ctx.namespace_id


def _check_names(attributes: SearchAttributes, namespace: str, ctx: CommandContext) -> None:
    try:
        ctx.rules.check_names(attributes.indexed_fields, namespace)
    except InvalidArgument as error:
        raise BadCommand(_BAD_SEARCH_ATTRIBUTES, error.message) from error


def _check_values(attributes: SearchAttributes, namespace: str, ctx: CommandContext, what: str) -> None:
    """`what`: the error's text around the reason, which goes where `{}` stands."""
    try:
        ctx.rules.check_values(attributes.indexed_fields, namespace)
    except InvalidArgument as error:
        raise BadCommand(_BAD_SEARCH_ATTRIBUTES, what.replace("{}", error.message, 1)) from error


def _check_retry_policy(policy: RetryPolicy | None, ctx: CommandContext, what: str) -> None:
    if policy is None:
        return
    try:
        values.fill_retry_policy(policy, ctx.config.default_workflow_retry_policy)
        values.check_retry_policy(policy)
    except InvalidArgument as error:
        raise InvalidArgument(what.replace("{}", error.message, 1)) from error


# Continue as new.


@check_of(CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION, _BAD_CONTINUE)
def check_continue_as_new_workflow_execution(
    attributes: ContinueAsNewWorkflowExecutionCommandAttributes, ctx: CommandContext
) -> None:
    """Fills in what the next run has in common with this one: type, task queue, timeouts; and the retry policy."""
    _check_names(attributes.search_attributes, ctx.namespace, ctx)
    if not attributes.workflow_type.name:
        attributes.workflow_type.name = ctx.workflow_type
    kind = attributes.workflow_type.name
    on = "ContinueAsNewWorkflowExecutionCommand"
    if size := too_long(kind, ctx.config):
        raise InvalidArgument(f"WorkflowType on {on} exceeds length limit. WorkflowType={kind} {size}")
    queue = attributes.task_queue
    try:
        values.check_user_task_queue(queue, ctx.config, default=ctx.task_queue, parent=ctx.task_queue)
    except InvalidArgument as error:
        where = f"WorkflowType={kind} TaskQueue={values.printed(queue)}"
        raise InvalidArgument(f"error validating {on} TaskQueue: {error.message}. {where}") from error
    where = f"WorkflowType={kind} TaskQueue={values.printed(queue)}"
    for name, duration in (
        ("WorkflowRunTimeout", attributes.workflow_run_timeout),
        ("WorkflowTaskTimeout", attributes.workflow_task_timeout),
        ("BackoffStartInterval", attributes.backoff_start_interval),
    ):
        if problem := values.cap_duration(duration):
            raise InvalidArgument(f"Invalid {name} on {on}: {problem}. {where}")
    _fill_next_timeouts(attributes, ctx)
    policy = attributes.retry_policy if attributes.HasField("retry_policy") else None
    _check_retry_policy(policy, ctx, f"invalid WorkflowRetryPolicy on {on}: {{}}. {where}")
    _check_values(attributes.search_attributes, ctx.namespace, ctx, f"invalid SearchAttributes on {on}: {{}}. {where}")
    if attributes.inherit_build_id and queue.name != ctx.task_queue:
        raise InvalidArgument("ContinueAsNew with UseCompatibleVersion cannot run on different task queue.")
    _check_next_sizes(attributes, ctx)


def _fill_next_timeouts(attributes: ContinueAsNewWorkflowExecutionCommandAttributes, ctx: CommandContext) -> None:
    run_ns = duration_ns(attributes.workflow_run_timeout) or ctx.run_timeout_ns
    task_ns = duration_ns(attributes.workflow_task_timeout) or ctx.task_timeout_ns
    run_ns = values.run_timeout_ns(run_ns, ctx.execution_timeout_ns)
    set_duration_ns(attributes.workflow_run_timeout, run_ns)
    set_duration_ns(attributes.workflow_task_timeout, values.task_timeout_ns(task_ns, run_ns, ctx.config))


def _check_next_sizes(attributes: ContinueAsNewWorkflowExecutionCommandAttributes, ctx: CommandContext) -> None:
    name = "ContinueAsNewWorkflowExecutionCommandAttributes"
    check_size(attributes.input.ByteSize(), ctx, _BAD_CONTINUE, f"{name}. Input exceeds size limit.")
    check_memo(attributes.memo, ctx, _BAD_CONTINUE, f"{name}. Memo exceeds size limit.")
    check_search_attributes_size(attributes.search_attributes.indexed_fields, ctx, _BAD_CONTINUE)


# Children.


@check_of(CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, _BAD_CHILD)
def check_start_child_workflow_execution(
    attributes: StartChildWorkflowExecutionCommandAttributes, ctx: CommandContext
) -> None:
    """Fills in namespace, task queue, run and task timeout, the retry policy and both policies."""
    target_id = _target_id(attributes.namespace, ctx)
    attributes.namespace = attributes.namespace or ctx.namespace
    _check_names(attributes.search_attributes, attributes.namespace, ctx)
    _check_same_namespace(target_id, ctx)
    _check_child_names(attributes, ctx)
    _check_child_values(attributes, ctx)
    _fill_child(attributes, ctx)
    if attributes.HasField("versioning_override"):
        check_form(attributes.versioning_override)
    if attributes.inherit_build_id and attributes.task_queue.name != ctx.task_queue:
        raise InvalidArgument(
            "StartChildWorkflowExecution with UseCompatibleVersion cannot run on different task queue."
        )
    name = "StartChildWorkflowExecutionCommandAttributes"
    check_size(attributes.input.ByteSize(), ctx, _BAD_CHILD, f"{name}. Input exceeds size limit.")
    check_memo(attributes.memo, ctx, _BAD_CHILD, f"{name}.Memo exceeds size limit.")
    check_search_attributes_size(attributes.search_attributes.indexed_fields, ctx, _BAD_CHILD)
    check_pending(
        ctx.pending_children,
        ctx.config.num_pending_child_executions_limit_error,
        "pending child workflow executions",
        Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED,
    )


def _check_child_names(attributes: StartChildWorkflowExecutionCommandAttributes, ctx: CommandContext) -> None:
    child, kind, namespace = attributes.workflow_id, attributes.workflow_type.name, attributes.namespace
    on = "StartChildWorkflowExecutionCommand"
    if not child:
        raise InvalidArgument(
            f"Required field WorkflowId is not set on {on}. WorkflowType={kind} Namespace={namespace}"
        )
    if not kind:
        raise InvalidArgument(
            f"Required field WorkflowType is not set on {on}. WorkflowId={child} Namespace={namespace}"
        )
    exceeds = f"on {on} exceeds length limit. WorkflowId={child}"
    if size := too_long(namespace, ctx.config):
        raise InvalidArgument(f"Namespace {exceeds} WorkflowType={kind} Namespace={namespace} {size}")
    if size := too_long(child, ctx.config):
        raise InvalidArgument(f"WorkflowId {exceeds} {size} WorkflowType={kind} Namespace={namespace}")
    if size := too_long(kind, ctx.config):
        raise InvalidArgument(f"WorkflowType {exceeds} WorkflowType={kind} {size} Namespace={namespace}")


def _check_child_values(attributes: StartChildWorkflowExecutionCommandAttributes, ctx: CommandContext) -> None:
    on = "StartChildWorkflowExecutionCommand"
    where = (
        f"WorkflowId={attributes.workflow_id} WorkflowType={attributes.workflow_type.name} "
        f"Namespace={attributes.namespace}"
    )
    for name, duration in (
        ("WorkflowExecutionTimeout", attributes.workflow_execution_timeout),
        ("WorkflowRunTimeout", attributes.workflow_run_timeout),
        ("WorkflowTaskTimeout", attributes.workflow_task_timeout),
    ):
        if problem := values.cap_duration(duration):
            raise InvalidArgument(f"Invalid {name} on {on}: {problem}. {where}")
    policy = attributes.retry_policy if attributes.HasField("retry_policy") else None
    _check_retry_policy(policy, ctx, f"invalid WorkflowRetryPolicy on {on}: {{}}. {where}")
    try:
        check_cron(attributes.cron_schedule)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid CronSchedule on {on}: {error.message}. {where}") from error
    on_command = "invalid SearchAttributes on StartChildWorkflowCommand"
    _check_values(attributes.search_attributes, attributes.namespace, ctx, f"{on_command}: {{}}. {where}")
    values.check_priority(attributes.priority)
    try:
        values.check_user_task_queue(attributes.task_queue, ctx.config, default=ctx.task_queue, parent=ctx.task_queue)
    except InvalidArgument as error:
        queue = values.printed(attributes.task_queue)
        raise InvalidArgument(f"invalid TaskQueue on {on}: {error.message}. {where} TaskQueue={queue}") from error


def _fill_child(attributes: StartChildWorkflowExecutionCommandAttributes, ctx: CommandContext) -> None:
    run_ns = values.run_timeout_ns(
        duration_ns(attributes.workflow_run_timeout), duration_ns(attributes.workflow_execution_timeout)
    )
    task_ns = values.task_timeout_ns(duration_ns(attributes.workflow_task_timeout), run_ns, ctx.config)
    set_duration_ns(attributes.workflow_run_timeout, run_ns)
    set_duration_ns(attributes.workflow_task_timeout, task_ns)
    if not attributes.parent_close_policy:
        attributes.parent_close_policy = ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE
    if not attributes.workflow_id_reuse_policy:
        attributes.workflow_id_reuse_policy = WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE


# Signals and cancels of other executions.


@check_of(CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, _BAD_SIGNAL)
def check_signal_external_workflow_execution(
    attributes: SignalExternalWorkflowExecutionCommandAttributes, ctx: CommandContext
) -> None:
    namespace, name = attributes.namespace, attributes.signal_name
    target_id = _target_id(namespace, ctx)
    on = "SignalExternalWorkflowExecutionCommand"
    if not attributes.HasField("execution"):
        raise InvalidArgument(f"Execution is not set on {on}.")
    _check_same_namespace(target_id, ctx)
    workflow, run = attributes.execution.workflow_id, attributes.execution.run_id
    if not workflow:
        raise InvalidArgument(f"WorkflowId is not set on {on}. Namespace={namespace} RunId={run} SignalName={name}")
    exceeds, rest = f"on {on} exceeds length limit. WorkflowId={workflow}", f"RunId={run} SignalName={name}"
    if size := too_long(namespace, ctx.config):
        raise InvalidArgument(f"Namespace {exceeds} Namespace={namespace} {size} {rest}")
    if size := too_long(workflow, ctx.config):
        raise InvalidArgument(f"WorkflowId {exceeds} {size} Namespace={namespace} {rest}")
    where = f"WorkflowId={workflow} Namespace={namespace}"
    if run and not values.is_uuid(run):
        raise InvalidArgument(f"Invalid RunId set on {on}. {where} {rest}")
    if not name:
        raise InvalidArgument(f"SignalName is not set on {on}. {where} RunId={run}")
    check_pending(
        ctx.pending_signals,
        ctx.config.num_pending_signals_limit_error,
        "pending signals to external workflows",
        Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_SIGNALS_LIMIT_EXCEEDED,
    )
    too_large = "SignalExternalWorkflowExecutionCommandAttributes.Input exceeds size limit."
    check_size(attributes.input.ByteSize(), ctx, _BAD_SIGNAL, too_large)


@check_of(
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
    Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES,
)
def check_request_cancel_external_workflow_execution(
    attributes: RequestCancelExternalWorkflowExecutionCommandAttributes, ctx: CommandContext
) -> None:
    namespace, workflow, run = attributes.namespace, attributes.workflow_id, attributes.run_id
    on = "RequestCancelExternalWorkflowExecutionCommand"
    _check_same_namespace(_target_id(namespace, ctx), ctx)
    if not workflow:
        raise InvalidArgument(f"WorkflowId is not set on {on}. Namespace={namespace} RunId={run}")
    exceeds = f"on {on} exceeds length limit. WorkflowId={workflow}"
    if size := too_long(namespace, ctx.config):
        raise InvalidArgument(f"Namespace {exceeds} RunId={run} Namespace={namespace} {size}")
    if size := too_long(workflow, ctx.config):
        raise InvalidArgument(f"WorkflowId {exceeds} {size} RunId={run} Namespace={namespace}")
    where = f"WorkflowId={workflow} RunId={run} Namespace={namespace}"
    if run and not values.is_uuid(run):
        raise InvalidArgument(f"Invalid RunId set on {on}. {where}")
    if workflow in ctx.children_started:
        raise InvalidArgument(
            f"Start and RequestCancel for child workflow is not allowed in same workflow task. {where}"
        )
    check_pending(
        ctx.pending_cancels,
        ctx.config.num_pending_cancel_requests_limit_error,
        "pending requests to cancel external workflows",
        Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED,
    )

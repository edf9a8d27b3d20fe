"""Requests about schedules. Specifications are brought into their one form."""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkflowIdReusePolicy
from temporalio.api.failure.v1 import Failure
from temporalio.api.schedule.v1 import Schedule
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    ListScheduleMatchingTimesRequest,
    ListSchedulesRequest,
    PatchScheduleRequest,
    UpdateScheduleRequest,
)

from perdure.config import Dynamic
from perdure.engine.checks import values
from perdure.engine.checks.commands import SearchAttributeRules
from perdure.engine.checks.values import byte_length
from perdure.engine.schedule.ranges import BadSpec
from perdure.engine.schedule.shown import PAUSED, TIMESTAMP_EXAMPLE
from perdure.engine.schedule.spec import canonical
from perdure.errors import FailedPrecondition, InvalidArgument, QueryFailed

WORKFLOW_ID_PREFIX = "temporal-sys-scheduler:"
"""What stands before a schedule's id where the real server speaks of it as of a workflow."""
MAX_NOTES_BYTES = 1000
_ID_NOT_SET = "Can't load workflow execution.  WorkflowId not set."


def create_schedule(request: CreateScheduleRequest, config: Dynamic, rules: SearchAttributeRules) -> None:
    """CreateSchedule."""
    _id_length(WORKFLOW_ID_PREFIX + request.schedule_id, config)
    if not request.request_id:
        raise InvalidArgument("RequestId is not set on request.")
    _request_id(request.request_id, config)
    request.schedule.SetInParent()
    _specification(request.schedule)
    _action(request.schedule, request.namespace, config, rules)
    schedule_id(request.schedule_id)
    fields = request.search_attributes.indexed_fields
    rules.check_names(fields, request.namespace)
    rules.check_values(fields, request.namespace)
    values.check_search_attributes_size(fields, config)
    values.check_blob_size(request.schedule.ByteSize() + request.initial_patch.ByteSize(), config)
    values.check_memo_size(request.memo.ByteSize(), config)


def update_schedule(request: UpdateScheduleRequest, config: Dynamic, rules: SearchAttributeRules) -> None:
    """UpdateSchedule."""
    _request_id(request.request_id, config)
    _action(request.schedule, request.namespace, config, rules)
    request.schedule.SetInParent()
    _specification(request.schedule)
    fields = request.search_attributes.indexed_fields
    rules.check_names(fields, request.namespace)
    rules.check_values(fields, request.namespace)
    values.check_search_attributes_size(fields, config)
    action = request.schedule.action
    if not action.HasField("start_workflow"):
        raise InvalidArgument("Only StartWorkflow action is supported for schedules")
    values.check_blob_size(request.memo.ByteSize() + action.start_workflow.input.ByteSize(), config)
    schedule_id(request.schedule_id)
    if request.HasField("memo"):
        raise FailedPrecondition("memo updates are not supported on workflow-backed schedules")
    values.check_blob_size(request.schedule.ByteSize(), config)


def patch_schedule(request: PatchScheduleRequest, config: Dynamic) -> None:
    """PatchSchedule."""
    if not request.HasField("patch"):
        raise InvalidArgument("Patch is not set on request.")
    _request_id(request.request_id, config)
    if max(byte_length(request.patch.pause), byte_length(request.patch.unpause)) > MAX_NOTES_BYTES:
        raise InvalidArgument("Schedule notes exceeds limit.")
    values.check_blob_size(request.patch.ByteSize(), config)
    schedule_id(request.schedule_id)


def schedule_matching_times(request: ListScheduleMatchingTimesRequest) -> None:
    """ListScheduleMatchingTimes, for a schedule that is there."""
    if not (request.HasField("start_time") and request.HasField("end_time")):
        raise query_failed("missing or invalid query")


def query_failed(message: str) -> QueryFailed:
    """A question about times that has no answer: the real server puts it to a workflow, as a query."""
    failure = Failure(message=message, source="GoSDK")
    failure.application_failure_info.SetInParent()
    return QueryFailed(message, failure.SerializeToString())


def list_schedules(request: ListSchedulesRequest, config: Dynamic) -> None:
    """ListSchedules. Fills in the page size; one too large is cut, not refused."""
    if not 0 < request.maximum_page_size <= config.visibility_max_page_size:
        request.maximum_page_size = config.visibility_max_page_size


def schedule_id(value: str) -> None:
    """The id of a schedule in any request."""
    if not value:
        raise InvalidArgument(_ID_NOT_SET)


def _id_length(value: str, config: Dynamic) -> None:
    if (size := byte_length(value)) > config.max_id_length:
        raise InvalidArgument(f"WorkflowId exceeds maximum allowed length ({size}/{config.max_id_length})")


def _request_id(value: str, config: Dynamic) -> None:
    if byte_length(value) > config.max_id_length:
        raise InvalidArgument("RequestId length exceeds limit.")


def _specification(schedule: Schedule) -> None:
    schedule.spec.SetInParent()
    try:
        schedule.spec.CopyFrom(canonical(schedule.spec))
    except BadSpec as problem:
        raise InvalidArgument(f"Invalid schedule spec: {problem}") from problem


def _action(schedule: Schedule, namespace: str, config: Dynamic, rules: SearchAttributeRules) -> None:
    """The workflow to be started, if one is."""
    if not schedule.action.HasField("start_workflow"):
        return
    start = schedule.action.start_workflow
    _id_length(start.workflow_id + TIMESTAMP_EXAMPLE, config)
    if not start.workflow_type.name:
        raise InvalidArgument("WorkflowType is not set on request.")
    if byte_length(start.workflow_type.name) > config.max_id_length:
        raise InvalidArgument("WorkflowType length exceeds limit.")
    values.check_user_task_queue(start.task_queue if start.HasField("task_queue") else None, config)
    _timeouts(start)
    if start.cron_schedule:
        raise InvalidArgument("Scheduled workflow must not contain CronSchedule")
    if start.workflow_id_reuse_policy not in (
        WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_UNSPECIFIED,
        WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    ):
        raise InvalidArgument("Scheduled workflow must not contain WorkflowIDReusePolicy")
    fields = start.search_attributes.indexed_fields
    rules.check_names(fields, namespace)
    rules.check_values(fields, namespace)
    values.check_search_attributes_size(fields, config)


def _timeouts(start: NewWorkflowExecutionInfo) -> None:
    for name, duration in (
        ("WorkflowExecutionTimeoutSeconds", start.workflow_execution_timeout),
        ("WorkflowRunTimeoutSeconds", start.workflow_run_timeout),
        ("WorkflowTaskTimeoutSeconds", start.workflow_task_timeout),
    ):
        if problem := values.cap_duration(duration):
            raise InvalidArgument(f"An invalid {name} is set on request. cause: {problem}")


LISTABLE = frozenset({PAUSED})
"""The built-in attributes that a query for schedules may name."""

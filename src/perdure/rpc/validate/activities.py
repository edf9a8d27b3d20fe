"""What workers tell of activities.

Data that is too large does not refuse the call: a failure is recorded instead, which is what these functions return.
"""

from __future__ import annotations

from typing import Protocol

from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedRequest,
)

from perdure.config import Dynamic
from perdure.engine.checks import values
from perdure.errors import InvalidArgument, NotFound
from perdure.rpc.validate import common

RespondById = (
    RespondActivityTaskCompletedByIdRequest
    | RespondActivityTaskCanceledByIdRequest
    | RespondActivityTaskFailedByIdRequest
)
Respond = RespondActivityTaskCompletedRequest | RespondActivityTaskCanceledRequest | RespondById


class ById(Protocol):
    workflow_id: str
    run_id: str
    activity_id: str


def activity_id(request: ById) -> None:
    """What names the activity in the `...ById` calls; comes before the rest of their checks."""
    if not request.activity_id:
        raise InvalidArgument("ActivityId is not set on request.")


def activity_heartbeat(
    request: RecordActivityTaskHeartbeatRequest | RecordActivityTaskHeartbeatByIdRequest, config: Dynamic
) -> Failure | None:
    """The failure with which the activity ends now, if the details are too large; the worker is told to cancel."""
    if isinstance(request, RecordActivityTaskHeartbeatByIdRequest):
        _by_id(request)
    if common.is_too_large(request.details, config):
        return common.server_failure("Heartbeat details exceed size limit.")
    return None


def activity_completed(
    request: RespondActivityTaskCompletedRequest | RespondActivityTaskCompletedByIdRequest, config: Dynamic
) -> Failure | None:
    """The failure that is recorded in place of a result that is too large."""
    _identity(request, config)
    if common.is_too_large(request.result, config):
        return common.server_failure("Complete result exceeds size limit.")
    return None


def activity_canceled(
    request: RespondActivityTaskCanceledRequest | RespondActivityTaskCanceledByIdRequest, config: Dynamic
) -> Failure | None:
    """The failure that is recorded in place of details that are too large."""
    _identity(request, config)
    if common.is_too_large(request.details, config):
        return common.server_failure("Cancel details exceed size limit.")
    return None


def activity_failed(request: RespondActivityTaskFailedRequest, config: Dynamic) -> list[Failure]:
    """Replaces a failure that is too large, drops such heartbeat details. Returns the failures that the reply names."""
    if request.HasField("failure") and not request.failure.HasField("application_failure_info"):
        raise InvalidArgument("Failure must have ApplicationFailureInfo.")
    values.check_causes(request.failure)
    common.identity(request.identity, config)
    return _cut(request, config)


def activity_failed_by_id(request: RespondActivityTaskFailedByIdRequest, config: Dynamic) -> list[Failure]:
    """As `activity_failed`; here any kind of failure will do."""
    _identity(request, config)
    values.check_causes(request.failure)
    return _cut(request, config)


def _identity(request: Respond, config: Dynamic) -> None:
    """The identity, and what names the activity: by id, the activity comes before it and the workflow after it."""
    if isinstance(request, RespondById):
        activity_id(request)
    common.identity(request.identity, config)
    if isinstance(request, RespondById):
        _workflow(request)


def _by_id(request: ById) -> None:
    activity_id(request)
    _workflow(request)


def _workflow(request: ById) -> None:
    if request.run_id and not values.is_uuid(request.run_id):
        raise InvalidArgument("RunId is not valid UUID.")
    # An activity without a workflow is a standalone one, and there are none here.
    if not request.workflow_id:
        raise NotFound(f"activity not found for ID: {request.activity_id}")


def _cut(
    request: RespondActivityTaskFailedRequest | RespondActivityTaskFailedByIdRequest, config: Dynamic
) -> list[Failure]:
    told: list[Failure] = []
    if common.is_too_large(request.last_heartbeat_details, config):
        told.append(common.server_failure("Heartbeat details exceed size limit."))
        request.ClearField("last_heartbeat_details")
    if common.is_too_large(request.failure, config):
        request.failure.CopyFrom(common.too_large_failure(request.failure, config))
        told.append(request.failure)
    return told

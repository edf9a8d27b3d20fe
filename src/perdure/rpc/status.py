"""From our errors to gRPC statuses: the one place that knows how a refusal looks on the wire.

A status is a code, a message and, for errors that clients match on, a `google.rpc.Status` in the trailer
`grpc-status-details-bin` with one typed detail of `temporal.api.errordetails.v1`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from temporalio.api.errordetails.v1 import message_pb2 as details
from temporalio.api.failure.v1 import message_pb2 as failures

from perdure import errors

DETAILS_KEY: Final = "grpc-status-details-bin"

MAX_MESSAGE_BYTES: Final = 4000
"""As in the real server: longer messages are cut. Here counted as sent, where a byte that is not ASCII takes three."""

MAX_TRAILER_BYTES: Final = 7900
"""The message and the details together. Java's and Google's clients lose calls with more than 8 KiB of headers."""

TRUNCATED: Final = "... <truncated>"

PRINTABLE: Final = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"
"""Besides what `quote` never escapes: all of ASCII that can be read, but not the percent sign."""

HALF_ESCAPE: Final = re.compile("%.?$")


def of(error: errors.PerdureError) -> tuple[int, str, bytes]:
    """The code, message and serialized details (empty when the error has none) of `error`."""
    return fitted(proto(error))


def fitted(status: Status) -> tuple[int, str, bytes]:
    """The code, message and serialized details of `status`, which may lose what is too long to send."""
    if not status.details:
        return status.code, status.message, b""
    if _trailer_bytes(status) > MAX_TRAILER_BYTES:
        status.details[0].ClearField("value")  # the type says most
    if _trailer_bytes(status) > MAX_TRAILER_BYTES:
        status.message = _bounded(status.message, MAX_MESSAGE_BYTES // 2)
    return status.code, status.message, status.SerializeToString()


def proto(error: errors.PerdureError) -> Status:
    """The status of `error` as a message, as update responses and multi-operations carry it."""
    if isinstance(error, errors.MultiOperationExecution):
        return _multi_operation(error)
    status = Status(code=error.code, message=_bounded(error.message))
    detail = _detail(error)
    if detail is not None:
        _pack(status, detail)
    return status


def _detail(error: errors.PerdureError) -> Message | None:
    for kind in type(error).__mro__:
        make = _DETAILS.get(kind)
        if make is not None:
            return make(error)
    return None


def _trailer_bytes(status: Status) -> int:
    """What the message and, in base64, the whole status come to."""
    size_bytes: int = status.ByteSize()
    return len(percent_encoded(status.message)) + size_bytes * 4 // 3 + 4


def _multi_operation(error: errors.MultiOperationExecution) -> Status:
    """The code is that of the first operation at fault, not of one that was only dropped with it."""
    statuses = [proto(each) if each else Status() for each in error.errors]
    code = next(
        (
            status.code
            for each, status in zip(error.errors, statuses, strict=True)
            if each and not isinstance(each, errors.MultiOperationAborted)
        ),
        errors.Aborted.code,
    )
    failure = details.MultiOperationExecutionFailure()
    for status in statuses:
        failure.statuses.add(code=status.code, message=status.message, details=status.details)
    whole = Status(code=code, message=_bounded(error.message))
    _pack(whole, failure)
    return whole


def _pack(status: Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def percent_encoded(message: str) -> str:
    """`message` as gRPC puts it into a header."""
    return quote(message, safe=PRINTABLE, errors="replace")


def _bounded(message: str, limit_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """`message` as UTF-8 can carry it, and cut where it would take more than `limit_bytes` in a header."""
    encoded = percent_encoded(message[: limit_bytes + 1])
    if len(encoded) <= limit_bytes:
        return unquote(encoded)
    kept = encoded[: limit_bytes - len(TRUNCATED)]
    return unquote(HALF_ESCAPE.sub("", kept), errors="ignore") + TRUNCATED


def _query_failed(error: errors.QueryFailed) -> Message:
    detail = details.QueryFailedFailure()
    if error.failure:
        detail.failure.MergeFromString(error.failure)
    return detail


def _already_started(error: errors.WorkflowExecutionAlreadyStarted) -> Message:
    return details.WorkflowExecutionAlreadyStartedFailure(
        start_request_id=error.start_request_id,
        run_id=error.run_id,
        first_execution_run_id=error.first_execution_run_id,
    )


def _invalid_state(error: errors.NamespaceInvalidState) -> Message:
    return details.NamespaceInvalidStateFailure(
        namespace=error.namespace,
        state=error.state,  # type: ignore[arg-type]
        allowed_states=error.allowed_states,  # type: ignore[arg-type]
    )


def _exhausted(error: errors.ResourceExhausted) -> Message:
    return details.ResourceExhaustedFailure(cause=error.cause, scope=error.scope)  # type: ignore[arg-type]


_DETAILS: dict[type, Callable[..., Message]] = {
    errors.NotFound: lambda error: details.NotFoundFailure(),
    errors.NamespaceNotFound: lambda error: details.NamespaceNotFoundFailure(namespace=error.namespace),
    errors.NamespaceAlreadyExists: lambda error: details.NamespaceAlreadyExistsFailure(),
    errors.NamespaceInvalidState: _invalid_state,
    errors.NamespaceUnavailable: lambda error: details.NamespaceUnavailableFailure(namespace=error.namespace),
    errors.WorkflowExecutionAlreadyStarted: _already_started,
    errors.CancellationAlreadyRequested: lambda error: details.CancellationAlreadyRequestedFailure(),
    errors.WorkflowNotReady: lambda error: details.WorkflowNotReadyFailure(),
    errors.QueryFailed: _query_failed,
    errors.PermissionDenied: lambda error: details.PermissionDeniedFailure(reason=error.reason),
    errors.ResourceExhausted: _exhausted,
    errors.MultiOperationAborted: lambda error: failures.MultiOperationExecutionAborted(),
}

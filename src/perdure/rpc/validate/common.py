"""Rules that many requests share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from google.protobuf.message import DecodeError, Message
from temporalio.api.common.v1 import Callback, Link, TimeSkippingConfig, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure

from perdure.config import Dynamic
from perdure.engine.checks.values import byte_length, duration_ns, exceeds, is_uuid
from perdure.errors import FailedPrecondition, Internal, InvalidArgument, PerdureError, Unimplemented
from perdure.rpc.validate import urls

NAMESPACE_NOT_SET = "Namespace not set on request."
INVALID_TASK_TOKEN = "Invalid TaskToken."
DESERIALIZING_TOKEN = "Error deserializing task token."
TOKEN_OF_OTHER_NAMESPACE = "Operation requested with a token from a different namespace."
INVALID_NEXT_PAGE_TOKEN = "Invalid NextPageToken."
RUN_ID_MISMATCH = "RunId in the request does not match the NextPageToken."
IDENTITY_TOO_LONG = "Identity length exceeds limit."
WORKFLOW_ID_NOT_SET = "WorkflowId is not set on request."

MAX_DEPTH = 100
"""Of messages within messages, as protobuf reads them here."""
_FAILURE_DEPTH = 20

M = TypeVar("M", bound=Message)


class HasNamespace(Protocol):
    namespace: str


class HasTaskToken(HasNamespace, Protocol):
    task_token: bytes


class HasId(Protocol):
    @property
    def id(self) -> str: ...


Find = Callable[[str], HasId]
"""A namespace by its name, or the refusal of one that does not exist."""


def parse(message: type[M], data: bytes) -> M:
    """A request from the wire. Errors: those of `undecodable`."""
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise undecodable(error) from error


def undecodable(error: DecodeError) -> PerdureError:
    """`Internal`, as gRPC says it of bytes (or texts not in UTF-8) it can't read. What is nested deeper than protobuf
    reads is the client's to change, and trying again would not help: `InvalidArgument`."""
    words = "grpc: error unmarshalling request: "
    if "MaxDepth" in str(error):
        return InvalidArgument(words + f"it is nested too deeply (more than {MAX_DEPTH} levels)")
    if "UTF-8" in str(error):
        return Internal(words + "string field contains invalid UTF-8")
    return Internal(words + "proto: cannot parse invalid wire-format data")


# Namespaces and tokens.


def namespace(request: HasNamespace, config: Dynamic, missing: str = "Namespace is empty.") -> str:
    """The name of the namespace that a request without a task token must give. Returns it.

    `missing`: what a request without is told; calls about namespaces themselves say `NAMESPACE_NOT_SET`.
    """
    namespace_length(request, config)
    if not request.namespace:
        raise InvalidArgument(missing)
    return request.namespace


def namespace_length(request: HasNamespace, config: Dynamic) -> None:
    if byte_length(request.namespace) > config.max_id_length:
        raise InvalidArgument("Namespace length exceeds limit.")


def task_token(request: HasTaskToken, config: Dynamic, find: Find) -> bytes:
    """The token that tells the namespace of a worker's answer. Whoever reads it refuses with `DESERIALIZING_TOKEN`.

    A namespace that the answer names beside it has to be there, whatever the token.
    """
    namespace_length(request, config)
    if request.namespace:
        find(request.namespace)
    if not request.task_token:
        raise InvalidArgument("Task token not set on request.")
    return request.task_token


def token_namespace(request: HasNamespace, token_namespace_id: str, find: Find) -> None:
    """A worker's answer may name its namespace beside the token; then both must mean the same."""
    if request.namespace and find(request.namespace).id != token_namespace_id:
        raise InvalidArgument(TOKEN_OF_OTHER_NAMESPACE)


# Identities and ids.


def execution(value: WorkflowExecution | None) -> None:
    """`None`: the request has no such field."""
    if value is None:
        raise InvalidArgument("Execution is not set on request.")
    if not value.workflow_id:
        raise InvalidArgument(WORKFLOW_ID_NOT_SET)
    if value.run_id and not is_uuid(value.run_id):
        raise InvalidArgument("Invalid RunId.")


def identity(value: str, config: Dynamic) -> None:
    if byte_length(value) > config.max_id_length:
        raise InvalidArgument(IDENTITY_TOO_LONG)


def request_id(value: str, config: Dynamic) -> str:
    """The request id, or a new one when the caller gave none: SDKs that try again always do."""
    if byte_length(value) > config.max_id_length:
        raise InvalidArgument("RequestId length exceeds limit.")
    return value or str(uuid4())


# Long polls.


def long_poll_deadline(timeout_s: float | None, config: Dynamic) -> None:
    """What a poll for a task needs as its deadline, in seconds from now; None: the caller set none."""
    if timeout_s is None:
        raise InvalidArgument("Context timeout is not set.")
    if timeout_s < config.min_long_poll_timeout_s:
        raise FailedPrecondition("Context timeout is too short.")


# Links and callbacks.

_LINK_FIELDS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "workflow_event": (
        "workflow event",
        (("namespace", "namespace"), ("workflow_id", "workflow ID"), ("run_id", "run ID")),
    ),
    "nexus_operation": (
        "nexus operation",
        (("namespace", "namespace"), ("operation_id", "operation ID"), ("run_id", "run ID")),
    ),
    "activity": ("activity", (("namespace", "namespace"), ("activity_id", "activity ID"), ("run_id", "run ID"))),
}


def links(values: Sequence[Link], config: Dynamic) -> None:
    if len(values) > config.max_links_per_request:
        limit = config.max_links_per_request
        raise InvalidArgument(f"cannot attach more than {limit} links per request, got {len(values)}")
    for each in values:
        _link(each, config)


def _link(value: Link, config: Dynamic) -> None:
    size = value.ByteSize()
    if size > config.link_max_size_bytes:
        raise InvalidArgument(f"link exceeds allowed size of {config.link_max_size_bytes}, got {size}")
    variant = value.WhichOneof("variant")
    if variant == "batch_job":
        if not value.batch_job.job_id:
            raise InvalidArgument("batch job link must not have an empty job ID")
        return
    if variant is None or variant not in _LINK_FIELDS:
        raise InvalidArgument("unsupported link variant")
    kind, fields = _LINK_FIELDS[variant]
    for field, label in fields:
        if not getattr(getattr(value, variant), field):
            raise InvalidArgument(f"{kind} link must not have an empty {label} field")
    reference = value.workflow_event.event_ref
    if reference.event_type == EventType.EVENT_TYPE_UNSPECIFIED and reference.event_id:
        raise InvalidArgument("workflow event link ref cannot have an unspecified event type and a non-zero event ID")


def links_beside(values: Sequence[Link], callbacks: Sequence[Callback]) -> list[Link]:
    """The links of a request that its Nexus callbacks do not bring as well."""
    brought = [link for callback in callbacks if callback.HasField("nexus") for link in callback.links]
    return [link for link in values if link not in brought]


def completion_callbacks(values: Iterable[Callback], config: Dynamic) -> None:
    """What callbacks that a start asks for must look like; it is not said that they can be kept."""
    values = list(values)
    if len(values) > config.max_callbacks_per_execution:
        limit = config.max_callbacks_per_execution
        raise InvalidArgument(f"cannot attach more than {limit} callbacks to an execution")
    for each in values:
        if each.HasField("nexus"):
            _nexus_callback(each.nexus, config)
        elif not each.HasField("internal"):
            raise Unimplemented("unknown callback variant: <nil>")


_OF_THE_SERVER = ("temporal://system", "temporal://internal")


def _nexus_callback(callback: Callback.Nexus, config: Dynamic) -> None:
    if byte_length(callback.url) > config.callback_url_max_length:
        limit = config.callback_url_max_length
        raise InvalidArgument(f"invalid url: url length longer than max length allowed of {limit}")
    if callback.url not in _OF_THE_SERVER:
        url = urls.parse(callback.url)
        if url.scheme not in ("http", "https"):
            raise InvalidArgument(f"invalid url: unknown scheme: {url.text}")
        if not url.host:
            raise InvalidArgument("invalid url: missing host")
        # Addresses are allowed by configuration alone, and there is none for them yet.
        raise InvalidArgument(f"invalid url: url does not match any configured callback address: {url.text}")
    size = sum(byte_length(name) + byte_length(value) for name, value in callback.header.items())
    if size > config.callback_header_max_size_bytes:
        limit = config.callback_header_max_size_bytes
        raise InvalidArgument(f"invalid header: header size longer than max allowed size of {limit}")


# Time that is skipped.


def require_time_skipping(config: Dynamic) -> None:
    if not config.workflow_time_skipping_enabled:
        raise Unimplemented("The Time-Skipping feature is not enabled for namespace.")


def fast_forward_id(value: str) -> None:
    if not value.strip():
        raise InvalidArgument("Time skipping config invalid: fast_forward_id must be set")


def time_skipping(request: Any, config: Dynamic) -> None:
    """The config in a request or in options, if there is one. Fills in how often a session may skip."""
    if not request.HasField("time_skipping_config"):
        return
    require_time_skipping(config)
    skipping: TimeSkippingConfig = request.time_skipping_config
    if skipping.max_session_skip_count <= 0:
        skipping.max_session_skip_count = max(1, config.workflow_time_skipping_max_skip_per_session)
    if not skipping.HasField("fast_forward_config"):
        return
    if duration_ns(skipping.fast_forward_config.duration) <= 0:
        raise InvalidArgument("Time skipping config invalid: fast_forward duration must be positive")
    fast_forward_id(skipping.fast_forward_config.id)
    if not skipping.enabled:
        raise InvalidArgument("time_skipping_config: cannot set fast_forward when enabled is false")


# Failures that are too large.


def is_too_large(message: Message, config: Dynamic) -> bool:
    return exceeds(message.ByteSize(), config.blob_size_limit_warn_bytes, config.blob_size_limit_error_bytes)


def server_failure(message: str) -> Failure:
    """A failure of the server's own making that no retry helps."""
    failure = Failure(message=message)
    failure.server_failure_info.non_retryable = True
    return failure


def too_large_failure(failure: Failure, config: Dynamic) -> Failure:
    """What is recorded instead of a failure that is too large; the beginning of that one is its cause."""
    replacement = server_failure("Failure exceeds size limit.")
    replacement.cause.CopyFrom(truncated_failure(failure, config.blob_size_limit_warn_bytes))
    return replacement


def truncated_failure(failure: Failure, size_bytes: int, depth: int = _FAILURE_DEPTH) -> Failure:
    """A failure of about the given size: type, source, message, stack trace and causes as far as there is room."""
    result = Failure()
    room = size_bytes

    def cut(text: str) -> str:
        nonlocal room
        kept = text.encode()[: max(room, 0)].decode(errors="ignore")
        room -= byte_length(kept) + (4 if kept else 0)
        return kept

    if failure.HasField("application_failure_info"):
        result.application_failure_info.non_retryable = failure.application_failure_info.non_retryable
        result.application_failure_info.type = cut(failure.application_failure_info.type)
        room -= 8
    elif failure.HasField("server_failure_info"):
        result.server_failure_info.non_retryable = failure.server_failure_info.non_retryable
        room -= 4
    result.source = cut(failure.source)
    result.message = cut(failure.message)
    result.stack_trace = cut(failure.stack_trace)
    if failure.HasField("cause") and room > 4 and depth > 0:
        result.cause.CopyFrom(truncated_failure(failure.cause, room - 4, depth - 1))
    return result

"""One tree of errors, one gRPC status a class.

Everything that Perdure refuses on purpose is a `PerdureError`; any other exception is a bug of ours. The engine and
the runtime raise these; `perdure.rpc.status` is the only place that turns them into gRPC statuses and typed details.
Messages use the words of the real server, since people and SDKs match on them.
"""

from __future__ import annotations

from collections.abc import Sequence


class PerdureError(Exception):
    """Base of every refusal. `code` is the gRPC status code (an int as in `grpc.StatusCode.X.value[0]`)."""

    code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class Canceled(PerdureError):
    code = 1


class InvalidArgument(PerdureError):
    code = 3


class QueryFailed(InvalidArgument):
    """A worker answered a query with a failure: `failure`, a serialized `temporal.api.failure.v1.Failure`, if any."""

    def __init__(self, message: str, failure: bytes = b"") -> None:
        super().__init__(message)
        self.failure = failure


class DeadlineExceeded(PerdureError):
    code = 4


class NotFound(PerdureError):
    """Nothing of that name. `current_cluster`/`active_cluster` stay empty: there is one cluster."""

    code = 5


class NamespaceNotFound(NotFound):
    def __init__(self, namespace: str) -> None:
        super().__init__(f"Namespace {namespace} is not found.")
        self.namespace = namespace


class UnknownService(PerdureError):
    """A health check of something that is not there: a plain status, as gRPC's own health service gives it."""

    code = 5


class AlreadyExists(PerdureError):
    code = 6


class WorkflowExecutionAlreadyStarted(AlreadyExists):
    def __init__(self, message: str, start_request_id: str, run_id: str, first_execution_run_id: str = "") -> None:
        super().__init__(message)
        self.start_request_id = start_request_id
        self.run_id = run_id
        self.first_execution_run_id = first_execution_run_id


class NamespaceAlreadyExists(AlreadyExists):
    pass


class CancellationAlreadyRequested(AlreadyExists):
    pass


class PermissionDenied(PerdureError):
    code = 7

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class ResourceExhausted(PerdureError):
    """`cause` and `scope` are numbers of `ResourceExhaustedCause` and `ResourceExhaustedScope`."""

    code = 8

    def __init__(self, message: str, cause: int = 0, scope: int = 0) -> None:
        super().__init__(message)
        self.cause = cause
        self.scope = scope


BUSY_WORKFLOW = 5
"""`RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW`."""
CONCURRENT_LIMIT = 2
"""`RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT`."""
NAMESPACE_SCOPE = 1
"""`RESOURCE_EXHAUSTED_SCOPE_NAMESPACE`."""


def workflow_busy(message: str) -> ResourceExhausted:
    """One workflow can't take the request now; the others can."""
    return ResourceExhausted(message, BUSY_WORKFLOW, NAMESPACE_SCOPE)


class FailedPrecondition(PerdureError):
    code = 9


class WorkflowNotReady(FailedPrecondition):
    pass


class NamespaceInvalidState(FailedPrecondition):
    """The namespace exists but its state forbids the call. States are numbers of `NamespaceState`."""

    def __init__(self, message: str, namespace: str, state: int, allowed_states: tuple[int, ...]) -> None:
        super().__init__(message)
        self.namespace = namespace
        self.state = state
        self.allowed_states = allowed_states


class Aborted(PerdureError):
    code = 10


class MultiOperationAborted(Aborted):
    """An operation of a multi-operation that was dropped because another one of it failed."""


class MultiOperationExecution(PerdureError):
    """A multi-operation failed. `errors` has one entry an operation, in order; None for one that went well."""

    code = 10

    def __init__(self, message: str, errors: Sequence[PerdureError | None]) -> None:
        super().__init__(message)
        self.errors = errors


class Unimplemented(PerdureError):
    code = 12


class Internal(PerdureError):
    code = 13


class Unavailable(PerdureError):
    code = 14


class NamespaceUnavailable(Unavailable):
    def __init__(self, namespace: str) -> None:
        super().__init__(f'Namespace unavailable: "{namespace}".')
        self.namespace = namespace


class DataLoss(PerdureError):
    """What is stored can't be read: the file is damaged. Trying again does not help."""

    code = 15


class Unauthenticated(PerdureError):
    code = 16


class StartupError(PerdureError):
    """The server can't start; the message is one sentence that says what is wrong and what to do."""

    code = 9


class DamagedFile(StartupError):
    """The server can't start because its file is damaged, or its log is missing."""

"""Every refusal reaches clients with the code, the words and the details that they match on."""

from __future__ import annotations

import base64

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.errordetails.v1 import message_pb2 as details
from temporalio.api.failure.v1 import Failure, MultiOperationExecutionAborted

from perdure import errors
from perdure.rpc import status

CASES = [
    (errors.NotFound("x"), details.NotFoundFailure()),
    (errors.NamespaceNotFound("shop"), details.NamespaceNotFoundFailure(namespace="shop")),
    (errors.NamespaceUnavailable("shop"), details.NamespaceUnavailableFailure(namespace="shop")),
    (errors.NamespaceAlreadyExists("x"), details.NamespaceAlreadyExistsFailure()),
    (
        errors.NamespaceInvalidState("x", "shop", 3, (1, 2)),
        details.NamespaceInvalidStateFailure(namespace="shop", state=3, allowed_states=[1, 2]),  # type: ignore[arg-type,list-item]
    ),
    (
        errors.WorkflowExecutionAlreadyStarted("x", "request", "run", "first"),
        details.WorkflowExecutionAlreadyStartedFailure(
            start_request_id="request", run_id="run", first_execution_run_id="first"
        ),
    ),
    (errors.CancellationAlreadyRequested("x"), details.CancellationAlreadyRequestedFailure()),
    (errors.WorkflowNotReady("x"), details.WorkflowNotReadyFailure()),
    (
        errors.QueryFailed("x", Failure(message="no").SerializeToString()),
        details.QueryFailedFailure(failure=Failure(message="no")),
    ),
    (errors.PermissionDenied("x", "because"), details.PermissionDeniedFailure(reason="because")),
    (errors.ResourceExhausted("x", 1, 2), details.ResourceExhaustedFailure(cause=1, scope=2)),  # type: ignore[arg-type]
    (errors.MultiOperationAborted("x"), MultiOperationExecutionAborted()),
]


@pytest.mark.parametrize(("error", "detail"), CASES, ids=lambda case: type(case).__name__)
def test_typed_errors_carry_their_detail(error: errors.PerdureError, detail: details.NotFoundFailure) -> None:
    code, message, packed = status.of(error)
    sent = Status.FromString(packed)
    assert (sent.code, sent.message) == (code, message) == (error.code, error.message)
    unpacked = type(detail)()
    assert sent.details[0].Unpack(unpacked)
    assert unpacked == detail


@pytest.mark.parametrize(
    "kind", [errors.InvalidArgument, errors.Unavailable, errors.FailedPrecondition, errors.Internal]
)
def test_other_errors_have_a_code_and_words_alone(kind: type[errors.PerdureError]) -> None:
    assert status.of(kind("words")) == (kind.code, "words", b"")


def test_a_subclass_is_told_by_its_nearest_relative() -> None:
    class Missing(errors.NotFound):
        pass

    assert Status.FromString(status.of(Missing("x"))[2]).details[0].Is(details.NotFoundFailure.DESCRIPTOR)


def test_a_multi_operation_has_the_code_of_the_operation_at_fault() -> None:
    error = errors.MultiOperationExecution(
        "both failed", [errors.MultiOperationAborted("dropped"), errors.NamespaceNotFound("shop"), None]
    )
    code, message, packed = status.of(error)
    assert (code, message) == (errors.NotFound.code, "both failed")
    failure = details.MultiOperationExecutionFailure()
    assert Status.FromString(packed).details[0].Unpack(failure)
    assert [(each.code, each.message) for each in failure.statuses] == [
        (errors.Aborted.code, "dropped"),
        (errors.NotFound.code, "Namespace shop is not found."),
        (0, ""),
    ]
    assert failure.statuses[1].details[0].Is(details.NamespaceNotFoundFailure.DESCRIPTOR)


def test_a_multi_operation_without_a_culprit_is_aborted() -> None:
    assert status.of(errors.MultiOperationExecution("x", [None]))[0] == errors.Aborted.code


def test_details_that_clients_would_not_take_leave_their_type() -> None:
    failure = Failure(message="no", stack_trace="at line 1\n" * 2000).SerializeToString()
    sent = Status.FromString(status.of(errors.QueryFailed("the query failed", failure))[2])
    assert sent.message == "the query failed"
    unpacked = details.QueryFailedFailure()
    assert sent.details[0].Unpack(unpacked)
    assert unpacked == details.QueryFailedFailure()


def test_a_message_of_4000_characters_is_kept_and_a_longer_one_cut() -> None:
    assert status.of(errors.InvalidArgument("x" * 4000))[1] == "x" * 4000
    cut = status.of(errors.InvalidArgument("x" * 4001))[1]
    assert len(cut) == 4000
    assert cut.endswith("x... <truncated>")


@given(st.text(st.characters(exclude_categories=()), max_size=3000), st.integers(0, 3))
def test_no_message_breaks_the_trailers(text: str, doublings: int) -> None:
    for kind in (errors.InvalidArgument, errors.NotFound):
        _, message, packed = status.of(kind(text * 2**doublings))
        sent_bytes = len(status.percent_encoded(message)) + len(base64.b64encode(packed))
        assert sent_bytes <= status.MAX_TRAILER_BYTES
        whole = (text * 2**doublings).encode("utf-8", "replace").decode()
        assert whole.startswith(message.removesuffix(status.TRUNCATED))

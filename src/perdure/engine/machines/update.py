"""Updates: a client's request that the workflow accepts or rejects, and that it answers.

An update is *admitted* when it comes in, *sent* once a worker has it with a workflow task, *accepted* and *completed*
by messages in a worker's answer. Acceptance and completion are events. What comes before lives in memory alone
(`Update.volatile`), so a rejected update leaves no trace, and one that is lost with the memory is sent again by its
client under the same id. Only a reset admits updates by an event, since those have to outlive it.

What a transition means for those who wait is in `Transition.updates`.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError, Message
from temporalio.api.enums.v1 import UpdateAdmittedEventOrigin, WorkflowTaskFailedCause
from temporalio.api.enums.v1 import event_type_pb2 as E
from temporalio.api.failure.v1 import Failure
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.update.v1 import Acceptance, Outcome, Rejection, Request, Response

from perdure.engine.checks import BadCommand
from perdure.engine.checks.values import exceeds
from perdure.engine.execution import Kind, Update, UpdateState
from perdure.engine.machines import workflow, workflow_task
from perdure.engine.messages import copy_present
from perdure.engine.transition import Transition, UpdateResult
from perdure.errors import (
    NAMESPACE_SCOPE,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PerdureError,
    ResourceExhausted,
    WorkflowNotReady,
    workflow_busy,
)

FAIL_FROM_ATTEMPT = 3
"""A workflow whose task keeps failing can't be updated: requests are refused from this attempt on."""
CONCURRENT_LIMIT = 2
"""`RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT`."""
CAUSE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE
PROTOCOL = "temporal.api.update.v1"
_WAITING = (UpdateState.ADMITTED, UpdateState.SENT)


def _failure(message: str, kind: str) -> Failure:
    failure = Failure(message=message, source="Server")
    failure.application_failure_info.type = kind
    failure.application_failure_info.non_retryable = True
    return failure


UNPROCESSED = _failure(
    "Workflow Update is rejected because it wasn't processed by worker. Probably, Workflow Update is not supported by "
    "the worker.",
    "UnprocessedUpdate",
)
WORKFLOW_COMPLETED = _failure(
    "Workflow Update failed because the Workflow completed before the Update completed.",
    "AcceptedUpdateCompletedWorkflow",
)
ABORTED_BY_CLOSING = "workflow update was aborted by closing workflow"
TASK_FAILED = "Unable to perform workflow execution update due to unexpected workflow task failure."


def closed_outcome() -> Outcome:
    """What became of an update that was accepted when its workflow closed."""
    return Outcome(failure=WORKFLOW_COMPLETED)


# Coming in.


def admit(t: Transition, request: Request, first_execution_run_id: str = "") -> Update:
    """A client's request. Returns the update of that id, which may have been there before.

    A new one rides on the task that is pending, or else gets a speculative one."""
    core, items, update_id = t.core, t.items(Kind.UPDATE), request.meta.update_id
    if first_execution_run_id and core.first_run_id != first_execution_run_id:
        raise NotFound("workflow execution not found")
    known: Update | None = items.get(update_id)
    if not t.running:
        if known is None:
            raise NotFound(workflow.COMPLETED_MESSAGE)
        return known
    if t.paused:
        raise FailedPrecondition("Workflow is paused. Cannot update the workflow.")
    if core.workflow_task_attempt >= FAIL_FROM_ATTEMPT:
        raise WorkflowNotReady("Unable to perform workflow execution update due to Workflow Task in failed state.")
    task = t.workflow_task
    if core.close_attempted and task is not None and task.started_ns:
        raise workflow_busy(workflow.CLOSING_MESSAGE)
    if known is not None:
        return known
    admitted = _add(t, request)
    if task is None:
        workflow_task.schedule_speculative(t)
    return admitted


def admit_with_start(t: Transition, request: Request) -> None:
    """The update that comes with the start of its workflow: it rides on the first task."""
    _add(t, request)


def _add(t: Transition, request: Request) -> Update:
    _check_limits(t, request)
    update = Update(update_id=request.meta.update_id, request=request.SerializeToString(deterministic=True))
    t.items(Kind.UPDATE).put(update.update_id, update)
    return update


def admit_durably(t: Transition, request: Request, origin: UpdateAdmittedEventOrigin.ValueType) -> None:
    """Admit an update by an event, which also tells the worker of it: a reset applies updates again like this.

    An update whose id the run knows is left as it is."""
    if request.meta.update_id in t.items(Kind.UPDATE):
        return
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED)
    a = event.workflow_execution_update_admitted_event_attributes
    a.request.CopyFrom(request)
    a.origin = origin
    t.record(event)


def _in_flight(t: Transition) -> Iterator[Update]:
    items = t.items(Kind.UPDATE)
    if len(items):
        yield from (update for update in items.values() if update.state != UpdateState.COMPLETED)


def _check_limits(t: Transition, request: Request) -> None:
    config = t.env.config
    in_flight = list(_in_flight(t))
    limit = config.max_in_flight_updates
    if limit and len(in_flight) >= limit:
        message = f"limit on number of concurrent in-flight updates has been reached ({limit})"
        raise ResourceExhausted(message, CONCURRENT_LIMIT, NAMESPACE_SCOPE)
    _check_total(t)
    limit = config.max_in_flight_update_payloads_bytes
    size = sum(2 * len(update.update_id) + len(update.request) for update in in_flight)
    if limit and size + len(request.meta.update_id) + request.ByteSize() >= limit:
        message = f"limit on total payload size of in-flight updates has been reached ({limit} bytes)"
        raise ResourceExhausted(message, CONCURRENT_LIMIT, NAMESPACE_SCOPE)


def _check_total(t: Transition) -> None:
    limit = t.env.config.max_total_updates
    if limit and len(t.items(Kind.UPDATE)) >= limit:
        raise FailedPrecondition(
            f"The limit on the total number of distinct updates in this workflow has been reached ({limit}). "
            "Make sure any duplicate updates share an Update ID so the server can deduplicate them, and consider "
            "rejecting updates that you aren't going to process. You can also Continue-as-New to avoid this; we "
            "recommend you check Continue-as-New Suggested in your Workflow."
        )


# To the worker.


def outgoing(t: Transition) -> bool:
    """Whether an update waits to be told to a worker."""
    return any(update.state in _WAITING for update in _in_flight(t))


def send(t: Transition, *, again: bool = True) -> None:
    """Give the updates that wait to the worker that has just started the task.

    `again`: also those that an earlier task has brought; that one is over without having answered them."""
    task, items = t.workflow_task, t.items(Kind.UPDATE)
    assert task is not None
    for waiting in list(_in_flight(t)):
        if waiting.state not in _WAITING or (waiting.state == UpdateState.SENT and not again):
            continue
        update = items.edit(waiting.update_id)
        update.state = UpdateState.SENT
        if not update.request:  # its UpdateAdmitted event tells the worker
            continue
        message = ProtocolMessage(
            id=_message_id(update),
            protocol_instance_id=update.update_id,
            event_id=task.started_event_id - 1,
        )
        message.body.Pack(Request.FromString(update.request))
        t.messages.append(message)


def _message_id(update: Update) -> str:
    return f"{update.update_id}/request"


# From the worker.


def handle(t: Transition, message: ProtocolMessage) -> None:
    """One message of a worker's answer. Raises `BadCommand`, or another `PerdureError` that refuses the answer."""
    name = _body_name(message)
    config = t.env.config
    if exceeds(message.body.ByteSize(), config.blob_size_limit_warn_bytes, config.blob_size_limit_error_bytes):
        raise BadCommand(CAUSE, f"Message type {name} exceeds size limit.", terminates=True)
    protocol = name.rpartition(".")[0]
    if protocol != PROTOCOL:
        raise BadCommand(CAUSE, f"unsupported protocol type {protocol}")
    try:
        _handle(t, message, name)
    except InvalidArgument as error:
        raise BadCommand(CAUSE, error.message) from error


def _body_name(message: ProtocolMessage) -> str:
    if not message.HasField("body"):
        raise InvalidArgument("nil message body")
    name = message.body.type_url.rpartition("/")[2]
    if not all(part.isidentifier() for part in name.split(".")):
        raise InvalidArgument("no message name specified")
    if "." not in name:
        raise InvalidArgument(f'failed to extract protocol type: no . found in "{name}"')
    return name


def _handle(t: Transition, message: ProtocolMessage, name: str) -> None:
    update_id = message.protocol_instance_id
    update: Update | None = t.items(Kind.UPDATE).get(update_id)
    if update is None and update_id not in t.updates:
        update = _resurrect(t, message, name)
        if update is None:
            raise BadCommand(
                CAUSE,
                f"update {update_id} wasn't found on the server. This is most likely a transient error which will be "
                "resolved automatically by retries",
            )
    body = _unpacked(message, name)
    if not t.running and not isinstance(body, Rejection):
        _abort(t, update, update_id)
    elif isinstance(body, Acceptance):
        _accept(t, _in_state(t, update, update_id, name, ("Sent", "Admitted")), body)
    elif isinstance(body, Rejection):
        _reject(t, _in_state(t, update, update_id, name, ("Sent", "Admitted")), body.failure)
    elif isinstance(body, Response):
        _complete(t, _in_state(t, update, update_id, name, ("ProvisionallyAccepted", "Accepted")), body)
    else:
        raise InvalidArgument(f"Message type {_go_type(name)} not supported")


_BODIES: dict[str, type[Message]] = {
    f"{PROTOCOL}.{body.DESCRIPTOR.name}": body for body in (Acceptance, Rejection, Response, Request, Outcome)
}


def _unpacked(message: ProtocolMessage, name: str) -> Message:
    body = _BODIES.get(name)
    if body is None:
        raise InvalidArgument("unable to unmarshal request: proto: not found")
    try:
        return body.FromString(message.body.value)
    except DecodeError as error:
        bad_text = "UTF-8" in str(error)
        why = "string field contains invalid UTF-8" if bad_text else "proto: cannot parse invalid wire-format data"
        raise InvalidArgument(f"unable to unmarshal request: {why}") from None


def _go_type(name: str) -> str:
    return f"*update.{name.rpartition('.')[2]}"


def _resurrect(t: Transition, message: ProtocolMessage, name: str) -> Update | None:
    """An update that was lost with the memory, and that a worker still knows: it repeats the request."""
    _check_total(t)
    body = _unpacked(message, name)
    if isinstance(body, Acceptance) and body.HasField("accepted_request"):
        request = body.accepted_request
    elif isinstance(body, Rejection) and body.HasField("rejected_request"):
        request = body.rejected_request
    else:
        return None
    update = Update(
        update_id=message.protocol_instance_id,
        request=request.SerializeToString(deterministic=True),
    )
    t.items(Kind.UPDATE).put(update.update_id, update)
    return update


def _in_state(t: Transition, update: Update | None, update_id: str, name: str, allowed: tuple[str, ...]) -> Update:
    state = _state_name(t, update, update_id)
    if update is None or state not in allowed:
        raise InvalidArgument(
            f"invalid state transition attempted for Update {update_id}: received {_go_type(name)} message while in "
            f"state {state}"
        )
    return update


def _state_name(t: Transition, update: Update | None, update_id: str) -> str:
    """In the real server's words; what this very answer brought about is provisional."""
    result = t.updates.get(update_id)
    if result is not None and result.error is not None:
        return "ProvisionallyAborted"
    if result is not None:
        return "ProvisionallyAccepted" if result.outcome is None else "ProvisionallyCompleted"
    return UpdateState(update.state).name.capitalize() if update is not None else "Completed"


def _require(present: bool, name: str, label: str) -> None:
    if not present:
        raise InvalidArgument(f"invalid *update.{name}: {label} is not set")


def _accept(t: Transition, update: Update, body: Acceptance) -> None:
    sequencing_event_id = body.accepted_request_sequencing_event_id
    _require(bool(sequencing_event_id), "Acceptance", "accepted_request_sequencing_event_id")
    _require(bool(body.accepted_request_message_id), "Acceptance", "accepted_request_message_id")
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
    a = event.workflow_execution_update_accepted_event_attributes
    a.protocol_instance_id = update.update_id
    a.accepted_request_message_id = _message_id(update)
    a.accepted_request_sequencing_event_id = sequencing_event_id
    if update.request:
        a.accepted_request.MergeFromString(update.request)
    t.record(event)
    t.updates[update.update_id] = UpdateResult(accepted=True)


def _complete(t: Transition, update: Update, body: Response) -> None:
    _require(body.HasField("meta"), "Response", "meta")
    _require(bool(body.meta.update_id), "Response", "meta.update_id")
    if body.meta.update_id != update.update_id:
        raise InvalidArgument(f"invalid *update.Response: meta.update_id != {update.update_id}")
    _require(body.HasField("outcome"), "Response", "outcome")
    event = t.event(E.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED)
    a = event.workflow_execution_update_completed_event_attributes
    a.accepted_event_id = update.accepted_event_id
    copy_present(body, a, ("meta", "outcome"))
    t.record(event)
    t.updates[update.update_id] = UpdateResult(accepted=True, outcome=body.outcome)


def _reject(t: Transition, update: Update, failure: Failure) -> None:
    t.items(Kind.UPDATE).remove(update.update_id)
    t.updates[update.update_id] = UpdateResult(outcome=Outcome(failure=failure))


def reject_unprocessed(t: Transition) -> None:
    """The worker has said nothing of updates that came with its task, so it does not know what an update is."""
    for update in list(_in_flight(t)):
        if update.state == UpdateState.SENT:
            _reject(t, update, UNPROCESSED)


# The end of the task or of the workflow.


def task_failed(t: Transition) -> bool:
    """The server does not take the worker's answer: what the worker has seen is over. Whether there was something."""
    sent = [update for update in _in_flight(t) if update.state == UpdateState.SENT]
    for update in sent:
        _drop(t, update, WorkflowNotReady(TASK_FAILED))
        if update.in_history:  # the worker is told of it again by its event
            t.items(Kind.UPDATE).put(update.update_id, Update(update_id=update.update_id, in_history=True))
    return bool(sent)


def _drop(t: Transition, update: Update, error: PerdureError) -> None:
    t.items(Kind.UPDATE).remove(update.update_id)
    t.updates[update.update_id] = UpdateResult(error=error)


def _abort(t: Transition, update: Update | None, update_id: str) -> None:
    """The workflow has closed before this message: no event can come of it any more."""
    if update is None or update.state == UpdateState.COMPLETED:
        return
    if update.state == UpdateState.ACCEPTED:
        t.updates[update_id] = UpdateResult(accepted=True, outcome=closed_outcome())
    else:
        _drop(t, update, NotFound(ABORTED_BY_CLOSING))


def settle(t: Transition) -> None:
    """At the end of a transition: if it closed the workflow, tell those whose updates are not complete.

    One that was accepted fails. One that was not may be tried again if there is a run that follows."""
    if t.running or not t.execution.running:
        return
    for update in list(_in_flight(t)):
        if update.state == UpdateState.ACCEPTED:
            _abort(t, update, update.update_id)
        elif t.new_run is not None:
            _drop(t, update, workflow_busy(workflow.CLOSING_MESSAGE))
        else:
            _drop(t, update, NotFound(ABORTED_BY_CLOSING))

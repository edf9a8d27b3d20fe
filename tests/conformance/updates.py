"""Updates in scenarios: sent by a client, answered by a worker with messages."""

from __future__ import annotations

import asyncio
from typing import Any

import temporalio.api.failure.v1 as failure_pb
import temporalio.api.protocol.v1 as protocol_pb
import temporalio.api.update.v1 as update_pb
from tests.conformance.driver import NAMESPACE, Driver
from tests.conformance.messages import build, command, failure, payloads


def request(update_id: str | None = "u", *args: Any, name: str = "change", **fields: Any) -> dict[str, Any]:
    """The request within an update."""
    inner = {"name": name, "args": payloads(*args) if args else None, "header": fields.pop("header", None)}
    return {"meta": {"update_id": update_id, "identity": "client"}, "input": inner, **fields}


def send(d: Driver, update_id: str | None = "u", *args: Any, stage: str | None = "COMPLETED", **fields: Any) -> Any:
    """Begins an update; its reply is awaited later. `fields` are those of the call, `request` among them."""
    defaults = {
        "workflow_execution": d.workflow_id,
        "wait_policy": {"lifecycle_stage": stage} if stage else None,
        "request": request(update_id, *args),
    }
    return d.begin("UpdateWorkflowExecution", **{**defaults, **fields})


async def sent(d: Driver, update_id: str | None = "u", *args: Any, **fields: Any) -> Any:
    """Begins an update, and gives it the time to get there."""
    update = send(d, update_id, *args, **fields)
    await asyncio.sleep(0.4)
    return update


async def poll(d: Driver, update_id: str = "u", stage: str | None = None, **fields: Any) -> Any:
    """Asks how far an update is."""
    execution = fields.pop("execution", d.workflow_id)
    if isinstance(execution, str):
        execution = (execution, "")
    reference = {
        "workflow_execution": {"workflow_id": execution[0], "run_id": execution[1]},
        "update_id": update_id,
    }
    defaults = {"update_ref": reference, "wait_policy": {"lifecycle_stage": stage} if stage else None}
    return await d.call("PollWorkflowExecutionUpdate", **{**defaults, **fields})


def message(update_id: str, body: Any, message_id: str | None = None) -> protocol_pb.Message:
    result = protocol_pb.Message(id=message_id or f"{update_id}/{type(body).__name__}", protocol_instance_id=update_id)
    result.body.Pack(body)
    return result


def _delivered(task: Any, update_id: str) -> Any:
    return next((m for m in task.messages if m.protocol_instance_id == update_id), None)


def accept(task: Any, update_id: str = "u", **fields: Any) -> protocol_pb.Message:
    """Accepts an update that came with the task."""
    came = _delivered(task, update_id)
    defaults: dict[str, Any] = {
        "accepted_request_message_id": f"{update_id}/request",
        "accepted_request_sequencing_event_id": task.started_event_id - 1,
    }
    if came is not None:
        inner = update_pb.Request()
        came.body.Unpack(inner)
        defaults["accepted_request"] = inner
    return message(update_id, build(update_pb.Acceptance, {**defaults, **fields}))


def reject(task: Any, update_id: str = "u", **fields: Any) -> protocol_pb.Message:
    came = _delivered(task, update_id)
    defaults: dict[str, Any] = {
        "rejected_request_message_id": f"{update_id}/request",
        "rejected_request_sequencing_event_id": task.started_event_id - 1,
        "failure": failure("rejected", "Invalid"),
    }
    if came is not None:
        inner = update_pb.Request()
        came.body.Unpack(inner)
        defaults["rejected_request"] = inner
    return message(update_id, build(update_pb.Rejection, {**defaults, **fields}))


def respond(update_id: str = "u", result: Any = "done", fails: failure_pb.Failure | None = None) -> protocol_pb.Message:
    outcome = update_pb.Outcome(failure=fails) if fails else update_pb.Outcome(success=payloads(result))
    meta = update_pb.Meta(update_id=update_id, identity="client")
    return message(update_id, update_pb.Response(meta=meta, outcome=outcome))


def commands(*messages: protocol_pb.Message) -> list[Any]:
    """The commands that say when in the answer each message counts."""
    return [command("PROTOCOL_MESSAGE", message_id=each.id) for each in messages]


async def answer(d: Driver, task: Any, *messages: protocol_pb.Message, then: Any = (), **fields: Any) -> Any:
    """Completes a task with messages, each with its command but the rejections, and with the commands of `then`."""
    speaking = [each for each in messages if not each.body.Is(update_pb.Rejection.DESCRIPTOR)]
    return await d.complete(task, *commands(*speaking), *then, messages=messages, **fields)


def begin_with_start(
    d: Driver,
    update_id: str | None = "u",
    *args: Any,
    stage: str | None = "COMPLETED",
    start: dict[str, Any] | None = None,
    update: dict[str, Any] | None = None,
    **fields: Any,
) -> Any:
    """Begins an update-with-start; its reply is awaited later. `start`, `update`: fields of the operations."""
    namespace = {"namespace": NAMESPACE}
    default = {
        **namespace,
        "workflow_execution": d.workflow_id,
        "wait_policy": {"lifecycle_stage": stage} if stage else None,
        "request": request(update_id, *args),
    }
    operations = [
        {"start_workflow": {**namespace, **d.start_fields(None, start)}},
        {"update_workflow": {**default, **(update or {})}},
    ]
    return d.begin("ExecuteMultiOperation", operations=operations, **fields)


async def with_start(d: Driver, update_id: str | None = "u", *args: Any, **fields: Any) -> Any:
    """Begins an update-with-start, and gives it the time to get there."""
    call = begin_with_start(d, update_id, *args, **fields)
    await asyncio.sleep(0.4)
    return call

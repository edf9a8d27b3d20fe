"""The tokens that workers and clients carry for us: opaque to them, small, and checked when they come back."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from perdure.config import Dynamic
from perdure.errors import InvalidArgument
from perdure.rpc.validate.common import DESERIALIZING_TOKEN, HasTaskToken, task_token, token_namespace
from perdure.runtime.namespaces import Namespaces


class WorkflowTaskToken(msgspec.Struct, array_like=True, tag="w", tag_field="t"):
    """Names one start of a workflow task; another start of the same task has another `started_ns`."""

    namespace_id: str
    workflow_id: str
    run_id: str
    scheduled_event_id: int
    started_event_id: int
    started_ns: int
    attempt: int


class ActivityTaskToken(msgspec.Struct, array_like=True, tag="a", tag_field="t"):
    """Names one attempt of an activity."""

    namespace_id: str
    workflow_id: str
    run_id: str
    scheduled_event_id: int
    attempt: int
    activity_id: str


class QueryTaskToken(msgspec.Struct, array_like=True, tag="q", tag_field="t"):
    """Names a query that a worker was given."""

    namespace_id: str
    query_id: str


class HistoryToken(msgspec.Struct, array_like=True, tag="h", tag_field="t"):
    """Where to go on in a history: from `next_event_id`, or, read backwards, before it."""

    run_id: str
    next_event_id: int


Token = TypeVar("Token", WorkflowTaskToken, ActivityTaskToken, QueryTaskToken, HistoryToken)
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[object]] = {
    cls: msgspec.msgpack.Decoder(cls) for cls in (WorkflowTaskToken, ActivityTaskToken, QueryTaskToken, HistoryToken)
}


def encode(token: WorkflowTaskToken | ActivityTaskToken | QueryTaskToken | HistoryToken) -> bytes:
    return _encoder.encode(token)


def decode(cls: type[Token], data: bytes, message: str = DESERIALIZING_TOKEN) -> Token:
    """Raises `InvalidArgument` with `message` when that is no token of ours."""
    try:
        token = _decoders[cls].decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidArgument(message) from error
    assert isinstance(token, cls)
    return token


TaskToken = TypeVar("TaskToken", WorkflowTaskToken, ActivityTaskToken, QueryTaskToken)


def of_answer(cls: type[TaskToken], request: HasTaskToken, config: Dynamic, namespaces: Namespaces) -> TaskToken:
    """The token that a worker's answer brings back. A namespace that is known has to be open, whichever names it."""
    token = decode(cls, task_token(request, config, namespaces.get))
    if request.namespace:
        token_namespace(request, token.namespace_id, namespaces.get)
    else:
        namespaces.require_open(token.namespace_id)
    return token

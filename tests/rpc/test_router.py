"""Every method of the protocol has a handler, and a handler's answer, error or silence reaches its caller."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.message import Message
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice import v1 as api

from perdure import errors
from perdure.config import Dynamic
from perdure.rpc.router import build_handlers
from perdure.rpc.transport.base import CallState
from perdure.rpc.workflow.empty import Empty
from perdure.rpc.workflow.system import System

WORKFLOW = "/temporal.api.workflowservice.v1.WorkflowService/"
OPERATOR = "/temporal.api.operatorservice.v1.OperatorService/"


class RecordingCall(CallState):
    """A call whose answer can be looked at."""

    metadata: dict[str, str | bytes] = {}
    timeout_s = None

    def __init__(self, method: str = "") -> None:
        super().__init__(method)
        self.answer: bytes | errors.PerdureError | None = None
        self.answered = asyncio.Event()

    def reply(self, message: bytes) -> bool:
        if self.done:
            return False
        self._end(message)
        return True

    def fail(self, error: errors.PerdureError) -> None:
        if not self.done:
            self._end(error)

    def _end(self, answer: bytes | errors.PerdureError) -> None:
        self.done = True
        self.answer = answer
        self.answered.set()

    @property
    def error(self) -> errors.PerdureError:
        assert isinstance(self.answer, errors.PerdureError)
        return self.answer


async def ask(families: list[object], path: str, request: Any = b"") -> RecordingCall:
    call = RecordingCall(path)
    data = request if isinstance(request, bytes) else request.SerializeToString()
    build_handlers(families)[path](data, call)
    await call.answered.wait()
    return call


async def test_every_method_answers() -> None:
    handlers = build_handlers([])
    assert len(handlers) == 123 + 12
    for path, handler in handlers.items():
        call = RecordingCall(path)
        handler(b"", call)
        assert isinstance(call.error, errors.Unimplemented)


async def test_an_unimplemented_method_names_itself_and_its_feature() -> None:
    call = await ask([], WORKFLOW + "UpdateWorkflowExecution")
    assert call.error.message == (
        "UpdateWorkflowExecution is not implemented by this version of Perdure: "
        "workflow updates arrive in a later release; see docs/API.md"
    )


async def test_a_method_that_the_real_server_refuses_has_its_words() -> None:
    call = await ask([], WORKFLOW + "ListDeployments")
    assert call.error.message == "Deployments are deprecated and no longer supported, use Worker Deployments instead"


async def test_a_coroutine_answers_with_a_message_bytes_or_an_error() -> None:
    class Family:
        async def describe_namespace(self, request: api.DescribeNamespaceRequest, call: Any) -> Any:
            if request.namespace == "missing":
                raise errors.NamespaceNotFound("missing")
            if request.namespace == "raw":
                return b"\x22\x00"
            return api.DescribeNamespaceResponse(failover_version=7)

    path = WORKFLOW + "DescribeNamespace"
    assert (await ask([Family()], path)).answer == api.DescribeNamespaceResponse(failover_version=7).SerializeToString()
    assert (await ask([Family()], path, api.DescribeNamespaceRequest(namespace="raw"))).answer == b"\x22\x00"
    failed = await ask([Family()], path, api.DescribeNamespaceRequest(namespace="missing"))
    assert isinstance(failed.error, errors.NamespaceNotFound)


@pytest.mark.parametrize("kind", ["coroutine", "function"])
async def test_a_bug_in_a_handler_is_logged_and_not_told(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    class Coroutine:
        async def get_system_info(self, request: Any, call: Any) -> Any:
            raise ZeroDivisionError("a secret")

    class Function:
        def get_system_info(self, request: Any, call: Any) -> Any:
            raise ZeroDivisionError("a secret")

    call = await ask([Coroutine() if kind == "coroutine" else Function()], WORKFLOW + "GetSystemInfo")
    assert isinstance(call.error, errors.Internal)
    assert call.error.message == "internal error"
    assert "a secret" in caplog.text


async def test_a_bug_is_one_even_if_what_it_stood_on_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    class Family:
        def get_system_info(self, request: Any, call: Any) -> Any:
            raise errors.NotFound("not there") if request.ByteSize() else ZeroDivisionError("a secret")

    async def flushed() -> None:
        raise errors.Unavailable("lost")

    handler = build_handlers([Family()], flushed=flushed)[WORKFLOW + "GetSystemInfo"]
    for data, expected in ((b"", errors.Internal), (_varint(15 << 3) + b"\0", errors.Unavailable)):
        call = RecordingCall()
        handler(data, call)
        await call.answered.wait()
        assert isinstance(call.error, expected)
    assert "a secret" in caplog.text


async def test_a_plain_function_may_keep_the_call() -> None:
    kept: list[Any] = []

    class Family:
        def poll_workflow_task_queue(self, request: api.PollWorkflowTaskQueueRequest, call: Any) -> None:
            kept.append((request.namespace, call))

    call = RecordingCall()
    request = api.PollWorkflowTaskQueueRequest(namespace="shop")
    build_handlers([Family()])[WORKFLOW + "PollWorkflowTaskQueue"](request.SerializeToString(), call)
    assert kept == [("shop", call)]
    assert not call.done


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xff\xff", "proto: cannot parse invalid wire-format data"),
        (b"\x0a\x02\xff\xff", "string field contains invalid UTF-8"),
    ],
)
async def test_what_is_no_message_is_refused_in_the_real_servers_words(data: bytes, words: str) -> None:
    call = await ask([System("id", "sqlite"), Empty(str, Dynamic())], WORKFLOW + "ListWorkflowRules", data)
    assert isinstance(call.error, errors.Internal)
    assert call.error.message == f"grpc: error unmarshalling request: {words}"


async def test_a_message_nested_without_end_is_an_error() -> None:
    class Family:
        async def start_workflow_execution(self, request: Any, call: Any) -> Any:
            raise AssertionError("it was parsed")

    cause = _tag(Failure, "cause")
    failure = b""
    while len(failure) < 50_000:
        failure = cause + _varint(len(failure)) + failure
    data = _tag(api.StartWorkflowExecutionRequest, "continued_failure") + _varint(len(failure)) + failure
    call = await ask([Family()], WORKFLOW + "StartWorkflowExecution", data)
    assert isinstance(call.error, errors.InvalidArgument)
    assert call.error.message.endswith("request: it is nested too deeply (more than 100 levels)")


def _tag(message: type[Message], field: str) -> bytes:
    length_delimited = 2
    return _varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | length_delimited)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


class Waiting:
    """One handler that reads and one that writes, both of which wait."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.ended: list[str] = []

    async def get_workflow_execution_history(self, request: Any, call: Any) -> bytes:
        return await self._wait("read")

    async def start_workflow_execution(self, request: Any, call: Any) -> bytes:
        return await self._wait("write")

    async def _wait(self, kind: str) -> bytes:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended.append(f"{kind} cancelled")
            raise
        self.ended.append(f"{kind} done")
        return b""


async def test_a_read_is_cancelled_with_its_client_and_a_write_is_not() -> None:
    family = Waiting()
    handlers = build_handlers([family])
    read, write = RecordingCall(), RecordingCall()
    handlers[WORKFLOW + "GetWorkflowExecutionHistory"](b"", read)
    handlers[WORKFLOW + "StartWorkflowExecution"](b"", write)
    await asyncio.sleep(0)
    read.cancel()
    write.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    family.gate.set()
    while len(family.ended) < 2:
        await asyncio.sleep(0)
    assert family.ended == ["read cancelled", "write done"]
    assert read.answer is write.answer is None


def test_a_method_with_two_handlers_is_refused() -> None:
    with pytest.raises(TypeError, match="has 2 handlers"):
        build_handlers([System("id", "sqlite"), System("id", "sqlite")])


async def test_listings_of_features_to_come_are_empty_for_a_known_namespace() -> None:
    def check(namespace: str) -> None:
        if namespace != "default":
            raise errors.NamespaceNotFound(namespace)

    families = [Empty(check, Dynamic())]
    listings = ["ListWorkflowRules"]
    listings += ["ListWorkerDeployments", "ListActivityExecutions", "CountActivityExecutions"]
    listings += ["ListNexusOperationExecutions", "CountNexusOperationExecutions"]
    for name in listings:
        request = getattr(api, name + "Request")
        assert (await ask(families, WORKFLOW + name, request(namespace="default"))).answer == b""
        refused = await ask(families, WORKFLOW + name, request(namespace="nowhere"))
        assert isinstance(refused.error, errors.NamespaceNotFound)
    assert (await ask(families, OPERATOR + "ListNexusEndpoints")).answer == b""


async def test_no_capability_is_claimed_before_it_works() -> None:
    call = await ask([System("id", "sqlite")], WORKFLOW + "GetSystemInfo")
    assert isinstance(call.answer, bytes)
    capabilities = api.GetSystemInfoResponse.FromString(call.answer).capabilities
    assert capabilities.eager_workflow_start and capabilities.build_id_based_versioning
    assert capabilities.supports_schedules
    assert not (capabilities.nexus or capabilities.server_scaled_deployments)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("kind", ["coroutine", "function"])
async def test_an_error_leaves_when_what_it_tells_of_is_durable(kind: str, lost: bool) -> None:
    durable = asyncio.get_running_loop().create_future()

    async def flushed() -> None:
        await durable

    class Coroutine:
        async def get_system_info(self, request: Any, call: Any) -> Any:
            raise errors.NotFound("workflow execution already completed")

    class Function:
        def get_system_info(self, request: Any, call: Any) -> Any:
            raise errors.NotFound("workflow execution already completed")

    family = Coroutine() if kind == "coroutine" else Function()
    call = RecordingCall()
    build_handlers([family], flushed=flushed)[WORKFLOW + "GetSystemInfo"](b"", call)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not call.done
    if lost:
        durable.set_exception(errors.Unavailable("please retry"))
    else:
        durable.set_result(None)
    await call.answered.wait()
    assert isinstance(call.error, errors.Unavailable if lost else errors.NotFound)

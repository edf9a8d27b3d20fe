"""What is asked of the HTTP API, of a real server (`python -m tests.rpc.http.record`) and of ours alike.

A conversation is a list of steps; each is one request, and its answer is compared whole: status, content type and the
text of the body, in which only what differs between any two runs is made the same.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
)

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
NAMESPACE = "/api/v1/namespaces/default"
SHARED = "http-golden"
"""Begins every name of a run, which ends in a token of its own."""


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Answer:
    status: int
    content_type: str
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Conversation:
    """One run. `answers` has what a golden file keeps, by the name of the step."""

    host: str
    http_port: int
    grpc_port: int
    token: str
    answers: dict[str, Answer] = field(default_factory=dict)

    def name(self, word: str) -> str:
        return f"{SHARED}-{word}-{self.token}"

    async def ask(self, step: str, path: str, body: Any = None, *, verb: str | None = None, **headers: str) -> Answer:
        """One request, recorded. A body that is not text is sent as JSON; with one, the verb is POST unless given."""
        answer = await self.request(path, body, verb=verb, **headers)
        assert step not in self.answers, step
        self.answers[step] = answer
        return answer

    async def request(self, path: str, body: Any = None, *, verb: str | None = None, **headers: str) -> Answer:
        data = (
            body if isinstance(body, bytes | None) else (body if isinstance(body, str) else json.dumps(body)).encode()
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(self._send, verb or ("GET" if body is None else "POST"), path, data, named)

    async def until_listed(self, workflow_id: str) -> None:
        """A real server's listings come later."""
        while not (await self.request(f"{NAMESPACE}/workflow-count?query=WorkflowId='{workflow_id}'")).json():
            await asyncio.sleep(0.05)

    def _send(self, verb: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=30)
        try:
            connection.request(verb, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
            return Answer(response.status, response.headers.get("content-type", ""), text)
        finally:
            connection.close()

    async def work(self, queue: str, *commands: Command, fail: Failure | None = None) -> bytes:
        """Take one workflow task and answer it, over gRPC. Returns its token."""
        async with grpc.aio.insecure_channel(f"{self.host}:{self.grpc_port}") as channel:
            poll = channel.unary_unary(f"{SERVICE}PollWorkflowTaskQueue")
            request = PollWorkflowTaskQueueRequest(
                namespace="default", task_queue=TaskQueue(name=queue), identity="worker"
            )
            task = PollWorkflowTaskQueueResponse.FromString(await poll(request.SerializeToString(), timeout=20))
            assert task.task_token
            answer: Any
            if fail is not None:
                method = "RespondWorkflowTaskFailed"
                answer = RespondWorkflowTaskFailedRequest(
                    namespace="default", task_token=task.task_token, failure=fail, identity="worker"
                )
            else:
                method = "RespondWorkflowTaskCompleted"
                answer = RespondWorkflowTaskCompletedRequest(
                    namespace="default", task_token=task.task_token, commands=commands, identity="worker"
                )
            await channel.unary_unary(f"{SERVICE}{method}")(answer.SerializeToString(), timeout=20)
            return task.task_token


def completion(*payloads: Payload) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION)
    command.complete_workflow_execution_command_attributes.result.CopyFrom(Payloads(payloads=payloads))
    return command


def failing(failure: Failure) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION)
    command.fail_workflow_execution_command_attributes.failure.CopyFrom(failure)
    return command


def payload(encoding: str, data: bytes, **metadata: str) -> Payload:
    named = {"encoding": encoding, **metadata}
    return Payload(metadata={name: value.encode() for name, value in named.items()}, data=data)


UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"')
NUMBERED = re.compile(r'"(taskId|historySizeBytes|stateTransitionCount|stateSizeBytes)": ?"\d+"')
SOURCE_LINE = re.compile(r" \(in [^ ()]*\.go:\d+\)")
"""Where in its own source the real server gave up."""


def normal(text: str, token: str) -> str:
    """`text` without what is a run's own."""
    text = UUID.sub("<uuid>", text.replace(token, "TOKEN"))
    text = TIME.sub('"<time>"', text)
    return NUMBERED.sub(r'"\1":"<number>"', SOURCE_LINE.sub("", text))


SCRIPTS: list[Callable[[Conversation], Any]] = []


def script(function: Callable[[Conversation], Any]) -> Callable[[Conversation], Any]:
    """One part of the whole conversation; its steps begin with its name."""
    SCRIPTS.append(function)
    return function


def start_body(queue: str, **fields: Any) -> dict[str, Any]:
    return {
        "workflowType": {"name": "Http"},
        "taskQueue": {"name": queue},
        "identity": "me",
        "workflowTaskTimeout": "10s",
        **fields,
    }


def _history(workflow_id: str, suffix: str = "") -> str:
    return f"{NAMESPACE}/workflows/{workflow_id}/history{suffix}"


SHORT_PAYLOADS: dict[str, Any] = {
    "null": None,
    "string": 'text with "quotes", <tags> & \u00fc\u2028\u0001\n',
    "int": 7,
    "large int": 12345678901234567,
    "too large int": 123456789012345678901234567890,
    "float": 1.5,
    "tiny": 1e-7,
    "small": 0.00001,
    "huge": 1.5e22,
    "round": 100000000000000000000.0,
    "true": True,
    "list": [1, "a", None, [], {}],
    "empty list": [],
    "object": {"b": 1, "a": {"z": [], "y": None}},
    "empty object": {},
    "proto": {"_protoMessageType": "temporal.api.common.v1.WorkflowType", "name": "x"},
    "long": {"metadata": {"encoding": base64_text(b"json/plain")}, "data": base64_text(b'{"x": 1}')},
    "binary": {"metadata": {"encoding": base64_text(b"binary/plain")}, "data": base64_text(b"\0\1\2")},
    "long null": {"metadata": {"encoding": base64_text(b"binary/null")}},
    "nearly long": {"metadata": {"encoding": "json/plain"}, "data": "%%%"},
    "more than long": {"metadata": {"encoding": base64_text(b"json/plain")}, "data": base64_text(b"1"), "x": 1},
    "extra metadata": {
        "metadata": {"encoding": base64_text(b"json/plain"), "other": base64_text(b"x")},
        "data": base64_text(b"1"),
    },
    "url base64": {"metadata": {"encoding": "anNvbi9wbGFpbg"}, "data": "Ij8_Ig"},
}


@script
async def payloads(talk: Conversation) -> None:
    """Each kind of payload on its own, sent and read back in both forms."""
    for kind, value in SHORT_PAYLOADS.items():
        workflow_id = talk.name(kind.replace(" ", "-"))
        await talk.request(f"{NAMESPACE}/workflows/{workflow_id}", start_body(talk.name("idle"), input=[value]))
        await talk.ask(f"payloads: {kind}, short", _history(workflow_id))
        await talk.ask(f"payloads: {kind}, long", _history(workflow_id, "?noPayloadShorthand"))
        await talk.request(f"{NAMESPACE}/workflows/{workflow_id}/terminate", {})


@script
async def mixed_payloads(talk: Conversation) -> None:
    workflow_id = talk.name("mixed")
    body = start_body(talk.name("idle"), input=list(SHORT_PAYLOADS.values()), memo={"fields": {"b": 1, "a": "x"}})
    body["header"] = {"fields": {"h": {"deep": [1, 2]}}}
    body["searchAttributes"] = {"indexedFields": {"BuildIds": ["a"]}}
    body["retryPolicy"] = {"initialInterval": "1.5s", "backoffCoefficient": 2.5, "maximumAttempts": 3}
    body["user_metadata"] = {"summary": "the summary"}
    await talk.ask("mixed: start", f"{NAMESPACE}/workflows/{workflow_id}", body)
    await talk.ask("mixed: history", _history(workflow_id))
    await talk.ask("mixed: pretty history", _history(workflow_id, "?pretty"))
    await talk.ask("mixed: long pretty history", _history(workflow_id, "?pretty&noPayloadShorthand"))
    await talk.ask("mixed: by accept", _history(workflow_id), accept="application/json+no-payload-shorthand")
    await talk.ask("mixed: reverse", _history(workflow_id, "-reverse?maximumPageSize=1"))
    await talk.ask(
        "mixed: signal in the long form",
        f"{NAMESPACE}/workflows/{workflow_id}/signal/go",
        {"input": {"payloads": [{"metadata": {"encoding": "YmluYXJ5L3BsYWlu"}, "data": "AAE="}]}, "identity": "me"},
        content_type="application/json+no-payload-shorthand",
    )
    await talk.ask(
        "mixed: short form where the long is due",
        f"{NAMESPACE}/workflows/{workflow_id}/signal/go",
        {"input": [1]},
        content_type="application/json+no-payload-shorthand",
    )
    await talk.ask("mixed: null input", f"{NAMESPACE}/workflows/{workflow_id}/signal/go", {"input": None})
    await talk.ask("mixed: input of one", f"{NAMESPACE}/workflows/{workflow_id}/signal/go", {"input": 5})
    await talk.ask("mixed: terminate", f"{NAMESPACE}/workflows/{workflow_id}/terminate", {"details": ["why", 1]})
    await talk.ask("mixed: terminate twice", f"{NAMESPACE}/workflows/{workflow_id}/terminate", {"reason": "again"})
    await talk.ask("mixed: the closed history", _history(workflow_id))


@script
async def results(talk: Conversation) -> None:
    """What workers send, among it what has no short form, and JSON that is none."""
    kinds = {
        "plain": payload("json/plain", b' {"b": 1.0, "a": 12345678901234567890} '),
        "null text": payload("json/plain", b"null"),
        "proto": payload("json/protobuf", b'{"name":"x"}', messageType="a.B"),
        "proto null": payload("json/protobuf", b"null", messageType="a.B"),
        "proto without type": payload("json/protobuf", b'{"name":"x"}'),
        "binary proto": payload("binary/protobuf", b"\n\1x", messageType="a.B"),
        "no metadata": Payload(data=b"1"),
        "lone surrogate": payload("json/plain", b'"\\ud800"'),
        "bad json": payload("json/plain", b"{bad"),
        "empty": payload("json/plain", b""),
        "two values": payload("json/plain", b"1 2"),
        "proto list": payload("json/protobuf", b"[1]", messageType="a.B"),
        "out of range": payload("json/plain", b"1e400"),
    }
    for kind, result in kinds.items():
        workflow_id, queue = talk.name(kind.replace(" ", "-") + "-result"), talk.name(kind.replace(" ", "-"))
        await talk.request(f"{NAMESPACE}/workflows/{workflow_id}", start_body(queue))
        await talk.work(queue, completion(result, payload("json/plain", b"2")))
        close = _history(workflow_id, "?historyEventFilterType=HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT")
        await talk.ask(f"results: {kind}", close)


@script
async def failures(talk: Conversation) -> None:
    workflow_id, queue = talk.name("failure"), talk.name("failures")
    await talk.request(f"{NAMESPACE}/workflows/{workflow_id}", start_body(queue))
    failure = Failure(message="outer", source="Python", stack_trace="a\nb")
    failure.application_failure_info.type = "Boom"
    failure.application_failure_info.non_retryable = True
    failure.application_failure_info.details.payloads.append(payload("json/plain", b'{"x":[1]}'))
    failure.application_failure_info.next_retry_delay.FromMilliseconds(1500)
    failure.cause.message = "inner"
    failure.cause.timeout_failure_info.timeout_type = 2
    failure.encoded_attributes.CopyFrom(payload("json/plain", b'"secret"'))
    await talk.work(queue, failing(failure))
    await talk.ask("failures: history", _history(workflow_id))
    await talk.ask("failures: long history", _history(workflow_id, "?noPayloadShorthand&pretty"))


@script
async def lives(talk: Conversation) -> None:
    workflow_id, queue = talk.name("life"), talk.name("lives")
    base = f"{NAMESPACE}/workflows/{workflow_id}"
    await talk.ask("lives: start", base, start_body(queue, workflow_id_reuse_policy="AllowDuplicate", requestId="r"))
    await talk.ask("lives: start twice", base, start_body(queue))
    await talk.ask("lives: start the same", base, start_body(queue, requestId="r"))
    await talk.ask("lives: describe", base)
    await talk.ask("lives: describe a run", f"{base}?execution.runId={'0' * 8}-0000-0000-0000-{'0' * 12}")
    await talk.ask("lives: describe no run", f"{base}?execution.run_id=x")
    await talk.ask("lives: signal", f"{base}/signal/hello", {"input": ["a", 2], "identity": "me"})
    await talk.ask("lives: signal with start", f"{base}/signal-with-start/hello", start_body(queue, signalInput=[1]))
    await talk.ask("lives: cancel", f"{base}/cancel", {"reason": "because", "identity": "me"})
    await talk.until_listed(workflow_id)
    await talk.ask("lives: list", f"{NAMESPACE}/workflows?query=WorkflowId%3D%22{workflow_id}%22&pageSize=5")
    await talk.ask("lives: count", f"{NAMESPACE}/workflow-count?query=WorkflowId+%3D+%22{workflow_id}%22")
    await talk.ask("lives: bad query", f"{NAMESPACE}/workflows?query=%3D%3D")
    await talk.ask("lives: without prefix", f"/namespaces/default/workflow-count?query=WorkflowId='{workflow_id}'")
    await talk.ask("lives: query of nobody", f"{base}/query/state", {"query": {"queryArgs": [1]}}, grpc_timeout="500m")
    await talk.ask("lives: task queue", f"{NAMESPACE}/task-queues/{queue}?taskQueueType=TASK_QUEUE_TYPE_WORKFLOW")
    await talk.ask("lives: task queue by number", f"{NAMESPACE}/task-queues/{queue}?task_queue_type=2")
    await talk.ask("lives: the path wins", base.replace("life", "other"), start_body(queue, workflowId="mine"))
    await talk.ask("lives: reset of nothing", f"{NAMESPACE}/workflows/nothing/reset", {})
    await talk.request(f"{base}/terminate", {})


@script
async def namespaces(talk: Conversation) -> None:
    name = talk.name("space")
    body = {"namespace": name, "workflowExecutionRetentionPeriod": "86400s", "data": {"b": "1", "a": "2"}}
    await talk.ask("namespaces: register", "/cluster/namespaces", body)
    await talk.ask("namespaces: register twice", "/api/v1/namespaces", body)
    await talk.ask("namespaces: no retention", "/api/v1/namespaces", {"namespace": name + "x"})
    await talk.ask("namespaces: unknown", f"/api/v1/namespaces/{talk.name('nope')}")
    await talk.ask("namespaces: list of an unknown", f"/api/v1/namespaces/{talk.name('nope')}/workflows")


@script
async def bad_json(talk: Conversation) -> None:
    """Every way in which a body is not the request."""
    path = f"{NAMESPACE}/workflows/{talk.name('bad')}"
    bodies = [
        "", " \n ", "{", "{}", "[]", "5", "null", '"x"', "{bad", '{"a" 1}', '{"a":}', '{"a":1,}', '{"a":1 "b":2}', "[1",
        "[1 2]", "tru", "trux", '{"a":"\x01"}', '{"a":"\\x"}', '{"a":"\\u12g4"}', '{"a":-}', '{"a":01}', '{"a":1.}',
        '{"a":1ex}', "nul", "}", "'", '{"identity":"a"} trailing', '{"foo":1}', '\n {"identity":\n  5}',
        '{"identity":"a","identity":"b"}', '{"workflowType":5}', '{"workflowType":{"nam":"x"}}', '{"taskQueue":[]}',
        '{"workflowTaskTimeout":"5"}', '{"workflowTaskTimeout":"x"}', '{"workflowTaskTimeout":5}',
        '{"workflowTaskTimeout":"999999999999999s"}', '{"workflowIdReusePolicy":"Nope"}',
        '{"workflowIdReusePolicy":1.5}',
        '{"workflowIdReusePolicy":{}}', '{"retryPolicy":{"maximumAttempts":"x"}}',
        '{"retryPolicy":{"maximumAttempts":2147483648}}',
        '{"retryPolicy":{"maximumAttempts":1e2,"backoffCoefficient":"y"}}',
        '{"retryPolicy":{"nonRetryableErrorTypes":5}}',
        '{"retryPolicy":{"nonRetryableErrorTypes":[5]}}', '{"memo":{"fields":[]}}', '{"memo":{"fields":{"a":1,"a":2}}}',
        '{"requestEagerExecution":"true"}', '{"identity":"\\ud800"}', '{"identity":null,"nope":null}',
        '{"input":{"payloads":[{"data":"%"}]}}', '{"input":{"nope":1}}', '{"lastCompletionResult":{"payloads":5}}',
        '{"links":[{"workflowEvent":{"namespace":"x"},"batchJob":{}}]}', '{"priority":{"fairnessWeight":1e39}}',
        '{"priority":{"priorityKey":-1}}', '{"versioningOverride":{"pinnedVersion":"a","behavior":"Pinned"}}',
    ]  # fmt: skip
    for body in bodies:
        await talk.ask(f"bad json: {body}", path, body)
    await talk.ask("bad json: no UTF-8", path, b'{"identity":"\xff"}')
    await talk.ask("bad json: too large", path, b'{"identity":"' + b"x" * (4 << 20) + b'"}')


@script
async def routing(talk: Conversation) -> None:
    await talk.ask("routing: unknown", "/nope")
    await talk.ask("routing: root", "/")
    await talk.ask("routing: wrong verb", "/api/v1/system-info", verb="DELETE")
    await talk.ask("routing: options", "/api/v1/system-info", verb="OPTIONS")
    await talk.ask("routing: head", "/api/v1/system-info", verb="HEAD")
    await talk.ask("routing: unclean", "//api/v1/./namespaces/x/../default?a=b")
    await talk.ask("routing: slash in a name", f"{NAMESPACE}/workflows/a%2Fb")
    await talk.ask("routing: no name", f"{NAMESPACE}/workflows/")
    await talk.ask("routing: escapes", f"{NAMESPACE}/workflows/{talk.name('a%20b+c')}")
    await talk.ask("routing: bad number", "/api/v1/namespaces?pageSize=x")
    await talk.ask("routing: large number", "/api/v1/namespaces?pageSize=3000000000")
    await talk.ask("routing: two values", "/api/v1/namespaces?pageSize=1&pageSize=2")
    await talk.ask("routing: bad bytes", "/api/v1/namespaces?nextPageToken=%25%25")
    await talk.ask("routing: bad bool", "/api/v1/namespaces?namespaceFilter.includeDeleted=maybe")
    await talk.ask("routing: bad path", "/api/v1/namespaces?pageSize.x=1")
    await talk.ask("routing: semicolon", "/api/v1/namespaces?a=1;b=2")
    await talk.ask("routing: bad escape", "/api/v1/namespaces?a=%zz")
    await talk.ask("routing: bad enum", f"{NAMESPACE}/task-queues/x?taskQueueType=Nope")
    await talk.ask("routing: message", f"{NAMESPACE}/task-queues/x?versions=1")
    await talk.ask("routing: timeout", "/api/v1/system-info", grpc_timeout="x")
    await talk.ask("routing: short timeout", "/api/v1/system-info", grpc_timeout="1n")
    await talk.ask("routing: bad binary header", "/api/v1/system-info", Grpc_Metadata_X_Bin="%")
    form = "application/x-www-form-urlencoded"
    await talk.ask("routing: form", f"{NAMESPACE}/workflow-count", "query=WorkflowId='x'", content_type=form)
    await talk.ask(
        "routing: override",
        f"{NAMESPACE}/workflow-count?query=WorkflowId='x'",
        "",
        content_type=form,
        x_http_method_override="get",
    )
    await talk.ask("routing: pretty error", "/nope?pretty")
    await talk.ask("routing: pretty body", f"{NAMESPACE}/workflows/x", {}, content_type="application/json+pretty")


@script
async def tokens(talk: Conversation) -> None:
    for method in ("heartbeat", "complete", "fail", "resolve-as-canceled"):
        await talk.ask(f"tokens: {method}", f"{NAMESPACE}/activity-{method}", {"taskToken": "AAAA"})
        await talk.ask(f"tokens: {method} without", f"{NAMESPACE}/activity-{method}", {})
        of_nothing = f"{NAMESPACE}/workflows/{talk.name('none')}/activities/a/{method}"
        await talk.ask(f"tokens: {method} by id", of_nothing, {})
    await talk.ask("tokens: bad base64", f"{NAMESPACE}/activity-complete", {"taskToken": "%"})


async def run(talk: Conversation) -> dict[str, list[Any]]:
    """The whole conversation: what a golden file keeps."""
    for part in SCRIPTS:
        await part(talk)
    return {
        step: [answer.status, answer.content_type, normal(answer.body, talk.token)]
        for step, answer in talk.answers.items()
    }

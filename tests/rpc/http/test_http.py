"""The HTTP API against what a real server answered, and what the golden file can't hold."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payloads, WorkflowType
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from tests.garbage import no_exception_stays
from tests.rpc.http.conversation import Conversation, payload, run
from tests.rpc.http.record import GOLDEN

from perdure.errors import NotFound
from perdure.rpc.http.app import HttpApi
from perdure.rpc.http.bindings import Binding, Routes, bindings, compile_template
from perdure.rpc.http.decode import enum_number, from_json, screaming_snake
from perdure.rpc.http.encode import _SPECIAL, to_json
from perdure.rpc.http.gojson import float_text, integer
from perdure.rpc.http.query import fill
from perdure.rpc.services import methods
from perdure.rpc.transport.base import Call

DIFFERENCES = {
    "lives: bad query": "Queries say where they are wrong, after the real server's words.",
    "lives: task queue": "There are no rate limits to tell of.",
    "lives: task queue by number": "There are no rate limits to tell of.",
    "lives: list": "A listing has no search attributes where the workflow has none.",
}
"""Steps whose answer differs, each with its reason, which is not one of HTTP."""

NOT_YET = "is not implemented by this version of Perdure"


async def test_every_answer_is_the_real_servers(talk: Conversation) -> None:
    golden = json.loads(GOLDEN.read_text())["answers"]
    answers = await run(talk)
    assert list(answers) == list(golden)
    for step, answer in answers.items():
        wanted = golden[step]
        # Its content type is "*", which no client can read: the one thing about answers that is ours.
        wanted[1] = "application/json" if wanted[1] == "*" else wanted[1]
        if step not in DIFFERENCES and NOT_YET not in answer[2]:
            assert answer == wanted, step


async def test_no_refusal_stays_in_memory(talk: Conversation) -> None:
    async with no_exception_stays():
        await run(talk)


# Each binding.


class Echo:
    """Handlers that write down what reaches them."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.api = HttpApi({f"/{m.containing_service.full_name}/{m.name}": self.handle for m in methods()})

    def handle(self, data: bytes, call: Call) -> None:
        self.got.append((call.method, data))
        self.metadata = call.metadata
        call.reply(b"")

    async def ask(
        self, verb: str, path: str, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        sent: list[Any] = []
        events = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if events:
                return events.pop()
            await asyncio.Event().wait()

        async def send(event: Any) -> None:
            sent.append(event)

        scope = {
            "type": "http",
            "method": verb,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("10.0.0.9", 5),
        }
        await self.api(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]


ALL = list(bindings())


def test_every_rule_of_the_descriptors_is_a_binding() -> None:
    with_rules = {method.name for method in methods() if method.GetOptions().HasExtension(annotations_pb2.http)}
    assert {binding.method.name for binding in ALL} == with_rules
    assert {"StartWorkflowExecution", "CreateSchedule", "CreateNexusEndpoint"} <= with_rules
    assert len(ALL) > 200


@pytest.mark.parametrize("binding", ALL, ids=lambda binding: f"{binding.verb} {binding.template}")
async def test_each_binding_reaches_its_rpc_with_the_fields_of_its_path(binding: Binding) -> None:
    echo = Echo()
    path = binding.template
    for index, variable in enumerate(binding.variables):
        path = path.replace("{" + variable + "}", f"v%20{index}")
    status, body = await echo.ask(binding.verb, path, body=b"{}" if binding.has_body else b"")
    assert (status, body) == (200, b"{}")
    ((method, data),) = echo.got
    assert method == binding.path
    from google.protobuf.message_factory import GetMessageClass

    request: Any = GetMessageClass(binding.method.input_type).FromString(data)
    for index, variable in enumerate(binding.variables):
        value = request
        for name in variable.split("."):
            value = getattr(value, name)
        assert value == f"v {index}"


def test_templates_of_every_kind() -> None:
    def match(template: str, path: str) -> tuple[str, ...] | None:
        found = compile_template(template)[0].fullmatch(path)
        return found.groups() if found else None

    assert match("/a/{b.c}/d", "/a/x/d") == ("x",)
    assert match("/a/{b}/d", "/a/x/y/d") is None
    assert match("/a/{b=**}", "/a/x/y") == ("x/y",)
    assert match("/a/{b=x/*}/d", "/a/x/y/d") == ("x/y",)
    assert match("/a/**", "/a/x/y") == ()
    assert match("/a/*:go", "/a/x:go") == ()
    assert compile_template("/{a.b}/{c=**}")[1] == ("a.b", "c")


def test_the_verb_decides_between_bindings_of_one_path() -> None:
    routes = Routes(ALL)
    for verb, name in (("GET", "DescribeSchedule"), ("POST", "CreateSchedule"), ("DELETE", "DeleteSchedule")):
        found = routes.find(verb, "/namespaces/n/schedules/s")
        assert found not in (None, "other verb")
        assert found[0].method.name == name  # type: ignore[index, union-attr]
    assert routes.find("PUT", "/namespaces/n/schedules/s") == "other verb"
    assert routes.find("GET", "/namespaces/n/s") is None


# Requests.


async def test_headers_become_metadata() -> None:
    echo = Echo()
    headers = {
        "Authorization": "Bearer x",
        "Grpc-Metadata-Caller": "me",
        "Grpc-Metadata-Raw-Bin": "AAE",
        "User-Agent": "curl",
        "X-Forwarded-For": "1.2.3.4",
        "Host": "h:1",
        "X-Secret": "no",
        "Client-Name": "mine",
        "Temporal-Namespace": "no",
    }
    await echo.ask("GET", "/system-info", headers=headers)
    assert echo.metadata == {
        "authorization": "Bearer x",
        "grpcgateway-authorization": "Bearer x",
        "caller": "me",
        "raw-bin": b"\0\1",
        "grpcgateway-user-agent": "curl",
        "x-forwarded-for": "1.2.3.4, 10.0.0.9",
        "x-forwarded-host": "h:1",
        "grpcgateway-host": "h:1",
        "client-name": "mine",
        "client-version": "1.32.0",
    }


async def test_errors_carry_their_details() -> None:
    echo = Echo()

    def refuse(data: bytes, call: Call) -> None:
        call.fail(NotFound("gone"))

    echo.api = HttpApi({"/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo": refuse})
    status, body = await echo.ask("GET", "/system-info")
    assert status == 404
    detail = {"@type": "type.googleapis.com/temporal.api.errordetails.v1.NotFoundFailure"}
    assert json.loads(body) == {"code": 5, "message": "gone", "details": [detail]}


# JSON.


def reachable() -> dict[str, Descriptor]:
    """Every message that a request or a response can hold."""
    found: dict[str, Descriptor] = {}
    queue = [each for method in methods() for each in (method.input_type, method.output_type)]
    while queue:
        descriptor = queue.pop()
        if descriptor.full_name not in found:
            found[descriptor.full_name] = descriptor
            queue += [field.message_type for field in descriptor.fields if field.message_type is not None]
    return found


def test_messages_with_json_of_their_own_are_all_known() -> None:
    of_google = {name for name in reachable() if name.startswith("google.protobuf.")}
    assert of_google - {"google.protobuf.Empty"} <= set(_SPECIAL)


def test_enums_are_read_by_both_of_their_names() -> None:
    assert enum_number(EventType.DESCRIPTOR, "EVENT_TYPE_TIMER_FIRED") == EventType.EVENT_TYPE_TIMER_FIRED
    assert enum_number(EventType.DESCRIPTOR, "TimerFired") == EventType.EVENT_TYPE_TIMER_FIRED
    assert enum_number(EventType.DESCRIPTOR, "Nope") is None
    for text, snake in (
        ("JSONData", "JSON_DATA"),
        ("V1Thing", "V_1_THING"),
        ("a-b.c d", "A_B_C_D"),
        ("TaskQueueType_Workflow", "TASK_QUEUE_TYPE_WORKFLOW"),
    ):
        assert screaming_snake(text) == snake


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (0.1, "0.1"), (1e-6, "0.000001"), (1.5e-7, "1.5e-7"), (1e-10, "1e-10"),
        (1e20, "100000000000000000000"),
        (1.25e17, "125000000000000000"), (1e21, "1e+21"), (-2.5e22, "-2.5e+22"), (0.0, "0"), (-0.0, "-0"),
        (-1.5e-5, "-0.000015"),
        (123456.789, "123456.789"), (1e100, "1e+100"),
    ],
)  # fmt: skip
def test_floats_are_written_as_go_does(value: float, text: str) -> None:
    assert float_text(value) == text


def test_floats_of_four_bytes_have_their_own_shortest_text() -> None:
    import struct

    (value,) = struct.unpack("f", struct.pack("f", 0.1))
    assert float_text(value, 32) == "0.1"


@pytest.mark.parametrize(
    ("text", "bits", "value"),
    [
        ("1", 32, 1), ("1.0", 32, 1), ("1e2", 32, 100), ("1.5e1", 32, 15), ("1.5", 32, None), ("100e-2", 32, 1),
        ("10e-2", 32, None), ("-0", 32, 0), ("2147483648", 32, None), ("-2147483648", 32, -(2**31)), ("01", 32, None),
        ("9223372036854775807", 64, 2**63 - 1), ("1e999999999999", 64, None), ("0e999", 32, 0), ("x", 32, None),
        ("9" * 5000, 64, None), ("1e" + "9" * 5000, 64, None), ("1" + "0" * 5000 + "e-1", 64, None),
    ],
)  # fmt: skip
def test_integers_are_read_from_every_way_to_write_them(text: str, bits: int, value: int | None) -> None:
    assert integer(text, bits) == value


def test_what_is_long_takes_no_longer_than_its_length() -> None:
    """Each would take minutes if the work for one piece grew with the whole."""
    request = StartWorkflowExecutionRequest()
    from_json(b'{"input":["\\ud83d\\ude00"' + b',""' * 300_000 + b"]}", request)
    assert len(request.input.payloads) == 300_001
    brackets = "[" * 400_000
    fill(request, {brackets: ["1"], brackets + "]": ["1"]}, ())


def filled(descriptor: Descriptor, depth: int = 0) -> Message:
    """A message with every field set, but one of a oneof."""
    from google.protobuf.message_factory import GetMessageClass

    message: Any = GetMessageClass(descriptor)()
    if descriptor.full_name == "google.protobuf.Any":
        message.Pack(WorkflowType(name="x"))
        return message
    if descriptor.full_name == "temporal.api.common.v1.Payload":
        return payload("binary/plain", b"\0")
    if descriptor.full_name == "google.protobuf.FieldMask":
        message.paths.extend(["a_b", "c.d_e"])
        return message
    for field in descriptor.fields:
        _fill_field(message, field, depth)
    return message


VALUES: dict[int, Any] = {
    FieldDescriptor.TYPE_STRING: "\u00e4",
    FieldDescriptor.TYPE_BYTES: b"\0\xff",
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_DOUBLE: 0.1,
    FieldDescriptor.TYPE_FLOAT: 0.5,
}


def _fill_field(message: Any, field: FieldDescriptor, depth: int) -> None:
    entry = field.message_type is not None and field.message_type.GetOptions().map_entry
    if field.message_type is not None and depth > 3:
        return
    if entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        name = "k" if key.type == FieldDescriptor.TYPE_STRING else 1
        if value.message_type is not None:
            getattr(message, field.name)[name].CopyFrom(filled(value.message_type, depth + 1))
        else:
            getattr(message, field.name)[name] = VALUES.get(value.type, 1)
    elif field.message_type is not None:
        target = getattr(message, field.name)
        (target.add() if field.is_repeated else target).CopyFrom(filled(field.message_type, depth + 1))
        if not field.is_repeated:
            target.SetInParent()
    elif field.is_repeated:
        getattr(message, field.name).append(VALUES.get(field.type, 1))
    else:
        setattr(message, field.name, VALUES.get(field.type, 1))


@pytest.mark.parametrize("shorthand", [True, False], ids=["short", "long"])
def test_every_message_survives_its_json(shorthand: bool) -> None:
    for name, descriptor in reachable().items():
        if descriptor.GetOptions().map_entry or name.startswith("google.protobuf."):
            continue
        message = filled(descriptor)
        again = type(message)()
        from_json(to_json(message, shorthand=shorthand), again, shorthand=shorthand)
        assert again == message, name


def test_an_event_is_json_as_the_reference_says() -> None:
    event = HistoryEvent(event_id=1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    event.event_time.FromJsonString("2024-01-02T03:04:05.120Z")
    event.workflow_execution_signaled_event_attributes.input.payloads.append(
        payload("json/plain", b'{"b": 1.0, "a": []}')
    )
    assert to_json(event) == (
        b'{"eventId":"1","eventTime":"2024-01-02T03:04:05.120Z","eventType":"EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED",'
        b'"workflowExecutionSignaledEventAttributes":{"input":[{"a":null,"b":1}]}}'
    )


def test_payloads_are_short_only_all_together() -> None:
    both = Payloads(payloads=[payload("json/plain", b"1"), payload("binary/plain", b"x")])
    assert json.loads(to_json(both)) == {
        "payloads": [1, {"metadata": {"encoding": "YmluYXJ5L3BsYWlu"}, "data": "eA=="}]
    }


# The document.


def test_the_openapi_document_holds_together() -> None:
    from perdure.rpc.http.openapi import openapi

    document = openapi()
    schemas = document["components"]["schemas"]
    referred = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                referred.add(node["$ref"])
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(document)
    assert {each.removeprefix("#/components/schemas/") for each in referred} == set(schemas)
    operations = {
        (verb.upper(), path): operation
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }
    assert set(operations) == {(binding.verb, binding.template) for binding in ALL}
    names = [operation["operationId"] for operation in operations.values()]
    assert len(names) == len(set(names))
    for (verb, path), operation in operations.items():
        in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert ("requestBody" in operation) == (verb == "POST")
        assert set(operation["responses"]) == {"200", "default"}


def test_the_yaml_is_the_same_document() -> None:
    yaml = pytest.importorskip("yaml")
    from perdure.rpc.http.openapi import as_yaml, openapi

    assert yaml.safe_load(as_yaml()) == openapi()


def test_the_command_prints_the_document() -> None:
    from click.testing import CliRunner

    from perdure.cli.openapi import openapi as command
    from perdure.rpc.http.openapi import as_yaml, openapi

    runner = CliRunner()
    assert runner.invoke(command).output == as_yaml()
    assert json.loads(runner.invoke(command, ["--json"]).output) == openapi()

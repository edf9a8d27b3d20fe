"""JSON, numbers and times of a size that Python's own readers refuse. The answers are a real server's."""

from __future__ import annotations

import json

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from tests.rpc.http.conversation import NAMESPACE, Conversation, payload, start_body

from perdure.rpc.http.decode import DecodeProblem, from_json
from perdure.rpc.http.encode import EncodeProblem, to_json
from perdure.rpc.http.gojson import integer
from perdure.rpc.http.gotime import BadTime, duration_nanos, go_duration_nanos

MANY = "9" * 5000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"{MANY}e-1", None),
        (f"1{'0' * 5000}e-5000", 1),
        (f"1e{MANY}", None),
        (f"1e-{MANY}", None),
        (f"1e{'0' * 5000}1", 10),
        (f"0e{MANY}", 0),
    ],
    ids=["long", "long but one", "large", "small", "zeros", "zero"],
)
def test_integers_of_any_length(text: str, value: int | None) -> None:
    assert integer(text, 32) == value


def test_times_of_any_length() -> None:
    for text in (f"{MANY}s", f"0.{MANY}s"):
        with pytest.raises(BadTime):
            duration_nanos(text)
    with pytest.raises(BadTime):
        go_duration_nanos(f"{MANY}h")
    assert go_duration_nanos(f"{'0' * 5000}1.5{'0' * 5000}s") == 1_500_000_000


@pytest.mark.parametrize(
    ("path", "body", "headers", "words"),
    [
        (f"{NAMESPACE}/workflows/w", f'{{"input":[1e-{MANY}],"x":1}}', {}, "unknown field"),
        (f"{NAMESPACE}/workflows/w", f'{{"x":{"[" * 2000}{"]" * 2000}}}', {}, "(line 1:2): unknown field"),
        (f"{NAMESPACE}/workflows/w", f'{{"x":{"[" * 2000}', {}, "unexpected EOF"),
        (
            f"{NAMESPACE}/workflows/w",
            f'{{"x":{"[" * 2000}x',
            {},
            "invalid character 'x' looking for beginning",
        ),
        (f"{NAMESPACE}/workflows/w", "[" * 20_000, {}, "invalid character '[' exceeded max depth"),
        ("/api/v1/system-info", None, {"grpc_timeout": f"{'9' * 400}S"}, "invalid grpc-timeout: 999"),
        ("/api/v1/system-info", None, {"grpc_timeout": f"{1 << 63}n"}, f"invalid grpc-timeout: {1 << 63}n"),
        (f"/api/v1/namespaces?pageSize={MANY}", None, {}, "strconv.ParseInt: parsing"),
        (
            f"{NAMESPACE}/workflows/w/history?historyEventFilterType={MANY}",
            None,
            {},
            '_filter_type": "999',
        ),
    ],
    ids=["digits", "depth", "open", "bad", "too deep", "timeout", "63 bits", "query", "enum"],
)
async def test_what_is_too_much_is_the_clients_mistake(
    talk: Conversation, path: str, body: str | None, headers: dict[str, str], words: str
) -> None:
    answer = await talk.request(path, body, **headers)
    assert answer.status == 400 and words in answer.json()["message"]


async def test_zeros_in_front_are_no_size(talk: Conversation) -> None:
    path = f"/api/v1/namespaces?pageSize={'0' * 5000}1"
    assert (await talk.request(path, grpc_timeout=f"{'0' * 400}9S")).status == 200


@pytest.mark.parametrize("depth", [700, 9_995])
async def test_payloads_are_as_deep_as_they_come(talk: Conversation, depth: int) -> None:
    given = "[" * depth + '{"b":{},"a":[1.50,[]],"a":[2.50,[]]}' + "]" * depth
    body = json.dumps(start_body("q")).removesuffix("}") + f',"input":[{given}]}}'
    assert (await talk.request(f"{NAMESPACE}/workflows/w", body)).status == 200
    written = "[" * depth + '{"a":[2.5,null],"b":{}}' + "]" * depth
    answer = await talk.request(f"{NAMESPACE}/workflows/w/history")
    assert answer.status == 200 and written in answer.body
    assert (await talk.request(f"{NAMESPACE}/workflows/w/history?pretty")).status == 200


def test_a_payload_deeper_than_go_takes_has_no_json() -> None:
    with pytest.raises(EncodeProblem, match="invalid character '\\[' exceeded max depth"):
        to_json(Payloads(payloads=[payload("json/plain", b"[" * 10_001 + b"]" * 10_001)]))


def test_messages_nested_too_deep_are_refused() -> None:
    with pytest.raises(DecodeProblem, match="exceeded max depth"):
        from_json(b'{"cause":' * 900 + b"{}" + b"}" * 900, Failure())


def test_a_deep_mistake_is_found_where_it_is() -> None:
    body = b'{"input":[' + b"[" * 3000 + b"]" * 3000 + b'],"identity":5}'
    with pytest.raises(DecodeProblem, match=r"\(line 1:6024\): invalid value for string type: 5"):
        from_json(body, StartWorkflowExecutionRequest())

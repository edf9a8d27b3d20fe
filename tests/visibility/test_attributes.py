"""Search attributes that clients set, beyond what the golden values say."""

from __future__ import annotations

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.filter.v1 import StartTimeFilter, StatusFilter, WorkflowExecutionFilter, WorkflowTypeFilter
from temporalio.api.workflowservice.v1 import ListClosedWorkflowExecutionsRequest, ListOpenWorkflowExecutionsRequest
from tests.visibility.table import CUSTOM

from perdure.errors import InvalidArgument
from perdure.visibility import schema
from perdure.visibility.filters import closed_query, open_query
from perdure.visibility.query import compile_list


def plain(data: object, **metadata: str) -> Payload:
    extra = {key: value.encode() for key, value in metadata.items()}
    return Payload(metadata={"encoding": b"json/plain", **extra}, data=json.dumps(data).encode())


def raw(data: bytes, encoding: str | None = "json/plain") -> Payload:
    return Payload(metadata={"encoding": encoding.encode()} if encoding else {}, data=data)


def of(**payloads: Payload) -> SearchAttributes:
    return SearchAttributes(indexed_fields=payloads)


def refusal(attributes: SearchAttributes, number_of_keys_limit: int = 100) -> str:
    with pytest.raises(InvalidArgument) as refused:
        schema.check_names(attributes.indexed_fields, CUSTOM, "default")
        schema.check_values(attributes.indexed_fields, CUSTOM, number_of_keys_limit)
    return refused.value.message


def checked(attributes: SearchAttributes) -> dict[str, schema.JsonValue | None]:
    schema.check_names(attributes.indexed_fields, CUSTOM, "default")
    return schema.check_values(attributes.indexed_fields, CUSTOM, 100)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (of(Nope=plain("x")), "Namespace default has no mapping defined for search attribute Nope"),
        (of(NamespaceId=plain("x")), "Namespace default has no mapping defined for search attribute NamespaceId"),
        (of(ScheduleId=plain("x")), "Namespace default has no mapping defined for search attribute ScheduleId"),
        (of(WorkflowId=plain("x")), "WorkflowId attribute can't be set in SearchAttributes"),
        (
            of(TemporalWorkerDeployment=plain("x")),
            "TemporalWorkerDeployment attribute can't be set in SearchAttributes",
        ),
        (
            of(MyKw=raw(b"notjson")),
            "invalid value for search attribute MyKw of type Keyword: "
            'value from <metadata:{key:"encoding" value:"json/plain"} data:"notjson">',
        ),
        (of(MyKw=raw(b"abc", "binary/plain")), "invalid value for search attribute MyKw of type Keyword: [97 98 99]"),
        (
            of(MyKw=raw(b'"x"', None)),
            'invalid value for search attribute MyKw of type Keyword: value from <data:"\\"x\\"">',
        ),
        (of(MyKw=Payload()), "invalid value for search attribute MyKw of type Keyword: value from <>"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_refused_in_the_real_servers_words(attributes: SearchAttributes, message: str) -> None:
    assert refusal(attributes) == message


@pytest.mark.parametrize("data", [b"[" * 100_000, b"9" * 5000, b"1e999", b"9" * 400, b"NaN", b"\xff", b"", b'{"a":'])
@pytest.mark.parametrize("name", CUSTOM)
def test_hostile_values_are_refused(name: str, data: bytes) -> None:
    refusal(of(**{name: raw(data)}))


def test_the_number_of_attributes_is_limited() -> None:
    both = of(MyKw=plain("x"), MyInt=plain(5))
    assert refusal(both, 1) == "number of search attributes 2 exceeds limit 1"


def test_values_are_kept_as_the_column_has_them() -> None:
    given = of(
        MyText=plain("t"), MyKw=plain(["k"]), MyInt=plain(5), MyDouble=plain(5), MyBool=plain(True),
        MyTime=plain("1970-01-01T00:00:01Z"), MyList=plain(["a", "b"]), BatcherUser=plain("u"),
    )  # fmt: skip
    values = checked(given)
    assert values == {
        "MyText": "t", "MyKw": "k", "MyInt": 5, "MyDouble": 5.0, "MyBool": True,
        "MyTime": 10**9, "MyList": ["a", "b"], "BatcherUser": "u",
    }  # fmt: skip
    assert set(schema.plain_values(given)) == {"BatcherUser"}
    schema.set_types(given.indexed_fields, CUSTOM)
    assert given.indexed_fields["MyTime"].metadata["type"] == b"Datetime"
    assert schema.plain_values(given) == values


def test_a_value_that_is_not_of_its_type_cannot_be_searched_for() -> None:
    assert schema.plain_values(of(A=plain("x", type="Int"), B=plain("x", type="Nope"), C=plain(5, type="Int"))) == {
        "C": 5
    }


def test_half_characters_become_whole_ones() -> None:
    values = checked(of(MyKw=raw(b'"\\ud800"'), MyList=raw(b'["\\udfff"]')))
    assert values == {"MyKw": "\ufffd", "MyList": ["\ufffd"]}


def test_null_and_an_empty_list_unset() -> None:
    values = checked(of(MyKw=plain(None), MyList=plain([]), MyInt=raw(b"", "binary/null")))
    assert values == {"MyKw": None, "MyList": None, "MyInt": None}


def test_a_type_that_the_client_wrote_is_left_alone() -> None:
    given = of(MyKw=plain("x", type="Text"), MyInt=plain(3), WorkflowId=plain("x"))
    schema.set_types(given.indexed_fields, CUSTOM)
    assert given.indexed_fields["MyKw"].metadata["type"] == b"Text"
    assert given.indexed_fields["MyInt"].metadata["type"] == b"Int"
    assert "type" not in given.indexed_fields["WorkflowId"].metadata


def test_encoding() -> None:
    payload = schema.encode(["a", "é"], schema.KEYWORD_LIST)
    assert payload == Payload(metadata={"encoding": b"json/plain", "type": b"KeywordList"}, data='["a","é"]'.encode())


@pytest.mark.parametrize("name", ["WorkflowId", "TemporalFoo", "BuildIds", "Memo", "NamespaceId"])
def test_reserved_names(name: str) -> None:
    assert schema.is_reserved(name)
    assert not schema.is_reserved("Customer")


def at(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)


def test_the_filters_of_open_runs() -> None:
    request = ListOpenWorkflowExecutionsRequest(
        start_time_filter=StartTimeFilter(earliest_time=at(1), latest_time=at(2)),
        execution_filter=WorkflowExecutionFilter(workflow_id='it\'s \\ "odd"'),
    )
    compiled = compile_list(open_query(request), {})
    assert compiled.params[1:] == (1, 10**9, 2 * 10**9, 'it\'s \\ "odd"')
    bare = ListOpenWorkflowExecutionsRequest(type_filter=WorkflowTypeFilter(name="T"))
    assert open_query(bare) == "ExecutionStatus = 'Running' AND WorkflowType = 'T'"


def test_the_filters_of_closed_runs() -> None:
    request = ListClosedWorkflowExecutionsRequest(
        start_time_filter=StartTimeFilter(latest_time=at(2)), status_filter=StatusFilter(status=7)
    )
    assert closed_query(request) == (
        "ExecutionStatus != 'Running' AND CloseTime <= 2000000000 AND ExecutionStatus = 'TimedOut'"
    )

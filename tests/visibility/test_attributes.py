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
from perdure.visibility.attributes import DEFAULT_LIMITS, Limits, encode, merge, to_column, validate
from perdure.visibility.filters import closed_query, open_query
from perdure.visibility.query import compile_list


def plain(data: object, **metadata: str) -> Payload:
    extra = {key: value.encode() for key, value in metadata.items()}
    return Payload(metadata={"encoding": b"json/plain", **extra}, data=json.dumps(data).encode())


def raw(data: bytes, encoding: str | None = "json/plain") -> Payload:
    return Payload(metadata={"encoding": encoding.encode()} if encoding else {}, data=data)


def of(**payloads: Payload) -> SearchAttributes:
    return SearchAttributes(indexed_fields=payloads)


def refusal(attributes: SearchAttributes, limits: Limits = DEFAULT_LIMITS) -> str:
    with pytest.raises(InvalidArgument) as refused:
        validate(attributes, CUSTOM, "default", limits)
    return refused.value.message


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
        (of(MyKw=plain("x" * 2047)), "search attribute MyKw value size 2049 exceeds size limit 2048"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_refused_in_the_real_servers_words(attributes: SearchAttributes, message: str) -> None:
    assert refusal(attributes) == message


@pytest.mark.parametrize("data", [b"[" * 100_000, b"9" * 5000, b"1e999", b"9" * 400, b"NaN", b"\xff", b"", b'{"a":'])
@pytest.mark.parametrize("name", CUSTOM)
def test_hostile_values_are_refused(name: str, data: bytes) -> None:
    refusal(of(**{name: raw(data)}), Limits(size_of_value=10**6, total_size=10**6))


def test_limits_of_count_and_of_total_size() -> None:
    both = of(MyKw=plain("x"), MyInt=plain(5))
    assert refusal(both, Limits(number_of_keys=1)) == "number of search attributes 2 exceeds limit 1"
    size = both.ByteSize()
    assert refusal(both, Limits(total_size=10)) == f"total size of search attributes {size} exceeds size limit 10"


def test_values_are_kept_as_the_column_has_them() -> None:
    given = of(
        MyText=plain("t"), MyKw=plain(["k"]), MyInt=plain(5), MyDouble=plain(5), MyBool=plain(True),
        MyTime=plain("1970-01-01T00:00:01Z"), MyList=plain(["a", "b"]), BatcherUser=plain("u"),
    )  # fmt: skip
    valid = validate(given, CUSTOM, "default")
    assert valid.values == {
        "MyText": "t", "MyKw": "k", "MyInt": 5, "MyDouble": 5.0, "MyBool": True,
        "MyTime": 10**9, "MyList": ["a", "b"], "BatcherUser": "u",
    }  # fmt: skip
    assert valid.attributes.indexed_fields["MyTime"].metadata["type"] == b"Datetime"
    column = to_column(valid.attributes, CUSTOM)
    assert column is not None and json.loads(column) == valid.values
    assert json.loads(to_column(valid.attributes, {"MyKw": schema.KEYWORD}) or "") == {"MyKw": "k", "BatcherUser": "u"}
    assert to_column(SearchAttributes(), CUSTOM) is None


def test_half_characters_become_whole_ones() -> None:
    valid = validate(of(MyKw=raw(b'"\\ud800"'), MyList=raw(b'["\\udfff"]')), CUSTOM, "default")
    assert valid.values == {"MyKw": "\ufffd", "MyList": ["\ufffd"]}


def test_null_and_an_empty_list_unset() -> None:
    valid = validate(of(MyKw=plain(None), MyList=plain([]), MyInt=raw(b"", "binary/null")), CUSTOM, "default")
    assert valid.values == {}
    assert valid.unset == {"MyKw", "MyList", "MyInt"}
    merged = merge(of(MyKw=plain("old"), MyInt=plain(1), MyText=plain("t")), valid.attributes)
    assert set(merged.indexed_fields) == {"MyText"}


def test_a_type_that_the_client_wrote_is_left_alone() -> None:
    valid = validate(of(MyKw=plain("x", type="Text"), MyInt=plain(3)), CUSTOM, "default")
    assert valid.attributes.indexed_fields["MyKw"].metadata["type"] == b"Text"
    assert valid.attributes.indexed_fields["MyInt"].metadata["type"] == b"Int"


def test_encoding() -> None:
    payload = encode(["a", "é"], schema.KEYWORD_LIST)
    assert payload == raw(b"").__class__(
        metadata={"encoding": b"json/plain", "type": b"KeywordList"}, data='["a","é"]'.encode()
    )


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
    for status in (0, 1):
        with pytest.raises(InvalidArgument, match=r"StatusFilter must be specified and must be not Running\."):
            closed_query(ListClosedWorkflowExecutionsRequest(status_filter=StatusFilter(status=status)))  # type: ignore[arg-type]


def test_times_in_the_wrong_order_are_refused() -> None:
    times = StartTimeFilter(earliest_time=at(2), latest_time=at(1))
    for query, request in (
        (open_query, ListOpenWorkflowExecutionsRequest(start_time_filter=times)),
        (closed_query, ListClosedWorkflowExecutionsRequest(start_time_filter=times)),
    ):
        with pytest.raises(InvalidArgument, match="EarliestTime in StartTimeFilter should not be larger"):
            query(request)  # type: ignore[operator]

"""Search attributes over real gRPC: declared by namespace, checked where they are set, typed where they are shown."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, SearchAttributes, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import CommandType, EventType, IndexedValueType, WorkflowTaskFailedCause
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
    RemoveSearchAttributesRequest,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
    SignalWithStartWorkflowExecutionRequest,
)
from tests.runtime.client import Client, connected, refused, value

from perdure.config import Settings
from perdure.errors import StartupError
from perdure.server import Server
from perdure.visibility import schema

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

ALL = {
    "Bool": ("BOOL", True),
    "Datetime": ("DATETIME", "2024-01-01T00:00:00.123456789+01:00"),
    "Double": ("DOUBLE", 1.5),
    "Int": ("INT", 3),
    "Keyword": ("KEYWORD", "a b"),
    "KeywordList": ("KEYWORD_LIST", ["a", "b"]),
    "Text": ("TEXT", "some words"),
}
"""By the name of its type: how it is declared, and a value."""


@pytest.fixture
async def client():
    async with connected(Server(namespaces=["n"])) as client:
        await client.add("default", **{f"My{name}": kind for name, (kind, _) in ALL.items()})
        yield client


async def declared(client: Client, namespace: str) -> dict[str, int]:
    listed = await client.o.ListSearchAttributes(ListSearchAttributesRequest(namespace=namespace))
    return dict(listed.custom_attributes)


async def add(client: Client, namespace: str, **kinds: Any) -> None:
    await client.o.AddSearchAttributes(AddSearchAttributesRequest(namespace=namespace, search_attributes=kinds))


async def remove(client: Client, namespace: str, *names: str) -> None:
    await client.o.RemoveSearchAttributes(
        RemoveSearchAttributesRequest(namespace=namespace, search_attributes=list(names))
    )


# Declaring.


async def test_attributes_belong_to_their_namespace(client: Client):
    assert set(await declared(client, "default")) == {f"My{name}" for name in ALL}
    assert await declared(client, "n") == {}
    listed = await client.o.ListSearchAttributes(ListSearchAttributesRequest(namespace="n"))
    assert dict(listed.system_attributes) == {**schema.SYSTEM, **schema.PREDEFINED}
    assert not listed.storage_schema


async def test_there_may_be_many_of_a_type(client: Client):
    await add(client, "n", **{f"K{number}": KEYWORD for number in range(100)})
    assert len(await declared(client, "n")) == 100


async def test_one_that_is_there_is_not_changed_by_adding_it_again(client: Client):
    await client.add("n", A="KEYWORD")
    await client.add("n", A="INT", B="INT")
    assert await declared(client, "n") == {"A": schema.KEYWORD, "B": schema.INT}


async def test_removing_takes_away_what_is_there(client: Client):
    await client.add("n", A="KEYWORD", B="INT")
    await remove(client, "n", "A", "Absent", "TemporalAbsent")
    assert await declared(client, "n") == {"B": schema.INT}
    async with refused(INVALID, "Namespace n has no mapping defined for search attribute A"):
        await client.start("w", "n", A=value("x"))


@pytest.mark.parametrize(
    ("namespace", "kinds", "code", "message"),
    [
        ("n", {}, INVALID, "SearchAttributes are not set on request."),
        ("", {"A": 2}, INVALID, "Namespace is not set on request."),
        ("x", {"A": 2}, NOT_FOUND, "Namespace x is not found."),
        ("n", {"A": 99}, INVALID, "Unknown search attribute type: 99."),
        (
            "n",
            {"A": 0},
            INVALID,
            "Unable to create search attributes: cannot have more than 0 search attribute of type Unspecified.",
        ),
        ("n", {"RunId": 2}, INVALID, "Search attribute RunId is reserved by system."),
        ("n", {"BuildIds": 7}, INVALID, "Search attribute BuildIds is reserved by system."),
        ("n", {"TemporalAnything": 2}, INVALID, "Search attribute TemporalAnything is reserved by system."),
        ("n", {"NamespaceId": 2}, INVALID, "Search attribute NamespaceId is reserved by system."),
    ],
)
async def test_a_bad_declaration_is_refused(
    client: Client, namespace: str, kinds: dict[str, Any], code: Any, message: str
):
    async with refused(code, message):
        await add(client, namespace, **kinds)
    assert await declared(client, "n") == {}


@pytest.mark.parametrize(
    ("namespace", "name", "code", "message"),
    [
        ("n", None, INVALID, "SearchAttributes are not set on request."),
        ("", "A", INVALID, "Namespace is not set on request."),
        ("x", "A", NOT_FOUND, "Namespace x is not found."),
        ("n", "RunId", INVALID, "Unable to remove non-custom search attributes: RunId."),
        ("n", "BuildIds", INVALID, "Unable to remove non-custom search attributes: BuildIds."),
    ],
)
async def test_a_bad_removal_is_refused(client: Client, namespace: str, name: str | None, code: Any, message: str):
    async with refused(code, message):
        await remove(client, namespace, *([name] if name else []))


async def test_settings_declare_them_in_the_namespaces_they_name(tmp_path: Path):
    settings = Settings(db=tmp_path / "server.db", port=0, namespaces=("n",), search_attributes={"A": "KeywordList"})
    async with connected(Server(settings)) as client:
        for namespace in ("default", "n"):
            assert await declared(client, namespace) == {"A": schema.KEYWORD_LIST}
        await remove(client, "n", "A")
        await client.add("n", B="INT")
    async with connected(Server(settings)) as client:
        assert await declared(client, "n") == {"A": schema.KEYWORD_LIST, "B": schema.INT}


@pytest.mark.parametrize("attributes", [{"A": "keyword"}, {"RunId": "Keyword"}])
async def test_settings_that_make_no_sense_stop_the_start(attributes: dict[str, str]):
    with pytest.raises(StartupError, match="search attribute"):
        await Server(Settings(port=0, search_attributes=attributes)).start()


# Setting, showing and finding.


def shown(attributes: SearchAttributes) -> dict[str, tuple[str, Any]]:
    """Name -> (type in the metadata, value)."""
    return {
        name: (payload.metadata["type"].decode(), json.loads(payload.data))
        for name, payload in attributes.indexed_fields.items()
    }


async def test_a_value_without_a_type_is_shown_with_one_everywhere(client: Client):
    await client.start("w", **{f"My{name}": value(given) for name, (_, given) in ALL.items()})
    expected = {f"My{name}": (name, given) for name, (_, given) in ALL.items()}

    assert shown((await client.started_event("w")).search_attributes) == expected
    described = await client.w.DescribeWorkflowExecution(
        DescribeWorkflowExecutionRequest(namespace="default", execution=WorkflowExecution(workflow_id="w"))
    )
    assert shown(described.workflow_execution_info.search_attributes) == expected
    listed = await client.w.ListWorkflowExecutions(ListWorkflowExecutionsRequest(namespace="default"))
    assert shown(listed.executions[0].search_attributes) == expected


@pytest.mark.parametrize(
    "query",
    [
        "MyBool = true",
        "MyDatetime = '2023-12-31T23:00:00.123456789Z'",
        "MyDatetime > '2023-12-31T23:00:00Z' AND MyDatetime < '2023-12-31T23:00:00.2Z'",
        "MyDouble > 1.4",
        "MyInt BETWEEN 3 AND 4",
        "MyKeyword STARTS_WITH 'a '",
        "MyKeywordList = 'b'",
        "MyText = 'words'",
    ],
)
async def test_runs_are_found_by_what_was_set(client: Client, query: str):
    await client.start("w", **{f"My{name}": value(given) for name, (_, given) in ALL.items()})
    await client.start("other")
    assert await client.found(query) == ["w"]


async def test_an_attribute_can_be_used_right_after_it_was_added(client: Client):
    for number in range(5):
        await client.add("n", **{f"A{number}": "KEYWORD"})
        await client.start(f"w{number}", "n", **{f"A{number}": value("x")})
        assert await client.found(f"A{number} = 'x'", "n") == [f"w{number}"]


async def test_a_list_of_one_value_is_listed_as_the_value(client: Client):
    await client.start("w", MyInt=value([3]), MyDatetime=value(["2024-01-01T00:00:00Z"]), MyKeywordList=value(["a"]))
    assert shown((await client.started_event("w")).search_attributes)["MyInt"] == ("Int", [3])
    query = "MyInt = 3 AND MyDatetime = '2024-01-01T00:00:00Z' AND MyKeywordList = 'a'"
    listed = await client.w.ListWorkflowExecutions(ListWorkflowExecutionsRequest(namespace="default", query=query))
    assert shown(listed.executions[0].search_attributes) == {
        "MyInt": ("Int", 3),
        "MyDatetime": ("Datetime", "2024-01-01T00:00:00Z"),
        "MyKeywordList": ("KeywordList", ["a"]),
    }


async def test_null_sets_nothing(client: Client):
    await client.start(
        "w", MyInt=value(None), MyKeywordList=value([]), MyBool=Payload(metadata={"encoding": b"binary/null"})
    )
    assert not (await client.started_event("w")).HasField("search_attributes")
    assert await client.found("MyInt IS NULL AND MyKeywordList IS NULL AND MyBool IS NULL") == ["w"]


async def test_attributes_of_sdks_can_be_set(client: Client):
    await client.start("w", TemporalChangeVersion=value(["a-1"]), BuildIds=value(["unversioned"]))
    assert await client.found("TemporalChangeVersion = 'a-1' AND BuildIds = 'unversioned'") == ["w"]


BAD = [
    ("Absent", value("x"), "Namespace default has no mapping defined for search attribute Absent"),
    ("RunId", value("x"), "RunId attribute can't be set in SearchAttributes"),
    (
        "TemporalWorkerDeployment",
        value("x"),
        "TemporalWorkerDeployment attribute can't be set in SearchAttributes",
    ),
    ("MyInt", value("x"), "invalid value for search attribute MyInt of type Int: x"),
    ("MyInt", value([3, 4]), "invalid value for search attribute MyInt of type Int: [3 4]"),
    ("MyKeyword", value(3), "invalid value for search attribute MyKeyword of type Keyword: 3"),
    ("MyKeywordList", value("x"), "invalid value for search attribute MyKeywordList of type KeywordList: x"),
    ("MyDatetime", value("soon"), "invalid value for search attribute MyDatetime of type Datetime: soon"),
    (
        "MyBool",
        Payload(data=b"true"),
        'invalid value for search attribute MyBool of type Bool: value from <data:"true">',
    ),
]


@pytest.mark.parametrize(("name", "payload", "message"), BAD)
async def test_a_bad_value_is_refused_at_the_start(client: Client, name: str, payload: Payload, message: str):
    async with refused(INVALID, message):
        await client.start("w", **{name: payload})
    async with refused(INVALID, message):
        await client.w.SignalWithStartWorkflowExecution(
            SignalWithStartWorkflowExecutionRequest(
                namespace="default",
                workflow_id="w",
                workflow_type=WorkflowType(name="T"),
                task_queue=TaskQueue(name="q"),
                signal_name="s",
                search_attributes=SearchAttributes(indexed_fields={name: payload}),
            )
        )
    assert await client.found("") == []


async def test_system_attributes_are_ignored_where_that_is_configured():
    dynamic = {"system.suppressErrorSetSystemSearchAttribute": True}
    async with connected(Server(dynamic_config=dynamic)) as client:
        run_id = await client.start("w", RunId=value("x"))
        assert await client.found(f"RunId = '{run_id}'") == ["w"]


# Commands.


async def complete_task(client: Client, *commands: Command) -> None:
    """Poll the task of the only open workflow and answer it."""
    task = await client.w.PollWorkflowTaskQueue(
        PollWorkflowTaskQueueRequest(namespace="default", task_queue=TaskQueue(name="q")), timeout=10
    )
    await client.w.RespondWorkflowTaskCompleted(
        RespondWorkflowTaskCompletedRequest(namespace="default", task_token=task.task_token, commands=commands)
    )


def upsert(**attributes: Payload) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    given = SearchAttributes(indexed_fields=attributes)
    command.upsert_workflow_search_attributes_command_attributes.search_attributes.CopyFrom(given)
    return command


def continue_as_new(**attributes: Payload) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION)
    given = SearchAttributes(indexed_fields=attributes)
    command.continue_as_new_workflow_execution_command_attributes.search_attributes.CopyFrom(given)
    return command


def child(**attributes: Payload) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION)
    a = command.start_child_workflow_execution_command_attributes
    a.workflow_id, a.workflow_type.name, a.task_queue.name = "child", "T", "children"
    a.search_attributes.CopyFrom(SearchAttributes(indexed_fields=attributes))
    return command


async def events(client: Client, workflow_id: str, run_id: str = "") -> list[Any]:
    execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
    answer = await client.w.GetWorkflowExecutionHistory(
        GetWorkflowExecutionHistoryRequest(namespace="default", execution=execution)
    )
    return list(answer.history.events)


async def test_an_upsert_adds_replaces_and_removes(client: Client):
    await client.start("w", MyInt=value(1), MyKeyword=value("a"), MyText=value("kept"))
    await complete_task(client, upsert(MyInt=value(2), MyKeyword=value(None), MyBool=value(True)))

    event = (await events(client, "w"))[-1]
    assert event.event_type == EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
    upserted = shown(event.upsert_workflow_search_attributes_event_attributes.search_attributes)
    assert upserted == {"MyInt": ("Int", 2), "MyKeyword": ("Keyword", None), "MyBool": ("Bool", True)}
    listed = await client.w.ListWorkflowExecutions(
        ListWorkflowExecutionsRequest(namespace="default", query="MyInt = 2 AND MyKeyword IS NULL AND MyText = 'kept'")
    )
    assert shown(listed.executions[0].search_attributes) == {
        "MyInt": ("Int", 2),
        "MyBool": ("Bool", True),
        "MyText": ("Text", "kept"),
        "BuildIds": ("KeywordList", ["unversioned"]),
    }


async def test_the_next_run_and_children_have_types_too(client: Client):
    await client.start("w", MyInt=value(1))
    await complete_task(client, child(MyKeyword=value("c"), MyInt=value(None)))
    initiated = next(
        event.start_child_workflow_execution_initiated_event_attributes
        for event in await events(client, "w")
        if event.event_type == EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
    )
    assert shown(initiated.search_attributes) == {"MyKeyword": ("Keyword", "c")}

    await complete_task(client, continue_as_new(MyInt=value(2), MyBool=value(None)))
    continued = await client.started_event("w")
    assert continued.continued_execution_run_id
    assert shown(continued.search_attributes) == {"MyInt": ("Int", 2)}
    assert await client.found("MyKeyword = 'c'") == ["child"]


@pytest.mark.parametrize("command", [upsert, continue_as_new, child])
@pytest.mark.parametrize(("name", "payload", "message"), BAD)
async def test_a_bad_value_in_a_command_fails_its_task(
    client: Client, command: Any, name: str, payload: Payload, message: str
):
    await client.start(f"w-{uuid.uuid4()}")
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await complete_task(client, command(**{name: payload}))
    assert refusal.value.code() == INVALID
    assert message in (refusal.value.details() or "")
    workflow_id = (await client.found(""))[0]
    failed = (await events(client, workflow_id))[3].workflow_task_failed_event_attributes
    assert failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
    assert message in failed.failure.message

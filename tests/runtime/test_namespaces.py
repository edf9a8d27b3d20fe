"""Namespaces over real gRPC: what is told of them, how they change, and that they last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import ArchivalState, CommandType, EventType, NamespaceState
from temporalio.api.namespace.v1 import BadBinaries, BadBinaryInfo, NamespaceConfig, UpdateNamespaceInfo
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest
from temporalio.api.replication.v1 import ClusterReplicationConfig, NamespaceReplicationConfig
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DeprecateNamespaceRequest,
    DescribeNamespaceRequest,
    GetWorkflowExecutionHistoryRequest,
    ListNamespacesRequest,
    PollWorkflowTaskQueueRequest,
    RegisterNamespaceRequest,
    RespondWorkflowTaskCompletedRequest,
    UpdateNamespaceRequest,
)
from tests.runtime.client import DAY, Client, connected, eventually, refused

from perdure.clock import SECOND_NS, ManualClock, RandomIds
from perdure.config import Dynamic
from perdure.errors import DataLoss
from perdure.runtime import reclaim
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime
from perdure.server import Server
from perdure.storage.sqlite import SqliteStorage

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
DELETED = NamespaceState.NAMESPACE_STATE_DELETED
HOUR_NS = 3600 * SECOND_NS


@pytest.fixture
async def client():
    async with connected(Server()) as client:
        yield client


async def test_default_is_there_with_a_day_of_retention(client: Client):
    described = await client.describe("default")
    assert described.namespace_info.state == NamespaceState.NAMESPACE_STATE_REGISTERED
    assert described.config.workflow_execution_retention_ttl == DAY
    assert described.config.history_archival_state == ArchivalState.ARCHIVAL_STATE_DISABLED
    assert described.replication_config.active_cluster_name == "active"
    assert [each.cluster_name for each in described.replication_config.clusters] == ["active"]


def test_a_text_is_no_list_of_names():
    with pytest.raises(TypeError, match=r"expected several names, got 'abc'; write \('abc',\) for one"):
        Server(namespaces="abc")


async def test_a_namespace_is_described_by_name_and_by_id(client: Client):
    given: dict[str, Any] = {"description": "d", "owner_email": "o@example.com", "data": {"k": "v"}}
    namespace_id = await client.register("n", **given)
    described = await client.w.DescribeNamespace(DescribeNamespaceRequest(id=namespace_id))
    assert described == await client.describe("n")
    info = described.namespace_info
    assert (info.name, info.description, info.owner_email, dict(info.data)) == ("n", "d", "o@example.com", {"k": "v"})


async def test_nothing_is_promised_that_does_not_work():
    async with connected(Server()) as client:
        info = (await client.describe("default")).namespace_info
        promised = [field.name for field, _ in info.capabilities.ListFields()]
        assert promised == [
            "eager_workflow_start",
            "sync_update",
            "async_update",
            "worker_heartbeats",
            "reported_problems_search_attribute",
            "workflow_pause",
            "poller_autoscaling",
        ]
        assert info.supports_schedules
        assert info.limits.blob_size_limit_error == Dynamic().blob_size_limit_error_bytes
        assert info.limits.memo_size_limit_error == Dynamic().memo_size_limit_error_bytes


async def test_what_is_promised_follows_the_configuration():
    dynamic = {
        "frontend.enableCancelWorkerPollsOnShutdown": True,
        "system.enableEagerWorkflowStart": False,
        "limit.blobSize.error": 1000,
        "frontend.WorkerHeartbeatsEnabled": False,
        "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute": 0,
    }
    async with connected(Server(dynamic_config=dynamic)) as client:
        info = (await client.describe("default")).namespace_info
        promised = [field.name for field, _ in info.capabilities.ListFields()]
        assert promised == [
            "sync_update",
            "async_update",
            "workflow_pause",
            "worker_poll_complete_on_shutdown",
            "poller_autoscaling",
        ]
        assert info.limits.blob_size_limit_error == 1000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "A valid retention period is not set on request."),
        (
            {"workflow_execution_retention_period": Duration(seconds=1)},
            "A valid retention period is not set on request.",
        ),
        (
            {"workflow_execution_retention_period": DAY, "is_global_namespace": True},
            "Cannot register global namespace when not enabled",
        ),
        (
            {"workflow_execution_retention_period": DAY, "active_cluster_name": "moon"},
            "Invalid cluster name: moon",
        ),
    ],
)
async def test_a_bad_registration_is_refused(client: Client, fields: dict[str, Any], message: str):
    async with refused(INVALID, message):
        await client.w.RegisterNamespace(RegisterNamespaceRequest(namespace="n", **fields))
    assert await client.names() == ["default"]


async def test_a_name_is_taken_once(client: Client):
    for name in ("default", "temporal-system"):
        async with refused(grpc.StatusCode.ALREADY_EXISTS, f'Namespace "{name}" already exists'):
            await client.register(name)


async def test_what_does_not_exist_is_not_found(client: Client):
    async with refused(NOT_FOUND, "Namespace x is not found."):
        await client.describe("x")
    async with refused(NOT_FOUND, "Namespace x is not found."):
        await client.w.DescribeNamespace(DescribeNamespaceRequest(id="x"))
    async with refused(NOT_FOUND, "Namespace x is not found."):
        await client.w.UpdateNamespace(UpdateNamespaceRequest(namespace="x"))
    async with refused(NOT_FOUND, "Namespace x is not found."):
        await client.w.DeprecateNamespace(DeprecateNamespaceRequest(namespace="x"))
    async with refused(NOT_FOUND, "Namespace x is not found."):
        await client.start("w", "x")
    async with refused(INVALID, "Namespace not set on request."):
        await client.describe("")


async def test_an_update_changes_what_it_names_and_merges_data(client: Client):
    await client.register("n", description="d", owner_email="o", data={"a": "1", "b": "2"})
    request = UpdateNamespaceRequest(namespace="n")
    request.update_info.CopyFrom(UpdateNamespaceInfo(description="new", data={"b": "3", "c": "4"}))
    request.config.workflow_execution_retention_ttl.seconds = 2 * 3600
    updated = await client.w.UpdateNamespace(request)
    described = await client.describe("n")
    assert (updated.namespace_info, updated.config) == (described.namespace_info, described.config)
    info = described.namespace_info
    assert (info.description, info.owner_email) == ("new", "o")
    assert dict(info.data) == {"a": "1", "b": "3", "c": "4"}
    assert described.config.workflow_execution_retention_ttl.seconds == 2 * 3600


async def test_an_update_that_changes_nothing_answers(client: Client):
    before = await client.describe("default")
    request = UpdateNamespaceRequest(namespace="default")
    request.config.bad_binaries.CopyFrom(BadBinaries(binaries={"x": BadBinaryInfo(reason="r")}))
    updated = await client.w.UpdateNamespace(request)
    assert updated.namespace_info == before.namespace_info
    assert await client.describe("default") == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"config": NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=5))},
            "A valid retention period is not set on request.",
        ),
        ({"delete_bad_binary": "x"}, "Bad binary checksum x doesn't exists."),
        (
            {"promote_namespace": True},
            "global namespace is not enabled on this cluster, cannot update global namespace or promote local "
            "namespace: n",
        ),
        (
            {"replication_config": NamespaceReplicationConfig(state=2)},  # type: ignore[arg-type]
            "Handover can only be set for global namespace",
        ),
        (
            {
                "replication_config": NamespaceReplicationConfig(
                    clusters=[ClusterReplicationConfig(cluster_name="moon")]
                )
            },
            "Invalid cluster name: moon",
        ),
        (
            {"config": NamespaceConfig(custom_search_attribute_aliases={"Keyword01": "Customer"})},
            "Search attributes have no aliases here: use AddSearchAttributes and RemoveSearchAttributes.",
        ),
    ],
)
async def test_a_bad_update_is_refused_and_leaves_no_trace(client: Client, fields: dict[str, Any], message: str):
    await client.register("n")
    before = await client.describe("n")
    async with refused(INVALID, message):
        info = UpdateNamespaceInfo(description="new")
        await client.w.UpdateNamespace(UpdateNamespaceRequest(namespace="n", update_info=info, **fields))
    assert await client.describe("n") == before


async def test_states_go_one_way(client: Client):
    await client.register("n")
    await client.w.DeprecateNamespace(DeprecateNamespaceRequest(namespace="n"))
    assert (await client.describe("n")).namespace_info.state == NamespaceState.NAMESPACE_STATE_DEPRECATED
    request = UpdateNamespaceRequest(namespace="n")
    request.update_info.state = NamespaceState.NAMESPACE_STATE_REGISTERED
    async with refused(INVALID, "Invalid namespace state update."):
        await client.w.UpdateNamespace(request)
    async with refused(PRECONDITION, "Namespace has invalid state: Deprecated. Must be Registered."):
        await client.start("w", "n")
    request.update_info.state = DELETED
    await client.w.UpdateNamespace(request)
    assert (await client.describe("n")).namespace_info.state == DELETED
    assert await client.names() == ["default"]
    assert await client.names(deleted=True) == ["default", "n"]


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 8, 100])
async def test_listing_pages_miss_and_repeat_nothing(page_size: int):
    expected = [f"n{number}" for number in range(6)]
    async with connected(Server(namespaces=expected)) as client:
        assert await client.names(page_size=page_size) == ["default", *expected]


async def test_a_listing_takes_any_token(client: Client):
    listed = await client.w.ListNamespaces(ListNamespacesRequest(next_page_token=b"\xff" * 16))
    assert not listed.namespaces and not listed.next_page_token
    async with refused(INVALID, "Invalid PageSize."):
        await client.w.ListNamespaces(ListNamespacesRequest(page_size=-1))


async def test_namespaces_last(tmp_path: Path):
    file = tmp_path / "server.db"
    async with connected(Server(db=file, namespaces=["asked-for"])) as client:
        await client.register("n", description="d", data={"a": "1"})
        await client.add("n", Customer="KEYWORD")
        await client.w.UpdateNamespace(
            UpdateNamespaceRequest(namespace="n", update_info=UpdateNamespaceInfo(owner_email="o"))
        )
        before = [await client.describe(name) for name in ("n", "default", "asked-for")]
    async with connected(Server(db=file, namespaces=["asked-for"])) as client:
        assert [await client.describe(name) for name in ("n", "default", "asked-for")] == before
        assert await client.names() == ["asked-for", "default", "n"]
        await client.found("Customer = 'x'", "n")


# Deletion.


def deletion(**fields: Any) -> DeleteNamespaceRequest:
    return DeleteNamespaceRequest(**fields)


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({}, INVALID, "Namespace not set on request."),
        (
            {"namespace": "x", "namespace_id": "y"},
            INVALID,
            "Only one of namespace name or Id should be set on request.",
        ),
        ({"namespace": "x"}, NOT_FOUND, "Namespace x is not found."),
        ({"namespace_id": "y"}, NOT_FOUND, "Namespace y is not found."),
        ({"namespace": "temporal-system"}, PRECONDITION, "unable to delete system namespace"),
    ],
)
async def test_a_bad_deletion_is_refused(client: Client, fields: dict[str, Any], code: Any, message: str):
    async with refused(code, message):
        await client.o.DeleteNamespace(deletion(**fields))


async def test_a_deleted_namespace_frees_its_name_at_once():
    clock = ManualClock()
    async with connected(Server(clock=clock)) as client:
        namespace_id = await client.register("n")
        run_id = await client.start("w", "n")
        answer = await client.o.DeleteNamespace(deletion(namespace="n", namespace_delete_delay=Duration(seconds=60)))
        assert answer.deleted_namespace == f"n-deleted-{namespace_id[:5]}"
        async with refused(NOT_FOUND, "Namespace n is not found."):
            await client.describe("n")
        info = (await client.describe(answer.deleted_namespace)).namespace_info
        assert (info.id, info.state) == (namespace_id, DELETED)
        state = "Namespace has invalid state: Deleted. Must be Registered."
        async with refused(PRECONDITION, state):
            await client.start("w", answer.deleted_namespace)

        assert await client.register("n") != namespace_id
        assert await client.start("w", "n") != run_id


async def test_what_a_deleted_namespace_held_is_reclaimed():
    server = Server()
    async with connected(server) as client:
        namespace_id = await client.register("n")
        kept = await client.start("w")
        for number in range(2 * reclaim.STEP_RUNS + 3):
            await client.start(f"w{number}", "n")
        deleted = (await client.o.DeleteNamespace(deletion(namespace_id=namespace_id))).deleted_namespace

        async def gone() -> bool:
            return deleted not in await client.names(deleted=True)

        await eventually(gone)
        runtime = server._runtime
        assert runtime is not None
        assert await runtime.storage.list_visibility(namespace_id, "", (), "", 1) == []
        assert await runtime.storage.find_current(namespace_id, "w1") is None
        assert [
            row.namespace_id
            for _, row in await runtime.storage.list_visibility(
                (await client.describe("default")).namespace_info.id, "", (), "", 10
            )
        ] == [(await client.describe("default")).namespace_info.id]
        history = await client.w.GetWorkflowExecutionHistory(
            GetWorkflowExecutionHistoryRequest(namespace="default", execution={"workflow_id": "w", "run_id": kept})
        )
        assert history.history.events


async def test_what_can_not_be_read_does_not_keep_the_rest_of_a_deleted_namespace(monkeypatch: pytest.MonkeyPatch):
    server = Server()
    async with connected(server) as client:
        namespace_id = await client.register("n")
        for number in range(5):
            await client.start(f"w{number}", "n")
        runtime = server._runtime
        assert runtime is not None
        executor, by_key = runtime.executor, runtime.executor.by_key
        damaged = await executor.find_current(namespace_id, "w4")  # listed first: the newest
        assert damaged is not None

        async def read(run_key: int) -> Run | None:
            if run_key == damaged.run_key:
                raise DataLoss("damaged")
            return await by_key(run_key)

        monkeypatch.setattr(executor, "by_key", read)
        await client.o.DeleteNamespace(deletion(namespace_id=namespace_id))

        async def alone() -> bool:
            rows = await runtime.storage.list_visibility(namespace_id, "", (), "", 10)
            return [run_key for run_key, _ in rows] == [damaged.run_key]

        await eventually(alone)
        monkeypatch.undo()


async def test_a_parent_elsewhere_learns_that_its_child_was_deleted_with_its_namespace():
    async with connected(Server(dynamic_config={"system.enableCrossNamespaceCommands": True})) as client:
        await client.register("n")
        await client.start("parent")
        command = Command(command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION)
        a = command.start_child_workflow_execution_command_attributes
        a.namespace, a.workflow_id, a.workflow_type.name, a.task_queue.name = "n", "child", "T", "q"
        task = await client.w.PollWorkflowTaskQueue(
            PollWorkflowTaskQueueRequest(namespace="default", task_queue=TaskQueue(name="q")), timeout=10
        )
        await client.w.RespondWorkflowTaskCompleted(
            RespondWorkflowTaskCompletedRequest(namespace="default", task_token=task.task_token, commands=[command])
        )

        async def has(event_type: Any) -> bool:
            history = await client.w.GetWorkflowExecutionHistory(
                GetWorkflowExecutionHistoryRequest(namespace="default", execution={"workflow_id": "parent"})
            )
            return event_type in [event.event_type for event in history.history.events]

        await eventually(lambda: has(EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED))
        await client.o.DeleteNamespace(deletion(namespace="n"))
        await eventually(lambda: has(EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED))

        async def gone() -> bool:
            return await client.names(deleted=True) == ["default"]

        await eventually(gone)


async def test_a_deleted_namespace_stays_until_its_delay_is_over(tmp_path: Path):
    file, clock = tmp_path / "server.db", ManualClock()
    async with connected(Server(db=file, clock=clock)) as client:
        await client.register("n")
        await client.start("w", "n")
        deleted = (
            await client.o.DeleteNamespace(deletion(namespace="n", namespace_delete_delay=Duration(seconds=3600)))
        ).deleted_namespace
        assert await client.names(deleted=True) == ["default", deleted]
    clock.advance(HOUR_NS // 2)
    server = Server(db=file, clock=clock)
    async with connected(server) as client:

        async def emptied() -> bool:
            assert server._runtime is not None
            clock.advance(reclaim.PAUSE_NS)
            namespace_id = (await client.describe(deleted)).namespace_info.id
            return await server._runtime.storage.list_visibility(namespace_id, "", (), "", 1) == []

        await eventually(emptied)
        clock.advance(HOUR_NS)

        async def gone() -> bool:
            clock.advance(reclaim.PAUSE_NS)
            return await client.names(deleted=True) == ["default"]

        await eventually(gone)
    async with connected(Server(db=file, clock=clock)) as client:
        assert await client.names(deleted=True) == ["default"]


async def test_reclaiming_goes_on_after_a_stop_that_came_right_after_the_new_name(tmp_path: Path):
    file = tmp_path / "server.db"
    async with connected(Server(db=file)) as client:
        await client.register("n")
        for number in range(5):
            await client.start(f"w{number}", "n")

    clock = ManualClock()
    runtime = await Runtime.open(SqliteStorage.open_file(file), clock, RandomIds(), Dynamic(), cache_bytes=10**6)
    namespace = runtime.namespaces.get("n")
    runtime.namespaces.delete(runtime.executor, namespace, removal_ns=1)
    await runtime.stop()

    server = Server(db=file)
    async with connected(server) as client:

        async def gone() -> bool:
            return await client.names(deleted=True) == ["default"]

        await eventually(gone)
        assert server._runtime is not None
        assert await server._runtime.storage.list_visibility(namespace.id, "", (), "", 1) == []

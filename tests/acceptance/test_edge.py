"""The services beside Temporal's own, and the whole edge as clients find it, over every transport."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import uvloop
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as reflection
from temporalio.api.workflowservice import v1 as api
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from perdure.config import Dynamic, Settings
from perdure.errors import StartupError
from perdure.rpc.router import build_handlers
from perdure.rpc.server import create_server
from perdure.rpc.transport import TRANSPORTS
from perdure.rpc.workflow.empty import Empty
from perdure.rpc.workflow.system import System
from perdure.server import Server

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest.fixture(params=TRANSPORTS)
async def address(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    server = create_server(request.param, build_handlers([System("cluster", "sqlite"), Empty(str, Dynamic())]))
    port = await server.start("127.0.0.1", 0)
    yield f"127.0.0.1:{port}"
    await server.stop(1)


@pytest.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


async def test_the_official_sdk_connects(address: str) -> None:
    client = await Client.connect(address)
    info = await client.workflow_service.get_system_info(api.GetSystemInfoRequest())
    assert info.server_version == "1.32.0"


@pytest.mark.parametrize(
    "service",
    [
        "",
        "temporal.api.workflowservice.v1.WorkflowService",
        "temporal.api.operatorservice.v1.OperatorService",
    ],
)
async def test_health_is_serving(channel: grpc.aio.Channel, service: str) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == SERVING


async def test_health_is_watched_for_as_long_as_the_client_likes(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service, state in (("", SERVING), ("other", health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)):
        watch = health.Watch(health_pb2.HealthCheckRequest(service=service))
        assert (await watch.read()).status == state
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
        assert not watch.done()
        watch.cancel()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_end_of_the_server_ends_a_watch(transport: str) -> None:
    server = Server(transport=transport)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        await server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_health_of_a_service_that_is_not_ours_is_not_found(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "unknown service"


class Reflection:
    """Asks on one stream and reads each answer before it asks again, as grpcurl does."""

    def __init__(self, channel: grpc.aio.Channel, version: str) -> None:
        self._stream = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")()

    async def ask(self, **question: Any) -> reflection.ServerReflectionResponse:
        await self._stream.write(reflection.ServerReflectionRequest(**question).SerializeToString())
        return reflection.ServerReflectionResponse.FromString(await self._stream.read())


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_services_and_their_files(channel: grpc.aio.Channel, version: str) -> None:
    server = Reflection(channel, version)
    listing = await server.ask(list_services="")
    services = [service.name for service in listing.list_services_response.service]
    assert services == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "temporal.api.operatorservice.v1.OperatorService",
        "temporal.api.workflowservice.v1.WorkflowService",
    ]
    for service in services:
        answer = await server.ask(file_containing_symbol=service)
        files = [FileDescriptorProto.FromString(file) for file in answer.file_descriptor_response.file_descriptor_proto]
        assert service in [f"{files[0].package}.{each.name}" for each in files[0].service]
        names = {file.name for file in files}
        assert all(dependency in names for file in files for dependency in file.dependency)


async def test_reflection_of_what_is_not_there_is_an_answer_and_the_stream_goes_on(channel: grpc.aio.Channel) -> None:
    server = Reflection(channel, "v1")
    for question in ({"file_containing_symbol": "no.Such"}, {"file_by_filename": "no/such.proto"}):
        answer = await server.ask(**question)
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        assert answer.error_response.error_message == "proto: not found"
    extensions = await server.ask(all_extension_numbers_of_type="google.protobuf.MethodOptions")
    assert 72295728 in extensions.all_extension_numbers_response.extension_number  # google.api.http


async def test_an_undecodable_request_is_an_error(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo")(b"\xff\xff")
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details() == ("grpc: error unmarshalling request: proto: cannot parse invalid wire-format data")


def needs_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_on_ipv6_is_reached_by_its_address(transport: str) -> None:
    needs_ipv6()
    async with Server(host="::1", transport=transport, http_port=0) as server:
        assert server.address == f"[::1]:{server.port}"
        assert (await (await server.client()).count_workflows()).count == 0
        cluster = await (await server.client()).workflow_service.get_cluster_info(api.GetClusterInfoRequest())
        assert cluster.server_version
        status, _ = await over_http(f"http://[::1]:{server.http_port}/api/v1/namespaces/default/workflows")
        assert status == 200


async def over_http(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    def ask() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_largest_request_is_a_setting_of_the_whole_edge(transport: str) -> None:
    settings = Settings(transport=transport, port=0, http_port=0, max_request_bytes=10_000)
    async with Server(settings) as server:
        client = await server.client()
        await client.start_workflow("Order", "x" * 5000, id="small", task_queue="q")
        with pytest.raises(RPCError) as caught:
            await client.start_workflow("Order", "x" * 20_000, id="large", task_queue="q")
        assert caught.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in str(caught.value)
        url = f"http://127.0.0.1:{server.http_port}/api/v1/namespaces/default/workflows/"
        request = {"workflowType": {"name": "Order"}, "taskQueue": {"name": "q"}}
        status, _ = await over_http(url + "http", json.dumps(request | {"input": ["x" * 5000]}).encode())
        assert status == 200
        status, said = await over_http(url + "http-large", json.dumps(request | {"input": ["x" * 20_000]}).encode())
        assert status == 400 and b"too large" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "namespace '': a namespace needs a name."),
        ("x" * 1001, "Namespace length exceeds limit."),
        ("\udc80", "that is not UTF-8."),
    ],
)
async def test_a_namespace_that_could_not_be_registered_is_not_made_at_start(name: str, words: str) -> None:
    with pytest.raises(StartupError) as refusal:
        await Server(namespaces=["fine", name]).start()
    assert refusal.value.message.startswith("namespace ") and refusal.value.message.endswith(words)

"""The edge: deadlines, cancelled polls, compression, requests that are no requests."""

from __future__ import annotations

import asyncio

import grpc
from tests.conformance.driver import WORKFLOW_SERVICE, Driver
from tests.conformance.messages import activity, succeed, timer


async def cancelled_poll_swallows_no_task(d: Driver) -> None:
    poll = d.begin("PollWorkflowTaskQueue", task_queue=d.task_queue, identity="gone", timeout_s=10)
    await asyncio.sleep(0.3)
    poll.cancel()
    await asyncio.sleep(0.3)
    await d.start()
    await d.step(succeed())


async def cancelled_activity_poll_swallows_no_task(d: Driver) -> None:
    poll = d.begin("PollActivityTaskQueue", task_queue=d.task_queue, identity="gone", timeout_s=10)
    await asyncio.sleep(0.3)
    poll.cancel()
    await asyncio.sleep(0.3)
    await d.start()
    await d.step(activity())
    await d.complete_activity(await d.poll_activity())


async def poll_comes_back_empty_before_its_deadline(d: Driver) -> None:
    await d.poll_wft_in_vain()
    await d.poll_activity_in_vain()


async def history_wait_comes_back_before_its_deadline(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    fields = {"wait_new_event": True, "history_event_filter_type": "CLOSE_EVENT"}
    await d.history(timeout_s=2.5, **fields)


async def compressed_request_is_understood(d: Driver) -> None:
    await d.start(compression=grpc.Compression.Gzip)
    await d.step(succeed())


async def malformed_request(d: Driver) -> None:
    await d.raw(f"{WORKFLOW_SERVICE}StartWorkflowExecution", b"\xff\xff\xff")


async def empty_request(d: Driver) -> None:
    await d.raw(f"{WORKFLOW_SERVICE}StartWorkflowExecution", b"")


async def text_that_is_not_utf8(d: Driver) -> None:
    await d.raw(f"{WORKFLOW_SERVICE}StartWorkflowExecution", b"\x0a\x02\xff\xfe")


async def unknown_method(d: Driver) -> None:
    await d.raw(f"{WORKFLOW_SERVICE}MakeCoffee", b"")


async def unknown_service(d: Driver) -> None:
    await d.raw("/temporal.api.coffee.v1.CoffeeService/MakeCoffee", b"")


async def health_is_served(d: Driver) -> None:
    service = b"temporal.api.workflowservice.v1.WorkflowService"
    await d.raw("/grpc.health.v1.Health/Check", bytes([0x0A, len(service)]) + service)
    await d.raw("/grpc.health.v1.Health/Check", b"")
    await d.raw("/grpc.health.v1.Health/Check", b"\x0a\x03foo")


async def client_version_headers(d: Driver) -> None:
    for name, version in (("temporal-go", "0.1.0"), ("stranger", "1.0.0")):
        await d.start(d.name(f"wf-{name}-{version}"), metadata=(("client-name", name), ("client-version", version)))


async def client_versions_that_are_turned_away(d: Driver) -> None:
    query = f"WorkflowId = '{d.workflow_id}'"
    unreadable = (("client-name", "temporal-go"), ("client-version", "not-a-version"))
    await d.call("CountWorkflowExecutions", query=query, metadata=unreadable)
    supported = (("client-name", "temporal-go"), ("client-version", "1.30.0"), ("supported-server-versions", "<1.0.0"))
    await d.call("CountWorkflowExecutions", query=query, metadata=supported)


async def system_info(d: Driver) -> None:
    await d.call("GetSystemInfo")


async def cluster_info(d: Driver) -> None:
    reply = await d.quietly("GetClusterInfo")
    assert reply.server_version

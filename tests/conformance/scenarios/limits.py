"""Limits of sizes and counts, at their default values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import temporalio.api.command.v1 as command_pb
from tests.conformance.driver import Driver
from tests.conformance.messages import (
    activity,
    cancel_workflow,
    child,
    continue_as_new,
    fail_workflow,
    failure,
    marker,
    modify,
    signal_external,
    succeed,
    timer,
    upsert,
)
from tests.conformance.updates import sent

# The limit of a blob is 2 MiB.
LARGE = "x" * (2 * 1024 * 1024)


def _oversized(command: command_pb.Command) -> Callable[[Driver], Awaitable[None]]:
    async def respond(d: Driver) -> None:
        await d.start()
        await d.complete(await d.poll_wft(), command)
        await d.describe()

    return respond


TABLE = {
    f"large_{name}": _oversized(command)
    for name, command in {
        "activity_input": activity(input=LARGE),
        "workflow_result": succeed(LARGE),
        "workflow_failure": fail_workflow(message=LARGE),
        "cancel_details": cancel_workflow(LARGE),
        "marker_details": marker(details={"data": LARGE}),
        "continue_as_new_input": continue_as_new(input=LARGE),
        "continue_as_new_memo": continue_as_new(memo={"m": LARGE}),
        "child_input": child("large-child", input=LARGE),
        "child_memo": child("large-child", memo={"m": LARGE}),
        "signal_input": signal_external("nobody", input=LARGE),
        "attribute_in_child": child("large-child", search_attributes={"ConfText": "x" * 3000}),
        "memo_modified": modify({"m": LARGE}),
        "attribute_upserted": upsert({"ConfText": "x" * 3000}),
        "attributes_upserted": upsert({"ConfText": "x" * 50_000}),
    }.items()
}


async def large_activity_result(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.complete_activity(await d.poll_activity(), LARGE)


async def large_activity_result_by_id(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.poll_activity()
    fields = {"workflow_id": d.workflow_id, "activity_id": "a"}
    await d.call("RespondActivityTaskCompletedById", result=LARGE, **fields)


async def large_activity_failure(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.fail_activity(await d.poll_activity(), failure("x" * 3_000_000))


async def large_activity_failure_details(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    details = {"type": "T", "details": LARGE}
    await d.fail_activity(await d.poll_activity(), failure("m", application_failure_info=details))


async def long_activity_failure_is_cut(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 60}))
    await d.fail_activity(await d.poll_activity(), failure("x" * 10_000))
    await d.describe()


async def large_heartbeat(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.heartbeat(await d.poll_activity(), LARGE)


async def large_cancel_details_of_an_activity(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.cancel_activity(await d.poll_activity(), details=LARGE)


async def large_failure_of_a_workflow_task(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft(), failure=failure("x" * 3_000_000))


async def large_terminate_details(d: Driver) -> None:
    await d.start()
    await d.terminate(details=LARGE)


async def ids_of_a_thousand_characters(d: Driver) -> None:
    longest = d.name("x" * (1000 - len(d.name(""))))
    await d.start(longest)
    await d.step(timer("x" * 1000), activity("x" * 1000), marker("x" * 1000))


async def more_signals_to_others_than_may_be_pending(d: Driver) -> None:
    await d.start()
    await d.complete(await d.poll_wft(), *[signal_external(f"nobody-{n}") for n in range(2001)])


async def more_activities_than_may_be_pending(d: Driver) -> None:
    await d.start()
    await d.complete(await d.poll_wft(), *[activity(f"a{n}") for n in range(2001)])


async def more_children_than_may_be_pending(d: Driver) -> None:
    await d.start()
    await d.complete(await d.poll_wft(), *[child(f"never-born-{n}") for n in range(2001)])


async def more_cancels_of_others_than_may_be_pending(d: Driver) -> None:
    commands = []
    for number in range(2001):
        command = command_pb.Command(command_type=8)
        command.request_cancel_external_workflow_execution_command_attributes.workflow_id = f"nobody-{number}"
        commands.append(command)
    await d.start()
    await d.complete(await d.poll_wft(), *commands)


async def more_signals_than_a_workflow_may_receive_are_many(d: Driver) -> None:
    """Ten thousand is the limit; a hundred are none."""
    await d.start()
    for number in range(100):
        await d.quietly("SignalWorkflowExecution", workflow_execution=d.workflow_id, signal_name=f"s{number}")
    await d.describe()


async def request_beyond_four_megabytes(d: Driver) -> None:
    await d.start(input="x" * (5 * 1024 * 1024))


async def large_updates_wait_for_a_worker(d: Driver) -> None:
    await d.start()
    waiting = [await sent(d, f"update-{number}", "x" * 1_900_000) for number in range(11)]
    await waiting.pop()
    await d.describe()
    await d.terminate()
    for update in waiting:
        await update

"""Workflow tasks: handing out, completing, failing, timing out, stickiness."""

from __future__ import annotations

import asyncio

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
    succeed,
    timer,
    upsert,
)

CAUSES = [
    "UNSPECIFIED",
    "UNHANDLED_COMMAND",
    "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES",
    "RESET_STICKY_TASK_QUEUE",
    "WORKFLOW_WORKER_UNHANDLED_FAILURE",
    "FORCE_CLOSE_COMMAND",
    "FAILOVER_CLOSE_COMMAND",
    "RESET_WORKFLOW",
    "BAD_BINARY",
    "NON_DETERMINISTIC_ERROR",
    "FEATURE_DISABLED",
    "GRPC_MESSAGE_TOO_LARGE",
    "PAYLOADS_TOO_LARGE",
    "EXTERNAL_STORAGE_FAILURE",
    "REQUEST_TOO_LARGE",
    "BAD_SIGNAL_INPUT_SIZE",
]


async def completes_the_workflow(d: Driver) -> None:
    await d.start(input=["hello", 1])
    await d.step(succeed("bye"))


async def completes_the_workflow_without_result(d: Driver) -> None:
    await d.start()
    await d.step(succeed())


async def fails_the_workflow(d: Driver) -> None:
    await d.start()
    await d.step(fail_workflow(message="no more", type_name="Sad", fatal=True))


async def completes_without_commands(d: Driver) -> None:
    await d.start()
    await d.step()
    await d.describe()
    await d.poll_wft_in_vain()


async def carries_what_the_worker_says_of_itself(d: Driver) -> None:
    await d.start()
    await d.step(
        timer(),
        binary_checksum="abc",
        sdk_metadata={"core_used_flags": [1, 2], "lang_used_flags": [3], "sdk_name": "raw", "sdk_version": "1.2"},
        metering_metadata={"nonfirst_local_activity_execution_attempts": 3},
    )


async def user_metadata_of_commands_is_on_their_events(d: Driver) -> None:
    await d.start()
    commands = [timer(), activity(), marker(), succeed()]
    for command in commands:
        command.user_metadata.summary.data = b'"why"'
    await d.step(*commands)


async def every_command_at_once(d: Driver) -> None:
    await d.start()
    await d.step(
        activity(),
        timer(),
        marker(details={"data": ["x"]}, header={"h": 1}),
        child(d.name("kid")),
        upsert({"ConfKeyword": "blue"}),
        modify({"note": "new"}),
    )
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")


async def fails_and_is_tried_again(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.fail(task, "NON_DETERMINISTIC_ERROR", failure=failure("lost the thread"))
    task = await d.poll_wft()
    await d.describe()
    await d.fail(task)
    task = await d.poll_wft()
    await d.complete(task, timer())
    await d.history()


async def fails_twice_with_a_short_timeout(d: Driver) -> None:
    await d.start(workflow_task_timeout=2)
    for _ in range(2):
        await d.fail(await d.poll_wft())
    await d.step(succeed())


async def unwritten_task_is_seen_by_sdks_and_not_by_the_ui(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    await d.history()
    await d.history(metadata=(("client-name", "temporal-ui"),))
    await d.poll_wft()
    await d.history()
    await d.history(metadata=(("client-name", "temporal-cli"),))
    await d.history(metadata=())


async def signal_while_the_second_attempt_is_scheduled(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    await d.signal()
    await d.describe()
    await d.step(succeed())


async def signal_while_the_second_attempt_is_started(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    task = await d.poll_wft()
    await d.signal()
    await d.history()
    await d.complete(task, timer())
    await d.step(succeed())


async def second_attempt_fails_with_a_signal_behind_it(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    task = await d.poll_wft()
    await d.signal()
    await d.fail(task)
    await d.describe()
    await d.step(succeed())


async def second_attempt_brings_a_bad_command_with_a_signal_behind_it(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    task = await d.poll_wft()
    await d.signal()
    await d.complete(task, timer(""))
    await d.describe()
    await d.step(succeed())


async def times_out(d: Driver) -> None:
    await d.start(workflow_task_timeout=1)
    task = await d.poll_wft()
    again = await d.poll_wft()
    await d.complete(task, succeed())
    await d.complete(again, succeed())


async def times_out_with_a_signal_behind_it(d: Driver) -> None:
    await d.start(workflow_task_timeout=1)
    await d.poll_wft()
    await d.signal()
    again = await d.poll_wft()
    await d.complete(again, succeed())


async def second_attempt_times_out(d: Driver) -> None:
    await d.start(workflow_task_timeout=1)
    await d.fail(await d.poll_wft())
    await d.poll_wft()
    again = await d.poll_wft()
    await d.complete(again, succeed())


async def forced_to_be_followed_by_another(d: Driver) -> None:
    await d.start()
    await d.step(force_create_new_workflow_task=True)
    await d.step(marker(), force_create_new_workflow_task=True)
    await d.step(succeed())


async def returns_the_next_task_in_the_reply(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    reply = await d.complete(task, force_create_new_workflow_task=True, return_new_workflow_task=True)
    reply = await d.complete(
        reply.workflow_task, marker(), force_create_new_workflow_task=True, return_new_workflow_task=True
    )
    await d.complete(reply.workflow_task, succeed(), return_new_workflow_task=True)


async def returns_no_task_when_there_is_none(d: Driver) -> None:
    await d.start()
    await d.complete(await d.poll_wft(), timer(), return_new_workflow_task=True)


async def returns_the_task_that_a_signal_asks_for(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    reply = await d.complete(task, timer(), return_new_workflow_task=True)
    await d.complete(reply.workflow_task, succeed())


async def heartbeats_of_local_activities_end_in_a_timeout(d: Driver) -> None:
    await d.start(workflow_task_timeout=1)
    task = await d.poll_wft()
    reply = await d.complete(task, force_create_new_workflow_task=True, return_new_workflow_task=True)
    reply = await d.complete(
        reply.workflow_task, force_create_new_workflow_task=True, return_new_workflow_task=True, sticky_attributes=None
    )
    await d.describe()


async def two_workers_get_one_task(d: Driver) -> None:
    await d.start()
    first = d.begin("PollWorkflowTaskQueue", task_queue=d.task_queue, identity="one", timeout_s=3)
    task = await first
    await d.poll_wft_in_vain(identity="two")
    await d.complete(task, succeed())


async def poll_before_the_start_gets_the_task(d: Driver) -> None:
    poll = d.begin("PollWorkflowTaskQueue", task_queue=d.task_queue, identity="early", timeout_s=10)
    await asyncio.sleep(0.2)
    await d.start()
    await d.complete(await poll, succeed())


async def activity_poll_on_the_same_name_gets_no_workflow_task(d: Driver) -> None:
    await d.start()
    await d.poll_activity_in_vain()
    await d.step(succeed())


# ---- sticky queues ------------------------------------------------------------------------------------------------


async def sticky_task_has_a_partial_history(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    await d.describe()
    await d.signal()
    task = await poll
    poll = await d.listen()
    await d.complete(task, sticky_attributes=d.sticky())
    await d.signal()
    await d.complete(await poll, succeed(), sticky_attributes=d.sticky())


async def sticky_task_is_started_with_events_behind_it(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    await d.signal("one")
    task = await poll
    poll = await d.listen()
    await d.signal("two")
    await d.complete(task, marker(), sticky_attributes=d.sticky())
    await d.complete(await poll, succeed(), sticky_attributes=d.sticky())


async def sticky_queue_without_poller_falls_back_at_the_timeout(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.poll_wft_in_vain(d.sticky_queue())
    await d.complete(task, timer(), sticky_attributes=d.sticky(1))
    await d.signal()
    task = await d.poll_wft()
    await d.complete(task, succeed())


async def sticky_queue_that_was_never_polled(d: Driver) -> None:
    await d.start()
    await d.step(timer(), sticky_attributes=d.sticky(5))
    await d.signal()
    await d.step(succeed())


async def failed_sticky_task_clears_stickiness(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    await d.signal()
    await d.fail(await poll, "RESET_STICKY_TASK_QUEUE")
    await d.describe()
    task = await d.poll_wft()
    await d.complete(task, succeed())


async def failed_sticky_task_with_a_signal_behind_it(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    await d.signal("one")
    task = await poll
    await d.signal("two")
    await d.fail(task)
    await d.describe()
    await d.step(succeed())


async def bad_command_on_a_sticky_task(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    await d.signal()
    await d.complete(await poll, marker(""), sticky_attributes=d.sticky())
    await d.describe()
    await d.step(succeed())


async def sticky_task_that_times_out_comes_back_on_the_normal_queue(d: Driver) -> None:
    await d.start(workflow_task_timeout=1)
    poll = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    await d.signal()
    await poll
    await d.step(succeed())


async def stickiness_is_reset_by_request(d: Driver) -> None:
    await d.start()
    await d.step(timer(), sticky_attributes=d.sticky())
    await d.call("ResetStickyTaskQueue", execution=d.workflow_id)
    await d.signal()
    await d.step(succeed())


async def reset_sticky_of_a_missing_or_closed_workflow(d: Driver) -> None:
    await d.call("ResetStickyTaskQueue", execution=d.workflow_id)
    await d.start()
    await d.step(succeed())
    await d.call("ResetStickyTaskQueue", execution=d.workflow_id)


async def stickiness_ends_with_a_completion_without_it(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(timer(), sticky_attributes=d.sticky())
    await d.signal()
    await d.complete(await poll)
    await d.signal()
    await d.step(succeed())


async def forced_task_goes_to_the_sticky_queue(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(sticky_attributes=d.sticky(), force_create_new_workflow_task=True)
    await d.complete(await poll, succeed())


# ---- refusals -----------------------------------------------------------------------------------------------------


async def completed_twice(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.complete(task)
    await d.complete(task)
    await d.fail(task)


async def completed_in_pages(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.complete(task, timer("t"), intermediate_page=True)
    await d.complete(task, timer("t"), intermediate_page=True, page_number=1)
    await d.complete(task, succeed(), timer("t"), page_number=1)
    await d.complete(task, page_number=-1)
    await d.complete(task, timer("t"), intermediate_page=True)
    await d.complete(task, succeed(), timer("t"))


async def completed_after_the_close(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.terminate()
    await d.complete(task, succeed())
    await d.fail(task)


async def completed_with_a_bad_token(d: Driver) -> None:
    await d.complete(b"nonsense")
    await d.complete(b"")
    await d.call("RespondWorkflowTaskFailed", task_token=b"nonsense", identity="worker")
    await d.call("RespondWorkflowTaskFailed", task_token=b"", identity="worker")


async def completed_with_another_namespace(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.complete(task, succeed(), namespace="conformance-other")
    await d.complete(task, succeed(), namespace="nowhere")
    await d.complete(task, succeed(), namespace="")


async def completed_with_the_token_of_an_earlier_attempt(d: Driver) -> None:
    await d.start()
    first = await d.poll_wft()
    await d.fail(first)
    second = await d.poll_wft()
    await d.complete(first, succeed())
    await d.complete(second, succeed())


async def long_identity_is_refused(d: Driver) -> None:
    await d.start()
    await d.poll_wft(identity="x" * 1001)
    task = await d.poll_wft()
    await d.complete(task, identity="x" * 1001)
    await d.fail(task, identity="x" * 1001)


async def poll_is_refused_without_a_queue(d: Driver) -> None:
    await d.call("PollWorkflowTaskQueue", identity="w", timeout_s=3)
    await d.call("PollWorkflowTaskQueue", task_queue="", identity="w", timeout_s=3)
    await d.poll_wft("x" * 1001)
    await d.poll_wft_in_vain({"name": d.name("s"), "kind": "STICKY"})
    await d.poll_wft(namespace="nowhere")
    await d.poll_wft(namespace="")
    await d.poll_wft("/_sys/x/1", timeout_s=3)


async def poll_is_refused_with_a_short_deadline(d: Driver) -> None:
    await d.poll_wft(timeout_s=0.9)
    await d.poll_activity(timeout_s=0.9)


async def polls_end_when_their_worker_shuts_down(d: Driver) -> None:
    queue = {"name": d.name("sticky"), "kind": "STICKY", "normal_name": d.task_queue}
    poll = d.begin("PollWorkflowTaskQueue", task_queue=queue, identity="w", timeout_s=10)
    await asyncio.sleep(0.3)
    await d.call(
        "ShutdownWorker",
        sticky_task_queue=d.name("sticky"),
        identity="w",
        reason="enough",
        task_queue=d.task_queue,
        worker_instance_key="key",
    )
    await poll


def _fails_with(cause: str):  # type: ignore[no-untyped-def]
    async def fails(d: Driver) -> None:
        await d.start()
        task = await d.poll_wft()
        await d.fail(task, f"WORKFLOW_TASK_FAILED_CAUSE_{cause}")
        await d.describe()

    return fails


TABLE = {f"fails_with_{cause.lower()}": _fails_with(cause) for cause in CAUSES}


async def close_commands_each(d: Driver) -> None:
    for number, close in enumerate((succeed(1), fail_workflow(), cancel_workflow("why"), continue_as_new())):
        await d.start(d.name(f"wf{number}"))
        await d.step(close)

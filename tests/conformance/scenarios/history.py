"""Reading histories: pages, directions, filters, long polls, raw; and Describe."""

from __future__ import annotations

import asyncio

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, child, continue_as_new, failure, marker, succeed, timer

NO_RUN = "11111111-2222-4333-8444-555555555555"


async def _grown(d: Driver, close: bool = True) -> str:
    """A workflow with some batches of events; returns its run id."""
    started = await d.start()
    await d.step(timer(), marker("one"), force_create_new_workflow_task=True)
    await d.step(marker("two"), force_create_new_workflow_task=True)
    if close:
        await d.step(succeed())
    run_id: str = started.run_id
    return run_id


async def in_pages(d: Driver) -> None:
    await _grown(d)
    page = b""
    for _ in range(20):
        reply = await d.history(maximum_page_size=3, next_page_token=page)
        page = reply.next_page_token
        if not page:
            break


async def in_pages_of_one(d: Driver) -> None:
    await d.start()
    await d.step(timer(), succeed())
    page = b""
    for _ in range(20):
        reply = await d.history(maximum_page_size=1, next_page_token=page)
        page = reply.next_page_token
        if not page:
            break


async def in_pages_of_an_open_workflow(d: Driver) -> None:
    await _grown(d, close=False)
    page = b""
    for _ in range(20):
        reply = await d.history(maximum_page_size=2, next_page_token=page)
        page = reply.next_page_token
        if not page:
            break


async def backwards(d: Driver) -> None:
    await _grown(d)
    page = b""
    for _ in range(20):
        fields = {"execution": d.workflow_id, "maximum_page_size": 3, "next_page_token": page}
        reply = await d.call("GetWorkflowExecutionHistoryReverse", **fields)
        page = reply.next_page_token
        if not page:
            break


async def backwards_at_once(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.call("GetWorkflowExecutionHistoryReverse", execution=d.workflow_id)


async def backwards_is_refused(d: Driver) -> None:
    await d.call("GetWorkflowExecutionHistoryReverse", execution=d.workflow_id)
    await d.call("GetWorkflowExecutionHistoryReverse", execution=("", ""))
    await d.call("GetWorkflowExecutionHistoryReverse", execution=(d.workflow_id, "not-a-uuid"))
    await d.call("GetWorkflowExecutionHistoryReverse")
    await d.start()
    await d.call("GetWorkflowExecutionHistoryReverse", execution=d.workflow_id, next_page_token=b"nonsense")
    await d.call("GetWorkflowExecutionHistoryReverse", execution=(d.workflow_id, NO_RUN))


async def closing_event_alone(d: Driver) -> None:
    await _grown(d)
    await d.history(history_event_filter_type="CLOSE_EVENT")
    await d.history(history_event_filter_type="ALL_EVENT")


async def closing_event_of_an_open_workflow(d: Driver) -> None:
    await _grown(d, close=False)
    await d.history(history_event_filter_type="CLOSE_EVENT")


async def closing_event_is_waited_for(d: Driver) -> None:
    await d.start()
    wait = d.begin(
        "GetWorkflowExecutionHistory",
        execution=d.workflow_id,
        wait_new_event=True,
        history_event_filter_type="CLOSE_EVENT",
    )
    await asyncio.sleep(0.3)
    await d.step(succeed("done"))
    await wait


async def closing_event_of_a_chain_is_waited_for(d: Driver) -> None:
    started = await d.start()
    wait = d.begin(
        "GetWorkflowExecutionHistory",
        execution=(d.workflow_id, started.run_id),
        wait_new_event=True,
        history_event_filter_type="CLOSE_EVENT",
    )
    await d.step(continue_as_new())
    await wait


async def new_events_are_waited_for(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    reply = await d.history(wait_new_event=True)
    wait = d.begin(
        "GetWorkflowExecutionHistory",
        execution=d.workflow_id,
        wait_new_event=True,
        next_page_token=reply.next_page_token,
    )
    await asyncio.sleep(0.3)
    await d.signal()
    reply = await wait
    await d.step(succeed())
    for _ in range(4):
        reply = await d.history(wait_new_event=True, next_page_token=reply.next_page_token)
        if not reply.next_page_token:
            break


async def waiting_for_events_of_a_closed_workflow(d: Driver) -> None:
    await _grown(d)
    await d.history(wait_new_event=True)
    await d.history(wait_new_event=True, history_event_filter_type="CLOSE_EVENT")


async def waiting_ends_without_events(d: Driver) -> None:
    await d.start()
    reply = await d.history(wait_new_event=True)
    await d.history(wait_new_event=True, next_page_token=reply.next_page_token, timeout_s=2.5)


async def of_an_earlier_run(d: Driver) -> None:
    started = await d.start()
    await d.step(continue_as_new())
    await d.history((d.workflow_id, started.run_id))
    await d.history()


async def is_refused(d: Driver) -> None:
    await d.history()
    await d.history(("", ""))
    await d.history((d.workflow_id, "not-a-uuid"))
    await d.call("GetWorkflowExecutionHistory")
    await d.start()
    await d.history((d.workflow_id, NO_RUN))
    await d.history(next_page_token=b"nonsense")
    await d.history(maximum_page_size=-1)
    await d.history(namespace="nowhere")
    await d.history(namespace="conformance-other")


async def page_token_of_another_workflow(d: Driver) -> None:
    await _grown(d)
    reply = await d.history(maximum_page_size=2)
    await d.start(d.name("other"))
    await d.history(d.name("other"), next_page_token=reply.next_page_token)


async def describe_pending_items(d: Driver) -> None:
    await d.start(memo={"m": 1}, workflow_execution_timeout=100, workflow_run_timeout=50)
    policy = {"initial_interval": 60, "maximum_attempts": 5, "non_retryable_error_types": ["X"]}
    elsewhere = d.name("elsewhere")
    await d.step(
        activity("waiting", task_queue=d.name("nobody")),
        activity("running", heartbeat_timeout=9),
        activity("failing", retry_policy=policy, task_queue=elsewhere, priority={"priority_key": 1}),
        child(d.name("kid"), parent_close_policy="ABANDON"),
        timer(),
    )
    await d.heartbeat(await d.poll_activity(), ["beat"])
    await d.fail_activity(await d.poll_activity(elsewhere), failure("pending failure"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.signal()
    await d.describe()


async def describe_is_refused(d: Driver) -> None:
    await d.describe()
    await d.describe(("", ""))
    await d.describe((d.workflow_id, "not-a-uuid"))
    await d.call("DescribeWorkflowExecution")
    await d.start()
    await d.describe((d.workflow_id, NO_RUN))
    await d.describe(namespace="nowhere")


async def describe_a_started_task(d: Driver) -> None:
    await d.start()
    await d.poll_wft()
    await d.describe()


async def describe_without_task(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.describe()


async def delete_a_closed_workflow(d: Driver) -> None:
    started = await d.start()
    await d.step(succeed())
    await d.call("DeleteWorkflowExecution", workflow_execution=(d.workflow_id, started.run_id))

    async def gone() -> bool:
        return not await d.quietly("DescribeWorkflowExecution", execution=(d.workflow_id, started.run_id))

    await d.until(gone, attempts=600)
    await d.describe()
    await d.history()
    await d.signal()


async def delete_an_open_workflow(d: Driver) -> None:
    await d.start()
    await d.call("DeleteWorkflowExecution", workflow_execution=d.workflow_id)

    async def gone() -> bool:
        return not await d.quietly("DescribeWorkflowExecution", execution=d.workflow_id)

    await d.until(gone, attempts=600)
    await d.start()
    await d.describe()


async def delete_is_refused(d: Driver) -> None:
    await d.call("DeleteWorkflowExecution", workflow_execution=d.workflow_id)
    await d.call("DeleteWorkflowExecution", workflow_execution=("", ""))
    await d.call("DeleteWorkflowExecution", workflow_execution=(d.workflow_id, "not-a-uuid"))
    await d.call("DeleteWorkflowExecution")


async def suggests_nothing_on_a_short_history(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    assert not task.history.events[-1].workflow_task_started_event_attributes.suggest_continue_as_new


async def task_brings_a_long_history_in_pages(d: Driver) -> None:
    await d.start()
    await d.step(*[marker(f"m{number}", details={"data": "x"}) for number in range(300)])
    await d.signal()
    task = await d.poll_wft()
    if task.next_page_token:
        await d.history(next_page_token=task.next_page_token)
    await d.complete(task, succeed())


async def long_ones_are_suggested_to_continue_as_new(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    await d.step(*[marker("m") for _ in range(4092)], sticky_attributes=d.sticky())
    await d.signal()
    await d.complete(await poll, continue_as_new(), sticky_attributes=d.sticky())
    await d.step(succeed())


async def large_ones_are_suggested_to_continue_as_new(d: Driver) -> None:
    await d.start()
    poll = await d.listen()
    large = "x" * 1_100_000
    await d.step(*[marker("m", details={"data": large}) for _ in range(3)], sticky_attributes=d.sticky())
    await d.signal(input=large)
    await d.complete(await poll, sticky_attributes=d.sticky())

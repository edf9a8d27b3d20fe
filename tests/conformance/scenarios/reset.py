"""Resets: a new run from a part of an old one's history, and what becomes of all that came behind it."""

from __future__ import annotations

import asyncio

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    cancel_external,
    cancel_workflow,
    child,
    continue_as_new,
    fail_workflow,
    modify,
    signal_external,
    succeed,
    timer,
    upsert,
)

SIGNALS = ["SIGNAL"]
ALL = ["SIGNAL", "UPDATE", "NEXUS", "CANCEL_REQUEST"]


# ---- where ---------------------------------------------------------------------------------------------------------


async def to_the_first_task(d: Driver) -> None:
    await d.start(input="in", memo={"m": 1}, search_attributes={"ConfInt": 1})
    await d.step(timer())
    await d.reset()
    await d.describe()
    await d.step(succeed("again"))


async def to_the_second_task(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0.01))
    await d.step(timer("u", 60))
    await d.reset(9)
    await d.step(succeed())


async def to_a_started_event(d: Driver) -> None:
    """The task is taken as scheduled, and started by the server to be failed."""
    await d.start()
    await d.step(timer())
    await d.reset(3)
    await d.step(succeed())


async def to_a_task_that_is_started(d: Driver) -> None:
    await d.start()
    await d.poll_wft()
    await d.reset(3)
    await d.step(succeed())


async def behind_a_failed_task(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    await d.reset(4)
    await d.step(succeed())


async def to_an_unwritten_task(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft())
    await d.reset(5)
    await d.reset(6)


async def to_a_task_of_a_later_attempt(d: Driver) -> None:
    """The task failed twice before it was written, as its third attempt."""
    await d.start()
    await d.fail(await d.poll_wft())
    await d.fail(await d.poll_wft())
    await d.step(timer())
    await d.reset(7)
    await d.step(succeed())


async def to_the_start_of_a_task_of_a_later_attempt(d: Driver) -> None:
    """Such a task is written in one go."""
    await d.start()
    await d.fail(await d.poll_wft())
    await d.step(timer())
    await d.reset(6)


async def event_is_refused(d: Driver) -> None:
    await d.start()
    await d.signal()
    await d.step(timer(), timer("u", 60))
    for event_id in (-1, 0, 1, 2, 3, 6, 7, 8, 9, 99):
        await d.reset(event_id)


async def no_task_completed_yet(d: Driver) -> None:
    await d.start()
    for event_id in (2, 3):
        await d.reset(event_id)


async def of_a_workflow_that_waits_for_its_first_task(d: Driver) -> None:
    await d.start(workflow_start_delay=60)
    await d.signal()
    await d.reset(2)


async def is_refused(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.reset(request_id="")
    await d.reset(request_id="x" * 1001)
    await d.reset(workflow_execution=None)
    await d.reset(workflow_execution=("", ""))
    await d.reset(workflow_execution=(d.workflow_id, "no-uuid"))
    await d.reset(workflow_execution=(d.name("other"), ""))
    await d.reset(run_id="01234567-0123-0123-0123-0123456789ab")
    await d.reset(namespace="")
    await d.reset(namespace=d.name("nowhere"))
    await d.reset(post_reset_operations=[{"signal_workflow": {"signal_name": "s"}}])
    await d.reset(post_reset_operations=[{}])


async def without_a_reason(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.reset(reason="")


# ---- which run -----------------------------------------------------------------------------------------------------


async def of_a_completed_run(d: Driver) -> None:
    started = await d.start()
    await d.step(succeed("first"))
    await d.reset(4, started.run_id)
    await d.describe((d.workflow_id, started.run_id))
    await d.step(succeed("second"))


async def of_a_failed_run(d: Driver) -> None:
    await d.start()
    await d.step(fail_workflow())
    await d.reset()
    await d.step(succeed())


async def of_a_canceled_run(d: Driver) -> None:
    """The request to cancel is not applied again."""
    await d.start()
    await d.step()
    await d.cancel()
    await d.step(cancel_workflow())
    await d.reset(4)
    await d.step(succeed())


async def cancel_request_in_front_of_the_point_is_kept(d: Driver) -> None:
    await d.start()
    await d.step()
    await d.cancel()
    await d.step()
    await d.reset(8)
    await d.describe()
    await d.cancel()


async def of_a_terminated_run(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.terminate()
    await d.reset(4)
    await d.step(succeed())


async def of_a_run_that_timed_out(d: Driver) -> None:
    await d.start(workflow_run_timeout=1, workflow_execution_timeout=100)
    await d.step()
    await d.until_closed()
    await d.reset()
    await d.describe()
    await d.step(succeed())


async def of_an_older_run(d: Driver) -> None:
    """The current run is another one, with children: it ends, and so do they."""
    first = await d.start()
    await d.step(succeed())
    await d.start()
    await d.step(child(d.name("child"), parent_close_policy="TERMINATE"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.signal("lost")
    await d.reset(4, first.run_id)
    await d.until_closed(d.name("child"))
    await d.step(succeed())


async def of_an_older_run_while_the_newer_is_closed(d: Driver) -> None:
    first = await d.start()
    await d.step(succeed())
    await d.start()
    await d.step(succeed())
    await d.reset(4, first.run_id)
    await d.step(succeed())


async def of_a_run_that_continued_as_new(d: Driver) -> None:
    """The signals of all runs of the chain are applied again."""
    first = await d.start()
    await d.step()
    await d.signal("one", input=1)
    await d.step(continue_as_new())
    await d.signal("two", input=2)
    await d.step(continue_as_new())
    await d.signal("three", input=3)
    await d.reset(4, first.run_id)
    await d.step(succeed())


async def without_run_id_of_a_continued_run(d: Driver) -> None:
    await d.start()
    await d.step(continue_as_new(input="next"))
    await d.step(timer())
    await d.reset(4)
    await d.describe()
    await d.step(succeed())


async def of_a_run_whose_newer_one_was_deleted(d: Driver) -> None:
    first = await d.start()
    await d.step(timer())
    await d.terminate()
    second = await d.start()
    await d.call("DeleteWorkflowExecution", workflow_execution=(d.workflow_id, second.run_id))

    async def gone() -> bool:
        return not await d.quietly("DescribeWorkflowExecution", execution=d.workflow_id)

    await d.until(gone)
    await d.reset(4)
    await d.reset(4, first.run_id)
    await d.step(succeed())


async def twice(d: Driver) -> None:
    """The second is of the run that the first made."""
    await d.start()
    await d.step(timer())
    await d.reset(4, request_id="one")
    await d.step(timer("u"))
    await d.reset(7, request_id="two")
    await d.describe()
    await d.step(succeed())


async def twice_of_the_same_run(d: Driver) -> None:
    started = await d.start()
    await d.step(timer())
    await d.reset(4, started.run_id, request_id="one")
    await d.reset(4, started.run_id, request_id="two")
    await d.describe((d.workflow_id, started.run_id))


async def with_the_request_id_of_the_start(d: Driver) -> None:
    await d.start(request_id="begin")
    await d.step(timer())
    await d.reset(4, request_id="begin")


# ---- what is applied again -----------------------------------------------------------------------------------------


async def _signaled(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal("one", input=1, header={"h": 1}, request_id="signal-1")
    await d.step()
    await d.signal("two", input=2)


async def signals_are_applied_again(d: Driver) -> None:
    await _signaled(d)
    await d.reset()
    await d.signal("one", request_id="signal-1")
    await d.describe()
    await d.step(succeed())


async def signals_are_excluded(d: Driver) -> None:
    await _signaled(d)
    await d.reset(reset_reapply_exclude_types=SIGNALS)


async def everything_is_excluded(d: Driver) -> None:
    await _signaled(d)
    await d.reset(reset_reapply_exclude_types=ALL)


async def reapply_type_none(d: Driver) -> None:
    await _signaled(d)
    await d.reset(reset_reapply_type="NONE")


async def reapply_type_signal(d: Driver) -> None:
    await _signaled(d)
    await d.reset(reset_reapply_type="SIGNAL")


async def reapply_type_all_but_signals(d: Driver) -> None:
    await _signaled(d)
    await d.reset(reset_reapply_type="ALL_ELIGIBLE", reset_reapply_exclude_types=SIGNALS)


async def signals_in_front_of_the_point_are_kept(d: Driver) -> None:
    await d.start()
    await d.signal("one", request_id="signal-1")
    await d.step(timer())
    await d.signal("two")
    await d.reset(5)
    await d.signal("one", request_id="signal-1")
    await d.step(succeed())


async def buffered_signals_are_applied_again(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal("wakes")
    await d.poll_wft()
    await d.signal("buffered")
    await d.reset()
    await d.step(succeed())


async def signal_of_another_workflow_is_applied_again(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    queue = d.name("other-queue")
    await d.start(d.name("other"), task_queue=queue)
    await d.complete(await d.poll_wft(queue), signal_external(d.workflow_id))
    await d.until_event("WORKFLOW_EXECUTION_SIGNALED")
    await d.reset()


async def attached_request_is_applied_again(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    options = {"attach_request_id": True}
    await d.start(workflow_id_conflict_policy="USE_EXISTING", on_conflict_options=options, request_id="attached")
    await d.reset()
    await d.describe()


# ---- options of the run --------------------------------------------------------------------------------------------


async def timeouts_begin_anew(d: Driver) -> None:
    await d.start(workflow_run_timeout=50, workflow_execution_timeout=100)
    await d.step(timer())
    await d.reset()
    await d.describe()


async def run_timeout_beyond_the_execution_timeout(d: Driver) -> None:
    await d.start(workflow_run_timeout=200, workflow_execution_timeout=100)
    await d.step(timer())
    await d.reset()
    await d.describe()


async def memo_and_attributes_are_those_of_the_point(d: Driver) -> None:
    await d.start(memo={"m": 1}, search_attributes={"ConfInt": 1})
    await d.step(upsert({"ConfInt": 2}), modify({"m": 2}), timer("t", 0.01))
    await d.step(upsert({"ConfInt": 3}), modify({"m": 3}))
    await d.reset(11)
    await d.describe()


async def of_a_cron_workflow(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s")
    await d.step(timer())
    await d.reset()
    await d.describe()
    await d.step(succeed("x"))
    await d.describe()


async def of_a_retried_workflow(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 0.01, "maximum_attempts": 3})
    await d.step(fail_workflow())
    await d.step(timer())
    await d.reset()
    await d.step(fail_workflow())
    await d.step(succeed())


async def of_a_delayed_workflow(d: Driver) -> None:
    await d.start(workflow_start_delay=1, workflow_run_timeout=30)
    await d.step(timer())
    await d.reset()
    await d.describe()


async def sticky_worker_is_forgotten(d: Driver) -> None:
    await d.start()
    await d.complete(await d.poll_wft(), timer("t", 0.01), sticky_attributes=d.sticky())
    await d.complete(await d.poll_wft(d.sticky_queue()), sticky_attributes=d.sticky())
    await d.reset(9)
    await d.step(succeed())


async def reset_points_of_external_requests(d: Driver) -> None:
    """A signal that is on its way when the task completes does not come into it: commands come later."""
    other = d.name("other")
    await d.start(other, task_queue=d.name("other-queue"))
    await d.start()
    await d.step(signal_external(other), binary_checksum="sum-1")
    await d.until_event("EXTERNAL_WORKFLOW_EXECUTION_SIGNALED")
    await d.step(cancel_external(other), binary_checksum="sum-2")
    await d.until_event("EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED")
    await d.step(binary_checksum="sum-3")
    await d.describe()


async def query_on_the_new_run(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.reset()
    task = await d.poll_wft()
    query = d.query()
    await asyncio.sleep(0.3)
    await d.complete(task)
    await d.answer(await d.poll_wft())
    await query


async def build_ids_leave_reset_points(d: Driver) -> None:
    await d.start()
    await d.step(timer("t", 0.01), worker_version_stamp={"build_id": "one"}, binary_checksum="sum-1")
    await d.step(timer("u", 0.01), worker_version_stamp={"build_id": "two"}, binary_checksum="sum-2")
    await d.reset(9)
    await d.describe()
    await d.step(worker_version_stamp={"build_id": "three"}, binary_checksum="sum-3")
    await d.describe()


async def reset_point_with_something_pending(d: Driver) -> None:
    """A point at which a child runs is said to be none, and yet a reset goes back to it."""
    await d.start()
    await d.step(child(d.name("child"), task_queue=d.name("child-queue")))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.step(binary_checksum="sum-1")
    await d.describe()
    await d.reset(9)
    await d.describe()


async def worker_is_told_of_a_lost_task(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await d.reset(4)
    await d.complete(task, succeed())
    await d.fail(task)
    await d.step(succeed())


async def listing_shows_both_runs(d: Driver) -> None:
    await d.start(search_attributes={"ConfInt": 1})
    await d.step(timer())
    await d.reset()
    query = f"WorkflowId = '{d.workflow_id}'"
    await d.until_listed(f"{query} AND ExecutionStatus = 'Terminated'", 1)
    await d.until_listed(query, 2)
    await d.call("ListWorkflowExecutions", query=query)

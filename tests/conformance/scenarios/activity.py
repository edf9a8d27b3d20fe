"""Activities: their lives, timeouts, retries, heartbeats, cancellation, completion by id."""

from __future__ import annotations

import asyncio

from google.protobuf.duration_pb2 import Duration
from tests.conformance.driver import Driver
from tests.conformance.messages import activity, cancel_activity, failure, succeed

QUICK = {"initial_interval": 0.1, "backoff_coefficient": 1}


async def completes(d: Driver) -> None:
    await d.start()
    await d.step(activity(input=["in"], header={"h": 1}, priority={"priority_key": 4}))
    task = await d.poll_activity()
    await d.describe()
    await d.complete_activity(task, "out")
    await d.step(succeed())


async def completes_without_result(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.call("RespondActivityTaskCompleted", task_token=task.task_token)


async def defaults_its_timeouts_and_retry_policy(d: Driver) -> None:
    await d.start(workflow_run_timeout=100)
    await d.step(
        activity("start-to-close", start_to_close_timeout=5, retry_policy=None),
        activity("schedule-to-close", start_to_close_timeout=None, schedule_to_close_timeout=7, retry_policy={}),
        activity("long", start_to_close_timeout=500, schedule_to_start_timeout=400, schedule_to_close_timeout=300),
        activity("all", schedule_to_close_timeout=9, schedule_to_start_timeout=20, heartbeat_timeout=30),
        activity("partial", retry_policy={"initial_interval": 2}),
        activity("zero", schedule_to_close_timeout=0, schedule_to_start_timeout=0, heartbeat_timeout=0),
    )
    await d.describe()


async def defaults_without_run_timeout(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=None), activity("b", retry_policy={"maximum_attempts": 3}))
    await d.describe()


async def on_another_task_queue(d: Driver) -> None:
    await d.start()
    await d.step(activity(task_queue=d.name("elsewhere")))
    await d.poll_activity_in_vain()
    await d.complete_activity(await d.poll_activity(d.name("elsewhere")))


async def fails(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.fail_activity(await d.poll_activity(), failure("broken", "Odd", fatal=True))
    await d.step(succeed())


async def fails_without_application_failure(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.fail_activity(task, failure("broken", timeout_failure_info={"timeout_type": "START_TO_CLOSE"}))
    await d.call("RespondActivityTaskFailed", task_token=task.task_token, identity="worker")


async def fails_with_a_server_failure(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await d.fail_activity(task, failure("broken", server_failure_info={"non_retryable": True}))
    await d.describe()


async def is_retried_until_it_succeeds(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    await d.fail_activity(await d.poll_activity(), failure("first"))
    task = await d.poll_activity()
    await d.describe()
    await d.fail_activity(task, failure("second"))
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def waits_between_attempts(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 60, "backoff_coefficient": 3, "maximum_interval": 100}))
    await d.fail_activity(await d.poll_activity())
    await d.describe()
    await d.poll_activity_in_vain()


async def reaches_its_maximum_attempts(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={**QUICK, "maximum_attempts": 2}))
    await d.fail_activity(await d.poll_activity(), failure("first"))
    await d.fail_activity(await d.poll_activity(), failure("second"))
    await d.step(succeed())


async def stops_at_a_type_that_is_not_retried(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={**QUICK, "non_retryable_error_types": ["Final"]}))
    await d.fail_activity(await d.poll_activity(), failure("first", "Passing"))
    await d.fail_activity(await d.poll_activity(), failure("second", "Final"))
    await d.step(succeed())


async def stops_at_a_failure_marked_fatal(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    await d.fail_activity(await d.poll_activity(), failure("fatal", fatal=True))
    await d.step(succeed())


async def worker_chooses_the_next_delay(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 60}))
    await d.fail_activity(await d.poll_activity(), failure("soon", next_retry_delay=0.2))
    task = await d.poll_activity()
    await d.describe()
    await d.fail_activity(task, failure("late", next_retry_delay=90))
    await d.describe()


async def next_delay_beyond_the_close_timeout(d: Driver) -> None:
    await d.start()
    await d.step(activity(schedule_to_close_timeout=5, retry_policy=QUICK))
    await d.fail_activity(await d.poll_activity(), failure("late", next_retry_delay=90))
    await d.step(succeed())


async def next_delay_that_is_no_duration(d: Driver) -> None:
    delay = Duration(seconds=400_000_000_000)
    await d.start()
    await d.step(activity(retry_policy={"maximum_attempts": 1}))
    await d.fail_activity(await d.poll_activity(), failure("late", next_retry_delay=delay))
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await d.fail_activity(task, failure("late", fatal=True, next_retry_delay=Duration(seconds=-1, nanos=1)))
    await d.fail_activity(task, failure("late", next_retry_delay=delay))
    await d.step(succeed())
    await d.fail_activity(task, failure("late", next_retry_delay=delay))


async def negative_next_delay(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 60}))
    for seconds in (-1, -400_000_000_000):
        task = await d.poll_activity()
        await d.fail_activity(task, failure("soon", next_retry_delay=Duration(seconds=seconds)))
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def retry_beyond_the_close_timeout(d: Driver) -> None:
    await d.start()
    await d.step(activity(schedule_to_close_timeout=5, retry_policy={"initial_interval": 50}))
    await d.fail_activity(await d.poll_activity(), failure("late"))
    await d.step(succeed())


async def last_attempt_has_the_failure_of_the_one_before(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={**QUICK, "maximum_attempts": 3}))
    await d.fail_activity(await d.poll_activity(), failure("first"))
    await d.fail_activity(await d.poll_activity(), failure("second"))
    await d.complete_activity(await d.poll_activity())


# ---- timeouts -----------------------------------------------------------------------------------------------------


async def start_to_close_timeout(d: Driver) -> None:
    await d.start()
    await d.step(activity(start_to_close_timeout=0.5))
    task = await d.poll_activity()
    await d.step(succeed())
    await d.complete_activity(task)


async def start_to_close_timeout_is_retried(d: Driver) -> None:
    await d.start()
    await d.step(activity(start_to_close_timeout=0.5, retry_policy={**QUICK, "maximum_attempts": 2}))
    first = await d.poll_activity()
    task = await d.poll_activity()
    await d.describe()
    await d.complete_activity(first)
    await d.complete_activity(task)


async def schedule_to_start_timeout(d: Driver) -> None:
    await d.start()
    await d.step(activity(schedule_to_start_timeout=0.5, retry_policy=QUICK))
    await d.step(succeed())


async def schedule_to_close_timeout_unstarted(d: Driver) -> None:
    await d.start()
    await d.step(activity(schedule_to_close_timeout=0.5, retry_policy=QUICK))
    await d.step(succeed())


async def schedule_to_close_timeout_started(d: Driver) -> None:
    await d.start()
    await d.step(activity(schedule_to_close_timeout=0.7, start_to_close_timeout=None, retry_policy=QUICK))
    await d.poll_activity()
    await d.step(succeed())


async def schedule_to_close_timeout_between_attempts(d: Driver) -> None:
    await d.start()
    policy = {"initial_interval": 0.3, "backoff_coefficient": 1}
    await d.step(activity(schedule_to_close_timeout=1, start_to_close_timeout=0.5, retry_policy=policy))
    await d.fail_activity(await d.poll_activity(), failure("first"))
    await d.describe()
    await d.step(succeed())


async def heartbeat_timeout(d: Driver) -> None:
    await d.start()
    await d.step(activity(heartbeat_timeout=0.6))
    task = await d.poll_activity()
    await d.heartbeat(task, ["halfway"])
    await d.describe()
    await d.step(succeed())
    await d.heartbeat(task)


async def heartbeat_timeout_is_retried_with_the_details(d: Driver) -> None:
    await d.start()
    await d.step(activity(heartbeat_timeout=0.6, retry_policy={**QUICK, "maximum_attempts": 2}))
    await d.heartbeat(await d.poll_activity(), ["halfway", 2])
    task = await d.poll_activity()
    await d.describe()
    await d.complete_activity(task)


async def heartbeat_details_survive_a_failure(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK))
    task = await d.poll_activity()
    await d.heartbeat(task, "one")
    await d.heartbeat(task, "two")
    await d.fail_activity(task)
    task = await d.poll_activity()
    await d.heartbeat(task)
    await d.fail_activity(task, last_heartbeat_details="with the failure")
    await d.poll_activity()
    await d.describe()


async def timeouts_that_are_not_retried(d: Driver) -> None:
    await d.start()
    types = ["TemporalTimeout:StartToClose"]
    await d.step(activity(start_to_close_timeout=0.5, retry_policy={**QUICK, "non_retryable_error_types": types}))
    await d.poll_activity()
    await d.step(succeed())


# ---- cancellation -------------------------------------------------------------------------------------------------


async def cancelled_before_it_starts(d: Driver) -> None:
    await d.start()
    await d.step(activity(), force_create_new_workflow_task=True)
    await d.step(cancel_activity(5))
    await d.step(succeed())
    await d.poll_activity_in_vain()


async def scheduled_and_cancelled_in_one_task(d: Driver) -> None:
    await d.start()
    await d.step(activity(), cancel_activity(5))
    await d.step(succeed())


async def cancelled_between_attempts(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy={"initial_interval": 60}))
    await d.fail_activity(await d.poll_activity())
    await d.signal()
    await d.step(cancel_activity(5))
    await d.step(succeed())


async def cancelled_while_it_runs(d: Driver) -> None:
    await d.start()
    await d.step(activity(), force_create_new_workflow_task=True)
    task = await d.poll_activity()
    await d.step(cancel_activity(5))
    await d.describe()
    await d.heartbeat(task)
    await d.cancel_activity(task, details="stopped")
    await d.step(succeed())


async def cancelled_but_completes(d: Driver) -> None:
    await d.start()
    await d.step(activity(), force_create_new_workflow_task=True)
    task = await d.poll_activity()
    await d.step(cancel_activity(5))
    await d.complete_activity(task)
    await d.step(succeed())


async def cancelled_and_fails_without_another_try(d: Driver) -> None:
    await d.start()
    await d.step(activity(retry_policy=QUICK), force_create_new_workflow_task=True)
    task = await d.poll_activity()
    await d.step(cancel_activity(5))
    await d.fail_activity(task)
    await d.step(succeed())


async def cancelled_and_times_out_without_another_try(d: Driver) -> None:
    await d.start()
    command = activity(start_to_close_timeout=0.7, retry_policy=QUICK)
    await d.step(command, force_create_new_workflow_task=True)
    await d.poll_activity()
    await d.step(cancel_activity(5))
    await d.step(succeed())


async def reports_a_cancel_nobody_asked_for(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.cancel_activity(task)


async def heartbeat_after_the_workflow_closed(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    task = await d.poll_activity()
    await d.terminate()
    await d.heartbeat(task)
    await d.complete_activity(task)
    await d.fail_activity(task)
    await d.cancel_activity(task)


# ---- eager --------------------------------------------------------------------------------------------------------


async def started_eagerly(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    reply = await d.complete(
        task, activity("a", request_eager_execution=True, input="in", heartbeat_timeout=5), activity("b")
    )
    await d.describe()
    await d.complete_activity(reply.activity_tasks[0])
    await d.step(succeed())


async def started_eagerly_on_another_task_queue(d: Driver) -> None:
    await d.start()
    command = activity(request_eager_execution=True, task_queue=d.name("elsewhere"))
    await d.complete(await d.poll_wft(), command)


async def started_eagerly_and_the_workflow_closes(d: Driver) -> None:
    await d.start()
    await d.complete(await d.poll_wft(), activity(request_eager_execution=True), succeed())


async def started_eagerly_and_cancelled(d: Driver) -> None:
    await d.start()
    await d.complete(await d.poll_wft(), activity(request_eager_execution=True), cancel_activity(5))


async def started_eagerly_and_retried_by_poll(d: Driver) -> None:
    await d.start()
    command = activity(request_eager_execution=True, retry_policy=QUICK)
    reply = await d.complete(await d.poll_wft(), command)
    await d.fail_activity(reply.activity_tasks[0])
    await d.complete_activity(await d.poll_activity())


# ---- closes -------------------------------------------------------------------------------------------------------


async def workflow_closes_with_one_pending(d: Driver) -> None:
    await d.start()
    other = activity("b", task_queue=d.name("elsewhere"))
    await d.step(activity("a"), other, force_create_new_workflow_task=True)
    await d.poll_activity()
    await d.step(succeed())
    await asyncio.sleep(0.2)
    await d.poll_activity_in_vain(d.name("elsewhere"))
    await d.describe()


async def same_id_again_after_the_first_closed(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.complete_activity(await d.poll_activity())
    await d.step(activity())
    await d.complete_activity(await d.poll_activity())
    await d.step(succeed())


async def poll_is_refused(d: Driver) -> None:
    await d.call("PollActivityTaskQueue", identity="w", timeout_s=3)
    await d.call("PollActivityTaskQueue", task_queue="", identity="w", timeout_s=3)
    await d.poll_activity("x" * 1001)
    await d.poll_activity(namespace="nowhere")

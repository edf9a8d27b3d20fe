"""Which build of a worker did something, and what is sent although it is empty: as the Go SDK does."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, continue_as_new, fail_workflow, succeed

BUILD = {"build_id": "build-one"}


async def of_tasks_and_activities(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft(worker_version_capabilities=BUILD)
    await d.complete(task, activity("a"), worker_version_stamp=BUILD)
    await d.complete_activity(await d.poll_activity(worker_version_capabilities=BUILD), worker_version=BUILD)
    await d.step(activity("b", retry_policy={"maximum_attempts": 1}))
    await d.fail_activity(await d.poll_activity(worker_version_capabilities=BUILD), worker_version=BUILD)
    await d.step(activity("c"))
    await d.poll_activity(worker_version_capabilities=BUILD)
    where = {"workflow_id": d.workflow_id, "activity_id": "c"}
    await d.call("RespondActivityTaskCompletedById", result="done", identity="worker", **where)
    await d.complete(await d.poll_wft(worker_version_capabilities={"build_id": "build-two"}), succeed())


async def of_a_later_attempt(d: Driver) -> None:
    await d.start()
    await d.fail(await d.poll_wft(worker_version_capabilities=BUILD))
    task = await d.poll_wft(worker_version_capabilities=BUILD)
    await d.complete(task, succeed(), worker_version_stamp={"build_id": "build-two"})


async def of_a_task_that_comes_with_the_reply(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    fields = {"force_create_new_workflow_task": True, "return_new_workflow_task": True}
    reply = await d.complete(task, worker_version_stamp=BUILD, **fields)
    await d.complete(reply.workflow_task, succeed())


async def of_a_deployment(d: Driver) -> None:
    await d.start()
    unversioned = {"deployment_name": "shop", "build_id": "one", "worker_versioning_mode": "UNVERSIONED"}
    await d.complete(await d.poll_wft(deployment_options=unversioned, worker_version_capabilities=BUILD), succeed())


async def continued_as_new(d: Driver) -> None:
    await d.start(workflow_execution_timeout=0, workflow_run_timeout=0, priority={})
    await d.step(continue_as_new(inherit_build_id=True))
    await d.step(succeed())


async def retried(d: Driver) -> None:
    await d.start(
        workflow_execution_timeout=0, retry_policy={"initial_interval": 1, "maximum_attempts": 2}, priority={}
    )
    await d.step(fail_workflow())
    await d.step(succeed())

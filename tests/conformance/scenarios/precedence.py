"""Which of several mistakes a request is refused for: a namespace that is missing comes before nearly all others."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import timer

LONG = "x" * 1001
MISSING = "conformance-missing"
BY_TOKEN = (
    "RespondWorkflowTaskCompleted",
    "RespondWorkflowTaskFailed",
    "RecordActivityTaskHeartbeat",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RespondActivityTaskCanceled",
)
BY_ID = (
    "RecordActivityTaskHeartbeatById",
    "RespondActivityTaskCompletedById",
    "RespondActivityTaskFailedById",
    "RespondActivityTaskCanceledById",
)
NOT_YET = (
    "ListWorkerDeployments",
    "ListActivityExecutions",
    "CountActivityExecutions",
    "ListNexusOperationExecutions",
    "CountNexusOperationExecutions",
    "ListArchivedWorkflowExecutions",
)


async def _in_each_namespace(d: Driver, method: str, **fields: Any) -> None:
    for namespace in ("", MISSING, LONG):
        await d.call(method, namespace=namespace, **fields)


async def of_answers_with_a_token(d: Driver) -> None:
    for method in BY_TOKEN:
        await _in_each_namespace(d, method, identity=LONG)
        await _in_each_namespace(d, method, identity=LONG, task_token=b"nonsense")
        await d.call(method, identity=LONG)
        await d.call(method, identity=LONG, task_token=b"nonsense")


async def of_answers_to_queries(d: Driver) -> None:
    await _in_each_namespace(d, "RespondQueryTaskCompleted")
    await _in_each_namespace(d, "RespondQueryTaskCompleted", task_token=b"nonsense")
    await d.start()
    await d.step(timer())
    query = d.query()
    task = await d.poll_wft()
    for namespace in ("conformance-other", MISSING, LONG):
        await d.answer(task, namespace=namespace)
    await d.answer(task)
    await query


async def of_answers_to_workflow_tasks(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    for namespace in ("conformance-other", MISSING, LONG):
        await d.complete(task, namespace=namespace, identity=LONG)
        await d.fail(task, namespace=namespace, identity=LONG)
    await d.complete(task, identity=LONG)
    await d.complete(task, namespace="", identity=LONG)


async def of_answers_by_id(d: Driver) -> None:
    bad = {"activity_id": "a", "run_id": "no uuid"}
    for method in BY_ID:
        await _in_each_namespace(d, method)
        await _in_each_namespace(d, method, **bad, workflow_id=d.workflow_id, identity=LONG)
        await d.call(method, **bad)
        await d.call(method, **bad, workflow_id=d.workflow_id)
        await d.call(method, activity_id="a")


async def of_listings(d: Driver) -> None:
    for method in NOT_YET:
        await _in_each_namespace(d, method)
    await _in_each_namespace(d, "GetWorkerBuildIdCompatibility")


async def of_polls(d: Driver) -> None:
    await _in_each_namespace(d, "PollNexusTaskQueue", identity=LONG, timeout_s=3)
    await d.call("PollNexusTaskQueue", task_queue=d.task_queue, identity=LONG, timeout_s=3)
    await _in_each_namespace(d, "PollWorkflowExecutionTimeSkipping")
    await _in_each_namespace(d, "ListTaskQueuePartitions")


async def of_search_attributes(d: Driver) -> None:
    wrong = {"ConfNew": 0}
    for namespace in ("", MISSING, LONG):
        await d.call("ListSearchAttributes", namespace=namespace)
        for names in (None, wrong, {"ConfNew": 99}, {"WorkflowId": 2}):
            await d.call("AddSearchAttributes", namespace=namespace, search_attributes=names)
        for removed in (None, ["ConfNew"], ["WorkflowId"]):
            await d.call("RemoveSearchAttributes", namespace=namespace, search_attributes=removed)
    await d.call("AddSearchAttributes", namespace="default", search_attributes=wrong)


async def of_descriptions_of_a_namespace(d: Driver) -> None:
    both = {"namespace": "default", "id": "11111111-2222-4333-8444-555555555555"}
    await d.call("DescribeNamespace", **both)
    await d.call("DescribeNamespace", **both, weak_consistency=True)


async def of_workflow_rules(d: Driver) -> None:
    await _in_each_namespace(d, "ListWorkflowRules")
    await d.call("ListWorkflowRules")


async def of_a_mask_beside_a_restoration(d: Driver) -> None:
    both = {"update_mask": {"paths": ["heartbeat_timeout"]}, "restore_original": True}
    for execution in (d.workflow_id, (d.workflow_id, "no uuid"), ""):
        for options in (None, {"priority": {"priority_key": -1}}):
            await d.call("UpdateActivityOptions", execution=execution, id="a", activity_options=options, **both)
    await d.call("UpdateActivityOptions", execution=d.workflow_id, **both)

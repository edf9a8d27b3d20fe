"""Batch operations: each on what a query finds and on a list, what becomes of a job, refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, fail_workflow, succeed, timer

DAY_S = 24 * 3600
NO_RUN = "11111111-2222-4333-8444-555555555555"
QUICK = {"initial_interval": 30, "backoff_coefficient": 1}
RUNNING, COMPLETED, FAILED = 1, 2, 3


async def _own_namespace(d: Driver) -> None:
    """A namespace has one job at a time, and a list of all of them."""
    d.namespace = d.name("ns")
    await d.quietly("RegisterNamespace", workflow_execution_retention_period=DAY_S)

    async def ready() -> bool:
        return all(
            [
                await d.quietly("CountWorkflowExecutions"),
                await d.quietly("DescribeNamespace"),
                not (await d.quietly("DescribeBatchOperation", job_id="none")).message.startswith("Namespace"),
            ]
        )

    await d.until(ready)


async def _begin(d: Driver, job_id: str = "job", **fields: Any) -> Any:
    return await d.call("StartBatchOperation", **{"job_id": d.name(job_id), "reason": "because", **fields})


async def _describe(d: Driver, job_id: str = "job") -> Any:
    return await d.call("DescribeBatchOperation", job_id=d.name(job_id))


async def _until_over(d: Driver, job_id: str = "job") -> Any:
    async def over() -> bool:
        reply = await d.quietly("DescribeBatchOperation", job_id=d.name(job_id))
        return not reply or reply.state != RUNNING

    await d.until(over, attempts=600)
    return await _describe(d, job_id)


async def _run(d: Driver, job_id: str = "job", **fields: Any) -> Any:
    await _begin(d, job_id, **fields)
    return await _until_over(d, job_id)


async def _starts(d: Driver, *words: str) -> list[tuple[str, str]]:
    """Starts workflows, one after the other, and waits until listings have them."""
    started = []
    for word in words:
        reply = await d.start(d.name(word))
        started.append((d.name(word), reply.run_id))
    await d.until_listed(f"WorkflowType = 'order' AND WorkflowId != '{d.workflow_id}'", len(words))
    return started


def _list(*runs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"workflow_id": workflow_id, "run_id": run_id} for workflow_id, run_id in runs]


def _targets(*runs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"type": "WORKFLOW", "business_id": workflow_id, "run_id": run_id} for workflow_id, run_id in runs]


ALL = "WorkflowType = 'order'"
SIGNAL = {"signal": "knock", "input": ["x", 1], "header": {"h": 1}, "identity": "batcher"}


async def _looks(d: Driver, *runs: tuple[str, str], gone: bool = False) -> None:
    """The histories are part of the record. `gone`: they are deleted in the background."""
    for run in runs:

        async def is_gone(run: tuple[str, str] = run) -> bool:
            return not await d.quietly("DescribeWorkflowExecution", execution=run)

        if gone:
            await d.until(is_gone)
        await d.describe(run)


# ---- each operation --------------------------------------------------------------------------------------------


def _by_all_ways(name: str, operation: dict[str, Any]) -> dict[str, Callable[[Driver], Awaitable[None]]]:
    async def by_query(d: Driver) -> None:
        await _own_namespace(d)
        runs = await _starts(d, "a", "b", "c")
        if name != "deletion":  # the reference takes its time with what has just been closed
            await d.terminate(runs[2])
            await d.until_listed(f"{ALL} AND ExecutionStatus = 'Running'", 2)
        await _run(d, visibility_query=ALL, **{f"{name}_operation": operation})
        await _looks(d, *runs, gone=name == "deletion")

    async def by_list(d: Driver) -> None:
        await _own_namespace(d)
        runs = await _starts(d, "a", "b", "c")
        if name != "deletion":
            await d.terminate(runs[2])
        executions = _list(*runs, (d.name("a"), NO_RUN), (d.name("nobody"), ""))
        await _run(d, executions=executions, **{f"{name}_operation": operation})
        await _looks(d, *runs, gone=name == "deletion")

    async def by_targets(d: Driver) -> None:
        await _own_namespace(d)
        runs = await _starts(d, "a", "b")
        await _run(d, target_executions=_targets((d.name("a"), ""), runs[1]), **{f"{name}_operation": operation})
        await _looks(d, *runs, gone=name == "deletion")

    return {f"{name}_by_query": by_query, f"{name}_by_list": by_list, f"{name}_by_targets": by_targets}


async def signals_a_run_once(d: Driver) -> None:
    await _own_namespace(d)
    (run,) = await _starts(d, "a")
    await _run(d, executions=_list(run, run), signal_operation=SIGNAL)
    await _run(d, "second", executions=_list(run), signal_operation=SIGNAL)


async def signals_with_a_bad_name(d: Driver) -> None:
    await _own_namespace(d)
    (run,) = await _starts(d, "a")
    await _run(d, executions=_list(run), signal_operation={"signal": "x" * 1001})


async def cancels_again(d: Driver) -> None:
    await _own_namespace(d)
    (run,) = await _starts(d, "a")
    await _run(d, executions=_list(run), cancellation_operation={})
    await _run(d, "second", executions=_list(run), cancellation_operation={})


async def finds_nothing(d: Driver) -> None:
    await _own_namespace(d)
    await _run(d, visibility_query="WorkflowId = 'nobody'", signal_operation=SIGNAL)


# ---- resets ----------------------------------------------------------------------------------------------------


async def _worked(d: Driver) -> tuple[str, str]:
    """A workflow with two completed tasks."""
    await _own_namespace(d)
    reply = await d.start()
    await d.step(timer("t", 0.01))
    await d.step(timer("u", 60))
    await d.signal()
    return d.workflow_id, reply.run_id


def _reset(operation: dict[str, Any], **fields: Any) -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        run = await _worked(d)
        await _run(d, executions=_list(run), reset_operation=operation, **fields)
        await d.describe()
        current = await d.quietly("DescribeWorkflowExecution", execution=d.workflow_id)
        d.touch(d.workflow_id, current.workflow_execution_info.execution.run_id)

    return scenario


async def resets_what_a_query_finds(d: Driver) -> None:
    run = await _worked(d)
    await d.terminate()
    await d.until_listed(f"{ALL} AND ExecutionStatus = 'Terminated'", 1)
    await _run(d, visibility_query=ALL, reset_operation={"options": {"last_workflow_task": {}}})
    current = await d.quietly("DescribeWorkflowExecution", execution=d.workflow_id)
    d.touch(d.workflow_id, current.workflow_execution_info.execution.run_id)
    await _looks(d, run)


async def resets_what_has_no_task(d: Driver) -> None:
    await _own_namespace(d)
    reply = await d.start(workflow_start_delay=60)
    run = (d.workflow_id, reply.run_id)
    await _run(d, executions=_list(run), reset_operation={"options": {"first_workflow_task": {}}})


async def resets_the_current_run(d: Driver) -> None:
    await _worked(d)
    await _run(d, executions=_list((d.workflow_id, "")), reset_operation={"reset_type": "FIRST_WORKFLOW_TASK"})
    await d.describe()


# ---- options and activities --------------------------------------------------------------------------------------


async def changes_options(d: Driver) -> None:
    await _own_namespace(d)
    runs = await _starts(d, "a", "b")
    change = {
        "workflow_execution_options": {"priority": {"priority_key": 2}, "versioning_override": {"auto_upgrade": True}},
        "update_mask": {"paths": ["priority", "versioning_override"]},
        "identity": "batcher",
    }
    await _run(d, visibility_query=ALL, update_workflow_options_operation=change)
    await _looks(d, *runs)


async def changes_options_in_vain(d: Driver) -> None:
    await _own_namespace(d)
    (run,) = await _starts(d, "a")
    pinned = {"pinned": {"behavior": "PINNED", "version": {"deployment_name": "d", "build_id": "b"}}}
    change = {
        "workflow_execution_options": {"versioning_override": pinned},
        "update_mask": {"paths": ["versioning_override"]},
    }
    await _run(d, executions=_list(run), update_workflow_options_operation=change)
    change["update_mask"] = {"paths": ["nonsense"]}
    await _run(d, "second", executions=_list(run), update_workflow_options_operation=change)


async def _paused(d: Driver, activity_ids: str) -> None:
    await _own_namespace(d)
    await d.start()
    elsewhere = activity("b", activity_type="yonder", task_queue=d.name("elsewhere"), retry_policy=QUICK)
    await d.step(activity("a", retry_policy=QUICK), elsewhere)
    if "a" in activity_ids:
        await d.fail_activity(await d.poll_activity())
    for activity_id in activity_ids:
        await d.call("PauseActivity", execution=d.workflow_id, id=activity_id, identity="operator")
    await d.until_listed(f"{ALL} AND TemporalPauseInfo IS NOT NULL", 1)


def _activities(name: str, operation: dict[str, Any], paused: str = "b") -> Callable[[Driver], Awaitable[None]]:
    async def scenario(d: Driver) -> None:
        await _paused(d, paused)
        await _run(d, visibility_query=ALL, **{f"{name}_operation": operation})
        await d.describe()
        await d.terminate()

    return scenario


# ---- jobs --------------------------------------------------------------------------------------------------------


async def is_over_and_listed(d: Driver) -> None:
    await _own_namespace(d)
    (run,) = await _starts(d, "a")
    await _run(d, "first", executions=_list(run), signal_operation=SIGNAL)
    await _run(d, "second", executions=_list(run), cancellation_operation={"identity": "me"})
    await _run(d, "third", executions=_list(run), termination_operation={"identity": "me"})

    async def listed() -> bool:
        reply = await d.quietly("ListBatchOperations")
        return len(reply.operation_info) == 3 and all(each.state == COMPLETED for each in reply.operation_info)

    await d.until(listed)
    await d.call("ListBatchOperations")
    page = await d.call("ListBatchOperations", page_size=2)
    await d.call("ListBatchOperations", page_size=2, next_page_token=page.next_page_token)
    await d.call("StopBatchOperation", job_id=d.name("third"), reason="enough")
    await _begin(d, "third", executions=_list(run), signal_operation=SIGNAL)


async def is_stopped(d: Driver) -> None:
    """Fifty are done at once, the next come one by one."""
    await _own_namespace(d)
    nobody = [(d.name(f"n{number}"), "") for number in range(400)]
    await _begin(d, executions=_list(*nobody), signal_operation=SIGNAL)

    async def listed() -> bool:
        reply = await d.quietly("ListBatchOperations")
        return len(reply.operation_info) == 1

    await d.until(listed)
    await d.call("ListBatchOperations")
    await _begin(d, executions=_list(*nobody), signal_operation=SIGNAL)
    await _begin(d, "second", executions=_list(*nobody), signal_operation=SIGNAL)
    await d.call("StopBatchOperation", job_id=d.name("job"), reason="enough", identity="me")
    reply = await d.quietly("DescribeBatchOperation", job_id=d.name("job"))
    assert len(reply.executions) == 400
    await d.call("StopBatchOperation", job_id=d.name("job"), reason="enough", identity="me")

    async def over() -> bool:
        reply = await d.quietly("ListBatchOperations")
        return reply.operation_info[0].state == FAILED

    await d.until(over)
    await d.call("ListBatchOperations")


async def of_a_query_that_means_nothing(d: Driver) -> None:
    await _own_namespace(d)
    for number, query in enumerate(("Nonsense = 'x'", "WorkflowId = 'x' ORDER BY StartTime", "StartTime = 'x'")):
        await _run(d, f"job{number}", visibility_query=query, signal_operation=SIGNAL)


async def of_a_workflow_that_ended(d: Driver) -> None:
    await _own_namespace(d)
    first = await d.start()
    await d.step(succeed())
    await d.start()
    await d.step(fail_workflow())
    await _run(d, executions=_list((d.workflow_id, first.run_id), (d.workflow_id, "")), signal_operation=SIGNAL)


# ---- refusals ----------------------------------------------------------------------------------------------------


async def start_is_refused(d: Driver) -> None:
    await _own_namespace(d)
    query, signal = {"visibility_query": "WorkflowId = 'x'"}, {"signal_operation": SIGNAL}
    await _begin(d)
    await _begin(d, **query)
    await _begin(d, **signal)
    await _begin(d, reason="", **query, **signal)
    await _begin(d, namespace="", **query, **signal)
    await _begin(d, namespace="nowhere", **query, **signal)
    await d.call("StartBatchOperation", reason="because", **query, **signal)
    await d.call("StartBatchOperation", reason="because", job_id="x" * 1001, **query, **signal)
    await _begin(d, executions=_list(("x", "")), **query, **signal)
    await _begin(d, target_executions=_targets(("x", "")), **query, **signal)
    await _begin(d, target_executions=[{"business_id": "x"}], **signal)
    await _begin(d, target_executions=[*_targets(("x", "")), {"type": "ACTIVITY", "business_id": "x"}], **signal)
    await _begin(d, target_executions=[{"type": 77, "business_id": "x"}], **signal)
    for text in ("()", "a =", "foo bar", "GROUP BY ExecutionStatus"):
        await _begin(d, visibility_query=text, **signal)
    await d.call("ListBatchOperations")


async def operation_is_refused(d: Driver) -> None:
    await _own_namespace(d)
    options = {"priority": {"priority_key": 2}}
    for name, operation in (
        ("signal", {}),
        ("terminate_activities", {}),
        ("cancel_activities", {}),
        ("delete_activities", {}),
        ("update_workflow_options", {}),
        ("update_workflow_options", {"workflow_execution_options": options}),
        ("reset", {}),
        ("reset", {"reset_type": 77}),
        ("reset", {"options": {}}),
        ("unpause_activities", {}),
        ("unpause_activities", {"type": ""}),
        ("unpause_activities", {"match_all": False}),
        ("reset_activities", {}),
        ("reset_activities", {"type": ""}),
        ("reset_activities", {"match_all": False}),
        ("update_activity_options", {}),
        ("update_activity_options", {"match_all": True}),
        ("update_activity_options", {"activity_options": {}, "restore_original": True}),
        ("update_activity_options", {"type": "", "restore_original": True}),
        ("update_activity_options", {"match_all": False, "restore_original": True}),
    ):
        await _begin(d, visibility_query="WorkflowId = 'x'", **{f"{name}_operation": operation})


async def others_are_refused(d: Driver) -> None:
    for method, fields in (
        ("DescribeBatchOperation", {}),
        ("DescribeBatchOperation", {"job_id": "nobody"}),
        ("DescribeBatchOperation", {"job_id": "nobody", "namespace": ""}),
        ("DescribeBatchOperation", {"job_id": "nobody", "namespace": "nowhere"}),
        ("StopBatchOperation", {"reason": "because"}),
        ("StopBatchOperation", {"job_id": "nobody"}),
        ("StopBatchOperation", {"job_id": "nobody", "reason": "because"}),
        ("StopBatchOperation", {"job_id": "nobody", "reason": "because", "namespace": ""}),
        ("StopBatchOperation", {"job_id": "nobody", "reason": "because", "namespace": "nowhere"}),
        ("ListBatchOperations", {"namespace": ""}),
        ("ListBatchOperations", {"namespace": "nowhere"}),
    ):
        await d.call(method, **fields)


TABLE: dict[str, Callable[[Driver], Awaitable[None]]] = {
    **_by_all_ways("signal", SIGNAL),
    **_by_all_ways("cancellation", {"identity": "batcher"}),
    **_by_all_ways("termination", {"identity": "batcher", "details": ["why"]}),
    **_by_all_ways("deletion", {"identity": "batcher"}),
    **_by_all_ways("reset", {"identity": "batcher", "options": {"first_workflow_task": {}}}),
    "resets_to_the_first_task": _reset({"options": {"first_workflow_task": {}}}),
    "resets_to_the_last_task": _reset({"options": {"last_workflow_task": {}}, "identity": "batcher"}),
    "resets_to_an_event": _reset({"options": {"workflow_task_id": 4}}),
    "resets_to_a_wrong_event": _reset({"options": {"workflow_task_id": 99}}),
    "resets_to_no_build": _reset({"options": {"build_id": "nobody"}}),
    "resets_by_type_first": _reset({"reset_type": "FIRST_WORKFLOW_TASK"}),
    "resets_by_type_last": _reset({"reset_type": "LAST_WORKFLOW_TASK", "reset_reapply_type": "NONE"}),
    "resets_without_signals": _reset(
        {"options": {"first_workflow_task": {}, "reset_reapply_exclude_types": ["SIGNAL"]}}
    ),
    "resets_and_signals": _reset(
        {
            "options": {"first_workflow_task": {}},
            "post_reset_operations": [{"signal_workflow": {"signal_name": "hello"}}],
        }
    ),
    "unpauses_all_activities": _activities("unpause_activities", {"match_all": True, "reset_attempts": True}, "ab"),
    "unpauses_a_type": _activities("unpause_activities", {"type": "yonder"}, "ab"),
    "unpauses_another_type": _activities("unpause_activities", {"type": "nobody's"}),
    "resets_all_activities": _activities("reset_activities", {"match_all": True, "keep_paused": True}),
    "resets_a_type": _activities("reset_activities", {"type": "yonder"}),
    "changes_all_activities": _activities(
        "update_activity_options",
        {
            "match_all": True,
            "activity_options": {"heartbeat_timeout": 7},
            "update_mask": {"paths": ["heartbeat_timeout"]},
        },
    ),
    "changes_a_type": _activities(
        "update_activity_options",
        {
            "type": "yonder",
            "activity_options": {"start_to_close_timeout": 7},
            "update_mask": {"paths": ["start_to_close_timeout"]},
        },
    ),
    "changes_activities_in_vain": _activities(
        "update_activity_options",
        {"type": "yonder", "activity_options": {}, "update_mask": {"paths": ["nonsense"]}},
    ),
    "restores_activities": _activities(
        "update_activity_options", {"match_all": True, "restore_original": True, "update_mask": {}}
    ),
}

"""Cron and retry policies of workflows: every way to live with every way to end, and what happens in the waits between.

The scenarios of `TABLE` are made: `LIFE_ENDING` starts a workflow with the policies of LIFE, ends its first run as
ENDING says, and goes on as long as a worker has something to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import cancel_workflow, continue_as_new, fail_workflow, failure, payload, succeed, timer
from tests.conformance.messages import command as any_command
from tests.conformance.updates import send

Scenario = Callable[[Driver], Awaitable[None]]

QUICK = {"initial_interval": 0.1, "backoff_coefficient": 1, "non_retryable_error_types": ["Final"]}
EVERY = {"cron_schedule": "@every 1s"}
NEVER = {"cron_schedule": "@every 5h"}
CARRIED: dict[str, Any] = {
    "input": "in",
    "memo": {"m": 1},
    "search_attributes": {"ConfInt": 1},
    "header": {"h": 1},
    "priority": {"priority_key": 2},
    "user_metadata": {"summary": payload("s")},
    "links": [{"batch_job": {"job_id": "job"}}],
    "workflow_task_timeout": 7,
}
LIVES: dict[str, dict[str, Any]] = {
    "once": CARRIED,
    "retried": {**CARRIED, "retry_policy": {**QUICK, "maximum_attempts": 3}},
    "cron": {**CARRIED, **EVERY},
    "cron_retried": {**CARRIED, **EVERY, "retry_policy": {**QUICK, "maximum_attempts": 2}},
    "bounded": {
        **EVERY,
        "retry_policy": {**QUICK, "maximum_attempts": 2},
        "workflow_execution_timeout": 300,
        "workflow_run_timeout": 200,
    },
}


def _fails(**fields: Any) -> Any:
    return any_command("FAIL_WORKFLOW_EXECUTION", failure=failure(**fields))


_NESTED = failure("inner", fatal=True)
_ENDINGS: dict[str, Any] = {
    "succeeds": succeed("one"),
    "succeeds_without_result": succeed(),
    "fails": fail_workflow(),
    "fails_for_good": fail_workflow(fatal=True),
    "fails_with_a_listed_type": fail_workflow(type_name="Final"),
    "fails_with_a_delay": fail_workflow(next_retry_delay=0.5),
    "fails_with_no_delay": fail_workflow(next_retry_delay=0),
    "fails_by_a_timeout": _fails(timeout_failure_info={"timeout_type": "START_TO_CLOSE"}),
    "fails_by_another_timeout": _fails(timeout_failure_info={"timeout_type": "SCHEDULE_TO_CLOSE"}),
    "fails_by_a_cancel": _fails(canceled_failure_info={}),
    "fails_by_a_termination": _fails(terminated_failure_info={}),
    "fails_by_the_server": _fails(server_failure_info={"non_retryable": False}),
    "fails_by_the_server_for_good": _fails(server_failure_info={"non_retryable": True}),
    "fails_by_an_activity": _fails(activity_failure_info={"activity_id": "a"}, cause=_NESTED),
    "fails_by_a_child": _fails(child_workflow_execution_failure_info={"workflow_type": "t"}, cause=_NESTED),
    "is_canceled": cancel_workflow("bye"),
    "continues": continue_as_new(input="next"),
    "continues_with_its_policies": continue_as_new(
        input="next", cron_schedule="@every 1s", retry_policy={**QUICK, "maximum_attempts": 3}
    ),
    "continues_as_a_retry": continue_as_new(
        initiator="RETRY",
        failure=failure("earlier"),
        retry_policy={**QUICK, "maximum_attempts": 3},
        backoff_start_interval=1.5,
    ),
    "continues_as_cron": continue_as_new(
        initiator="CRON_SCHEDULE", last_completion_result="result", cron_schedule="@every 1s", backoff_start_interval=1
    ),
}


def _ends(life: str, ending: str) -> Scenario:
    async def ends(d: Driver) -> None:
        await d.start(**LIVES[life])
        if ending == "is_canceled":
            await d.cancel()
        await d.step(_ENDINGS[ending])
        await d.describe()
        if await _is_over(d):
            return
        await d.step(fail_workflow(message="second"))
        if not await _is_over(d):
            await d.step(succeed("third"))
        await d.describe()

    return ends


async def _is_over(d: Driver) -> bool:
    reply = await d.quietly("DescribeWorkflowExecution", execution=d.workflow_id)
    return bool(reply.workflow_execution_info.status != 1)


def _terminated(life: str) -> Scenario:
    async def terminated(d: Driver) -> None:
        await d.start(**LIVES[life])
        await d.terminate(reason="enough")

    return terminated


def _times_out(life: str) -> Scenario:
    async def times_out(d: Driver) -> None:
        await d.start(**{**LIVES[life], "workflow_run_timeout": 2})
        await d.step(timer())
        if life == "once":
            await d.until_closed()
            return
        await d.step(succeed("after"))
        await d.describe()

    return times_out


def _execution_times_out(life: str) -> Scenario:
    async def execution_times_out(d: Driver) -> None:
        await d.start(**{**LIVES[life], "workflow_execution_timeout": 3, "workflow_run_timeout": 3})
        await d.step(fail_workflow(next_retry_delay=0.1))
        if life != "once":
            await d.poll_wft()
        await d.until_closed()

    return execution_times_out


# ---- what happens in a wait ------------------------------------------------------------------------------------

LATER = {"initial_interval": 3600}


async def _delayed(d: Driver) -> None:
    await d.start(workflow_start_delay=3600)


async def _cron_waits(d: Driver) -> None:
    await d.start(**NEVER)


async def _cron_waits_again(d: Driver) -> None:
    await d.start(**NEVER)
    await d.cancel()
    await d.step(succeed("one"))


async def _retry_waits(d: Driver) -> None:
    await d.start(retry_policy=LATER)
    await d.step(fail_workflow())


async def _continued_waits(d: Driver) -> None:
    await d.start()
    await d.step(continue_as_new(backoff_start_interval=3600))


WAITS = {
    "delayed": _delayed,
    "cron_waits": _cron_waits,
    "cron_waits_again": _cron_waits_again,
    "retry_waits": _retry_waits,
    "continued_waits": _continued_waits,
}


async def _is_cancelled(d: Driver) -> None:
    await d.cancel(reason="enough")
    await d.cancel()
    await d.describe()
    await d.step(cancel_workflow())


async def _is_cancelled_and_fails(d: Driver) -> None:
    await d.cancel()
    await d.step(fail_workflow())
    await d.describe()


async def _is_cancelled_and_completes(d: Driver) -> None:
    await d.cancel()
    await d.step(succeed("one"))
    await d.describe()


async def _is_signalled(d: Driver) -> None:
    await d.signal()
    await d.signal("again", input=1, header={"h": 1})
    await d.describe()
    await d.poll_wft_in_vain()


async def _is_signalled_and_cancelled(d: Driver) -> None:
    await d.signal()
    await d.cancel()
    await d.signal("again")
    await d.step(succeed())


async def _is_terminated(d: Driver) -> None:
    await d.signal()
    await d.terminate(reason="enough", details="why")
    await d.describe()


async def _is_started_again(d: Driver) -> None:
    await d.start()
    await d.start(workflow_id_reuse_policy="REJECT_DUPLICATE")
    await d.start(workflow_id_reuse_policy="ALLOW_DUPLICATE_FAILED_ONLY")
    await d.start(workflow_id_conflict_policy="USE_EXISTING")
    attached = {"attach_request_id": True, "attach_links": True}
    await d.start(workflow_id_conflict_policy="USE_EXISTING", on_conflict_options=attached)
    await d.describe()


async def _is_taken_over(d: Driver) -> None:
    await d.signal()
    await d.start(workflow_id_conflict_policy="TERMINATE_EXISTING", input="mine")
    await d.step(succeed("mine"))


async def _is_signalled_with_start(d: Driver) -> None:
    await d.signal_with_start()
    await d.signal_with_start(workflow_id_conflict_policy="USE_EXISTING", signal_input=1)
    await d.describe()


async def _is_taken_over_with_a_signal(d: Driver) -> None:
    await d.signal_with_start(workflow_id_conflict_policy="TERMINATE_EXISTING")
    await d.step(succeed())


async def _is_queried(d: Driver) -> None:
    await d.query()


async def _is_updated(d: Driver) -> None:
    update = send(d, timeout_s=1.5)
    await d.poll_wft_in_vain()
    await update
    await d.describe()


async def _is_reset(d: Driver) -> None:
    await d.reset()
    await d.reset(1)


async def _options_change(d: Driver) -> None:
    fields = {"workflow_execution": d.workflow_id, "update_mask": {"paths": ["priority"]}}
    options = {"priority": {"priority_key": 4}}
    await d.call("UpdateWorkflowExecutionOptions", workflow_execution_options=options, **fields)
    await d.describe()


ACTS = {
    "is_cancelled": _is_cancelled,
    "is_cancelled_and_fails": _is_cancelled_and_fails,
    "is_cancelled_and_completes": _is_cancelled_and_completes,
    "is_signalled": _is_signalled,
    "is_signalled_and_cancelled": _is_signalled_and_cancelled,
    "is_terminated": _is_terminated,
    "is_started_again": _is_started_again,
    "is_taken_over": _is_taken_over,
    "is_signalled_with_start": _is_signalled_with_start,
    "is_taken_over_with_a_signal": _is_taken_over_with_a_signal,
    "is_queried": _is_queried,
    "is_updated": _is_updated,
    "is_reset": _is_reset,
    "options_change": _options_change,
}


def _waits(wait: str, act: str) -> Scenario:
    async def waits(d: Driver) -> None:
        await WAITS[wait](d)
        await ACTS[act](d)

    return waits


TABLE: dict[str, Scenario] = {}
TABLE |= {f"{life}_{ending}": _ends(life, ending) for life in LIVES for ending in _ENDINGS if life != "bounded"}
TABLE |= {f"bounded_{ending}": _ends("bounded", ending) for ending in _ENDINGS if ending.startswith(("succ", "cont"))}
TABLE |= {f"{life}_is_terminated": _terminated(life) for life in LIVES}
TABLE |= {f"{life}_times_out": _times_out(life) for life in LIVES}
TABLE |= {f"{life}_execution_times_out": _execution_times_out(life) for life in LIVES}
TABLE |= {f"{wait}_and_{act}": _waits(wait, act) for wait in WAITS for act in ACTS}

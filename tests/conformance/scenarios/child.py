"""Child workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import (
    cancel_external,
    cancel_workflow,
    child,
    continue_as_new,
    fail_workflow,
    payload,
    signal_external,
    succeed,
    timer,
)


def _kid(d: Driver, **fields: Any) -> Any:
    return child(d.name("kid"), **{"task_queue": d.name("kids"), **fields})


async def _born(d: Driver, **fields: Any) -> Any:
    """Starts a parent with one child; returns the child's first task, with no task of the parent open."""
    await d.start()
    await d.step(_kid(d, **fields))
    kid = await d.poll_wft(d.name("kids"))
    await d.step()
    return kid


async def completes(d: Driver) -> None:
    kid = await _born(d, input=["in"], header={"h": 1}, memo={"m": 1}, search_attributes={"ConfKeyword": "kid"})
    await d.describe()
    await d.complete(kid, succeed("grown"))
    await d.step(succeed())


async def fails(d: Driver) -> None:
    kid = await _born(d)
    await d.complete(kid, fail_workflow(message="lost"))
    await d.step(succeed())


async def is_cancelled_by_its_parent(d: Driver) -> None:
    kid = await _born(d)
    await d.complete(kid)
    await d.signal()
    await d.step(cancel_external(d.name("kid"), child_workflow_only=True, reason="no more"))
    kid = await d.poll_wft(d.name("kids"))
    await d.step()
    await d.complete(kid, cancel_workflow("gone"))
    await d.step(succeed())


async def is_terminated(d: Driver) -> None:
    await _born(d)
    await d.terminate(d.name("kid"), reason="enough")
    await d.step(succeed())


async def times_out(d: Driver) -> None:
    await _born(d, workflow_run_timeout=1)
    await d.step(succeed())


async def times_out_and_is_retried(d: Driver) -> None:
    policy = {"initial_interval": 0.1, "maximum_attempts": 2}
    await _born(d, workflow_run_timeout=1, retry_policy=policy)
    await d.step(succeed())


async def is_retried(d: Driver) -> None:
    kid = await _born(d, retry_policy={"initial_interval": 0.1, "backoff_coefficient": 1, "maximum_attempts": 2})
    await d.complete(kid, fail_workflow(message="first"))
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, fail_workflow(message="second"))
    await d.step(succeed())


async def continues_as_new(d: Driver) -> None:
    kid = await _born(d)
    await d.complete(kid, continue_as_new(input="next"))
    kid = await d.poll_wft(d.name("kids"))
    await d.describe()
    await d.complete(kid, succeed("grown"))
    await d.step(succeed())


async def runs_on_its_parents_task_queue_by_default(d: Driver) -> None:
    await d.start()
    await d.step(child(d.name("kid")))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")


async def with_everything(d: Driver) -> None:
    await d.start(workflow_execution_timeout=500, workflow_run_timeout=400, priority={"priority_key": 2})
    command = _kid(
        d,
        namespace="default",
        input=["a", 2],
        workflow_execution_timeout=300,
        workflow_run_timeout=200,
        workflow_task_timeout=7,
        parent_close_policy="ABANDON",
        control="control",
        workflow_id_reuse_policy="REJECT_DUPLICATE",
        retry_policy={"maximum_attempts": 3},
        cron_schedule="@every 10m",
        header={"h": 1},
        memo={"note": "kid"},
        search_attributes={"ConfInt": 3},
        priority={"priority_key": 4},
    )
    command.user_metadata.summary.CopyFrom(payload("summary"))
    await d.step(command)
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.describe()


async def inherits_priority_and_root(d: Driver) -> None:
    await d.start(priority={"priority_key": 2, "fairness_key": "team"})
    await d.step(_kid(d))
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, child(d.name("grandkid"), task_queue=d.name("grandkids")))
    await d.poll_wft(d.name("grandkids"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED", d.name("kid"))
    await d.describe(d.name("grandkid"))


async def whose_id_is_taken(d: Driver) -> None:
    await d.start(d.name("kid"), task_queue=d.name("kids"))
    await d.start()
    await d.step(_kid(d))
    await d.step(succeed())


async def whose_parent_closes_at_once(d: Driver) -> None:
    await d.start()
    await d.step(_kid(d), succeed())
    await asyncio.sleep(0.5)
    await d.describe(d.name("kid"))


async def abandoned_whose_parent_closes_at_once(d: Driver) -> None:
    await d.start()
    await d.step(_kid(d, parent_close_policy="ABANDON"), succeed())
    await d.poll_wft_in_vain(d.name("kids"))


async def same_id_again_after_it_closed(d: Driver) -> None:
    kid = await _born(d)
    await d.complete(kid, succeed())
    await asyncio.sleep(1)
    await d.step(_kid(d))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED", count=2)


async def is_signalled_by_its_parent(d: Driver) -> None:
    kid = await _born(d)
    await d.complete(kid)
    await d.signal()
    await d.step(signal_external(d.name("kid"), "hello", child_workflow_only=True, input="x", header={"h": 1}))
    await d.poll_wft(d.name("kids"))
    await d.until_event("EXTERNAL_WORKFLOW_EXECUTION_SIGNALED")


async def outlives_its_parent_and_completes(d: Driver) -> None:
    kid = await _born(d, parent_close_policy="ABANDON")
    await d.terminate()
    await d.complete(kid, succeed())
    await asyncio.sleep(0.3)


async def parent_continues_as_new(d: Driver) -> None:
    kid = await _born(d, parent_close_policy="ABANDON")
    await d.signal()
    await asyncio.sleep(1)
    await d.step(continue_as_new())
    await d.complete(kid, succeed())
    await d.step(succeed())


async def gets_the_result_while_its_parent_has_a_task(d: Driver) -> None:
    kid = await _born(d)
    await d.signal()
    task = await d.poll_wft()
    await d.complete(kid, succeed("grown"))
    await asyncio.sleep(0.3)
    await d.complete(task, timer())
    await d.step(succeed())


async def delayed_by_cron(d: Driver) -> None:
    await d.start()
    await d.step(_kid(d, cron_schedule="@every 1s"))
    kid = await d.poll_wft(d.name("kids"))
    await d.complete(kid, succeed(1))
    kid = await d.poll_wft(d.name("kids"))
    await d.describe()
    await d.terminate(d.name("kid"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_TERMINATED")


def _parent_closes(policy: str, close: str) -> Callable[[Driver], Awaitable[None]]:
    async def parent_closes(d: Driver) -> None:
        kid = await _born(d, parent_close_policy=policy)
        await d.complete(kid)
        if close == "terminate":
            await d.terminate()
        else:
            await d.signal()
            await asyncio.sleep(1 if close == "continue_as_new" else 0)
            commands = {"complete": succeed(), "fail": fail_workflow(), "continue_as_new": continue_as_new()}
            await d.step(commands[close])
        event = {"TERMINATE": "TERMINATED", "REQUEST_CANCEL": "CANCEL_REQUESTED"}.get(policy)
        if event:
            await d.until_event(f"WORKFLOW_EXECUTION_{event}", d.name("kid"))
        else:
            await asyncio.sleep(0.5)
        await d.describe(d.name("kid"))

    return parent_closes


def _reuse(policy: str, close: str) -> Callable[[Driver], Awaitable[None]]:
    async def start_again(d: Driver) -> None:
        await d.start(d.name("kid"), task_queue=d.name("kids"))
        task = await d.poll_wft(d.name("kids"))
        if close != "running":
            await d.complete(task, succeed() if close == "completed" else fail_workflow())
        await asyncio.sleep(1)
        await d.start()
        await d.step(_kid(d, workflow_id_reuse_policy=policy, parent_close_policy="ABANDON"))
        await d.step(succeed())

    return start_again


TABLE = {
    f"{policy.lower()}_when_its_parent_does_{close}": _parent_closes(policy, close)
    for policy in ("UNSPECIFIED", "TERMINATE", "ABANDON", "REQUEST_CANCEL")
    for close in ("complete", "fail", "continue_as_new", "terminate")
    if policy != "UNSPECIFIED" or close == "complete"
}
TABLE |= {
    f"reuse_{policy.lower()}_after_{close}": _reuse(policy, close)
    for policy in ("ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE", "TERMINATE_IF_RUNNING")
    for close in ("running", "completed", "failed")
}


async def versioning_override(d: Driver) -> None:
    kid = await _born(d, versioning_override={"auto_upgrade": True})
    await d.complete(kid, succeed())
    await d.step(_kid(d, versioning_override={"behavior": "AUTO_UPGRADE"}))
    kid = await d.poll_wft(d.name("kids"))
    await d.step()
    await d.complete(kid, continue_as_new(task_queue=d.name("kids")))
    await d.describe(d.name("kid"))


async def pinned_to_a_version_that_is_not_there(d: Driver) -> None:
    version = {"deployment_name": "deployment", "build_id": "b"}
    await d.start()
    for override in (
        {"pinned": {"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED", "version": version}},
        {"one_time": {"target_deployment_version": version}},
        {"behavior": "PINNED", "pinned_version": "deployment.b"},
    ):
        await d.step(_kid(d, versioning_override=override))
        await d.until_event("START_CHILD_WORKFLOW_EXECUTION_FAILED")
    await d.step(succeed())

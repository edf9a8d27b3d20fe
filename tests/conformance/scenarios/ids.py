"""Workflow ids: each reuse and conflict policy in each state of the run before, and request ids."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.conformance.driver import Driver
from tests.conformance.messages import cancel_workflow, continue_as_new, fail_workflow, succeed

# A start within a second of the one before is held off when it takes the id over.
GRACE_S = 1.05
REUSE = ["ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE", "TERMINATE_IF_RUNNING"]
CONFLICT = ["FAIL", "USE_EXISTING", "TERMINATE_EXISTING"]


async def _running(d: Driver) -> None:
    await d.start()


async def _completed(d: Driver) -> None:
    await d.start()
    await d.step(succeed())


async def _failed(d: Driver) -> None:
    await d.start()
    await d.step(fail_workflow())


async def _canceled(d: Driver) -> None:
    await d.start()
    await d.cancel()
    await d.step(cancel_workflow())


async def _terminated(d: Driver) -> None:
    await d.start()
    await d.terminate()


async def _timed_out(d: Driver) -> None:
    await d.start(workflow_run_timeout=1)
    await d.until_closed()


async def _continued_as_new(d: Driver) -> None:
    await d.start()
    await d.step(continue_as_new())


STATES = {
    "running": _running,
    "completed": _completed,
    "failed": _failed,
    "canceled": _canceled,
    "terminated": _terminated,
    "timed_out": _timed_out,
    "continued_as_new": _continued_as_new,
}
Again = Callable[[Driver], Awaitable[object]]


def _start(**fields: str) -> Again:
    return lambda d: d.start(**fields)


def _signal(**fields: str) -> Again:
    return lambda d: d.signal_with_start(**fields)


def _scenario(state: str, again: Again) -> Callable[[Driver], Awaitable[None]]:
    async def start_again(d: Driver) -> None:
        await STATES[state](d)
        await asyncio.sleep(GRACE_S)
        await again(d)
        await d.describe()

    return start_again


def _table() -> dict[str, Callable[[Driver], Awaitable[None]]]:
    table = {}
    for state in STATES:
        for method, again in (("start", _start), ("signal_with_start", _signal)):
            for reuse in REUSE:
                name = f"{method}_after_{state}_reuse_{reuse.lower()}"
                table[name] = _scenario(state, again(workflow_id_reuse_policy=reuse))
            for conflict in CONFLICT:
                name = f"{method}_after_{state}_conflict_{conflict.lower()}"
                table[name] = _scenario(state, again(workflow_id_conflict_policy=conflict))
    for reuse in ("ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE"):
        for conflict in ("FAIL", "USE_EXISTING"):
            for state in ("running", "completed"):
                fields = {"workflow_id_reuse_policy": reuse, "workflow_id_conflict_policy": conflict}
                name = f"start_after_{state}_reuse_{reuse.lower()}_conflict_{conflict.lower()}"
                table[name] = _scenario(state, _start(**fields))
    return table


TABLE = _table()


async def start_too_soon_after_a_close(d: Driver) -> None:
    await d.start()
    await d.terminate()
    await d.start()


async def take_over_too_soon(d: Driver) -> None:
    await d.start()
    await d.start(workflow_id_conflict_policy="TERMINATE_EXISTING")
    await d.signal_with_start(workflow_id_conflict_policy="TERMINATE_EXISTING")


async def same_request_starts_once(d: Driver) -> None:
    await d.start(request_id="same")
    await d.start(request_id="same")
    await d.start(request_id="same", workflow_id_conflict_policy="TERMINATE_EXISTING")
    await d.step(succeed())
    await d.start(request_id="same")
    await d.start(request_id="same", workflow_id_reuse_policy="REJECT_DUPLICATE")


async def same_request_of_another_workflow(d: Driver) -> None:
    await d.start(request_id="same")
    await d.start(d.name("other"), request_id="same")


async def same_request_after_continue_as_new(d: Driver) -> None:
    await d.start(request_id="same")
    await d.step(continue_as_new())
    await d.start(request_id="same")


async def same_request_signals_with_start_once(d: Driver) -> None:
    await d.signal_with_start(request_id="same", signal_input=1)
    await d.signal_with_start(request_id="same", signal_input=2)
    await d.start(request_id="same")
    await d.history()


async def use_existing_attaches_what_it_is_told_to(d: Driver) -> None:
    options = {"attach_request_id": True, "attach_completion_callbacks": True, "attach_links": True}
    link = {"workflow_event": {"namespace": "default", "workflow_id": "caller", "run_id": "r"}}
    await d.start()
    fields = {"workflow_id_conflict_policy": "USE_EXISTING", "on_conflict_options": options, "links": [link]}
    await d.start(request_id="attached", **fields)
    await d.start(request_id="attached", **fields)
    await d.describe()
    await d.history()


async def use_existing_attaches_a_request_id_alone(d: Driver) -> None:
    options = {"attach_request_id": True}
    await d.start()
    await d.poll_wft()
    await d.start(request_id="other", workflow_id_conflict_policy="USE_EXISTING", on_conflict_options=options)
    await d.history()
    await d.describe()


async def conflict_with_a_delayed_start(d: Driver) -> None:
    await d.start(workflow_start_delay=60)
    await asyncio.sleep(GRACE_S)
    await d.start()
    await d.start(workflow_id_conflict_policy="USE_EXISTING")
    await d.start(workflow_id_conflict_policy="TERMINATE_EXISTING")


async def take_over_while_a_task_is_started(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.signal()
    await asyncio.sleep(GRACE_S)
    await d.start(workflow_id_conflict_policy="TERMINATE_EXISTING")
    await d.complete(task, succeed())


async def same_id_in_two_namespaces(d: Driver) -> None:
    await d.start()
    await d.start(namespace="conformance-other")

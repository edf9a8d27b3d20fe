"""What holds time is told by name: each kind of task, of volatile things, of settings."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from temporalio import workflow
from temporalio.worker import UnsandboxedWorkflowRunner
from tests.testing.test_skipped_features import Acts, Counter, Sleeper, act

from perdure.runtime.namespace_time import Mode
from perdure.testing import Env

PLAIN = UnsandboxedWorkflowRunner()
HOUR_S = 3600.0


@workflow.defn
class Stuck:
    """Its workflow task ends only when the test wants it."""

    gate: Any

    @workflow.run
    async def run(self) -> None:
        Stuck.gate.wait()


async def told(perdure: Env, text: str) -> None:
    """Wait until this is among what holds time."""
    for _ in range(500):
        why = await perdure._host.call(_why(perdure))
        if text in why:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{text!r} is not in:\n{why}")


async def _why(perdure: Env) -> str:
    return perdure._watch.why()


async def _set(perdure: Env, change: Callable[[Any], object]) -> None:
    async def run() -> None:
        change(perdure._host.time)

    await perdure._host.call(run())


@pytest.fixture
def gate() -> Any:
    Stuck.gate = threading.Event()
    yield Stuck.gate
    Stuck.gate.set()


@pytest.mark.perdure(replay=False)
async def test_a_workflow_task_that_a_worker_has(perdure: Env, gate: Any) -> None:
    async with perdure.worker(Stuck, workflow_runner=PLAIN, identity="slow"):
        handle = await perdure.start(Stuck.run, id="w")
        await told(perdure, "workflow task of workflow w is with worker slow")
        gate.set()
        await handle.result()


async def test_a_query_under_way(perdure: Env) -> None:
    handle = await perdure.start(Counter.run, id="w", task_queue="nobody")
    query = asyncio.create_task(handle.query(Counter.now_total))
    await told(perdure, "query now_total of workflow w")
    query.cancel()


async def test_an_activity_that_a_worker_has(perdure: Env) -> None:
    stuck = perdure.mock(act, blocks=True)
    async with perdure.worker(Acts, activities=[stuck], workflow_runner=PLAIN, identity="slow"):
        handle = await perdure.start(Acts.run, args=[{"start_to_close_timeout": HOUR_S}], id="w")
        await told(perdure, "activity act#1 of workflow w is with worker slow")
        stuck.release()
        await handle.result()


async def test_an_activity_that_waits_for_a_busy_worker(perdure: Env) -> None:
    stuck = perdure.mock(act, blocks=True)
    options = {"max_concurrent_activities": 1, "disable_eager_activity_execution": True}
    async with perdure.worker(Acts, activities=[stuck], workflow_runner=PLAIN, **options):
        handles = [
            await perdure.start(Acts.run, args=[{"start_to_close_timeout": HOUR_S}], id=f"w{number}")
            for number in range(2)
        ]
        await told(perdure, " waits for a worker that polls")
        stuck.release()
        for handle in handles:
            await handle.result()


async def test_tasks_that_nobody_polls_for(perdure: Env) -> None:
    await perdure.start(Sleeper.run, 1.0, id="w", task_queue="nobody")
    await told(perdure, "workflow task of workflow w: no worker polls queue nobody")
    async with perdure.worker(Acts, workflow_runner=PLAIN):
        await perdure.start(Acts.run, args=[{"start_to_close_timeout": HOUR_S}], id="a", task_queue="queue-1")
        await told(perdure, "activity act of workflow a: no worker polls queue queue-1")


async def test_an_update_that_is_not_accepted(perdure: Env) -> None:
    handle = await perdure.start(Counter.run, id="w", task_queue="nobody")
    update = asyncio.create_task(handle.execute_update(Counter.slowly, 1, id="u"))
    await told(perdure, "update u of workflow w is not accepted yet")
    await handle.terminate()
    with pytest.raises(Exception, match="aborted by closing workflow"):
        await update


SETTINGS: list[tuple[Callable[[Any, Any], object], str]] = [
    (lambda time, mine: time.lock(), "time skipping is locked"),
    (lambda time, mine: setattr(mine, "mode", Mode.MANUAL), "the clock of this namespace is moved by hand"),
    (lambda time, mine: setattr(mine, "mode", Mode.REAL), "the clock of this namespace is real"),
    (lambda time, mine: setattr(mine, "skips_left", 0), "its budget of skips is spent (0 were made)"),
    (lambda time, mine: None, "nobody waits for a workflow"),
    (lambda time, mine: None, "nothing is due, ever: no timer, retry or timeout is pending"),
]


@pytest.mark.parametrize(("change", "text"), SETTINGS, ids=[text for _, text in SETTINGS])
async def test_settings(perdure: Env, change: Callable[[Any, Any], object], text: str) -> None:
    await _set(perdure, lambda time: change(time, time.of(perdure._id)))
    try:
        await told(perdure, text)
    finally:
        if text.startswith("time skipping is locked"):
            await _set(perdure, lambda time: time.unlock())

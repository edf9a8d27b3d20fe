"""Tasks whose worker was gone before it got them: others may have them at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from perdure.engine import inputs
from perdure.engine.execution import Activity, WorkflowTask
from perdure.errors import NotFound, Unavailable
from perdure.rpc.transport import Call
from perdure.runtime.executor import Executor


async def release_workflow_task(executor: Executor, run_key: int, task: WorkflowTask) -> None:
    run = await executor.by_key(run_key)
    if run is not None:
        with contextlib.suppress(NotFound, Unavailable):
            executor.apply(run, inputs.ReleaseWorkflowTask(task.scheduled_event_id, task.started_ns))


async def release_activity(executor: Executor, run_key: int, activity: Activity) -> None:
    """The attempt has not begun."""
    run = await executor.by_key(run_key)
    if run is not None:
        with contextlib.suppress(NotFound, Unavailable):
            release = inputs.ReleaseActivity(activity.scheduled_event_id, activity.attempt, activity.request_id)
            executor.apply(run, release)


async def give(
    executor: Executor,
    call: Call,
    response: bytes,
    run_key: int,
    task: WorkflowTask | None,
    activities: Iterable[Activity] = (),
) -> None:
    """Answer with a response that has tasks in it; when nobody takes it any more, they are released."""
    if call.reply(response):
        return
    if task is not None:
        await release_workflow_task(executor, run_key, task)
    for each in activities:
        await release_activity(executor, run_key, each)

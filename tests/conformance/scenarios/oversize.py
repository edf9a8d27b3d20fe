"""Workflows that outgrow the limits of their history and state, at the default values.

What fills them is not recorded, nor is all of their history: its end tells.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, marker

MARKERS = 17_000
"""Three times as many, with what is around them, are 51,012 events; 51,200 are allowed."""
LARGE = "x" * 1_900_000
STATE_ITEMS = 5
"""Details of this many heartbeats are more than the 8 MiB that a state may have; one less are not."""


async def _fill(d: Driver) -> bytes:
    """A workflow of 51,012 events whose task is started; the token of that."""
    await d.quietly("StartWorkflowExecution", **d.start_fields())
    task = await d.quietly("PollWorkflowTaskQueue", task_queue=d.task_queue, identity="worker")
    for _ in range(3):
        reply = await _complete(d, task.task_token, MARKERS, force_create_new_workflow_task=True)
        task = reply.workflow_task
    return bytes(task.task_token)


async def _complete(d: Driver, token: bytes, markers: int, **fields: Any) -> Any:
    return await d.quietly(
        "RespondWorkflowTaskCompleted",
        task_token=token,
        commands=[marker("m")] * markers,
        identity="worker",
        return_new_workflow_task=True,
        **fields,
    )


async def _end(d: Driver) -> None:
    await d.history(history_event_filter_type="CLOSE_EVENT")
    await d.describe()


async def history_by_a_completion(d: Driver) -> None:
    token = await _fill(d)
    await d.complete(token, *[marker("m")] * 300)
    await _end(d)


async def history_by_a_signal(d: Driver) -> None:
    await _complete(d, await _fill(d), 185)
    for name in ("first", "last", "beyond", "late"):
        await d.signal(name)
    await _end(d)


async def history_by_the_start_of_a_task(d: Driver) -> None:
    await _complete(d, await _fill(d), 185)
    await d.signal("first")
    await d.signal("last")
    await d.poll_wft_in_vain()
    await _end(d)


async def state_by_a_heartbeat(d: Driver) -> None:
    await d.start()
    for n in range(STATE_ITEMS):
        await d.signal()
        await d.step(activity(f"a{n}"))
        await d.heartbeat(await d.poll_activity(), LARGE)
    await d.describe()

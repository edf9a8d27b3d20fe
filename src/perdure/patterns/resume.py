"""Undo what a saga has left behind whose workflow was terminated, or timed out: no code of such a run runs any more.

    handle = await resume(client, "trip-17")
    undone = await handle.result()

The worker needs the workflow: `Worker(client, workflows=[Trip, SagaResume], ...)`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import RawValue, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.converter import DataConverter

from perdure.patterns import options as presets
from perdure.patterns.compensation import SIGNAL, Compensation, Registry, undo_shielded
from perdure.patterns.keys import UNDO

_SUMMARY = re.compile(r"saga (\d+), undo by (.+)")
_MEMO = re.compile(r"perdure_saga_(\d+)")


@dataclass(frozen=True)
class Undone:
    """A step that is to be undone, as its history tells of it."""

    key: str
    undo: str
    """The name of the activity that undoes it."""
    task_queue: str
    args: list[str] = field(repr=False)
    """The step's arguments: payloads, serialized, in base64."""


@workflow.defn(name="perdure.saga.resume")
class SagaResume:
    """Undoes steps in the order given; stuck and going on as a saga is. Its result: the keys of what it has undone."""

    @workflow.run
    async def run(self, steps: list[Undone]) -> list[str]:
        ledger = Registry.current().open(None)
        for step in reversed(steps):
            args = [RawValue(Payload.FromString(base64.b64decode(each))) for each in step.args]
            options = presets.undo.but(task_queue=step.task_queue)
            ledger.groups.append([Compensation(step.key, step.undo, args, options)])
        cancelled = await undo_shielded(ledger, wait_when_stuck=True)
        if cancelled is not None:
            raise cancelled
        return [step.key for step in steps]


async def what_is_left(client: Client, workflow_id: str, run_id: str | None = None) -> list[Undone]:
    """The steps of a run's sagas that are not undone, newest first; empty if its sagas are over.

    Steps after the pivot, and what was registered with `Saga.on_undo`, are not among them.
    """
    history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    return await _left(history.events, client.data_converter)


async def resume(client: Client, workflow_id: str, run_id: str | None = None) -> WorkflowHandle[Any, list[str]]:
    """Start a `SagaResume` for what is left of a closed run, on its task queue; by default for the newest run.

    Called again it gives the same one, unless that failed. Raises `ValueError` while the run is open: it can still undo
    by itself.
    """
    about = await client.get_workflow_handle(workflow_id, run_id=run_id).describe()
    if about.status is WorkflowExecutionStatus.RUNNING:
        raise ValueError(f"{workflow_id} is running: cancel it, and it undoes its steps itself")
    steps = await what_is_left(client, workflow_id, about.run_id)
    return await client.start_workflow(
        SagaResume.run,
        steps,
        id=f"saga-resume/{about.run_id}",
        task_queue=about.task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )


async def _left(events: Sequence[HistoryEvent], converter: DataConverter) -> list[Undone]:
    over = set(_over(events))
    undone = set(_undone(events))
    for event in events:
        signaled = event.workflow_execution_signaled_event_attributes
        if signaled.signal_name == SIGNAL and signaled.input.payloads:
            undone.update(*await converter.decode(signaled.input.payloads, [list[str]]))
    steps = []
    for event in events:
        if not event.HasField("activity_task_scheduled_event_attributes"):
            continue
        scheduled = event.activity_task_scheduled_event_attributes
        told = _SUMMARY.fullmatch(await _summary(event, converter))
        if told is None or int(told[1]) in over or scheduled.activity_id in undone:
            continue
        payloads: Sequence[Payload] = list(scheduled.input.payloads)
        if converter.payload_codec is not None and payloads:
            payloads = await converter.payload_codec.decode(payloads)
        args = [base64.b64encode(each.SerializeToString()).decode() for each in payloads]
        steps.append(Undone(scheduled.activity_id, told[2], scheduled.task_queue.name, args))
    return steps[::-1]


async def _summary(event: HistoryEvent, converter: DataConverter) -> str:
    if not event.user_metadata.HasField("summary"):
        return ""
    [summary] = await converter.decode([event.user_metadata.summary])
    return str(summary)


def _over(events: Iterable[HistoryEvent]) -> Iterable[int]:
    """Numbers of sagas of which nothing is to be undone."""
    for event in events:
        for name in event.workflow_properties_modified_event_attributes.upserted_memo.fields:
            if found := _MEMO.fullmatch(name):
                yield int(found[1])


def _undone(events: Iterable[HistoryEvent]) -> Iterable[str]:
    """Keys of steps whose compensation has completed."""
    scheduled = {}
    for event in events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            scheduled[event.event_id] = event.activity_task_scheduled_event_attributes.activity_id
        elif event.HasField("activity_task_completed_event_attributes"):
            name = scheduled[event.activity_task_completed_event_attributes.scheduled_event_id]
            if name.endswith(UNDO):
                yield name.removesuffix(UNDO)

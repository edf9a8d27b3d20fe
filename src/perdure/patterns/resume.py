"""Undo what a saga has left behind whose workflow was terminated, or timed out: no code of such a run runs any more.

    handle = await resume(client, "trip-17")
    undone = await handle.result()

The worker needs the workflow: `Worker(client, workflows=[Trip, SagaResume], ...)`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.converter import DataConverter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from perdure.patterns.compensation import SIGNAL, Compensation, Registry, undo_shielded
from perdure.patterns.keys import UNDO
from perdure.patterns.listing import OPEN, PAUSED, described
from perdure.patterns.notes import Note, saga_of_memo, with_difference

_ID = "saga-resume/{}"
"""The workflow id of the resume of a run."""


@dataclass(frozen=True)
class Undone:
    """A step that is to be undone, as its history tells of it."""

    key: str
    undo: str
    """The name of the activity that undoes it."""
    task_queue: str
    """On which that is done: the workflow's, unless its options name another."""
    args: list[str] = field(repr=False)
    """The step's arguments: payloads, serialized, in base64."""
    options: dict[str, Any] = field(default_factory=dict)
    """In what the options for undoing it differ from the preset `undo`; times in seconds."""


@workflow.defn(name="perdure.saga.resume")
class SagaResume:
    """Undoes steps in the order given; stuck and going on as a saga is. Its result: the keys of what it has undone.

    Worker(client, task_queue="trips", workflows=[Trip, SagaResume], activities=[reserve, release])
    """

    @workflow.run
    async def run(self, steps: list[Undone]) -> list[str]:
        ledger = Registry.current().open(None)
        for step in reversed(steps):
            args = [RawValue(Payload.FromString(base64.b64decode(each))) for each in step.args]
            options = with_difference(step.options).but(task_queue=step.task_queue)
            ledger.groups.append([Compensation(step.key, step.undo, args, options)])
        cancelled = await undo_shielded(ledger, wait_when_stuck=True)
        if cancelled is not None:
            raise cancelled
        return [step.key for step in steps]


async def what_is_left(client: Client, workflow_id: str, run_id: str | None = None) -> list[Undone]:
    """The steps of a run's sagas that are not undone, newest first; empty if its sagas are over, or a `resume` is.

        for step in await what_is_left(client, "trip-17"):
            print(step.key, step.undo)

    Steps after the pivot, and what was registered with `Saga.on_undo`, are not among them.
    """
    about = await described(client, workflow_id, run_id)
    run_id = about.workflow_execution_info.execution.run_id
    history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    steps = await _left(history.events, client.data_converter)
    return await _left_by_resume(client, run_id, steps) if steps else []


async def resume(client: Client, workflow_id: str, run_id: str | None = None) -> WorkflowHandle[Any, list[str]]:
    """Start a `SagaResume` for what is left of a closed run, on its task queue; by default for the newest run.

        handle = await resume(client, "trip-17")
        print(await handle.result())  # the keys of what is undone now

    Called again it gives the same one, be it over or not; a new one for what is still left if that one failed, or was
    terminated itself. Raises `ValueError` while the run is open: it can still undo by itself.
    """
    about = await described(client, workflow_id, run_id)
    info = about.workflow_execution_info
    if info.status in OPEN:
        how = "paused: unpause and cancel it" if info.status == PAUSED else "running: cancel it"
        raise ValueError(f"{workflow_id} is {how}, and it undoes its steps itself")
    steps = await what_is_left(client, workflow_id, info.execution.run_id)
    resume_id = _ID.format(info.execution.run_id)
    try:
        return await client.start_workflow(
            SagaResume.run,
            steps,
            id=resume_id,
            task_queue=about.execution_config.task_queue.name,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
    except WorkflowAlreadyStartedError as over:
        return client.get_workflow_handle_for(SagaResume.run, resume_id, run_id=over.run_id)


async def _left(events: Sequence[HistoryEvent], converter: DataConverter) -> list[Undone]:
    over = set(_over(events))
    undone = await _undone(events, converter)
    queue = events[0].workflow_execution_started_event_attributes.task_queue.name
    steps = []
    for event in events:
        if not event.HasField("activity_task_scheduled_event_attributes"):
            continue
        scheduled = event.activity_task_scheduled_event_attributes
        note = Note.read(await _summary(event, converter))
        if note is None or note.saga in over or scheduled.activity_id in undone:
            continue
        payloads: Sequence[Payload] = list(scheduled.input.payloads)
        if converter.payload_codec is not None and payloads:
            payloads = await converter.payload_codec.decode(payloads)
        args = [base64.b64encode(each.SerializeToString()).decode() for each in payloads]
        at = note.options.get("task_queue") or queue
        steps.append(Undone(scheduled.activity_id, note.undo, at, args, note.options))
    return steps[::-1]


async def _left_by_resume(client: Client, run_id: str, steps: list[Undone]) -> list[Undone]:
    """Without those that the newest `SagaResume` has undone, or was not given: one before it has undone them."""
    try:
        events = (await client.get_workflow_handle(_ID.format(run_id)).fetch_history()).events
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return steps
    converter = client.data_converter
    started = events[0].workflow_execution_started_event_attributes
    [given] = await converter.decode(started.input.payloads, [list[Undone]])
    left = {step.key for step in given} - await _undone(events, converter)
    return [step for step in steps if step.key in left]


async def _summary(event: HistoryEvent, converter: DataConverter) -> str:
    if not event.user_metadata.HasField("summary"):
        return ""
    [summary] = await converter.decode([event.user_metadata.summary])
    return str(summary)


def _over(events: Iterable[HistoryEvent]) -> Iterable[int]:
    """Numbers of sagas of which nothing is to be undone."""
    for event in events:
        for name in event.workflow_properties_modified_event_attributes.upserted_memo.fields:
            if (saga := saga_of_memo(name)) is not None:
                yield saga


async def _undone(events: Iterable[HistoryEvent], converter: DataConverter) -> set[str]:
    """Keys of steps whose compensation has completed, or that a person has undone."""
    scheduled: dict[int, str] = {}
    undone = set()
    for event in events:
        signaled = event.workflow_execution_signaled_event_attributes
        if event.HasField("activity_task_scheduled_event_attributes"):
            scheduled[event.event_id] = event.activity_task_scheduled_event_attributes.activity_id
        elif event.HasField("activity_task_completed_event_attributes"):
            name = scheduled[event.activity_task_completed_event_attributes.scheduled_event_id]
            if name.endswith(UNDO):
                undone.add(name.removesuffix(UNDO))
        elif signaled.signal_name == SIGNAL and signaled.input.payloads:
            [keys] = await converter.decode(signaled.input.payloads, [list[str]])
            undone.update(keys or ())
    return undone

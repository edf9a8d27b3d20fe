"""Undo what a saga has left behind whose workflow was terminated, or timed out: no code of such a run runs any more.

    handle = await resume(client, "trip-17")
    undone = await handle.result()

The worker needs the workflow: `Worker(client, workflows=[Trip, SagaResume], ...)`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    DefaultPayloadConverter,
    WorkflowSerializationContext,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from perdure.patterns.compensation import SIGNAL, Compensation, Registry, undo_shielded
from perdure.patterns.keys import UNDO
from perdure.patterns.listing import OPEN, PAUSED, described
from perdure.patterns.notes import Note, saga_of_memo, with_difference

_ID = "saga-resume/{}"
"""The workflow id of the resume of a run."""
_ARGUMENTS = "perdure_saga_arguments_{}"
"""The signal with the arguments of a step, by its place in the list that the resume is given."""
_WITHIN_BYTES = 400 * 1024
"""Of arguments that are in that list itself. Servers warn of half a megabyte, and refuse two."""
_MOST_BYTES = 20 * 1024 * 1024
"""Of all arguments. They are in the history twice, which servers bound at 50 MB."""


@dataclass(frozen=True)
class Undone:
    """A step that is to be undone, as its history tells of it."""

    key: str
    undo: str
    """The name of the activity that undoes it."""
    task_queue: str
    """On which that is done: the workflow's, unless its options name another."""
    args: list[str] | None = field(repr=False)
    """The step's arguments: payloads, serialized, in base64. None: a signal brings them; workers of an older release
    can't read that, rather than undo without arguments."""
    options: dict[str, Any] = field(default_factory=dict)
    """In what the options for undoing it differ from the preset `undo`; times in seconds."""


@workflow.defn(name="perdure.saga.resume")
class SagaResume:
    """Undoes steps in the order given; stuck and going on as a saga is. Its result: the keys of what it has undone.

    Worker(client, task_queue="trips", workflows=[Trip, SagaResume], activities=[reserve, release])
    """

    def __init__(self) -> None:
        self._sent: dict[str, Sequence[RawValue]] = {}

    @workflow.run
    async def run(self, steps: list[Undone]) -> list[str]:
        ledger = Registry.current().open(None)
        if any(step.args is None for step in steps):
            await self._all_sent({_ARGUMENTS.format(place) for place, step in enumerate(steps) if step.args is None})
        for place, step in reversed(list(enumerate(steps))):
            args: Sequence[RawValue]
            if step.args is None:
                args = self._sent[_ARGUMENTS.format(place)]
            else:
                args = [RawValue(payload) for payload in _payloads(step)]
            options = with_difference(step.options).but(task_queue=step.task_queue)
            ledger.groups.append([Compensation(step.key, step.undo, args, options)])
        cancelled = await undo_shielded(ledger, wait_when_stuck=True)
        if cancelled is not None:
            raise cancelled
        return [step.key for step in steps]

    async def _all_sent(self, names: set[str]) -> None:
        workflow.set_current_details("arguments of steps are on their way; if they don't come, call `resume` again")
        workflow.set_dynamic_signal_handler(self._arguments)
        await workflow.wait_condition(lambda: names <= self._sent.keys())

    def _arguments(self, name: str, args: Sequence[RawValue]) -> None:
        self._sent.setdefault(name, args)


async def what_is_left(client: Client, workflow_id: str, run_id: str | None = None) -> list[Undone]:
    """The steps of a run's sagas that are not undone, newest first; empty if its sagas are over, or a `resume` is.

        for step in await what_is_left(client, "trip-17"):
            print(step.key, step.undo)

    Steps after the pivot, and what was registered with `Saga.on_undo`, are not among them. Of a run that was reset it
    tells by its own history alone.
    """
    about = await described(client, workflow_id, run_id)
    run_id = about.workflow_execution_info.execution.run_id
    history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    steps = await _left(history.events, client, workflow_id)
    return await _left_by_resume(client, run_id, steps) if steps else []


async def resume(client: Client, workflow_id: str, run_id: str | None = None) -> WorkflowHandle[Any, list[str]]:
    """Start a `SagaResume` for what is left of a closed run, on its task queue; by default for the newest run.

        handle = await resume(client, "trip-17")
        print(await handle.result())  # the keys of what is undone now

    Called again it gives the same one, be it over or not; a new one for what is still left if that one failed, or was
    terminated itself. Raises `ValueError` while the run is open: it can still undo by itself; for a run that was reset:
    its steps are the newer run's; and for arguments of more than 20 MB, unless `large_payloads` has put them outside.
    """
    about = await described(client, workflow_id, run_id)
    info = about.workflow_execution_info
    run_id = info.execution.run_id
    if info.status in OPEN:
        how = "paused: unpause and cancel it" if info.status == PAUSED else "running: cancel it"
        raise ValueError(f"{workflow_id} is {how}, and it undoes its steps itself")
    if later := await _later(client, info):
        text = f"{workflow_id} was reset: its steps are run {later}'s, under the same keys; resume that one"
        raise ValueError(text)
    steps = await what_is_left(client, workflow_id, run_id)
    try:
        handle = await client.start_workflow(
            SagaResume.run,
            _within(steps, client.data_converter, workflow_id),
            id=_ID.format(run_id),
            task_queue=about.execution_config.task_queue.name,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
    except WorkflowAlreadyStartedError as over:
        return client.get_workflow_handle_for(SagaResume.run, _ID.format(run_id), run_id=over.run_id)
    await _send(client, handle, steps)
    return handle


async def _later(client: Client, info: WorkflowExecutionInfo) -> str:
    """The run that has a run's steps since a reset; empty if there is none. Those runs have one original run."""
    workflow_id = info.execution.workflow_id
    newest = (await described(client, workflow_id, None)).workflow_execution_info.execution.run_id
    if newest == info.execution.run_id:
        return ""
    original = await _original(client, workflow_id, info.execution.run_id)
    if await _original(client, workflow_id, newest) == original:
        return newest
    # Another one may have gone on from there since, with keys of its own.
    found = original
    while found:
        try:
            about = await described(client, workflow_id, found)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return ""
        if about.workflow_execution_info.start_time.ToNanoseconds() > info.start_time.ToNanoseconds():
            return found
        found = about.workflow_extended_info.reset_run_id
    return ""


async def _original(client: Client, workflow_id: str, run_id: str) -> str:
    """The run that a run is, or that it was made from by resets."""
    async for event in client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events(page_size=1):
        return event.workflow_execution_started_event_attributes.original_execution_run_id
    raise AssertionError("a history has a first event")


def _within(steps: list[Undone], converter: DataConverter, workflow_id: str) -> list[Undone]:
    """The list that a resume is given: without the arguments for which there is no room, which signals bring."""
    total = sum(_size(step) for step in steps) * 3 // 4
    if total > _MOST_BYTES and converter.external_storage is None:
        text = f"the steps of {workflow_id} have arguments of {total} bytes, and a resume can hold {_MOST_BYTES}"
        raise ValueError(f"{text}: undo them by hand, as `what_is_left` tells, and give clients `large_payloads`")
    room, given = _WITHIN_BYTES, []
    for step in steps:
        fits = _size(step) <= room
        room -= _size(step) if fits else 0
        given.append(step if fits else replace(step, args=None))
    return given


def _size(step: Undone) -> int:
    """Of its arguments in base64."""
    return sum(len(each) for each in step.args or ())


async def _send(client: Client, handle: WorkflowHandle[Any, Any], steps: list[Undone]) -> None:
    """The arguments that a resume was not given and has not been sent; an earlier call may have got lost there."""
    run_id = handle.result_run_id
    events = (await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()).events
    sent = {event.workflow_execution_signaled_event_attributes.signal_name for event in events}
    left = {step.key: step for step in steps}
    for place, step in enumerate(await _given(client, handle.id, events)):
        name = _ARGUMENTS.format(place)
        if step.args is None and name not in sent and step.key in left:
            await handle.signal(name, args=[RawValue(payload) for payload in _payloads(left[step.key])])


def _payloads(step: Undone) -> list[Payload]:
    return [Payload.FromString(base64.b64decode(each)) for each in step.args or ()]


async def _left(events: Sequence[HistoryEvent], client: Client, workflow_id: str) -> list[Undone]:
    over = set(_over(events))
    undone = await _undone(events, client, workflow_id)
    started = events[0].workflow_execution_started_event_attributes
    steps = []
    for event in events:
        if not event.HasField("activity_task_scheduled_event_attributes"):
            continue
        scheduled = event.activity_task_scheduled_event_attributes
        context = ActivitySerializationContext(
            namespace=client.namespace,
            activity_id=scheduled.activity_id,
            activity_type=scheduled.activity_type.name,
            activity_task_queue=scheduled.task_queue.name,
            workflow_id=workflow_id,
            workflow_type=started.workflow_type.name,
            is_local=False,
        )
        converter = client.data_converter.with_context(context)
        note = Note.read(await _summary(event, converter))
        if note is None or note.saga in over or scheduled.activity_id in undone:
            continue
        args = [base64.b64encode(each.SerializeToString()).decode() for each in await _raw(scheduled.input, converter)]
        at = note.options.get("task_queue") or started.task_queue.name
        steps.append(Undone(scheduled.activity_id, note.undo, at, args, note.options))
    return steps[::-1]


async def _raw(payloads: Payloads, converter: DataConverter) -> list[Payload]:
    """As they were before the codec, and wherever they are stored; any converter takes them on so."""
    as_they_are = replace(converter, payload_converter_class=DefaultPayloadConverter)
    values = await as_they_are.decode(payloads.payloads, [RawValue] * len(payloads.payloads))
    return [value.payload for value in values]


async def _left_by_resume(client: Client, run_id: str, steps: list[Undone]) -> list[Undone]:
    """Without those that the newest `SagaResume` has undone, or was not given: one before it has undone them."""
    try:
        events = (await client.get_workflow_handle(_ID.format(run_id)).fetch_history()).events
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return steps
    given = await _given(client, _ID.format(run_id), events)
    left = {step.key for step in given} - await _undone(events, client, _ID.format(run_id))
    return [step for step in steps if step.key in left]


async def _given(client: Client, resume_id: str, events: Sequence[HistoryEvent]) -> list[Undone]:
    """The list that a resume was given."""
    started = events[0].workflow_execution_started_event_attributes
    converter = _converter(client, resume_id)
    given: list[Undone]
    [given] = await converter.decode(started.input.payloads, [list[Undone]])
    return given


def _converter(client: Client, workflow_id: str) -> DataConverter:
    """For what a workflow is sent."""
    return client.data_converter.with_context(WorkflowSerializationContext(client.namespace, workflow_id))


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


async def _undone(events: Iterable[HistoryEvent], client: Client, workflow_id: str) -> set[str]:
    """Keys of steps whose compensation has completed, or that a person has undone."""
    converter = _converter(client, workflow_id)
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

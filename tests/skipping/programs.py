"""The programs: a feature each, what must come of it, how long it must take by the workflow's clock.

A program gives a result and the story of the workflow that it is about. What is expected is the same on every server.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateStage,
)
from temporalio.exceptions import TimeoutError
from temporalio.service import RPCError, RPCStatusCode
from tests.skipping.workflows import (
    DAY,
    HOUR,
    HOURLY,
    MONTH,
    STAGE,
    YEAR,
    Acts,
    Box,
    Chain,
    Daily,
    Deadline,
    Flaky,
    Leaves,
    LocalActs,
    Outside,
    Parent,
    Race,
    Sleeper,
    Staged,
    Timers,
)
from tests.skipping.world import V1, V2, Story, World

Told = tuple[Any, Story]


@dataclass(frozen=True)
class Program:
    """`held`: on V2 the time is not compared. What takes it can't be skipped there, and a second stands for it; or,
    before a first task, time skips past the timeout of the workflow."""

    run: Callable[[World], Awaitable[Told]]
    result: Any
    took: timedelta
    events: str
    forms: tuple[str, ...] = (V1, V2)
    held: bool = False
    took_v2: timedelta | None = None
    """If it is not that of V1."""
    not_on_reference: str = ""
    """Why that server does something else, if it does."""

    @property
    def name(self) -> str:
        return self.run.__name__


async def _of(world: World, run: Any, *args: Any, **options: Any) -> Told:
    handle = await world.start(run, *args, **options)
    return await _outcome(handle), await world.story(handle)


async def _outcome(handle: WorkflowHandle[Any, Any]) -> Any:
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        cause = error.cause
        return "timed out" if isinstance(cause, TimeoutError) else f"failed: {cause}"


async def _until_events(handle: WorkflowHandle[Any, Any], number: int) -> None:
    while len((await handle.fetch_history()).events) < number:
        await asyncio.sleep(0.01)


async def timer(world: World) -> Told:
    return await _of(world, Sleeper.run, YEAR.total_seconds())


async def timers_in_order(world: World) -> Told:
    return await _of(world, Timers.run, 5)


async def cancelled_timer(world: World) -> Told:
    return await _of(world, Race.run)


async def activity_retries(world: World) -> Told:
    return await _of(world, Acts.run, "fails_until", 4, {"start_to_close_timeout": 60.0}, 0, "")


async def local_activity_retries(world: World) -> Told:
    return await _of(world, LocalActs.run)


async def activity_start_to_close(world: World) -> Told:
    timeouts = {"start_to_close_timeout": world.held(2 * HOUR)}
    return await _hanging(world, "", timeouts)


async def activity_schedule_to_start(world: World) -> Told:
    timeouts = {"start_to_close_timeout": 60.0, "schedule_to_start_timeout": world.held(2 * HOUR)}
    return await _hanging(world, f"nobody-{uuid.uuid4()}", timeouts)


async def activity_schedule_to_close(world: World) -> Told:
    return await _hanging(world, "", {"schedule_to_close_timeout": world.held(2 * HOUR)})


async def _hanging(world: World, queue: str, timeouts: dict[str, float]) -> Told:
    Outside.hanging = asyncio.Queue()
    handle = await world.start(Acts.run, "hangs", None, timeouts, 1, queue)
    if queue:
        await _until_events(handle, 5)
    else:
        await Outside.hanging.get()
    await world.sleep(2 * HOUR)
    return await _outcome(handle), await world.story(handle)


async def activity_heartbeat(world: World) -> Told:
    """The activity itself lets time go by."""
    Outside.sleep = world.sleep
    timeouts = {"start_to_close_timeout": YEAR.total_seconds(), "heartbeat_timeout": world.held(HOUR)}
    return await _of(world, Acts.run, "goes_quiet", 2 * HOUR.total_seconds(), timeouts, 0, "")


async def activity_takes_real_time(world: World) -> Told:
    """Time stands meanwhile, so it wins against a timer of an hour."""
    return await _of(world, Deadline.run)


async def start_delay(world: World) -> Told:
    return await _of(world, Sleeper.run, 60.0, start_delay=YEAR)


async def cron(world: World) -> Told:
    return await _of(world, Daily.run, cron_schedule="0 12 * * *", execution_timeout=3 * DAY)


async def workflow_retries(world: World) -> Told:
    return await _of(world, Flaky.run, retry_policy=HOURLY)


async def run_timeout(world: World) -> Told:
    return await _of(world, Sleeper.run, YEAR.total_seconds(), run_timeout=MONTH)


async def execution_timeout(world: World) -> Told:
    """It ends the second run of a chain of three."""
    return await _of(world, Chain.run, 2, execution_timeout=MONTH + DAY)


async def continue_as_new(world: World) -> Told:
    return await _of(world, Chain.run, 2)


async def long_chain(world: World) -> Told:
    """Runs so short, in real time, that a server makes the next ones wait."""
    return await _of(world, Chain.run, 11)


async def children_that_continue_as_new(world: World) -> Told:
    return await _of(world, Parent.run, 2, False)


async def children_of_parents_that_continue_as_new(world: World) -> Told:
    return await _of(world, Parent.run, 2, True)


async def an_activity_left_behind(world: World) -> Told:
    """The activity of a workflow that has ended holds nobody's time."""
    Outside.hanging = asyncio.Queue()
    left = await world.start(Leaves.run)
    assert await left.result() == "left"
    handle = await world.start(Sleeper.run, YEAR.total_seconds())
    return await _outcome(handle), await world.story(handle)


async def update(world: World) -> Told:
    handle = await world.start(Box.run)
    accepted = WorkflowUpdateStage.ACCEPTED
    filled = await handle.start_update(Box.fill, "update", wait_for_stage=accepted)
    if world.form == V1:
        await world.sleep(MONTH)
    result = await filled.result()
    await handle.signal(Box.close, ", signal")
    return [result, await handle.result()], await world.story(handle)


async def signal_after_a_year(world: World) -> Told:
    handle = await world.start(Box.run)
    await _until_events(handle, 4)
    await world.forward(handle, YEAR)
    await handle.signal(Box.close, "signal")
    return await handle.result(), await world.story(handle)


async def search_attributes(world: World) -> Told:
    """Found by a listing after each of two upserts, a year apart."""
    types = {STAGE.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD}
    try:
        await world.plain.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=world.plain.namespace, search_attributes=types)
        )
    except RPCError as error:
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            raise
    name = str(uuid.uuid4())
    handle = await world.start(Staged.run, name)
    await handle.result()
    while not (await world.plain.count_workflows(f"{STAGE.name} = '{name} late' AND CloseTime IS NOT NULL")).count:
        await asyncio.sleep(0.1)
    [found] = [run async for run in world.plain.list_workflows(f"{STAGE.name} = '{name} late'")]
    assert found.close_time is not None
    return round((found.close_time - found.start_time) / DAY), await world.story(handle)


async def many_at_once(world: World) -> Told:
    handles = [await world.start(Sleeper.run, number * DAY.total_seconds()) for number in range(1, 21)]
    await asyncio.gather(*(handle.result() for handle in handles))
    took = [round((await world.story(handle)).took / DAY, 1) for handle in handles]
    return took == list(range(1, 21)), await world.story(handles[-1])


async def namespaces(world: World) -> Told:
    """A workflow in another namespace still sleeps its hour when a year has passed here."""
    name = f"other-{uuid.uuid4()}"
    await world.plain.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    other = Client(world.plain.service_client, namespace=name)
    async with world.worker(other):
        for _ in range(100):  # until the namespace is known everywhere
            try:
                sleeps = await other.start_workflow(Sleeper.run, 3600.0, id=name, task_queue=world.queue)
                break
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.2)
        await _until_events(sleeps, 5)
        handle = await world.start(Sleeper.run, YEAR.total_seconds())
        await handle.result()
        still = (await sleeps.describe()).close_time is None
        await sleeps.terminate()
    return still, await world.story(handle)


async def schedule(world: World) -> Told:
    """Each week of a year."""
    action = ScheduleActionStartWorkflow(Sleeper.run, 60.0, id="weekly", task_queue=world.queue)
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=7 * DAY)])
    weekly = await world.plain.create_schedule(f"weekly-{uuid.uuid4()}", Schedule(action=action, spec=spec))
    await world.sleep(YEAR)
    actions = (await weekly.describe()).info.num_actions
    await weekly.delete()
    handle = await world.start(Sleeper.run, 60.0)
    return actions in (52, 53) and await handle.result(), await world.story(handle)


_TIMER = "TimerStarted TimerFired"
_SLEEPER = f"Started {_TIMER} Completed"
_CHAIN = f"Started {_TIMER} ContinuedAsNew "
_CHILD = "StartChildWorkflowExecutionInitiated ChildWorkflowExecutionStarted ChildWorkflowExecutionCompleted"
_ACTIVITY = "ActivityTaskScheduled ActivityTaskStarted"
_NONE = timedelta()
_LATER = "each next run's execution timeout is later by all that has been skipped"
PROGRAMS = [
    Program(timer, "awake", YEAR, _SLEEPER),
    Program(
        timers_in_order,
        [1, 2, 3, 4, 5],
        5 * HOUR,
        "Started TimerStarted TimerStarted TimerStarted TimerStarted TimerStarted "
        "TimerFired TimerFired TimerFired TimerFired TimerFired Completed",
    ),
    Program(cancelled_timer, "short", HOUR, "Started TimerStarted TimerStarted TimerFired TimerCanceled Completed"),
    Program(activity_retries, "4", 7 * HOUR, f"Started {_ACTIVITY} ActivityTaskCompleted Completed"),
    Program(
        local_activity_retries,
        3,
        3 * HOUR,
        f"Started MarkerRecorded {_TIMER} MarkerRecorded {_TIMER} MarkerRecorded Completed",
    ),
    Program(
        activity_start_to_close,
        "START_TO_CLOSE",
        2 * HOUR,
        f"Started {_ACTIVITY} ActivityTaskTimedOut Completed",
        held=True,
    ),
    Program(
        activity_schedule_to_start,
        "SCHEDULE_TO_START",
        2 * HOUR,
        "Started ActivityTaskScheduled ActivityTaskTimedOut Completed",
        held=True,
    ),
    Program(
        activity_schedule_to_close,
        "SCHEDULE_TO_CLOSE",
        2 * HOUR,
        f"Started {_ACTIVITY} ActivityTaskTimedOut Completed",
        held=True,
    ),
    Program(activity_heartbeat, "2", 2 * HOUR, f"Started {_ACTIVITY} ActivityTaskCompleted Completed", held=True),
    Program(
        activity_takes_real_time,
        "done",
        _NONE,
        "Started ActivityTaskScheduled TimerStarted ActivityTaskStarted ActivityTaskCompleted TimerCanceled Completed",
    ),
    Program(start_delay, "awake", YEAR + timedelta(minutes=1), _SLEEPER),
    Program(
        cron,
        "timed out",
        3 * DAY,
        "Started Completed Started Completed Started Completed Started TimedOut",
        held=True,
        not_on_reference=_LATER,
    ),
    Program(workflow_retries, 3, 3 * HOUR, "Started Failed Started Failed Started Completed"),
    Program(run_timeout, "timed out", MONTH, "Started TimerStarted TimedOut"),
    Program(
        execution_timeout, "timed out", MONTH + DAY, f"{_CHAIN}Started TimerStarted TimedOut", not_on_reference=_LATER
    ),
    Program(continue_as_new, "end of the chain", 3 * MONTH, _CHAIN * 2 + _SLEEPER),
    Program(
        long_chain,
        "end of the chain",
        12 * MONTH,
        _CHAIN * 11 + _SLEEPER,
        not_on_reference="it skips once more what was skipped when a run has to wait since the one before was so short",
    ),
    Program(
        children_that_continue_as_new,
        "end of the line",
        4 * MONTH,
        f"Started {_CHILD} {_CHILD} Completed",
        took_v2=_NONE,
    ),
    Program(
        children_of_parents_that_continue_as_new,
        "end of the line",
        4 * MONTH,
        f"Started {_CHILD} ContinuedAsNew Started {_CHILD} Completed",
        took_v2=_NONE,
    ),
    Program(an_activity_left_behind, "awake", YEAR, _SLEEPER),
    Program(
        update,
        ["update", "update, signal"],
        MONTH,
        f"Started UpdateAccepted {_TIMER} UpdateCompleted Signaled Completed",
    ),
    Program(signal_after_a_year, "signal", YEAR, "Started Signaled Completed"),
    Program(
        search_attributes,
        365,
        YEAR,
        "Started UpsertWorkflowSearchAttributes TimerStarted TimerFired UpsertWorkflowSearchAttributes Completed",
    ),
    Program(many_at_once, True, 20 * DAY, _SLEEPER),
    Program(namespaces, True, YEAR, _SLEEPER),
    Program(schedule, "awake", timedelta(minutes=1), _SLEEPER, forms=(V1,)),
]

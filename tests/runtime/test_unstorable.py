"""What can't be put into rows, whatever it is, leaves no trace: in memory, in storage, in what others get.

The encoders are broken on purpose, as an error in a rule or a value out of range would break them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest, StartBatchOperationRequest
from tests.conformance.driver import Driver
from tests.conformance.messages import child, continue_as_new, signal_external, succeed, timer
from tests.engine.driver import start_request, token
from tests.runtime.conversation import conversation
from tests.runtime.test_executor import PATIENCE_S, World, state, turns, within

from perdure.clock import SECOND_NS
from perdure.engine import inputs
from perdure.engine.batch import JobCore, StartJob
from perdure.engine.execution import Kind, Timer
from perdure.engine.machines.workflow import Signal, StartOptions
from perdure.errors import Unavailable
from perdure.runtime import namespaces, queue_configs, rows
from perdure.runtime.check import check_file
from perdure.storage.base import RunChange


class Broken(Exception):
    pass


@contextmanager
def broken(which: Callable[[Any], bool] = lambda decision: True) -> Iterator[None]:
    """Decisions of that kind can't be put into rows."""
    run_change = rows.run_change

    def breaking(decision: Any) -> RunChange:
        if which(decision):
            raise Broken
        return run_change(decision)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "run_change", breaking)
        yield


SPEC = {"spec": {"interval": [{"interval": 86400}]}, "state": {"paused": True}}
Ask = Callable[[Driver], Awaitable[Any]]


async def start(d: Driver) -> Any:
    return await d.start("new")


async def signal(d: Driver) -> Any:
    return await d.call("SignalWorkflowExecution", workflow_execution="old", signal_name="s")


async def replace(d: Driver) -> Any:
    policy = "TERMINATE_EXISTING"
    return await d.start("old", workflow_id_conflict_policy=policy, request_id="replace")


async def reset(d: Driver) -> Any:
    return await d.call(
        "ResetWorkflowExecution", workflow_execution="old", workflow_task_finish_event_id=4, request_id="reset"
    )


async def create_schedule(d: Driver) -> Any:
    return await d.call("CreateSchedule", schedule_id="new", request_id="create", schedule=SPEC)


async def patch_schedule(d: Driver) -> Any:
    return await d.call("PatchSchedule", schedule_id="old", patch={"pause": "a note"}, request_id="patch")


async def delete_schedule(d: Driver) -> Any:
    return await d.call("DeleteSchedule", schedule_id="old")


async def start_job(d: Driver) -> Any:
    return await d.call(
        "StartBatchOperation",
        job_id="new",
        reason="r",
        visibility_query="WorkflowId = 'nobody'",
        termination_operation={},
    )


async def register(d: Driver) -> Any:
    return await d.call("RegisterNamespace", namespace="new", workflow_execution_retention_period=86400)


async def configure(d: Driver) -> Any:
    limit = {"rate_limit": {"requests_per_second": 3.0}}
    return await d.call(
        "UpdateTaskQueueConfig", task_queue="q", task_queue_type="ACTIVITY", update_queue_rate_limit=limit
    )


ASKED = [
    start,
    signal,
    replace,
    reset,
    create_schedule,
    patch_schedule,
    delete_schedule,
    start_job,
    register,
    configure,
]


async def look(d: Driver) -> list[Any]:
    """All that is told of what the requests are about."""
    told = [
        *[await d.quietly("DescribeWorkflowExecution", execution=name) for name in ("old", "new")],
        *[await d.quietly("DescribeSchedule", schedule_id=name) for name in ("old", "new")],
        await d.quietly("ListSchedules"),
        await d.quietly("ListWorkflowExecutions"),
        await d.quietly("DescribeBatchOperation", job_id="new"),
        await d.quietly("DescribeNamespace", namespace="new"),
        await d.quietly("GetWorkflowExecutionHistory", execution="old"),
        await d.quietly(
            "DescribeTaskQueue", task_queue="q", task_queue_type="ACTIVITY", report_config=True, report_stats=True
        ),
    ]
    return [repr(each) for each in told]


@pytest.mark.parametrize("ask", ASKED, ids=lambda ask: ask.__name__)
async def test_a_request_whose_outcome_can_not_be_stored_has_none(ask: Ask, tmp_path: Path):
    file = tmp_path / "x.db"
    async with conversation(db=file) as d:
        await d.start("old")
        await d.complete(await d.poll_wft(), timer("t", 3600))
        await d.call("CreateSchedule", schedule_id="old", request_id="old", schedule=SPEC)
        before = await look(d)

        with broken(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(namespaces, "_encoder", None)
            patch.setattr(queue_configs, "_name", None)
            refused = await ask(d)
        assert not refused and refused.code == "INTERNAL"
        assert await look(d) == before
    assert check_file(file) == []
    async with conversation(db=file) as d:
        assert await look(d) == before
        assert await ask(d)
    assert check_file(file) == []


# What the runtime does by itself.


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.open()
    yield world
    await world.runtime.stop()


def of(workflow_id: str) -> Callable[[Any], bool]:
    return lambda decision: decision.core.workflow_id == workflow_id


async def same_as_stored(world: World, *workflow_ids: str) -> None:
    await world.executor.flushed()
    for workflow_id in workflow_ids:
        run = await world.current(workflow_id)
        assert state(run.execution) == state(await world.stored(run.run_key))


async def signals(world: World, workflow_id: str) -> int:
    run = await world.current(workflow_id)
    await world.executor.flushed()
    return (await world.event_types(run.run_key)).count("WORKFLOW_EXECUTION_SIGNALED")


async def again(world: World) -> None:
    """What failed is tried again."""
    await turns(20)
    world.clock.advance(SECOND_NS)
    await turns(20)
    await world.executor.flushed()


@pytest.mark.parametrize("field", ["due_ns", "order"])
def test_a_number_that_no_column_holds_fails_before_it_is_in_a_batch_with_others(field: str):
    """Up to twice that number a blob holds it."""
    assert rows._row(Timer(timer_id="t", started_event_id=1, **{field: 2**63 - 1}), 0)
    with pytest.raises(OverflowError):
        rows._row(Timer(timer_id="t", started_event_id=1, **{field: 2**63}), 0)


async def test_a_run_whose_continuation_can_not_be_stored_goes_on(world: World):
    run = await world.start("w")
    world.start_task(run)
    with broken(lambda decision: decision.created), pytest.raises(Broken):
        await world.complete_task(run, continue_as_new())
    assert run.execution.running and await world.current("w") is run
    await world.complete_task(run, continue_as_new())
    assert await world.current("w") is not run
    await same_as_stored(world, "w")


async def test_a_replaced_run_and_the_one_that_replaces_it_are_stored_both_or_neither(world: World):
    run = await world.start("w")
    before = [(run, inputs.TerminateWorkflow(reason="replaced"))]
    for which in (lambda decision: decision.created, lambda decision: not decision.created):
        options = StartOptions(run_id=world.executor.ids.uuid())
        with broken(which), pytest.raises(Broken):
            world.executor.start(world.namespace, start_request(workflow_id="w"), options, before=before)
        assert run.execution.running and await world.current("w") is run
        await same_as_stored(world, "w")


def taking_off(kind: Kind) -> Callable[[Any], bool]:
    """Decisions that take something off its source."""
    return lambda decision: any(each == kind and item is None for each, _, item in decision.changes)


async def test_a_signal_whose_delivery_can_not_be_noted_is_not_delivered(world: World):
    """And who shares the batch with it is told to try again, as after a failed commit."""
    source, target = await world.start("source"), await world.start("target")
    world.start_task(source)
    with broken(taking_off(Kind.EXTERNAL_SIGNAL)):
        await world.complete_task(source, signal_external("target"))
        await again(world)
        assert target.lost and not source.lost
        source, other = await world.current("source"), world.begin("other")
        (key,) = source.execution.pending[Kind.EXTERNAL_SIGNAL]
        with pytest.raises(Broken):
            await world.runtime.follow_ups.act(source, Kind.EXTERNAL_SIGNAL, key)
        with pytest.raises(Unavailable):
            await within(world.executor.settled(other))
        assert await world.executor.find_current(world.namespace.id, "other") is None
        assert await signals(world, "target") == 0
        await same_as_stored(world, "source", "target")
    await again(world)
    assert await signals(world, "target") == 1
    await same_as_stored(world, "source", "target")


async def test_what_is_given_up_while_a_commit_is_under_way_goes_back_to_what_that_has_stored(world: World):
    await world.start("w")
    world.storage.holds = True
    first = asyncio.ensure_future(world.signal("w"))
    await turns()
    run = await world.current("w")
    signal = inputs.SignalWorkflow(Signal(name="s"))
    with pytest.raises(ZeroDivisionError), world.executor.together():
        world.executor.apply(run, signal)
        raise ZeroDivisionError
    second = asyncio.ensure_future(world.executor.settled(run))
    await turns()
    world.storage.release()
    await within(first)
    with pytest.raises(Unavailable):
        await within(second)
    assert await signals(world, "w") == 1
    await same_as_stored(world, "w")


async def test_a_child_whose_start_can_not_be_noted_is_not_started(world: World):
    parent = await world.start("parent")
    world.start_task(parent)
    noting = [False]
    with broken(lambda decision: of("parent")(decision) and noting[0]):
        starting = asyncio.ensure_future(world.complete_task(parent, child("child")))
        await turns(1)
        noting[0] = True
        await within(starting)
        await again(world)
        assert await world.executor.find_current(world.namespace.id, "child") is None
    await again(world)
    assert await world.current("child")
    await same_as_stored(world, "parent", "child")


async def test_one_target_that_can_not_be_changed_does_not_keep_a_job_from_the_others(world: World):
    for name in ("a", "b", "c"):
        await world.start(name)
    core = JobCore(namespace_id=world.namespace.id, workflow_id="job", run_id=world.executor.ids.uuid())
    request = StartBatchOperationRequest(visibility_query="WorkflowType != 'none'")
    request.signal_operation.signal = "s"
    with broken(of("b")):
        world.executor.create(core, StartJob(request))
        async with asyncio.timeout(PATIENCE_S):
            while (done := [await signals(world, name) for name in ("a", "b", "c")]) != [1, 0, 1]:
                assert done == [0, 0, 0]
                await again(world)
    async with asyncio.timeout(PATIENCE_S):
        while [await signals(world, name) for name in ("a", "b", "c")] != [1, 1, 1]:
            await again(world)
    await same_as_stored(world, "a", "b", "c")


async def test_one_follow_up_that_fails_does_not_keep_others_from_being_acted_on(world: World):
    source = await world.start("source")
    for name in ("broken", "sound"):
        await world.start(name)
    world.start_task(source)
    with broken(of("broken")):
        await world.complete_task(source, signal_external("broken"), signal_external("sound"))
        await again(world)
        assert (await signals(world, "broken"), await signals(world, "sound")) == (0, 1)
    await again(world)
    assert (await signals(world, "broken"), await signals(world, "sound")) == (1, 1)


async def test_a_task_whose_start_can_not_be_put_into_rows_is_handed_out_again(world: World):
    run = await world.start("w")
    task = run.execution.pending_workflow_task
    with broken(), pytest.raises(Broken):
        world.start_task(run)
    assert run.execution.pending_workflow_task is task and run.unwritten is None
    world.start_task(run)
    await world.complete_task(run, succeed())
    await same_as_stored(world, "w")


async def test_a_task_that_can_not_leave_its_sticky_queue_stays_there(world: World):
    run = await world.start("w")
    world.start_task(run)
    task = run.execution.pending_workflow_task
    assert task is not None
    sticky = StickyExecutionAttributes(
        worker_task_queue=TaskQueue(name="mine"), schedule_to_start_timeout=Duration(seconds=5)
    )
    request = RespondWorkflowTaskCompletedRequest(identity="worker", sticky_attributes=sticky)
    world.executor.apply(run, inputs.CompleteWorkflowTask(*token(task), request=request))
    await world.executor.settled(run)
    with broken(lambda decision: not decision.core.sticky_queue):
        await within(world.signal("w"))
    task = run.execution.pending_workflow_task
    assert task is not None and task.sticky
    world.clock.advance(5 * SECOND_NS)
    assert (await within(world.poll().get()))[1] == run.run_key


async def test_who_waits_for_a_batch_is_told_even_if_something_of_it_can_not_be(world: World):
    publish = world.executor.publish

    def failing(run: Any, decision: Any) -> None:
        if run.core.workflow_id == "w0":
            raise Broken
        publish(run, decision)

    given = world.poll()
    await turns()
    world.executor.publish = failing
    runs = [world.begin(f"w{number}") for number in range(3)]
    for run in runs:
        run.on_change(lambda: [][0])
        await within(world.executor.settled(run))
    assert {(await within(given.get()))[1]} <= {run.run_key for run in runs}
    await world.signal("w0")

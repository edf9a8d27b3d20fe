"""What DescribeWorkflowExecution tells; the conformance scenarios compare the rest of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState as State
from temporalio.api.enums.v1 import PendingWorkflowTaskState as TaskState
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from tests.conformance.driver import Driver
from tests.conformance.messages import activity, cancel_activity, child, failure, succeed, timer
from tests.runtime.conversation import conversation

from perdure.clock import SECOND_NS, ManualClock
from perdure.server import Server

START_NS = 1_700_000_000 * SECOND_NS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_NS)


@pytest.fixture
async def d(clock: ManualClock) -> AsyncIterator[Driver]:
    async with conversation(Server(clock=clock)) as driver:
        yield driver


def seconds(field: Timestamp) -> float:
    """Since the clock's start."""
    return field.ToNanoseconds() / SECOND_NS - START_NS / SECOND_NS


async def described_activity(d: Driver) -> Any:
    (pending,) = (await d.describe()).pending_activities
    return pending


async def test_a_run_in_the_making(d: Driver, clock: ManualClock) -> None:
    started = await d.start(workflow_execution_timeout=100, workflow_run_timeout=50, memo={"m": 1})
    clock.advance(3 * SECOND_NS)
    reply = await d.describe()
    info, more = reply.workflow_execution_info, reply.workflow_extended_info
    assert (info.execution.workflow_id, info.execution.run_id) == (d.workflow_id, started.run_id)
    assert info.status == Status.WORKFLOW_EXECUTION_STATUS_RUNNING
    assert (info.history_length, info.first_run_id, info.task_queue) == (2, started.run_id, d.task_queue)
    assert info.root_execution == info.execution and not info.HasField("parent_execution")
    assert info.memo.fields["m"].data == b"1"
    assert not info.HasField("close_time") and seconds(info.start_time) == seconds(info.execution_time) == 0
    assert (seconds(more.execution_expiration_time), seconds(more.run_expiration_time)) == (100, 50)
    assert reply.execution_config.workflow_run_timeout.seconds == 50
    assert list(more.request_id_infos) == ["start-1"] and more.request_id_infos["start-1"].event_id == 1
    task = reply.pending_workflow_task
    assert (task.state, task.attempt) == (TaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED, 1)
    await d.poll_wft()
    task = (await d.describe()).pending_workflow_task
    assert task.state == TaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
    assert (seconds(task.scheduled_time), seconds(task.started_time)) == (0, 3)


async def test_a_run_that_has_ended(d: Driver, clock: ManualClock) -> None:
    await d.start()
    clock.advance(2 * SECOND_NS)
    await d.step(succeed())
    reply = await d.describe()
    info = reply.workflow_execution_info
    assert (info.status, info.history_length) == (Status.WORKFLOW_EXECUTION_STATUS_COMPLETED, 5)
    assert seconds(info.close_time) == 2 and info.execution_duration.seconds == 2
    assert info.history_size_bytes > 0 and info.state_transition_count > 0
    assert not reply.HasField("pending_workflow_task")


async def test_an_activity_through_its_attempts(d: Driver, clock: ManualClock) -> None:
    await d.start()
    policy = {"initial_interval": 10, "maximum_attempts": 3, "backoff_coefficient": 1}
    await d.step(activity(retry_policy=policy, schedule_to_close_timeout=1000))
    pending = await described_activity(d)
    assert (pending.state, pending.attempt) == (State.PENDING_ACTIVITY_STATE_SCHEDULED, 1)
    assert (pending.maximum_attempts, seconds(pending.expiration_time)) == (3, 1000)
    assert pending.activity_options.task_queue.name == d.task_queue

    task = await d.poll_activity()
    clock.advance(SECOND_NS)
    await d.heartbeat(task, "half")
    pending = await described_activity(d)
    assert pending.state == State.PENDING_ACTIVITY_STATE_STARTED
    assert (pending.last_worker_identity, seconds(pending.last_started_time)) == ("worker", 0)
    assert pending.heartbeat_details.payloads[0].data == b'"half"' and seconds(pending.last_heartbeat_time) == 1

    await d.fail_activity(task, failure("boom"))
    pending = await described_activity(d)
    assert (pending.state, pending.attempt) == (State.PENDING_ACTIVITY_STATE_SCHEDULED, 2)
    assert pending.last_failure.message == "boom" and not pending.HasField("last_started_time")
    assert (seconds(pending.next_attempt_schedule_time), seconds(pending.last_attempt_complete_time)) == (11, 1)
    assert pending.current_retry_interval.seconds == 10

    clock.advance(10 * SECOND_NS)
    await d.poll_activity()
    pending = await described_activity(d)
    assert pending.state == State.PENDING_ACTIVITY_STATE_STARTED
    assert not pending.HasField("next_attempt_schedule_time")


async def test_an_activity_that_was_asked_to_end(d: Driver) -> None:
    await d.start()
    await d.step(activity())
    await d.poll_activity()
    await d.signal()
    await d.step(cancel_activity(5), timer())
    assert (await described_activity(d)).state == State.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED


async def test_children_on_both_sides(d: Driver) -> None:
    await d.start()
    await d.step(child(d.name("kid"), task_queue=d.name("kids")))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    parent = await d.describe()
    (pending,) = parent.pending_children
    assert (pending.workflow_id, pending.workflow_type_name, pending.initiated_id) == (d.name("kid"), "child", 5)
    kid = (await d.describe((d.name("kid"), pending.run_id))).workflow_execution_info
    assert kid.parent_execution == parent.workflow_execution_info.execution == kid.root_execution
    assert kid.parent_namespace_id


async def test_unknown_runs_are_not_found(d: Driver) -> None:
    assert (await d.describe()).code == "NOT_FOUND"

"""What administrators do, one operation of a client a function: schedules, resets, batch jobs, changed options."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from temporalio.api.enums.v1 import ResetReapplyExcludeType
from temporalio.api.schedule.v1 import Schedule
from temporalio.api.workflowservice import v1 as api
from tests.simulation.entities import BACKFILLED, NO_SIGNALS, TRIGGER_EPOCH_S, TRIGGER_STEP_S
from tests.simulation.faults import S
from tests.simulation.script import QUEUE, duration, payloads

if TYPE_CHECKING:
    from tests.simulation.clients import Client

ALLOW_ALL = 6
SCHEDULES = ["s0", "s1"]
BATCH_TARGETS = 5


# Schedules.


def _schedule(client: Client) -> Schedule:
    """Half of them are plain: every interval, whatever else runs."""
    chance = client.world.chance
    result = Schedule()
    action = result.action.start_workflow
    action.workflow_id = client.world.name("planned")
    action.workflow_type.name = "Planned"
    action.task_queue.name = QUEUE
    action.workflow_task_timeout.CopyFrom(duration(chance.choice([2, 10])))
    if chance.random() < 0.6:
        action.workflow_run_timeout.CopyFrom(duration(chance.choice([5, 60])))
    if chance.random() < 0.2:
        action.retry_policy.initial_interval.CopyFrom(duration(1))
        action.retry_policy.maximum_attempts = 2
    interval = result.spec.interval.add()
    interval.interval.CopyFrom(duration(chance.choice([20, 60, 90])))
    interval.phase.CopyFrom(duration(chance.choice([0, 0, 7])))
    result.policies.overlap_policy = ALLOW_ALL  # type: ignore[assignment]
    result.policies.catchup_window.CopyFrom(duration(chance.choice([36_000, 86_400])))
    if chance.random() < 0.5:
        _complicate(client, result)
    return result


def _complicate(client: Client, schedule: Schedule) -> None:
    chance = client.world.chance
    schedule.policies.overlap_policy = chance.choice([0, 1, 2, 3, 4, 5, 6])  # type: ignore[assignment]
    schedule.policies.catchup_window.CopyFrom(duration(chance.choice([10, 60, 86_400])))
    schedule.policies.pause_on_failure = chance.random() < 0.2
    if chance.random() < 0.3:
        schedule.spec.jitter.CopyFrom(duration(5))
    if chance.random() < 0.3:
        schedule.spec.cron_string.append("* * * * *")
    if chance.random() < 0.3:
        schedule.state.limited_actions, schedule.state.remaining_actions = True, chance.choice([0, 1, 4])


def _about_schedule(client: Client, method: str) -> Any:
    schedule_id = client.world.chance.choice(SCHEDULES)
    return getattr(api, f"{method}Request")(namespace="default", schedule_id=schedule_id)


def create_schedule(client: Client) -> None:
    request = _about_schedule(client, "CreateSchedule")
    request.identity, request.request_id = client.identity, client.world.name("request-")
    request.schedule.CopyFrom(_schedule(client))
    if client.world.chance.random() < 0.2:
        _trigger(client, request.initial_patch)
    client.do("CreateSchedule", request)


def update_schedule(client: Client) -> None:
    request = _about_schedule(client, "UpdateSchedule")
    request.identity, request.request_id = client.identity, client.world.name("request-")
    request.schedule.CopyFrom(_schedule(client))
    client.world.ledger.entities.meddled(request.schedule_id)
    client.do("UpdateSchedule", request)


def patch_schedule(client: Client) -> None:
    chance = client.world.chance
    request = _about_schedule(client, "PatchSchedule")
    request.identity, request.request_id = client.identity, client.world.name("request-")
    roll = chance.random()
    if roll < 0.5:
        _trigger(client, request.patch)
    elif roll < 0.75:
        _backfill(client, request.patch)
    else:
        client.world.ledger.entities.meddled(request.schedule_id)
        setattr(request.patch, "pause" if roll < 0.88 else "unpause", "because")
    client.do("PatchSchedule", request)


def _trigger(client: Client, patch: Any) -> None:
    """Each has a nominal time of its own, so that each has its own workflow id."""
    trigger = patch.trigger_immediately
    trigger.scheduled_time.seconds = TRIGGER_EPOCH_S + TRIGGER_STEP_S * client.world.number()
    trigger.overlap_policy = client.world.chance.choice([0, ALLOW_ALL])


def _backfill(client: Client, patch: Any) -> None:
    """Times that nobody else acts on: no two backfills meet."""
    backfill = patch.backfill_request.add()
    start_s = BACKFILLED.start + BACKFILLED.step * client.world.number()
    backfill.start_time.seconds, backfill.end_time.seconds = start_s, start_s + 300
    backfill.overlap_policy = client.world.chance.choice([0, ALLOW_ALL])


def delete_schedule(client: Client) -> None:
    request = _about_schedule(client, "DeleteSchedule")
    client.do("DeleteSchedule", request)


def look_at_schedules(client: Client) -> None:
    method = client.world.chance.choice(
        ["DescribeSchedule", "DescribeSchedule", "ListSchedules", "CountSchedules", "ListScheduleMatchingTimes"]
    )
    if method in ("ListSchedules", "CountSchedules"):
        client.do(method, getattr(api, f"{method}Request")(namespace="default"))
        return
    request = _about_schedule(client, method)
    if method == "ListScheduleMatchingTimes":
        now_s = client.world.server_ns() // S
        request.start_time.seconds, request.end_time.seconds = now_s, now_s + 600
    client.do(method, request)


# Resets.


def reset_workflow(client: Client) -> None:
    """Back to a workflow task of a run; sometimes to what is none."""
    world, chance = client.world, client.world.chance
    records = list(world.ledger.records.values())[-12:]
    if not records:
        client.rest()
        return
    record = chance.choice(records)
    finished = [number for number, name in enumerate(record.names, 1) if name.startswith("WORKFLOW_TASK_")]
    request = api.ResetWorkflowExecutionRequest(namespace="default", request_id=world.name("reset-"))
    request.workflow_execution.workflow_id = record.who.workflow_id
    request.workflow_execution.run_id = record.who.run_id
    request.workflow_task_finish_event_id = chance.choice(finished or [2]) + chance.choice([0, 0, 0, 1])
    request.reason = request.request_id
    if chance.random() < 0.2:
        request.reset_reapply_exclude_types.append(ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL)
        request.reason += NO_SIGNALS
    client.do("ResetWorkflowExecution", request, lambda reply: client.know(record.who.workflow_id, reply))


# Batch jobs.


def start_batch(client: Client) -> None:
    world, chance = client.world, client.world.chance
    job_id = world.name("batch")
    request = api.StartBatchOperationRequest(namespace="default", job_id=job_id, reason=job_id)
    request.max_operations_per_second = chance.choice([0, 0.2])
    records = list(world.ledger.records.values())[-12:]
    if chance.random() < 0.5 and records:
        records = list({record.who.workflow_id: record for record in records}.values())
        for record in chance.sample(records, min(len(records), BATCH_TARGETS)):
            execution = request.executions.add(workflow_id=record.who.workflow_id)
            execution.run_id = record.who.run_id if chance.random() < 0.7 else ""
    else:
        request.visibility_query = chance.choice(
            ["WorkflowType = 'Flow'", "WorkflowType = 'Child'", "WorkflowType = 'Planned'", "WorkflowId = 'w1'"]
        )
    chance.choices(_OPERATIONS, _WEIGHTS)[0](client, request)
    client.do("StartBatchOperation", request, lambda reply: _remember(client, job_id, reply))


def _remember(client: Client, job_id: str, reply: Any) -> None:
    if reply is not None:
        client.jobs.append(job_id)


def _batch_signal(client: Client, request: Any) -> None:
    request.signal_operation.signal = f"{request.job_id}-1"
    request.signal_operation.input.CopyFrom(payloads(request.signal_operation.signal))
    client.world.ledger.signal_sent(request.signal_operation.signal)


def _batch_reset(client: Client, request: Any) -> None:
    request.reset_operation.options.last_workflow_task.SetInParent()


def _batch_cancel(client: Client, request: Any) -> None:
    request.cancellation_operation.SetInParent()


def _batch_terminate(client: Client, request: Any) -> None:
    request.termination_operation.SetInParent()


def _batch_delete(client: Client, request: Any) -> None:
    request.deletion_operation.SetInParent()


def _batch_options(client: Client, request: Any) -> None:
    operation = request.update_workflow_options_operation
    operation.workflow_execution_options.priority.priority_key = 2
    operation.update_mask.paths.append("priority")


def _batch_unpause(client: Client, request: Any) -> None:
    request.unpause_activities_operation.type = "Act"
    client.world.ledger.touch("")


_OPERATIONS: list[Callable[[Client, Any], None]] = [
    _batch_signal,
    _batch_reset,
    _batch_cancel,
    _batch_terminate,
    _batch_delete,
    _batch_options,
    _batch_unpause,
]
_WEIGHTS = [8, 4, 1, 0.5, 0.5, 1, 0.5]


def look_at_batches(client: Client) -> None:
    if client.world.chance.random() < 0.3 or not client.jobs:
        client.do("ListBatchOperations", api.ListBatchOperationsRequest(namespace="default"))
        return
    job_id = client.world.chance.choice(client.jobs[-3:])
    client.do("DescribeBatchOperation", api.DescribeBatchOperationRequest(namespace="default", job_id=job_id))


def stop_batch(client: Client) -> None:
    if not client.jobs:
        client.rest()
        return
    job_id = client.world.chance.choice(client.jobs[-2:])
    request = api.StopBatchOperationRequest(
        namespace="default", job_id=job_id, reason="enough", identity=client.identity
    )
    client.do("StopBatchOperation", request)


# Options.


def update_options(client: Client) -> None:
    request = api.UpdateWorkflowExecutionOptionsRequest(namespace="default", workflow_execution=client.target())
    request.workflow_execution_options.priority.priority_key = client.world.chance.choice([1, 3, 5])
    request.update_mask.paths.append("priority")
    client.do("UpdateWorkflowExecutionOptions", request)


def delete_schedules(client: Client) -> list[Callable[[], None]]:
    """What ends them all, so that a world can come to its end."""
    found = []
    for schedule_id in SCHEDULES:
        request = api.DeleteScheduleRequest(namespace="default", schedule_id=schedule_id)
        found.append(lambda request=request: client.do("DeleteSchedule", request))  # type: ignore[misc]
    return found


ADMINISTRATION: list[tuple[float, Callable[[Client], None]]] = [
    (2, create_schedule),
    (1, update_schedule),
    (4, patch_schedule),
    (0.7, delete_schedule),
    (3, look_at_schedules),
    (4, reset_workflow),
    (3, start_batch),
    (2, look_at_batches),
    (2.5, stop_batch),
    (1.5, update_options),
]
"""Operations and how often they are chosen, next to those of other clients."""

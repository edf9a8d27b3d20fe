"""What clients see of a schedule, and the requests by which it starts workflows."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from temporalio.api.common.v1 import Memo, Payload, SearchAttributes
from temporalio.api.enums.v1 import ScheduleOverlapPolicy, WorkflowIdReusePolicy
from temporalio.api.schedule.v1 import Schedule, ScheduleActionResult, ScheduleInfo, ScheduleListInfo
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.engine.messages import copy_present
from perdure.engine.schedule.ranges import BadSpec
from perdure.engine.schedule.spec import Times, TooManyExclusions, times
from perdure.engine.schedule.state import Recent, ScheduleCore, Start
from perdure.engine.times import NS, set_time

FUTURE_ACTIONS = 10
FUTURE_ACTIONS_LISTED = 5
RECENT_ACTIONS_LISTED = 5
SPEC_ENTRIES_LISTED = 10
LIST_INFO = "ScheduleInfo"
"""The field of the memo that holds what listings show, as in the real server."""
PAUSED = "TemporalSchedulePaused"
START_TIME = "TemporalScheduledStartTime"
STARTED_BY = "TemporalScheduledById"
TIMESTAMP_EXAMPLE = "-2009-11-10T23:00:00Z"
"""What is put behind the id of a workflow that a schedule starts looks like this."""


def seed(core: ScheduleCore) -> str:
    """What makes the jitter of one schedule differ from that of others."""
    return f"{core.namespace_id}-{core.workflow_id}"


def identity(core: ScheduleCore) -> str:
    """As whom the schedule starts and stops workflows."""
    return f"temporal-scheduler-{core.namespace}-{core.workflow_id}"


def times_of(schedule: Schedule) -> tuple[Times | None, str]:
    """The times of a definition, or what is wrong with it."""
    try:
        return times(schedule.spec), ""
    except BadSpec as problem:
        return None, str(problem)


def future_ns(core: ScheduleCore, schedule: Schedule, count: int) -> list[int]:
    """The next actions, if nothing changes."""
    found: list[int] = []
    known, _ = times_of(schedule)
    if core.limited_actions:
        count = min(count, core.remaining_actions)
    at_ns = core.processed_ns
    while known is not None and len(found) < count:
        try:
            following = known.next(seed(core), at_ns)
        except TooManyExclusions:
            break
        if following is None:
            break
        at_ns = following.actual_ns
        if at_ns >= core.updated_ns:
            found.append(at_ns)
    return found


def info(core: ScheduleCore, schedule: Schedule) -> ScheduleInfo:
    """What DescribeSchedule tells."""
    _, problem = times_of(schedule)
    result = ScheduleInfo(
        action_count=core.action_count,
        missed_catchup_window=core.missed_catchup_window,
        overlap_skipped=core.overlap_skipped,
        buffer_dropped=core.buffer_dropped,
        buffer_size=len(core.buffer),
        recent_actions=[_result(each) for each in core.recent],
        invalid_schedule_error=problem,
    )
    for each in core.running:
        result.running_workflows.add(workflow_id=each.workflow_id, run_id=each.run_id)
    for at_ns in future_ns(core, schedule, FUTURE_ACTIONS):
        set_time(result.future_action_times.add(), at_ns)
    set_time(result.create_time, core.start_ns)
    if core.updated_ns:
        set_time(result.update_time, core.updated_ns)
    return result


def described(core: ScheduleCore, schedule: Schedule) -> Schedule:
    """The definition with the state it has now."""
    result = Schedule()
    result.CopyFrom(schedule)
    result.state.SetInParent()
    result.state.paused, result.state.notes = core.paused, core.notes
    result.state.limited_actions, result.state.remaining_actions = core.limited_actions, core.remaining_actions
    return result


def list_info(core: ScheduleCore, schedule: Schedule) -> ScheduleListInfo:
    """What listings tell. Long specifications are cut."""
    result = ScheduleListInfo(paused=core.paused, notes=core.notes)
    result.spec.CopyFrom(schedule.spec)
    result.spec.ClearField("timezone_data")
    for name in ("exclude_structured_calendar", "interval", "structured_calendar"):
        del getattr(result.spec, name)[SPEC_ENTRIES_LISTED:]
    if schedule.action.start_workflow.HasField("workflow_type"):
        result.workflow_type.CopyFrom(schedule.action.start_workflow.workflow_type)
    result.recent_actions.extend(_result(each) for each in core.recent[-RECENT_ACTIONS_LISTED:])
    for at_ns in future_ns(core, schedule, FUTURE_ACTIONS_LISTED):
        set_time(result.future_action_times.add(), at_ns)
    return result


def _result(recent: Recent) -> ScheduleActionResult:
    result = ScheduleActionResult(start_workflow_status=recent.status)  # type: ignore[arg-type]
    set_time(result.schedule_time, recent.schedule_ns)
    set_time(result.actual_time, recent.actual_ns)
    result.start_workflow_result.workflow_id = recent.workflow_id
    result.start_workflow_result.run_id = recent.run_id
    return result


def listed_memo(core: ScheduleCore, schedule: Schedule) -> bytes:
    """The memo as listings keep it: the user's, and the information for lists."""
    memo = Memo.FromString(core.memo)
    data = list_info(core, schedule).SerializeToString(deterministic=True)
    memo.fields[LIST_INFO].CopyFrom(Payload(metadata={"encoding": b"binary/plain"}, data=data))
    return memo.SerializeToString(deterministic=True)


def own_memo(serialized: bytes) -> tuple[Memo | None, ScheduleListInfo]:
    """The memo that the user gave, if any, and the information for lists."""
    memo = Memo.FromString(serialized)
    listed = ScheduleListInfo.FromString(memo.fields[LIST_INFO].data)
    del memo.fields[LIST_INFO]
    return (memo if memo.fields else None), listed


def own_attributes(serialized: bytes) -> SearchAttributes | None:
    """The search attributes that the user gave, if any."""
    attributes = SearchAttributes.FromString(serialized)
    attributes.indexed_fields.pop(PAUSED, None)
    return attributes if attributes.indexed_fields else None


def with_paused(serialized: bytes, paused: bool) -> bytes:
    """The search attributes, with the one that says whether the schedule is paused."""
    attributes = SearchAttributes.FromString(serialized)
    attributes.indexed_fields[PAUSED].CopyFrom(_payload(paused, "Bool"))
    return attributes.SerializeToString(deterministic=True)


def _payload(value: object, kind: str) -> Payload:
    return Payload(metadata={"encoding": b"json/plain", "type": kind.encode()}, data=json.dumps(value).encode())


def start_request(
    core: ScheduleCore, schedule: Schedule, start: Start, request_id: str
) -> StartWorkflowExecutionRequest:
    """The start of a workflow, as a client would ask for it."""
    action = schedule.action.start_workflow
    policies = WorkflowIdReusePolicy
    second = datetime.fromtimestamp(start.nominal_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    request = StartWorkflowExecutionRequest(
        namespace=core.namespace,
        workflow_id=f"{action.workflow_id}-{second}",
        identity=identity(core),
        request_id=request_id,
        workflow_id_reuse_policy=policies.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
        if start.manual
        else policies.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
    )
    copy_present(action, request, _SHARED)
    if start.single and core.last_completion_result:
        request.last_completion_result.MergeFromString(core.last_completion_result)
    if start.single and core.continued_failure:
        request.continued_failure.MergeFromString(core.continued_failure)
    request.search_attributes.indexed_fields[START_TIME].CopyFrom(_payload(second, "Datetime"))
    request.search_attributes.indexed_fields[STARTED_BY].CopyFrom(_payload(core.workflow_id, "Keyword"))
    return request


_SHARED = (
    "workflow_type",
    "task_queue",
    "input",
    "workflow_execution_timeout",
    "workflow_run_timeout",
    "workflow_task_timeout",
    "retry_policy",
    "memo",
    "search_attributes",
    "header",
    "user_metadata",
    "priority",
)


def fill_policies(schedule: Schedule) -> None:
    """Say what absent policies mean: skip what overlaps, catch up within a year, but at least ten seconds."""
    policies = schedule.policies
    if not policies.overlap_policy:
        policies.overlap_policy = ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_SKIP
    if not policies.HasField("catchup_window"):
        policies.catchup_window.seconds = DEFAULT_CATCHUP_S
    elif policies.catchup_window.seconds < MIN_CATCHUP_S:
        policies.catchup_window.Clear()
        policies.catchup_window.seconds = MIN_CATCHUP_S


DEFAULT_CATCHUP_S = 365 * 24 * 3600
MIN_CATCHUP_S = 10

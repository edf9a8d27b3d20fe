"""Each command in each bad form: the task fails with its cause, and the worker gets the error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import temporalio.api.command.v1 as command_pb
import temporalio.api.common.v1 as common_pb
from tests.conformance.driver import OTHER_NAMESPACE, Driver
from tests.conformance.messages import (
    activity,
    bare,
    cancel_activity,
    cancel_external,
    cancel_timer,
    cancel_workflow,
    child,
    command,
    continue_as_new,
    fail_workflow,
    marker,
    modify,
    signal_external,
    succeed,
    timer,
    typed,
    upsert,
)

LONG = "x" * 1001
NO_UUID = "not-a-uuid"
STRANGE = common_pb.Payload(metadata={"encoding": b"json/plain", "type": b"Int"}, data=b"no json")


def _scenario(*commands: command_pb.Command) -> Callable[[Driver], Awaitable[None]]:
    async def respond(d: Driver) -> None:
        await d.start()
        task = await d.poll_wft()
        await d.complete(task, *commands)

    return respond


COMMANDS: dict[str, tuple[command_pb.Command, ...]] = {
    # The sequence.
    "command_after_close": (succeed(), timer()),
    "two_closes": (succeed(), fail_workflow()),
    "unknown_type": (command_pb.Command(),),
    "unknown_type_number": (command_pb.Command(command_type=99),),
    # Without attributes.
    "bare_schedule_activity": (bare("SCHEDULE_ACTIVITY_TASK"),),
    "bare_cancel_activity": (bare("REQUEST_CANCEL_ACTIVITY_TASK"),),
    "bare_start_timer": (bare("START_TIMER"),),
    "bare_complete": (bare("COMPLETE_WORKFLOW_EXECUTION"),),
    "bare_fail": (bare("FAIL_WORKFLOW_EXECUTION"),),
    "bare_cancel_timer": (bare("CANCEL_TIMER"),),
    "bare_cancel_workflow": (bare("CANCEL_WORKFLOW_EXECUTION"),),
    "bare_cancel_external": (bare("REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION"),),
    "bare_marker": (bare("RECORD_MARKER"),),
    "bare_continue_as_new": (bare("CONTINUE_AS_NEW_WORKFLOW_EXECUTION"),),
    "bare_signal_external": (bare("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION"),),
    "bare_upsert": (bare("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"),),
    "bare_modify": (bare("MODIFY_WORKFLOW_PROPERTIES"),),
    "bare_protocol_message": (bare("PROTOCOL_MESSAGE"),),
    "attributes_of_another_command": (
        command_pb.Command(
            command_type=3, cancel_timer_command_attributes=command_pb.CancelTimerCommandAttributes(timer_id="t")
        ),
    ),
    # Activities.
    "activity_without_id": (activity(""),),
    "activity_without_type": (activity(activity_type=None),),
    "activity_with_empty_type": (activity(activity_type=""),),
    "activity_with_long_id": (activity(LONG),),
    "activity_with_long_type": (activity(activity_type=LONG),),
    "activity_without_task_queue": (activity(task_queue=None),),
    "activity_with_long_task_queue": (activity(task_queue=LONG),),
    "activity_on_reserved_task_queue": (activity(task_queue="/_sys/x/1"),),
    "activity_on_sticky_task_queue": (activity(task_queue={"name": "sticky", "kind": "STICKY"}),),
    "activity_without_timeout": (activity(start_to_close_timeout=None),),
    "activity_with_schedule_to_start_alone": (activity(start_to_close_timeout=None, schedule_to_start_timeout=5),),
    "activity_with_negative_schedule_to_close": (activity(schedule_to_close_timeout=-1),),
    "activity_with_negative_schedule_to_start": (activity(schedule_to_start_timeout=-1),),
    "activity_with_negative_start_to_close": (activity(start_to_close_timeout=-1),),
    "activity_with_negative_heartbeat": (activity(heartbeat_timeout=-1),),
    "activity_with_negative_initial_interval": (activity(retry_policy={"initial_interval": -1}),),
    "activity_with_small_coefficient": (activity(retry_policy={"backoff_coefficient": 0.5}),),
    "activity_with_negative_maximum_interval": (activity(retry_policy={"maximum_interval": -1}),),
    "activity_with_maximum_below_initial": (activity(retry_policy={"initial_interval": 5, "maximum_interval": 1}),),
    "activity_with_negative_attempts": (activity(retry_policy={"maximum_attempts": -1}),),
    "activity_with_bad_timeout_type": (activity(retry_policy={"non_retryable_error_types": ["TemporalTimeout:Late"]}),),
    "activity_with_bad_policy_but_one_attempt": (
        activity(retry_policy={"initial_interval": -1, "maximum_attempts": 1}),
    ),
    "activity_with_negative_priority": (activity(priority={"priority_key": -1}),),
    "activity_with_long_fairness_key": (activity(priority={"fairness_key": "x" * 65}),),
    "activity_with_negative_fairness_weight": (activity(priority={"fairness_weight": -1}),),
    "activity_twice": (activity("a"), activity("a")),
    "cancel_activity_without_id": (cancel_activity(0),),
    "cancel_activity_of_the_future": (cancel_activity(99),),
    "cancel_activity_of_another_event": (cancel_activity(1),),
    # Timers.
    "timer_without_id": (timer(""),),
    "timer_with_long_id": (timer(LONG),),
    "timer_with_negative_timeout": (timer(seconds=-1),),
    "timer_without_timeout": (timer(seconds=None),),
    "timer_twice": (timer("t"), timer("t")),
    "cancel_timer_without_id": (cancel_timer(""),),
    "cancel_timer_with_long_id": (cancel_timer(LONG),),
    "cancel_timer_unknown": (cancel_timer("nobody"),),
    # Markers, closes.
    "marker_without_name": (marker(""),),
    "marker_with_long_name": (marker(LONG),),
    "fail_without_failure": (command("FAIL_WORKFLOW_EXECUTION"),),
    "cancel_workflow_not_asked_for": (cancel_workflow(),),
    # Continue as new.
    "continue_as_new_with_long_type": (continue_as_new(workflow_type=LONG),),
    "continue_as_new_with_long_task_queue": (continue_as_new(task_queue=LONG),),
    "continue_as_new_on_reserved_task_queue": (continue_as_new(task_queue="/_sys/x/1"),),
    "continue_as_new_with_negative_run_timeout": (continue_as_new(workflow_run_timeout=-1),),
    "continue_as_new_with_negative_task_timeout": (continue_as_new(workflow_task_timeout=-1),),
    "continue_as_new_with_negative_backoff": (continue_as_new(backoff_start_interval=-1),),
    "continue_as_new_with_bad_retry": (continue_as_new(retry_policy={"backoff_coefficient": 0.5}),),
    "continue_as_new_with_unknown_attribute": (continue_as_new(search_attributes={"Nobody": 1}),),
    "continue_as_new_with_bad_cron": (continue_as_new(cron_schedule="every now and then"),),
    # Children.
    "child_without_id": (child(""),),
    "child_without_type": (child("c", workflow_type=None),),
    "child_with_long_id": (child(LONG),),
    "child_with_long_type": (child("c", workflow_type=LONG),),
    "child_with_long_task_queue": (child("c", task_queue=LONG),),
    "child_on_reserved_task_queue": (child("c", task_queue="/_sys/x/1"),),
    "child_in_unknown_namespace": (child("c", namespace="nowhere"),),
    "child_in_other_namespace": (child("c", namespace=OTHER_NAMESPACE),),
    "child_with_negative_execution_timeout": (child("c", workflow_execution_timeout=-1),),
    "child_with_negative_run_timeout": (child("c", workflow_run_timeout=-1),),
    "child_with_negative_task_timeout": (child("c", workflow_task_timeout=-1),),
    "child_with_bad_retry": (child("c", retry_policy={"maximum_attempts": -1}),),
    "child_with_long_initial_interval": (child("c", retry_policy={"initial_interval": 864_000_000}),),
    "activity_with_long_initial_interval": (activity(retry_policy={"initial_interval": 864_000_000}),),
    "child_with_bad_cron": (child("c", cron_schedule="every now and then"),),
    "child_with_cron_of_many_digits": (child("c", cron_schedule=f"@every {'9' * 5000}s"),),
    "child_with_unknown_attribute": (child("c", search_attributes={"Nobody": 1}),),
    "child_with_empty_override": (child("c", versioning_override={}),),
    "child_with_override_that_does_not_upgrade": (child("c", versioning_override={"auto_upgrade": False}),),
    "child_pinned_to_no_version": (child("c", versioning_override={"pinned": {}}),),
    "child_pinned_without_behavior": (child("c", versioning_override={"pinned": {"version": {"build_id": "b"}}}),),
    "child_with_override_for_once_without_version": (child("c", versioning_override={"one_time": {}}),),
    "child_pinned_to_no_version_string": (child("c", versioning_override={"behavior": "PINNED"}),),
    "child_pinned_to_bad_version_string": (
        child("c", versioning_override={"behavior": "PINNED", "pinned_version": "b"}),
    ),
    "child_upgrades_and_is_pinned": (
        child("c", versioning_override={"behavior": "AUTO_UPGRADE", "pinned_version": "d.b"}),
    ),
    "child_upgrades_and_has_a_deployment": (
        child("c", versioning_override={"behavior": "AUTO_UPGRADE", "deployment": {"series_name": "d"}}),
    ),
    "child_with_negative_priority": (child("c", priority={"priority_key": -1}),),
    # External workflows.
    "signal_external_without_execution": (command("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION", signal_name="s"),),
    "signal_external_without_id": (signal_external(("", "")),),
    "signal_external_with_long_id": (signal_external(LONG),),
    "signal_external_with_bad_run": (signal_external(("w", NO_UUID)),),
    "signal_external_without_name": (signal_external("w", ""),),
    "signal_external_with_long_name": (signal_external("w", LONG),),
    "signal_external_in_unknown_namespace": (signal_external("w", namespace="nowhere"),),
    "signal_external_in_other_namespace": (signal_external("w", namespace=OTHER_NAMESPACE),),
    "cancel_external_without_id": (cancel_external(""),),
    "cancel_external_with_long_id": (cancel_external(LONG),),
    "cancel_external_with_bad_run": (cancel_external("w", run_id=NO_UUID),),
    "cancel_external_in_unknown_namespace": (cancel_external("w", namespace="nowhere"),),
    "cancel_external_in_other_namespace": (cancel_external("w", namespace=OTHER_NAMESPACE),),
    "cancel_external_of_child_in_same_task": (child("c-of-same-task"), cancel_external("c-of-same-task")),
    # Search attributes and memo.
    "upsert_without_attributes": (upsert(None),),
    "upsert_with_no_fields": (upsert({}),),
    "upsert_unknown_attribute": (upsert({"Nobody": "x"}),),
    "upsert_system_attribute": (upsert({"WorkflowId": "x"}),),
    "upsert_text_into_int": (upsert({"ConfInt": "seven"}),),
    "upsert_int_into_keyword": (upsert({"ConfKeyword": 7}),),
    "upsert_number_into_bool": (upsert({"ConfBool": 7}),),
    "upsert_text_into_datetime": (upsert({"ConfDatetime": "yesterday"}),),
    "upsert_text_into_double": (upsert({"ConfDouble": "much"}),),
    "upsert_with_wrong_type_named": (upsert({"ConfInt": typed("x", "Keyword")}),),
    "upsert_with_unknown_type_named": (upsert({"ConfInt": typed(1, "Complex")}),),
    "upsert_what_is_no_json": (upsert({"ConfInt": STRANGE}),),
    "upsert_bytes": (upsert({"ConfInt": b"raw"}),),
    "modify_without_memo": (modify(None),),
    "modify_with_no_fields": (modify({}),),
    # Messages.
    "protocol_message_without_id": (command("PROTOCOL_MESSAGE"),),
    "protocol_message_absent": (command("PROTOCOL_MESSAGE", message_id="nobody"),),
}

TABLE = {name: _scenario(*commands) for name, commands in COMMANDS.items()}


async def drops_the_good_commands_before_it(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.complete(task, timer("good"), activity("good"), timer(""))
    await d.describe()
    await d.poll_wft()
    await d.poll_activity_in_vain()


async def writes_nothing_on_a_later_attempt(d: Driver) -> None:
    await d.start()
    await d.complete(await d.poll_wft(), timer(""))
    await d.complete(await d.poll_wft(), marker(""))
    task = await d.poll_wft()
    await d.describe()
    await d.complete(task, succeed())


async def reports_the_task_it_failed_as_unknown_afterwards(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.complete(task, timer(""))
    await d.complete(task, succeed())
    await d.fail(task)


async def cancel_a_running_activity_twice(d: Driver) -> None:
    await d.start()
    await d.step(activity(), force_create_new_workflow_task=True)
    await d.poll_activity()
    await d.step(cancel_activity(5), force_create_new_workflow_task=True)
    await d.step(cancel_activity(5))


async def cancel_a_timer_twice(d: Driver) -> None:
    await d.start()
    await d.step(timer(), force_create_new_workflow_task=True)
    await d.step(cancel_timer(), cancel_timer())

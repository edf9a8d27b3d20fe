"""StartWorkflowExecution: what it takes, what it writes down, what it refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration
from tests.conformance.driver import Driver
from tests.conformance.messages import continue_as_new, failure, payload, succeed, typed

LONG = "x" * 1001
LINK = {
    "workflow_event": {
        "namespace": "default",
        "workflow_id": "caller",
        "run_id": "11111111-2222-4333-8444-555555555555",
        "event_ref": {"event_id": 7, "event_type": "WORKFLOW_EXECUTION_SIGNALED"},
    }
}


async def with_everything(d: Driver) -> None:
    await d.start(
        input=["a", {"b": 1}, None, b"bytes"],
        workflow_execution_timeout=300,
        workflow_run_timeout=200,
        workflow_task_timeout=7,
        memo={"note": "remember"},
        search_attributes={"ConfKeyword": "red", "ConfInt": 7},
        header={"trace": "h"},
        retry_policy={"maximum_attempts": 3},
        user_metadata={"summary": payload("short"), "details": payload("long")},
        links=[LINK],
        priority={"priority_key": 2, "fairness_key": "team", "fairness_weight": 1.5},
        continued_failure=failure("earlier"),
        last_completion_result="before",
    )
    await d.describe()
    await d.poll_wft()


async def with_defaults(d: Driver) -> None:
    await d.start()
    await d.describe()


async def without_identity_and_request_id(d: Driver) -> None:
    await d.start(identity=None, request_id=None)
    await d.step(succeed())


async def caps_the_run_by_the_execution_timeout(d: Driver) -> None:
    await d.start(workflow_execution_timeout=10, workflow_run_timeout=100, workflow_task_timeout=50)


async def defaults_the_run_to_the_execution_timeout(d: Driver) -> None:
    await d.start(workflow_execution_timeout=10)


async def caps_the_task_timeout_by_the_run_timeout(d: Driver) -> None:
    await d.start(workflow_run_timeout=5, workflow_task_timeout=50)


async def caps_a_very_long_task_timeout(d: Driver) -> None:
    await d.start(workflow_task_timeout=3600)


async def after_a_delay(d: Driver) -> None:
    await d.start(workflow_start_delay=1)
    await d.describe()
    await d.step(succeed())
    await d.describe()


async def after_a_delay_with_timeouts(d: Driver) -> None:
    await d.start(workflow_start_delay=1, workflow_execution_timeout=20, workflow_run_timeout=10)
    await d.describe()


async def signal_does_not_wake_a_delayed_start(d: Driver) -> None:
    await d.start(workflow_start_delay=1)
    await d.signal()
    await d.describe()
    await d.step(succeed())


async def cancel_wakes_a_delayed_start(d: Driver) -> None:
    await d.start(workflow_start_delay=60)
    await d.cancel()
    await d.describe()
    await d.poll_wft()


async def terminate_during_a_delay(d: Driver) -> None:
    await d.start(workflow_start_delay=60)
    await d.terminate()


async def eagerly(d: Driver) -> None:
    started = await d.start(request_eager_execution=True)
    await d.describe()
    await d.complete(started.eager_workflow_task, succeed("fast"))


async def eagerly_and_then_by_poll(d: Driver) -> None:
    started = await d.start(request_eager_execution=True, workflow_task_timeout=1)
    await d.step(succeed())
    await d.complete(started.eager_workflow_task, succeed())


async def eagerly_with_a_delay(d: Driver) -> None:
    await d.start(request_eager_execution=True, workflow_start_delay=1)


async def eagerly_again_with_the_same_request(d: Driver) -> None:
    await d.start(request_eager_execution=True, request_id="same")
    started = await d.start(request_eager_execution=True, request_id="same")
    await d.complete(started.eager_workflow_task, succeed())
    await d.start(request_eager_execution=True, request_id="same")


async def search_attributes_of_each_type(d: Driver) -> None:
    await d.start(
        search_attributes={
            "ConfBool": True,
            "ConfDatetime": "2024-02-29T12:00:00Z",
            "ConfDouble": 1.5,
            "ConfInt": 7,
            "ConfKeyword": typed("red", "Keyword"),
            "ConfKeywordList": ["a", "b"],
            "ConfText": "some words",
        }
    )
    await d.describe()


async def search_attributes_that_are_null_or_empty(d: Driver) -> None:
    await d.start(search_attributes={"ConfKeyword": None, "ConfKeywordList": [], "ConfText": ""}, memo={"none": None})
    await d.describe()


async def list_of_one_for_a_single_attribute(d: Driver) -> None:
    await d.start(search_attributes={"ConfInt": [7], "ConfKeyword": ["red"]})
    await d.describe()


def _refused(**fields: Any) -> Callable[[Driver], Awaitable[None]]:
    async def start(d: Driver) -> None:
        await d.start(**fields)

    return start


TABLE = {
    "refused_" + name: _refused(**fields)
    for name, fields in {
        "without_id": {"workflow_id": ""},
        "with_long_id": {"workflow_id": LONG},
        "without_type": {"workflow_type": None},
        "with_empty_type": {"workflow_type": ""},
        "with_long_type": {"workflow_type": LONG},
        "without_task_queue": {"task_queue": None},
        "with_empty_task_queue": {"task_queue": ""},
        "with_long_task_queue": {"task_queue": LONG},
        "with_reserved_task_queue": {"task_queue": "/_sys/x/1"},
        "with_sticky_task_queue": {"task_queue": {"name": "s", "kind": "STICKY", "normal_name": "n"}},
        "with_long_request_id": {"request_id": LONG},
        "with_long_identity": {"identity": LONG},
        "without_namespace": {"namespace": ""},
        "with_unknown_namespace": {"namespace": "nowhere"},
        "with_long_namespace": {"namespace": LONG},
        "with_negative_execution_timeout": {"workflow_execution_timeout": -1},
        "with_negative_run_timeout": {"workflow_run_timeout": -1},
        "with_negative_task_timeout": {"workflow_task_timeout": -1},
        "with_negative_delay": {"workflow_start_delay": -1},
        "with_delay_and_cron": {"workflow_start_delay": 1, "cron_schedule": "@daily"},
        "with_bad_cron": {"cron_schedule": "every now and then"},
        "with_cron_of_six_fields": {"cron_schedule": "* * * * * *"},
        "with_bad_cron_zone": {"cron_schedule": "CRON_TZ=Mars/Base 0 0 * * *"},
        "with_impossible_cron_number": {"cron_schedule": "61 * * * *"},
        "with_negative_initial_interval": {"retry_policy": {"initial_interval": -1}},
        "with_initial_interval_below_all": {"retry_policy": {"initial_interval": Duration(seconds=-(2**62))}},
        "with_initial_interval_beyond_all": {"retry_policy": {"initial_interval": Duration(seconds=2**62)}},
        "with_initial_interval_of_ten_million_days": {"retry_policy": {"initial_interval": 10**7 * 86400}},
        "with_initial_interval_of_a_century": {"retry_policy": {"initial_interval": 100 * 365 * 86400 + 1}},
        "with_small_coefficient": {"retry_policy": {"backoff_coefficient": 0.5}},
        "with_negative_maximum_interval": {"retry_policy": {"maximum_interval": -1}},
        "with_maximum_below_initial": {"retry_policy": {"initial_interval": 5, "maximum_interval": 1}},
        "with_negative_attempts": {"retry_policy": {"maximum_attempts": -1}},
        "with_bad_timeout_type": {"retry_policy": {"non_retryable_error_types": ["TemporalTimeout:Late"]}},
        "with_contradicting_policies": {
            "workflow_id_reuse_policy": "TERMINATE_IF_RUNNING",
            "workflow_id_conflict_policy": "FAIL",
        },
        "with_contradicting_policies_use_existing": {
            "workflow_id_reuse_policy": "TERMINATE_IF_RUNNING",
            "workflow_id_conflict_policy": "USE_EXISTING",
        },
        "with_contradicting_policies_reject_and_terminate": {
            "workflow_id_reuse_policy": "REJECT_DUPLICATE",
            "workflow_id_conflict_policy": "TERMINATE_EXISTING",
        },
        "with_unknown_attribute": {"search_attributes": {"Nobody": "x"}},
        "with_system_attribute": {"search_attributes": {"ExecutionStatus": "Running"}},
        "with_text_in_int": {"search_attributes": {"ConfInt": "seven"}},
        "with_int_in_keyword": {"search_attributes": {"ConfKeyword": 7}},
        "with_text_in_datetime": {"search_attributes": {"ConfDatetime": "yesterday"}},
        "with_list_in_int": {"search_attributes": {"ConfInt": [1, 2]}},
        "with_negative_priority": {"priority": {"priority_key": -1}},
        "with_long_fairness_key": {"priority": {"fairness_key": "x" * 65}},
        "with_negative_fairness_weight": {"priority": {"fairness_weight": -1}},
        "with_callbacks_but_no_request": {
            "on_conflict_options": {"attach_completion_callbacks": True, "attach_request_id": False}
        },
        "with_many_links": {"links": [LINK] * 11},
        "with_long_link": {"links": [{"workflow_event": {**LINK["workflow_event"], "workflow_id": "x" * 9000}}]},
        "with_empty_link": {"links": [{}]},
        "with_link_to_a_workflow": {"links": [{"workflow": {"namespace": "n", "workflow_id": "w", "run_id": "r"}}]},
        "with_incomplete_link_to_a_workflow": {"links": [{"workflow": {}}]},
        "with_long_initial_interval": {"retry_policy": {"initial_interval": 864_000_000}},
        "with_very_long_initial_interval": {"retry_policy": {"initial_interval": 86_400_000_000}},
        "with_initial_interval_of_a_short_maximum": {"retry_policy": {"initial_interval": 185_000_000}},
        "with_link_without_namespace": {"links": [{"workflow_event": {"workflow_id": "w", "run_id": "r"}}]},
        "with_large_input": {"input": ["x" * (2 * 1024 * 1024)]},
        "with_large_memo": {"memo": {"note": "x" * (2 * 1024 * 1024)}},
        "with_large_attribute": {"search_attributes": {"ConfText": "x" * 3000}},
        "with_large_attributes": {"search_attributes": {"ConfText": "x" * 50_000}},
    }.items()
}


async def versioning_override(d: Driver) -> None:
    await d.start(versioning_override={"auto_upgrade": True})
    await d.describe()
    await d.step(continue_as_new())
    await d.describe()
    await d.terminate()
    old_form = {"behavior": "AUTO_UPGRADE"}
    await d.signal_with_start(versioning_override=old_form)
    await d.step(succeed())


async def versioning_override_is_refused(d: Driver) -> None:
    version = {"deployment_name": "deployment", "build_id": "b"}
    for override in (
        {},
        {"auto_upgrade": False},
        {"pinned": {"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED"}},
        {"pinned": {"version": version}},
        {"pinned": {"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED", "version": version}},
        {"one_time": {}},
        {"one_time": {"target_deployment_version": version}},
        {"behavior": "PINNED", "pinned_version": "deployment.b"},
    ):
        await d.start(versioning_override=override)
        await d.signal_with_start(versioning_override=override)

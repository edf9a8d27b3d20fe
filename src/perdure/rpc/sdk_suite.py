"""How far the official Python SDK's own tests get: the text for `docs/API.md`.

Told of all of its tests that need a server, temporalio/sdk-python at commit 3a464f9, run with temporalio 1.32.0: what
passes on the real server, and what of that does not pass here, by the feature it waits for (of `coverage.TABLE`).
"""

from __future__ import annotations

FILES = {
    "tests/nexus/test_dynamic_creation_of_user_handler_classes.py": 1,
    "tests/nexus/test_nexus_worker_shutdown.py": 4,
    "tests/nexus/test_signal_link_propagation_e2e.py": 5,
    "tests/nexus/test_standalone_operations.py": 15,
    "tests/nexus/test_temporal_extstore.py": 5,
    "tests/nexus/test_temporal_operation.py": 22,
    "tests/nexus/test_temporal_system_nexus.py": 2,
    "tests/nexus/test_use_existing_conflict_policy.py": 1,
    "tests/nexus/test_workflow_caller.py": 67,
    "tests/nexus/test_workflow_caller_cancellation_types.py": 4,
    "tests/nexus/test_workflow_caller_cancellation_types_when_cancel_handler_fails.py": 4,
    "tests/nexus/test_workflow_caller_error_chains.py": 7,
    "tests/nexus/test_workflow_run_operation.py": 4,
    "tests/test_activity.py": 33,
    "tests/test_client.py": 36,
    "tests/test_envconfig.py": 5,
    "tests/test_plugins.py": 12,
    "tests/test_runtime.py": 4,
    "tests/test_serialization_context.py": 18,
    "tests/test_service.py": 4,
    "tests/testing/test_workflow.py": 1,
    "tests/worker/test_activity.py": 55,
    "tests/worker/test_breakpoint_hang.py": 5,
    "tests/worker/test_extstore.py": 24,
    "tests/worker/test_interceptor.py": 2,
    "tests/worker/test_payload_size_limits.py": 2,
    "tests/worker/test_replayer.py": 5,
    "tests/worker/test_update_with_start.py": 33,
    "tests/worker/test_worker.py": 32,
    "tests/worker/test_workflow.py": 217,
    "tests/worker/workflow_sandbox/test_runner.py": 14,
}
"""How many tests of each file pass on the real server. A test is counted once for each set of parameters."""

WAITING: dict[str, dict[str, dict[str, int]]] = {
    "worker versions": {
        "tests/test_client.py": {
            "test_build_id_interactions": 1,
        },
        "tests/worker/test_worker.py": {
            "test_continue_as_new_with_ramping_version": 1,
            "test_continue_as_new_with_version_upgrade": 1,
            "test_worker_deployment_dynamic_workflow_with_auto_upgrade_versioning": 1,
            "test_worker_deployment_dynamic_workflow_with_pinned_versioning": 1,
            "test_worker_deployment_ramp": 1,
            "test_worker_with_worker_deployment_config": 1,
            "test_workflows_can_use_default_versioning_behavior": 1,
            "test_workflows_can_use_versioning_override": 1,
        },
    },
    "Nexus operations": {
        "tests/nexus/test_dynamic_creation_of_user_handler_classes.py": {
            "test_run_nexus_service_from_programmatically_created_service_handler": 1,
        },
        "tests/nexus/test_nexus_worker_shutdown.py": {
            "test_is_worker_shutdown": 1,
            "test_nexus_worker_shutdown": 1,
            "test_nexus_worker_shutdown_graceful": 1,
            "test_sync_nexus_operation_worker_shutdown_graceful": 1,
        },
        "tests/nexus/test_signal_link_propagation_e2e.py": {
            "test_async_signal_operation_links": 1,
            "test_standalone_async_signal_operation_links": 1,
            "test_standalone_sync_signal_operation_links": 1,
            "test_start_from_handler_attaches_on_conflict_options": 1,
            "test_sync_signal_operation_links": 1,
        },
        "tests/nexus/test_standalone_operations.py": {
            "test_cancel_operation": 1,
            "test_count_operations": 1,
            "test_describe_operation": 1,
            "test_errors": 1,
            "test_execute_operation": 1,
            "test_execute_operation_named_service": 1,
            "test_get_nexus_operation_handle": 1,
            "test_id_conflict_policy_fail": 1,
            "test_id_conflict_policy_use_existing": 1,
            "test_interceptor_receives_inputs": 1,
            "test_list_operations": 1,
            "test_start_async_operation_and_poll_result": 1,
            "test_start_sync_operation_and_get_result": 1,
            "test_started_workflow_has_link_to_standalone_nexus_operation": 1,
            "test_terminate_operation": 1,
        },
        "tests/nexus/test_temporal_extstore.py": {
            "test_nexus_operation_input_offloaded_and_retrieved": 1,
            "test_nexus_operation_store_failure_fails_operation": 1,
            "test_nexus_operation_sync_result_offloaded_and_retrieved": 1,
            "test_nexus_operation_transient_retrieve_failure_recovers": 1,
            "test_nexus_operation_transient_store_failure_recovers": 1,
        },
        "tests/nexus/test_temporal_operation.py": {
            "test_customized_temporal_operation_cancel_activity": 1,
            "test_customized_temporal_operation_cancel_workflow": 1,
            "test_temporal_operation_backing_activity_does_not_duplicate_links": 1,
            "test_temporal_operation_cancel_activity": 1,
            "test_temporal_operation_cancel_workflow": 1,
            "test_temporal_operation_concurrent_start_raises_handler_err": 1,
            "test_temporal_operation_double_start_activity_raises_handler_err": 1,
            "test_temporal_operation_double_start_raises_handler_err": 1,
            "test_temporal_operation_failed_start_allows_retry": 1,
            "test_temporal_operation_includes_activity_token_in_callback": 1,
            "test_temporal_operation_includes_token_in_callback": 1,
            "test_temporal_operation_mixed_start_raises_handler_err": 1,
            "test_temporal_operation_overloads": 5,
            "test_temporal_operation_start_activity": 1,
            "test_temporal_operation_start_workflow": 1,
            "test_temporal_operation_sync_result": 1,
            "test_temporal_operation_update_workflow": 1,
            "test_temporal_operation_update_workflow_delayed": 1,
        },
        "tests/nexus/test_temporal_system_nexus.py": {
            "test_external_workflow_handle_signal_with_start_workflow_uses_system_nexus": 1,
            "test_signal_with_start_uses_target_workflow_serialization_context": 1,
        },
        "tests/nexus/test_use_existing_conflict_policy.py": {
            "test_multiple_operation_invocations_can_connect_to_same_handler_workflow": 1,
        },
        "tests/nexus/test_workflow_caller.py": {
            "TestAsyncAndNonAsyncCancel::test_task_executor_operation_cancel_method": 2,
            "test_async_response": 16,
            "test_cancel_operation_headers": 1,
            "test_nexus_info_includes_namespace": 1,
            "test_nexus_operation_summary": 1,
            "test_request_deadline_is_accessible_in_operation": 1,
            "test_service_interface_and_implementation_names": 1,
            "test_start_operation_headers": 1,
            "test_sync_operation_happy_path": 1,
            "test_sync_response": 16,
            "test_untyped_caller": 16,
            "test_workflow_caller_buffered_metrics": 1,
            "test_workflow_caller_custom_metrics": 1,
            "test_workflow_run_operation_can_execute_workflow_before_starting_backing_workflow": 1,
            "test_workflow_run_operation_happy_path": 1,
            "test_workflow_run_operation_headers": 1,
            "test_workflow_run_operation_overloads": 5,
        },
        "tests/nexus/test_workflow_caller_cancellation_types.py": {
            "test_cancellation_type": 4,
        },
        "tests/nexus/test_workflow_caller_cancellation_types_when_cancel_handler_fails.py": {
            "test_cancellation_type": 4,
        },
        "tests/nexus/test_workflow_caller_error_chains.py": {
            "test_errors_raised_by_nexus_operation": 7,
        },
        "tests/nexus/test_workflow_run_operation.py": {
            "test_request_deadline_is_accessible_in_workflow_run_operation": 1,
            "test_workflow_run_operation": 2,
            "test_workflow_run_operation_includes_token_in_callback": 1,
        },
        "tests/test_serialization_context.py": {
            "test_nexus_payload_codec_operations_lack_context": 1,
        },
        "tests/worker/test_interceptor.py": {
            "test_worker_interceptor": 1,
        },
        "tests/worker/test_worker.py": {
            "test_custom_slot_supplier": 1,
        },
    },
    "standalone activities": {
        "tests/test_activity.py": {
            "TestDescribe::test_describe": 1,
            "TestDescribe::test_describe_long_poll": 1,
            "test_cancel_activity_calls_interceptor": 1,
            "test_count_activities": 1,
            "test_count_activities_calls_interceptor": 1,
            "test_count_activities_group_by": 1,
            "test_describe_activity_calls_interceptor": 1,
            "test_execute_activity_class_async": 1,
            "test_execute_activity_method_async": 1,
            "test_get_activity_handle": 1,
            "test_get_result": 1,
            "test_id_conflict_policy_fail": 1,
            "test_id_conflict_policy_use_existing": 1,
            "test_id_reuse_policy_allow_duplicate": 1,
            "test_id_reuse_policy_reject_duplicate": 1,
            "test_list_activities": 1,
            "test_list_activities_calls_interceptor": 1,
            "test_manual_cancellation": 1,
            "test_manual_completion": 1,
            "test_manual_failure": 1,
            "test_manual_heartbeat": 1,
            "test_retry_policy": 1,
            "test_search_attributes": 1,
            "test_start_activity_calls_interceptor": 1,
            "test_start_activity_class_async": 1,
            "test_start_activity_class_no_param": 1,
            "test_start_activity_class_sync": 1,
            "test_start_activity_method_async": 1,
            "test_start_activity_method_no_param": 1,
            "test_start_activity_start_delay": 1,
            "test_terminate": 1,
            "test_terminate_activity_calls_interceptor": 1,
        },
        "tests/worker/test_extstore.py": {
            "test_store_metadata_standalone_activity": 1,
        },
    },
}
"""Feature -> file -> test -> how many sets of its parameters wait for the feature."""

INTRODUCTION = """\
## The official Python SDK's own tests

What passes on the real server, and how much of that passes here (sdk-python at 3a464f9, temporalio 1.32.0):
"""


def sdk_suite_doc() -> str:
    """The section."""
    lines = [INTRODUCTION, "| file | real server | Perdure |", "|---|---|---|"]
    lines += [f"| {file} | {total} | {total - missing(file)} |" for file, total in FILES.items()]
    lines += ["", "Those that do not pass, with the feature that they wait for:", ""]
    lines += ["| waits for | file | test |", "|---|---|---|"]
    for feature, files in WAITING.items():
        lines += _rows(feature, files)
    return "\n".join(lines) + "\n"


def missing(file: str) -> int:
    """How many of the file's tests that pass on the real server do not pass here."""
    return sum(sum(files.get(file, {}).values()) for files in WAITING.values())


def _rows(first: str, files: dict[str, dict[str, int]]) -> list[str]:
    rows = []
    for file, tests in files.items():
        for test, count in tests.items():
            rows.append(f"| {first} | {file} | `{test}`{f' ({count})' if count > 1 else ''} |")
    return rows
